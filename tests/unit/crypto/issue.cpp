#include "culvert/crypto/issue.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <set>

#include "test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

/// What `openssl x509 -text` prints of a certificate: another reader of what we issue (the same library, its own
/// printer).
std::string openssl_text(const Certificate& certificate) {
  char path[] = "/tmp/culvert_issue_XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  std::FILE* file = ::fdopen(fd, "w");
  std::fputs(certificate.pem().c_str(), file);
  std::fclose(file);
  std::FILE* pipe = ::popen(("openssl x509 -noout -text -in " + std::string(path)).c_str(), "r");
  REQUIRE(pipe);
  std::string text;
  std::array<char, 4096> buffer{};
  while (const std::size_t len = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), len);
  CHECK(::pclose(pipe) == 0);
  std::remove(path);
  return text;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a CA says that it is one, with path length and name constraints, as openssl reads it") {
  CaRequest request;
  request.path_length = 1;
  request.permitted.dns = {"example.net"};
  request.permitted.email = {"example.net"};
  request.permitted.ip = {*IpPrefix::parse("192.0.2.0/24"), *IpPrefix::parse("2001:db8::/33")};
  request.excluded.dns = {"bad.example.net"};
  const Authority ca = make_ca("O=Example,CN=Root", request);
  const std::string text = openssl_text(ca.certificate);
  CHECK(has(text, "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:1"));
  CHECK(has(text, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign"));
  CHECK(has(text, "X509v3 Name Constraints: critical"));
  CHECK(has(text, "DNS:example.net"));
  CHECK(has(text, "email:example.net"));
  CHECK(has(text, "IP:192.0.2.0/255.255.255.0"));
  CHECK(has(text, "IP:2001:DB8:0:0:0:0:0:0/FFFF:FFFF:8000:0:0:0:0:0"));
  CHECK(has(text, "Excluded:\n                  DNS:bad.example.net"));
  CHECK(has(text, "Signature Algorithm: ecdsa-with-SHA256"));
  CHECK(ca.certificate.is_ca());
  CHECK(ca.certificate.is_self_issued());
}

TEST_CASE("a gateway's certificate has its names and usages, as openssl reads it") {
  const Authority ca = make_ca("O=Example,CN=Root");
  using Type = AlternativeName::Type;
  const Holder leaf = make_leaf(ca, "CN=gw",
                                {{Type::dns, "gw.example.net"},
                                 {Type::ip, "192.0.2.1"},
                                 {Type::ip, "2001:db8::1"},
                                 {Type::email, "noc@example.net"}});
  const std::string text = openssl_text(leaf.certificate);
  CHECK(has(text, "DNS:gw.example.net, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, email:noc@example.net"));
  CHECK(has(text, "ipsec Internet Key Exchange, TLS Web Server Authentication"));
  CHECK(has(text, "X509v3 Key Usage: critical\n                Digital Signature"));
  CHECK(has(text, "CA:FALSE"));
  CHECK(has(text, "X509v3 Authority Key Identifier"));
  CHECK(!leaf.certificate.is_ca());
  CHECK(leaf.certificate.not_after() == test_now + 30 * day);
}

TEST_CASE("serial numbers are random, positive and of 16 bytes") {
  const Authority ca = make_ca("CN=Root");
  std::set<Bytes> serials;
  for (int i = 0; i < 50; ++i) {
    const Bytes serial = make_leaf(ca, "CN=gw").certificate.serial();
    CHECK(serial.size() == 16);
    CHECK((serial[0] & 0xc0) == 0x40);
    serials.insert(serial);
  }
  CHECK(serials.size() == 50);
}

TEST_CASE("keys of every kind issue and hold certificates that verify") {
  for (const KeyType type :
       {KeyType::rsa, KeyType::ecdsa_p256, KeyType::ecdsa_p384, KeyType::ecdsa_p521, KeyType::ed25519}) {
    const Authority ca = make_ca("CN=Root", {}, type);
    const Holder leaf = make_leaf(ca, "CN=gw", {}, valid_now(), type);
    CHECK(verdict(TrustStore::create({ca.certificate}).value(), {leaf.certificate}) == "ok");
    const Crl crl = issue_crl(ca.key, ca.certificate, {}, 1, test_now - day, test_now + day).value();
    CHECK(crl.is_signed_by(ca.certificate));
  }
}

TEST_CASE("what cannot be is not issued") {
  const Authority ca = make_ca("CN=Root");
  const Authority other = make_ca("CN=Other");
  const PublicKey key = new_key().public_key();
  const auto issued = [&](LeafRequest request) {
    if (request.subject.empty()) request.subject = dn("CN=gw");
    if (request.validity.not_after == WallTime{}) request.validity = valid_now();
    const auto leaf = issue_leaf(ca.key, ca.certificate, key, request);
    return leaf ? "ok" : leaf.error().detail;
  };
  using Type = AlternativeName::Type;
  CHECK(issued({}) == "ok");
  CHECK(issued({{0x30, 0x00}, {}, {{Type::dns, "gw.example.net"}}}) == "ok");
  CHECK(has(issued({{0x30, 0x00}, {}, {}}), "neither a subject"));
  CHECK(has(issued({hex("3003"), {}, {}}), "no distinguished name"));
  CHECK(has(issued({{}, {test_now, test_now}, {}}), "ends before"));
  CHECK(has(issued({{}, {test_now, test_now + 4000 * day}, {}}), "longer than its CA"));
  CHECK(has(issued({{}, {}, {{Type::ip, "192.0.2.256"}}}), "not an IP address"));
  CHECK(has(issued({{}, {}, {{Type::email, "example.net"}}}), "'@'"));
  CHECK(has(issued({{}, {}, {{Type::dns, "*.example.net"}}}), "not a domain name"));
  CHECK(has(issued({{}, {}, {{Type::dns, ""}}}), "empty"));
  CHECK(has(issued({{}, {}, {{Type::dns, "a b"}}}), "blanks"));
  CHECK(has(issued({{}, {}, {{Type::dns, std::string("a\0b", 3)}}}), "blanks"));
  CHECK(has(issued({{}, {}, std::vector<AlternativeName>(65, {Type::dns, "a.example"})}), "64"));
  const LeafRequest request{dn("CN=gw"), valid_now(), {}, false, false};
  CHECK(has(issue_leaf(other.key, ca.certificate, key, request).error().detail, "another's"));
  const Holder leaf = make_leaf(ca, "CN=gw");
  CHECK(has(issue_leaf(leaf.key, leaf.certificate, key, request).error().detail, "not a CA"));
  CaRequest nameless;
  nameless.subject = {0x30, 0x00};
  nameless.validity = valid_now();
  CHECK(has(issue_self_signed_ca(ca.key, nameless).error().detail, "needs a subject"));
}

TEST_CASE("a CRL grows by what is revoked, and its number with it") {
  const Authority ca = make_ca("CN=Root");
  const Holder first = make_leaf(ca, "CN=first");
  const Holder second = make_leaf(ca, "CN=second");
  const Crl one =
      issue_crl(ca.key, ca.certificate, {{first.certificate.serial(), test_now}}, 1, test_now, test_now + day).value();
  auto revoked = revoked_certificates(one);
  REQUIRE(revoked.size() == 1);
  CHECK(revoked[0].serial == first.certificate.serial());
  CHECK(revoked[0].revoked_at == test_now);
  revoked.push_back({second.certificate.serial(), test_now});
  const Crl two = issue_crl(ca.key, ca.certificate, revoked, 256, test_now, test_now + day).value();
  CHECK(two.num_revoked() == 2);
  CHECK(to_hex(two.number().value()) == "0100");
  CHECK(two.this_update() == test_now);
  CHECK(two.next_update() == test_now + day);
  CHECK(two.issuer_text() == "CN=Root");
  CHECK(Crl::from_file_content(as_bytes(two.pem()))->num_revoked() == 2);
  CHECK(!issue_crl(ca.key, ca.certificate, {}, 1, test_now, test_now));
  CHECK(!issue_crl(first.key, first.certificate, {}, 1, test_now, test_now + day));
}
