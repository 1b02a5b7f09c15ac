// What `culvert pki` makes is held to what crypto's TrustStore (tested against NIST PKITS) says of it.
#include "pki.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "culvert/config/config.h"
#include "culvert/crypto/revocation.h"
#include "culvert/crypto/trust.h"
#include "new_file.h"

using namespace culvert;
using namespace culvert::cli;
using crypto::Certificate;

namespace {

crypto::WallTime wall_time() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

/// A folder with a CA in it, gone at the end.
struct Pki {
  Pki() {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-pki-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    options.folder = name;
    options.now = wall_time();
  }
  ~Pki() {
    std::error_code ignored;
    std::filesystem::remove_all(options.folder, ignored);
  }
  void make(const std::vector<std::string>& permitted = {}) {
    REQUIRE(make_ca(options, "Example, \"Ltd\"", permitted).has_value());
  }
  [[nodiscard]] std::filesystem::path file(std::string_view name) const { return options.folder / name; }
  [[nodiscard]] std::string content(std::string_view name) const {
    std::ostringstream text;
    text << std::ifstream(file(name), std::ios::binary).rdbuf();
    return text.str();
  }
  [[nodiscard]] Certificate certificate(std::string_view name) const {
    const auto found = Certificate::from_file_content(as_bytes(content(name)));
    REQUIRE(found.has_value());
    return found->front();
  }
  [[nodiscard]] ::mode_t mode(std::string_view name) const {
    struct stat facts {};
    REQUIRE(::stat(file(name).c_str(), &facts) == 0);
    return facts.st_mode & 07777;
  }
  /// "" when the certificate holds, else why not.
  [[nodiscard]] std::string verdict(std::string_view name, crypto::RevocationPolicy policy = {}) const {
    const auto trust = crypto::TrustStore::create({certificate("ca.pem")});
    REQUIRE(trust.has_value());
    crypto::RevocationData data;
    if (const auto crl = crypto::Crl::from_file_content(as_bytes(content("ca.crl")))) data.crls.push_back(*crl);
    crypto::VerifyOptions verify;
    verify.now = options.now;
    verify.revocation = policy;
    const auto result = trust->verify(std::vector{certificate(name)}, verify, &data);
    return result ? "" : std::string(crypto::trust_error_name(result.error().reason));
  }

  PkiOptions options;
};

std::string why_not(const Result<std::string>& result) {
  return result ? "DONE " + *result : result.error().detail;
}

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("a CA is two files, its key for nobody else, and lasts ten years") {
  Pki pki;
  const ::mode_t before = ::umask(0);
  const auto text = make_ca(pki.options, "Example, \"Ltd\"", {});
  ::umask(before);
  REQUIRE(text.has_value());
  CHECK(pki.mode("ca.key") == 0600);
  CHECK(pki.mode("ca.pem") == 0644);
  const Certificate ca = pki.certificate("ca.pem");
  CHECK(ca.is_ca());
  CHECK(ca.subject_text() == "CN=Example\\, \\\"Ltd\\\"");  // RFC 4514 §2.4
  CHECK(ca.not_after() == pki.options.now + std::chrono::days(3650));
  CHECK(ca.public_key()->type() == crypto::KeyType::ecdsa_p256);
  CHECK(holds(*text, "culvert pki gateway"));
}

TEST_CASE("a gateway's certificate holds, names what was given, and lasts a year") {
  Pki pki;
  pki.make();
  const auto text = make_gateway(pki.options, {"paris.example.net", "192.0.2.1", "2001:db8::1"});
  REQUIRE_MESSAGE(text.has_value(), why_not(text));
  CHECK(pki.verdict("paris.example.net.pem").empty());
  const Certificate leaf = pki.certificate("paris.example.net.pem");
  CHECK(leaf.asserts_fqdn("paris.example.net"));
  CHECK(leaf.asserts_ip(*IpAddress::parse("192.0.2.1")));
  CHECK(leaf.asserts_ip(*IpAddress::parse("2001:db8::1")));
  CHECK_FALSE(leaf.is_ca());
  CHECK(leaf.not_after() == pki.options.now + std::chrono::days(365));
  CHECK(pki.mode("paris.example.net.key") == 0600);
  CHECK(pki.mode("paris.example.net.pem") == 0644);
}

TEST_CASE("what a gateway is told to write into the TOML is a sound configuration") {
  Pki pki;
  pki.make();
  const auto text = make_gateway(pki.options, {"paris.example.net"});
  REQUIRE(text.has_value());
  const auto start = text->find("[gateway]"), end = text->find("At the other end"), other = text->find("[peer.NAME]");
  REQUIRE(other != std::string::npos);
  const std::string toml = text->substr(start, end - start) +
                           "[peer.tokyo]\naddress = \"any\"\nid = \"tokyo.example.net\"\n"
                           "[tunnel.t]\npeer = \"tokyo\"\ncarry = \"gre\"\ndevice = \"t\"\n";
  const auto config = config::parse(toml, pki.file("culvert.toml"));
  REQUIRE_MESSAGE(config.has_value(), config.error().front().to_string());
  CHECK(config->gateway.id.to_string() == "paris.example.net");
}

TEST_CASE("every kind of key makes a certificate that holds") {
  Pki pki;
  pki.make();
  for (const char* kind : {"p256", "p384", "p521", "ed25519", "rsa2048"}) {
    CAPTURE(kind);
    pki.options.key_type = kind;
    REQUIRE(make_gateway(pki.options, {std::string(kind) + ".example.net"}).has_value());
    CHECK(pki.verdict(std::string(kind) + ".example.net.pem").empty());
  }
  pki.options.key_type = "dsa";
  CHECK(holds(why_not(make_gateway(pki.options, {"dsa.example.net"})), "the kinds of keys are p256"));
  CHECK_FALSE(std::filesystem::exists(pki.file("dsa.example.net.key")));
}

TEST_CASE("a user's certificate names an e-mail address") {
  Pki pki;
  pki.make();
  REQUIRE(make_user(pki.options, "ada@example.net").has_value());
  CHECK(pki.verdict("ada@example.net.pem").empty());
  CHECK(pki.certificate("ada@example.net.pem").asserts_email("ada@example.net"));
  CHECK(holds(why_not(make_user(pki.options, "ada")), "expected an e-mail address"));
  CHECK(holds(why_not(make_gateway(pki.options, {"ada@example.net"})), "culvert pki user"));
}

TEST_CASE("nothing is overwritten without --force") {
  Pki pki;
  pki.make();
  REQUIRE(make_gateway(pki.options, {"paris.example.net"}).has_value());
  const std::string ca = pki.content("ca.key"), key = pki.content("paris.example.net.key");
  CHECK(holds(why_not(make_ca(pki.options, "Other", {})), "--force"));
  CHECK(holds(why_not(make_gateway(pki.options, {"paris.example.net"})), "--force"));
  std::filesystem::remove(pki.file("paris.example.net.pem"));
  CHECK(holds(why_not(make_gateway(pki.options, {"paris.example.net"})), "--force"));  // the key is still there
  CHECK(pki.content("ca.key") == ca);
  CHECK(pki.content("paris.example.net.key") == key);
  pki.options.force = true;
  REQUIRE(make_gateway(pki.options, {"paris.example.net"}).has_value());
  CHECK(pki.content("paris.example.net.key") != key);
  CHECK(pki.mode("paris.example.net.key") == 0600);
  CHECK(pki.verdict("paris.example.net.pem").empty());
}

TEST_CASE("a name that would be another file, or many machines, is refused") {
  Pki pki;
  pki.make();
  for (const char* name : {"../evil", "a/b", "*.example.net", "", ".hidden", "not a name", "CN=x", "keyid:1"}) {
    CAPTURE(name);
    CHECK_FALSE(make_gateway(pki.options, {name}).has_value());
  }
  CHECK_FALSE(make_user(pki.options, "../x@y").has_value());
  CHECK_FALSE(make_gateway(pki.options, {"good.example.net", "*.example.net"}).has_value());
}

TEST_CASE("a CA that may speak for one domain only makes others useless") {
  Pki pki;
  pki.make({"example.net", "192.0.2.0/24"});
  REQUIRE(make_gateway(pki.options, {"gw.example.net", "192.0.2.7"}).has_value());
  CHECK(pki.verdict("gw.example.net.pem").empty());
  REQUIRE(make_user(pki.options, "ada@mail.example.net").has_value());
  CHECK(pki.verdict("ada@mail.example.net.pem").empty());
  REQUIRE(make_gateway(pki.options, {"gw.example.org"}).has_value());
  CHECK(pki.verdict("gw.example.org.pem") == "name-constraints");
  REQUIRE(make_gateway(pki.options, {"gw2.example.net", "198.51.100.1"}).has_value());
  CHECK(pki.verdict("gw2.example.net.pem") == "name-constraints");
}

TEST_CASE("a revoked certificate is refused, by name or by file, and only that") {
  Pki pki;
  pki.make();
  for (const char* name : {"a.example.net", "b.example.net"}) REQUIRE(make_gateway(pki.options, {name}).has_value());
  REQUIRE(make_user(pki.options, "ada@example.net").has_value());
  REQUIRE(renew_crl(pki.options).has_value());
  const auto strict = crypto::RevocationPolicy::strict;
  CHECK(pki.verdict("a.example.net.pem", strict).empty());
  REQUIRE(revoke(pki.options, "a.example.net").has_value());
  CHECK(pki.verdict("a.example.net.pem", strict) == "revoked");
  CHECK(pki.verdict("b.example.net.pem", strict).empty());
  REQUIRE(revoke(pki.options, pki.file("ada@example.net.pem").string()).has_value());
  CHECK(pki.verdict("ada@example.net.pem", strict) == "revoked");
  CHECK(pki.verdict("a.example.net.pem", strict) == "revoked");  // still
  REQUIRE(renew_crl(pki.options).has_value());
  CHECK(pki.verdict("a.example.net.pem", strict) == "revoked");
  const auto crl = crypto::Crl::from_file_content(as_bytes(pki.content("ca.crl")));
  REQUIRE(crl.has_value());
  CHECK(crl->num_revoked() == 2);
  CHECK(crl->number() == Bytes{4});  // RFC 5280 §5.2.3: one more with each list
  CHECK(crl->next_update() == pki.options.now + std::chrono::days(30));
  CHECK(holds(*revoke(pki.options, "a.example.net"), "was revoked before"));
}

TEST_CASE("all certificates with a name are revoked, also those whose file was overwritten") {
  Pki pki;
  pki.make();
  REQUIRE(make_gateway(pki.options, {"a.example.net"}).has_value());
  std::filesystem::copy_file(pki.file("a.example.net.pem"), pki.file("old.pem"));
  pki.options.force = true;
  REQUIRE(make_gateway(pki.options, {"a.example.net"}).has_value());
  REQUIRE(revoke(pki.options, "A.example.NET").has_value());
  CHECK(pki.verdict("old.pem", crypto::RevocationPolicy::strict) == "revoked");
  CHECK(pki.verdict("a.example.net.pem", crypto::RevocationPolicy::strict) == "revoked");
}

TEST_CASE("what this CA never made cannot be revoked by it") {
  Pki pki, other;
  pki.make();
  other.make();
  REQUIRE(make_gateway(other.options, {"a.example.net"}).has_value());
  CHECK(holds(why_not(revoke(pki.options, "a.example.net")), "neither a file with a certificate nor a name"));
  REQUIRE(make_ca(other.options, "x", {}).error().detail.size() > 0);
  Pki third;
  REQUIRE(make_ca(third.options, "Third", {}).has_value());
  CHECK(holds(why_not(revoke(third.options, other.file("a.example.net.pem").string())), "was not made by this CA"));
}

TEST_CASE("a CA's key may have a passphrase, which then is needed") {
  Pki pki;
  std::ofstream(pki.file("pass")) << "correct horse\n";
  std::ofstream(pki.file("wrong")) << "battery staple\n";
  for (const char* name : {"pass", "wrong"}) REQUIRE(::chmod(pki.file(name).c_str(), 0600) == 0);
  pki.options.passphrase_file = pki.file("pass");
  pki.make();
  CHECK(holds(pki.content("ca.key"), "BEGIN ENCRYPTED PRIVATE KEY"));
  REQUIRE(make_gateway(pki.options, {"a.example.net"}).has_value());
  CHECK(holds(pki.content("a.example.net.key"), "BEGIN PRIVATE KEY"));  // a gateway starts without anybody
  pki.options.passphrase_file = pki.file("wrong");
  CHECK(holds(why_not(make_gateway(pki.options, {"b.example.net"})), "ca.key"));
  pki.options.passphrase_file.clear();
  CHECK(holds(why_not(make_gateway(pki.options, {"b.example.net"})), "ca.key"));
  CHECK_FALSE(std::filesystem::exists(pki.file("b.example.net.key")));
}

TEST_CASE("without a CA the way to one is shown") {
  Pki pki;
  CHECK(holds(why_not(make_gateway(pki.options, {"a.example.net"})), "culvert pki ca"));
  CHECK(holds(why_not(renew_crl(pki.options)), "culvert pki ca"));
}

TEST_CASE("a certificate never outlives its CA") {
  Pki pki;
  pki.options.days = 10;
  pki.make();
  pki.options.days = 0;
  REQUIRE(make_gateway(pki.options, {"a.example.net"}).has_value());
  CHECK(pki.certificate("a.example.net.pem").not_after() == pki.options.now + std::chrono::days(10));
}

TEST_CASE("a new file is there whole or not at all, and a link is not followed") {
  Pki pki;
  CHECK_FALSE(write_new_file(pki.file("no/such/folder"), as_bytes("x"), public_mode).has_value());
  std::filesystem::create_symlink(pki.file("elsewhere"), pki.file("link"));
  CHECK_FALSE(write_new_file(pki.file("link"), as_bytes("x"), secret_mode).has_value());
  REQUIRE(write_new_file(pki.file("link"), as_bytes("x"), secret_mode, true).has_value());
  CHECK_FALSE(std::filesystem::exists(pki.file("elsewhere")));
  CHECK(pki.content("link") == "x");
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(pki.options.folder))
    names.insert(entry.path().filename().string());
  CHECK(names == std::set<std::string>{"link"});  // no draft is left behind
}
