#pragma once
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/config/config.h"

namespace culvert::config::test {

/// A folder of its own with good.psk in it, gone at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-config-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
    write("good.psk", "a key of twenty-four byt\n");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path write(std::string_view name, std::string_view content, ::mode_t mode = 0600) const {
    const auto file = path_ / name;
    std::ofstream(file, std::ios::binary) << content;
    REQUIRE(::chmod(file.c_str(), mode) == 0);
    return file;
  }
  [[nodiscard]] std::filesystem::path file(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// A sound configuration; tests replace pieces of it. The lines are counted in the tables of the tests.
inline constexpr std::string_view sound_gre =
    "[gateway]\n"                           // 1
    "id = \"paris.example.net\"\n"          // 2
    "# gateway\n"                           // 3
    "[peer.tokyo]\n"                        // 4
    "address = [\"198.51.100.1\"]\n"        // 5
    "id = \"tokyo.example.net\"\n"          // 6
    "auth = { psk_file = \"good.psk\" }\n"  // 7
    "# peer\n"                              // 8
    "[tunnel.t]\n"                          // 9
    "peer = \"tokyo\"\n"                    // 10
    "carry = \"gre\"\n"                     // 11
    "device = \"cv-tokyo\"\n"               // 12
    "# tunnel\n"                            // 13
    "# end\n";                              // 14
inline constexpr std::string_view sound_ip =
    "[gateway]\n"                           // 1
    "id = \"paris.example.net\"\n"          // 2
    "# gateway\n"                           // 3
    "[peer.tokyo]\n"                        // 4
    "address = [\"198.51.100.1\"]\n"        // 5
    "id = \"tokyo.example.net\"\n"          // 6
    "auth = { psk_file = \"good.psk\" }\n"  // 7
    "# peer\n"                              // 8
    "[tunnel.t]\n"                          // 9
    "peer = \"tokyo\"\n"                    // 10
    "carry = \"ip\"\n"                      // 11
    "device = \"cv-tokyo\"\n"               // 12
    "local = [\"10.1.0.0/16\"]\n"           // 13
    "remote = [\"10.2.0.0/16\"]\n"          // 14
    "# tunnel\n"                            // 15
    "# end\n";                              // 16

inline std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string result(text);
  const auto at = result.find(what);
  REQUIRE(at != std::string::npos);
  result.replace(at, what.size(), with);
  return result;
}

/// One replacement in a sound file, and the one mistake that it makes.
struct Mistake {
  std::string_view what, with;
  std::uint32_t line, column;
  std::string_view key, message;  ///< `message`: a part of it
};

inline std::string all_of(const std::vector<Diagnostic>& list) {
  std::string text;
  for (const auto& diagnostic : list) text += diagnostic.to_string() + "\n";
  return text;
}

inline void check_mistakes(std::string_view base, const std::vector<Mistake>& mistakes) {
  const Folder folder;
  for (const Mistake& mistake : mistakes) {
    CAPTURE(mistake.with);
    const auto config = parse(replaced(base, mistake.what, mistake.with), folder.file("gw.toml"));
    REQUIRE_FALSE(config.has_value());
    CAPTURE(all_of(config.error()));
    REQUIRE(config.error().size() == 1);
    const Diagnostic& found = config.error()[0];
    CHECK(found.file == folder.file("gw.toml").string());
    CHECK(found.line == mistake.line);
    CHECK(found.column == mistake.column);
    CHECK(found.key == mistake.key);
    CHECK(found.message.find(mistake.message) != std::string::npos);
  }
}

/// A sound text as a Config; fails the test with its diagnostics otherwise.
inline Config sound(const Folder& folder, std::string_view text) {
  auto config = parse(text, folder.file("gw.toml"));
  if (!config) FAIL(all_of(config.error()));
  return std::move(*config);
}

}  // namespace culvert::config::test
