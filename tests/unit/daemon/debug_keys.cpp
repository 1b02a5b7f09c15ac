#include "debug_keys.h"

#include <sys/stat.h>

#include <doctest/doctest.h>
#include <fstream>
#include <iterator>
#include <string>

#include "culvert/base/log.h"
#include "temp_dir.h"

using namespace culvert;
using daemon::DebugKeys;

namespace {

Secret secret(std::initializer_list<std::uint8_t> bytes) {
  return Secret::copy_of(Bytes(bytes));
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

// The form is that of tshark 4.0 (packet-isakmp.c, packet-ipsec.c), tried in the lab: shared/lab and tests/lab open
// captures with it.
TEST_CASE("an IKE SA with AES-GCM becomes a row of ikev2_decryption_table without integrity keys") {
  ike::DebugIkeKeys keys;
  keys.spi_i = IkeSpi(0x0102030405060708);
  keys.spi_r = IkeSpi(0x0a);
  keys.sk_ei = secret({0xde, 0xad});
  keys.sk_er = secret({0xbe, 0xef});
  keys.cipher = crypto::CipherSuite::aes_gcm_16_256;
  CHECK(daemon::tshark_ike_line(keys).value() ==
        "uat:ikev2_decryption_table:0102030405060708,000000000000000a,dead,beef,\"AES-GCM-256 with 16 octet ICV "
        "[RFC5282]\",,,"
        "\"NONE [RFC4306]\"");
}

TEST_CASE("an ESP SA becomes a row of esp_sa, with the salt behind the key and the integrity key where there is one") {
  DirectionKeys gcm{secret({1, 2, 3}), {}};
  CHECK(daemon::tshark_esp_line(IpFamily::v4, Spi(0xc0ffee), crypto::CipherSuite::aes_gcm_16_128, gcm).value() ==
        "uat:esp_sa:\"IPv4\",\"*\",\"*\",\"0x00c0ffee\",\"AES-GCM with 16 octet ICV "
        "[RFC4106]\",\"0x010203\",\"NULL\",\"\"");
  DirectionKeys cbc{secret({1, 2}), secret({9})};
  CHECK(daemon::tshark_esp_line(IpFamily::v6, Spi(1), crypto::CipherSuite::aes_cbc_128_sha2_256_128, cbc).value() ==
        "uat:esp_sa:\"IPv6\",\"*\",\"*\",\"0x00000001\",\"AES-CBC [RFC3602]\",\"0x0102\",\"HMAC-SHA-256-128 "
        "[RFC4868]\",\"0x09\"");
  CHECK_FALSE(daemon::tshark_esp_line(IpFamily::v4, Spi(1), crypto::CipherSuite::chacha20_poly1305, gcm).has_value());
}

TEST_CASE("the file is made for its owner alone, said loudly, and appended to") {
  const test::TempDir dir;
  std::string said;
  log::set_sink([&](log::Level level, std::string_view line) {
    if (level == log::Level::warn) said += line;
  });
  const auto path = dir.path() / "keys";
  for (int i = 0; i < 2; ++i) {
    auto keys = DebugKeys::open(path);
    REQUIRE(keys.has_value());
    ChildSaKeys child;
    child.suite = crypto::CipherSuite::aes_gcm_16_128;
    keys->add(child);
  }
  log::set_sink({});
  CHECK(said.find("DEBUG KEYS") != std::string::npos);
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const auto text = content(path);
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);
}

TEST_CASE("a file that others can read, a link, or a folder is refused") {
  const test::TempDir dir;
  const auto open_file = dir.path() / "open";
  std::ofstream(open_file) << "x";
  REQUIRE(chmod(open_file.c_str(), 0644) == 0);
  CHECK_FALSE(DebugKeys::open(open_file).has_value());
  std::filesystem::create_symlink(dir.path() / "elsewhere", dir.path() / "link");
  CHECK_FALSE(DebugKeys::open(dir.path() / "link").has_value());
  CHECK_FALSE(std::filesystem::exists(dir.path() / "elsewhere"));
  CHECK_FALSE(DebugKeys::open(dir.path()).has_value());
}
