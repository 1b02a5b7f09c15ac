// Which keys hold secrets is asked of the key tables themselves: their meaning says "mode 0600".
#include "culvert/config/redact.h"

#include <doctest/doctest.h>
#include <sodium.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "keys.h"

using namespace culvert;
using namespace culvert::config;

namespace {

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-redact-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    REQUIRE(::chmod((path / name).c_str(), 0600) == 0);
  }
  std::filesystem::path path;
};

template <class T>
void check_rows(std::span<const KeySpec<T>> rows) {
  for (const auto& row : rows) {
    const bool secret = row.meaning.contains("0600") || row.name.ends_with("psk_file") ||
                        row.name.ends_with("secret_file") || row.name.ends_with("passphrase_file") ||
                        row.name.ends_with("password_file");
    if (secret) CHECK_MESSAGE(names_secret_file(row.name), std::string(row.name));
  }
}

std::string hex_of(const std::string& text) {
  std::string hex(text.size() * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size());
  hex.pop_back();
  return hex;
}

}  // namespace

TEST_CASE("every key whose file has secrets in it is known as such") {
  check_rows(gateway_keys());
  check_rows(peer_keys());
  check_rows(auth_keys());
  check_rows(peer_auth_keys());
  check_rows(tunnel_keys());
  check_rows(radius_keys());
  check_rows(pool_keys());
  check_rows(client_keys());
  CHECK(names_secret_file("auth.psk_file"));
  CHECK_FALSE(names_secret_file("auth.certificate"));
  CHECK_FALSE(names_secret_file("public_key"));
}

TEST_CASE("a configuration is shown without PINs and passwords in URIs") {
  const std::vector<SettingsTable> settings = {
      {"gateway", "", {{"id", "\"paris\""}, {"auth.key", "\"pkcs11:object=gw;type=private?pin-value=98765&x=1\""}}},
      {"peer", "tokyo", {{"crl", "[\"http://user:hunter22@crl.example/ca.crl\", \"http://b.example/a@b\"]"}}}};
  CHECK(redacted(settings) ==
        "[gateway]\nid = \"paris\"\nauth.key = \"pkcs11:object=gw;type=private?pin-value=[secret]&x=1\"\n\n"
        "[peer.tokyo]\ncrl = [\"http://[secret]@crl.example/ca.crl\", \"http://b.example/a@b\"]\n\n");
}

TEST_CASE("nothing that stands in a secret file is left in a text, neither as it is nor in hexadecimal or base64") {
  const Folder folder;
  const std::string markers[] = {"MARKER-psk-0123456789",
                                 "MARKER-passphrase-1",
                                 "MARKER-password-22",
                                 "MARKER-radius-333",
                                 "TUFSS0VSa2V5bGluZTE0NDQ0",
                                 "MARKER-user-55555",
                                 "00112233445566778899aabbccddeeff"};
  folder.put("psk", markers[0] + "\n");
  folder.put("passphrase", markers[1]);
  folder.put("password", markers[2] + "\n");
  folder.put("radius", markers[3] + "\n");
  folder.put("key.pem", "-----BEGIN PRIVATE KEY-----\n" + markers[4] + "\n-----END PRIVATE KEY-----\n");
  folder.put("users.toml", "[carol]\npassword = \"" + markers[5] + "\"\n[dave]\nnt_hash = \"" + markers[6] + "\"\n");
  const std::vector<SettingsTable> settings = {
      {"gateway",
       "",
       {{"users", "\"users.toml\""}, {"auth.key", "\"key.pem\""}, {"auth.passphrase_file", "\"passphrase\""}}},
      {"peer", "tokyo", {{"auth.psk_file", "\"psk\""}, {"auth.password_file", "\"password\""}}},
      {"radius", "office", {{"secret_file", "\"radius\""}}},
      {"pool", "all", {{"users", "[\"*@example.net\"]"}}},
      {"peer", "lost", {{"auth.psk_file", "\"not there\""}}}};
  const auto secrets = secrets_of(settings, folder.path);
  std::string text = "carol and dave stay";
  for (const std::string& marker : markers) {
    std::string base64(sodium_base64_encoded_len(marker.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(base64.data(), base64.size(), reinterpret_cast<const unsigned char*>(marker.data()),
                      marker.size(), sodium_base64_VARIANT_ORIGINAL);
    base64.pop_back();
    const std::string before = text + " " + marker + " " + hex_of(marker) + " " + base64 + "=";
    const std::string clean = without(before, secrets);
    CHECK_MESSAGE(!clean.contains(marker), marker);
    CHECK_MESSAGE(!clean.contains(hex_of(marker)), marker);
    CHECK_MESSAGE(!clean.contains(base64.substr(0, 16)), marker);
    CHECK(clean.starts_with(text));
  }
}
