#include "genpsk.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "culvert/config/config.h"

using namespace culvert;
using namespace culvert::cli;

namespace {

std::filesystem::path fresh_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "culvert-genpsk-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  return name;
}

}  // namespace

TEST_CASE("a key is 0s and base64 of 32 bytes on one line, and never the same") {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto line = make_psk_line();
    REQUIRE(line.has_value());
    const std::string text(as_text(line->view()));
    CHECK(text.size() == 2 + 44 + 1);  // RFC 4648 §4: 32 bytes are 44 characters
    CHECK(text.starts_with("0s"));
    CHECK(text.ends_with("=\n"));
    CHECK(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n") ==
          std::string::npos);
    seen.insert(text);
  }
  CHECK(seen.size() == 100);
}

TEST_CASE("a key file has mode 0600 whatever the umask, and is what the configuration takes") {
  const auto folder = fresh_folder();
  const auto line = make_psk_line();
  REQUIRE(line.has_value());
  const ::mode_t before = ::umask(0);
  const auto written = write_psk_file(folder / "site.psk", line->view());
  ::umask(before);
  REQUIRE(written.has_value());
  struct stat facts{};
  REQUIRE(::stat((folder / "site.psk").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0600);
  const auto config = config::parse(
      "[gateway]\nid = \"a.net\"\n[peer.b]\naddress = \"any\"\nid = \"b.net\"\nauth = { psk_file = \"site.psk\" }\n"
      "[tunnel.t]\npeer = \"b\"\ncarry = \"gre\"\ndevice = \"t\"\n",
      folder / "gw.toml");
  REQUIRE(config.has_value());
  CHECK(config->peers[0].auth.our_psk()->size() == 32);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a key file that exists is never overwritten, not even through a link") {
  const auto folder = fresh_folder();
  std::ofstream(folder / "old.psk") << "old";
  const auto again = write_psk_file(folder / "old.psk", as_bytes("new"));
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().detail.find("is not overwritten") != std::string::npos);
  std::string content;
  std::ifstream(folder / "old.psk") >> content;
  CHECK(content == "old");
  std::filesystem::create_symlink(folder / "elsewhere", folder / "link.psk");
  CHECK_FALSE(write_psk_file(folder / "link.psk", as_bytes("new")).has_value());
  CHECK_FALSE(std::filesystem::exists(folder / "elsewhere"));
  CHECK_FALSE(write_psk_file(folder / "no-such-folder" / "k", as_bytes("new")).has_value());
  std::filesystem::remove_all(folder);
}
