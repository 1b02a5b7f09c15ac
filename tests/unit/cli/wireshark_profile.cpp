#include "wireshark_profile.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

using namespace culvert;
using cli::WiresharkProfile;

namespace {

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat facts {};
  REQUIRE(lstat(path.c_str(), &facts) == 0);
  return facts.st_mode & 07777;
}

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

const std::string esp = "uat:esp_sa:\"IPv4\",\"*\",\"*\",\"0x00000100\",\"AES-CBC [RFC3602]\",\"0x01\",\"NULL\",\"\"";
const std::string ike = "uat:ikev2_decryption_table:01,02,03,04,\"AES-CBC-128 [RFC3602]\",,,\"NONE [RFC4306]\"";

}  // namespace

// The names of the files and of the preferences are those of Wireshark 4.0; tests/lab has tshark read them.
TEST_CASE("keys go into Wireshark's tables, each once, where their owner alone can read them") {
  const Folder folder;
  const auto at = folder.path / "keys";
  const auto before = umask(0);
  auto profile = WiresharkProfile::create(at);
  umask(before);
  REQUIRE(profile);
  CHECK(profile->add({esp, ike, esp}));
  CHECK(profile->add({ike}));
  CHECK(profile->num_rows() == 2);
  CHECK(mode_of(at) == 0700);
  for (const char* name : {"esp_sa", "ikev2_decryption_table", "preferences"}) CHECK(mode_of(at / name) == 0600);
  CHECK(content(at / "esp_sa")
            .ends_with("\n\"IPv4\",\"*\",\"*\",\"0x00000100\",\"AES-CBC [RFC3602]\",\"0x01\",\"NULL\",\"\"\n"));
  CHECK(content(at / "ikev2_decryption_table")
            .ends_with("\n01,02,03,04,\"AES-CBC-128 [RFC3602]\",,,\"NONE [RFC4306]\"\n"));
  CHECK(content(at / "preferences").find("esp.enable_encryption_decode: TRUE") != std::string::npos);
}

TEST_CASE("a folder, a file or a link that is there already is left alone") {
  const Folder folder;
  const auto at = folder.path / "keys";
  std::filesystem::create_symlink(folder.path / "elsewhere", at);
  CHECK(WiresharkProfile::create(at).error().code == Errc::invalid);
  CHECK_FALSE(std::filesystem::exists(folder.path / "elsewhere"));
  CHECK(WiresharkProfile::create(folder.path).error().code == Errc::invalid);
  CHECK(WiresharkProfile::create(folder.path / "no" / "keys").error().code == Errc::io);
}

TEST_CASE("it can be removed again, but for what somebody else has put there") {
  const Folder folder;
  auto profile = WiresharkProfile::create(folder.path / "keys");
  REQUIRE(profile);
  REQUIRE(profile->add({esp}));
  profile->remove();
  CHECK_FALSE(std::filesystem::exists(folder.path / "keys"));
  profile = WiresharkProfile::create(folder.path / "keys");
  REQUIRE(profile);
  std::ofstream(folder.path / "keys" / "mine") << "x";
  profile->remove();
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path / "keys"), {}) == 1);
}

TEST_CASE("what is no row of a table of keys is refused, and nothing of it written") {
  const Folder folder;
  auto profile = WiresharkProfile::create(folder.path / "keys");
  REQUIRE(profile);
  const auto before = content(folder.path / "keys" / "esp_sa");
  const std::vector<std::string> wrong{"",
                                       "uat:",
                                       "uat:esp_sa",
                                       "uat:esp_sa:",
                                       "uat:../evil:" + esp,
                                       "uat:esp_sa_more:x",
                                       "uat:esp_sa:a\nuat:esp_sa:b",
                                       "uat:esp_sa:\x1b[31m",
                                       "x" + esp};
  for (const std::string& option : wrong) {
    CAPTURE(option);
    CHECK(profile->add({option}).error().code == Errc::malformed);
  }
  CHECK(content(folder.path / "keys" / "esp_sa") == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path / "keys"), {}) == 3);
}
