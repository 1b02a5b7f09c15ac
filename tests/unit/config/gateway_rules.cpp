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

TEST_CASE("metrics are served nowhere, on loopback, or where it is said who may ask") {
  const Folder folder;
  const auto gateway = [&](const std::string& lines) {
    return sound(folder, replaced(sound_gre, "# gateway", lines)).gateway;
  };
  CHECK_FALSE(gateway("").metrics.has_value());
  const auto on = [&](const std::string& text) { return gateway("metrics = \"" + text + "\"").metrics.value(); };
  CHECK(on("127.0.0.1").endpoint.to_string() == "127.0.0.1:9475");
  CHECK(on("127.0.0.1:80").endpoint.to_string() == "127.0.0.1:80");
  CHECK(on("::1").endpoint.to_string() == "[::1]:9475");
  CHECK(on("[::1]:9999").endpoint.to_string() == "[::1]:9999");
  CHECK(on("unix:/run/culvert/metrics.sock").path == "/run/culvert/metrics.sock");
  CHECK(on("unix:metrics.sock").path == folder.file("metrics.sock"));
  const GatewayConfig open = gateway("metrics = \"10.0.0.1\"\nmetrics_from = [\"10.0.0.0/24\"]");
  CHECK(open.metrics->endpoint.to_string() == "10.0.0.1:9475");
  REQUIRE(open.metrics_from.size() == 1);
  CHECK(open.metrics_from[0].to_string() == "10.0.0.0/24");
}

TEST_CASE("metrics that everybody could read, or that nobody could, are mistakes") {
  const Folder folder;
  const auto mistake = [&](const std::string& lines) {
    const auto config = parse(replaced(sound_gre, "# gateway", lines), folder.file("gw.toml"));
    REQUIRE_FALSE(config.has_value());
    CAPTURE(all_of(config.error()));
    REQUIRE(config.error().size() == 1);
    return config.error()[0].to_string();
  };
  CHECK(mistake("metrics = \"10.0.0.1\"").find("metrics_from") != std::string::npos);
  CHECK(mistake("metrics = \"0.0.0.0\"").find("metrics_from") != std::string::npos);
  CHECK(mistake("metrics_from = [\"10.0.0.0/24\"]").find("`metrics` is missing") != std::string::npos);
  for (const char* wrong :
       {"", "unix:", "localhost", "127.0.0.1:0", "127.0.0.1:99999", ":9475", "9475", "224.0.0.1", "http://127.0.0.1"}) {
    CAPTURE(wrong);
    CHECK(mistake("metrics = \"" + std::string(wrong) + "\"").find("gateway.metrics") != std::string::npos);
  }
  CHECK(mistake("metrics = \"unix:/" + std::string(120, 'x') + "\"").find("107 bytes") != std::string::npos);
  CHECK(mistake("metrics = \"unix:/run/culvert/control.sock\"").find("control socket") != std::string::npos);
  CHECK(mistake("metrics = \"unix:/x\"\nmetrics_from = [\"10.0.0.0/24\"]").find("metrics_from") != std::string::npos);
}
