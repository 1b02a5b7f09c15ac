// What depends on the machine that runs the check.
#include "culvert/crypto/aead.h"
#include "fixture.h"
#include "rules.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;

TEST_CASE("every implementation of AES-GCM that this CPU has can be asked for by name") {
  const Folder folder;
  for (const std::string_view name : crypto::aead_implementations()) {
    const std::string line = "aead = \"" + std::string(name) + "\"";
    CHECK(sound(folder, replaced(sound_gre, "# gateway", line)).gateway.aead == name);
  }
  CHECK(sound(folder, replaced(sound_gre, "# gateway", "aead = \"auto\"")).gateway.aead.empty());
}

TEST_CASE("an implementation of AES-GCM that this CPU does not have is refused, and what it has is named") {
  constexpr std::string_view old_cpu[] = {"aesni-avx2", "openssl"};
  const Field<std::string_view> wanted{"vaes512", true, {3, 8}};
  Findings findings("gw.toml");
  CHECK(check_aead(wanted, old_cpu, findings) == "vaes512");
  const auto errors = findings.take_errors();
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].to_string() ==
        "gw.toml:3:8: gateway.aead: this CPU cannot run 'vaes512'; it has aesni-avx2, openssl (\"auto\" takes the "
        "first)");

  Findings none("gw.toml");
  CHECK(check_aead({"openssl", true, {3, 8}}, old_cpu, none) == "openssl");
  CHECK(check_aead({"auto", true, {3, 8}}, old_cpu, none).empty());
  CHECK(check_aead({}, old_cpu, none).empty());
  CHECK_FALSE(none.has_errors());
}
