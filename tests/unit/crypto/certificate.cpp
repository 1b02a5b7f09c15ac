#include "culvert/crypto/certificate.h"

#include <doctest/doctest.h>

#include "test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

using Type = AlternativeName::Type;

Certificate with_names(std::vector<AlternativeName> names) {
  return make_leaf(make_ca("CN=Root"), "C=DE,O=Example,CN=gw", std::move(names)).certificate;
}

}  // namespace

TEST_CASE("a certificate asserts the host names, addresses and e-mail of its subjectAltName, and no others") {
  const Certificate certificate = with_names({{Type::dns, "gw.Example.net"},
                                              {Type::ip, "192.0.2.1"},
                                              {Type::ip, "2001:db8::1"},
                                              {Type::email, "Noc@Example.net"}});
  CHECK(certificate.asserts_fqdn("gw.example.net"));
  CHECK(certificate.asserts_fqdn("GW.EXAMPLE.NET"));
  CHECK(!certificate.asserts_fqdn("example.net"));
  CHECK(!certificate.asserts_fqdn("gw.example.net."));
  CHECK(!certificate.asserts_fqdn("gw"));  // its CN
  CHECK(!certificate.asserts_fqdn(""));
  CHECK(!certificate.asserts_fqdn("192.0.2.1"));
  CHECK(certificate.asserts_ip(*IpAddress::parse("192.0.2.1")));
  CHECK(certificate.asserts_ip(*IpAddress::parse("2001:db8:0::1")));
  CHECK(!certificate.asserts_ip(*IpAddress::parse("192.0.2.2")));
  CHECK(!certificate.asserts_ip(*IpAddress::parse("::ffff:192.0.2.1")));
  CHECK(certificate.asserts_email("Noc@example.NET"));
  CHECK(!certificate.asserts_email("noc@example.net"));  // the local part has its case, RFC 5321 §2.4
  CHECK(!certificate.asserts_email("example.net"));
  CHECK(!certificate.asserts_email("@example.net"));
}

TEST_CASE("a wildcard in a certificate matches nothing, not even itself") {
  const Certificate certificate = Certificate::from_file_content(published("x509/wildcard_san.pem")).value().front();
  bool has_wildcard = false;
  for (const AlternativeName& name : certificate.alternative_names()) {
    if (name.text.find('*') == std::string::npos) continue;
    has_wildcard = true;
    CHECK(!certificate.asserts_fqdn(name.text));
    CHECK(!certificate.asserts_fqdn("a" + name.text.substr(1)));
  }
  CHECK(has_wildcard);
}

TEST_CASE("a certificate asserts its subject, and an operator's pattern may leave values open") {
  const Certificate certificate = with_names({});
  CHECK(certificate.asserts_dn(dn("C=DE,O=Example,CN=gw")));
  CHECK(certificate.asserts_dn(dn("C=DE,O=EXAMPLE,CN= gw")));
  CHECK(!certificate.asserts_dn(dn("C=DE,O=Example,CN=other")));
  CHECK(!certificate.asserts_dn(dn("CN=gw,O=Example,C=DE")));
  CHECK(!certificate.asserts_dn(dn("O=Example,CN=gw")));
  CHECK(!certificate.asserts_dn(dn("C=DE,O=Example,CN=*")));
  CHECK(!certificate.asserts_dn({}));
  CHECK(certificate.matches_dn(dn("C=DE,O=Example,CN=*")));
  CHECK(certificate.matches_dn(dn("C=*,O=*,CN=*")));
  CHECK(certificate.matches_dn(dn("C=DE,O=example,CN=gw")));
  CHECK(!certificate.matches_dn(dn("C=DE,O=Other,CN=*")));
  CHECK(!certificate.matches_dn(dn("O=Example,CN=*")));
  CHECK(!certificate.matches_dn(dn("C=DE,O=Example,CN=*,CN=*")));
  CHECK(!certificate.matches_dn(dn("C=DE,O=Example+CN=*")));
  CHECK(!certificate.matches_dn(dn("C=DE,O=Example,OU=*")));
  CHECK(!certificate.matches_dn(dn("C=DE,O=Example,CN=g*")));
  CHECK(!certificate.matches_dn({}));
  CHECK(!certificate.matches_dn(hex("3000")));
}

TEST_CASE("a key id is the subjectKeyIdentifier or a hash of the key") {
  const Certificate certificate = with_names({});
  CHECK(certificate.subject_key_id() == certificate.public_key()->key_bits_sha1());
  CHECK(certificate.asserts_key_id(certificate.subject_key_id()));
  CHECK(certificate.asserts_key_id(certificate.spki_sha1()));
  CHECK(!certificate.asserts_key_id({}));
  CHECK(!certificate.asserts_key_id(hex("00")));
  CHECK(!certificate.asserts_key_id(ByteView(certificate.spki_sha1()).first(19)));
}

TEST_CASE("a file may hold one certificate in DER or several in PEM among other things") {
  const Authority root = make_ca("CN=Root");
  const Holder leaf = make_leaf(root, "CN=gw");
  const Secret key = leaf.key.to_pem({}).value();
  const std::string bundle = "Some words\n" + leaf.certificate.pem() + std::string(as_text(key.view())) + "\r\n" +
                             root.certificate.pem() + "more words";
  const auto several = Certificate::from_file_content(as_bytes(bundle));
  REQUIRE(several);
  CHECK(*several == std::vector{leaf.certificate, root.certificate});
  CHECK(Certificate::from_file_content(leaf.certificate.der()).value() == std::vector{leaf.certificate});
  CHECK(Certificate::from_file_content(key.view()).error().detail == "no PEM certificate in it");
  std::string broken = bundle;
  broken.replace(broken.rfind("-----BEGIN") + 40, 4, "AAAA");
  const auto failed = Certificate::from_file_content(as_bytes(broken));
  REQUIRE(!failed);
  CHECK(failed.error().detail.starts_with("certificate 2: "));
  CHECK(!Certificate::from_file_content({}));
  CHECK(!Certificate::from_file_content(as_bytes("-----BEGIN CERTIFICATE-----\n")));
}

TEST_CASE("every truncation of a certificate, bytes behind it and one too large are refused") {
  const Bytes der = with_names({{Type::dns, "gw.example.net"}}).der();
  for (std::size_t len = 0; len < der.size(); ++len) CHECK(!Certificate::from_der(ByteView(der).first(len)));
  Bytes longer = der;
  longer.push_back(0);
  CHECK(Certificate::from_der(longer).error().code == Errc::malformed);
  CHECK(Certificate::from_der(Bytes(max_certificate_len + 1, 0x30)).error().code == Errc::exhausted);
}

TEST_CASE("addresses of CRLs and responders are those of http alone") {
  const Authority root = make_ca("CN=Root");
  const Certificate certificate =
      make_with(root, {{NID_crl_distribution_points, "URI:http://crl.example.net/ca.crl,URI:ldap://example.net/ca"},
                       {NID_info_access, "OCSP;URI:http://ocsp.example.net/,OCSP;URI:file:///etc/passwd"}})
          .certificate;
  CHECK(certificate.crl_urls() == std::vector<std::string>{"http://crl.example.net/ca.crl"});
  CHECK(certificate.ocsp_urls() == std::vector<std::string>{"http://ocsp.example.net/"});
  CHECK(root.certificate.crl_urls().empty());
}

TEST_CASE("a certificate's name for the log is short and harmless") {
  const Authority root = make_ca("CN=Root");
  CHECK(make_leaf(root, "O=Example,CN=gw").certificate.name() == "O=Example,CN=gw");
  CHECK(make_leaf(root, "CN=a\\0a\\1b[31m").certificate.name() == "CN=a\\0A\\1B[31m");
  const LeafRequest nameless{{0x30, 0x00}, valid_now(), {{Type::dns, "gw.example.net"}}, false, false};
  const auto leaf = issue_leaf(root.key, root.certificate, new_key().public_key(), nameless);
  CHECK(leaf.value().name() == "gw.example.net");
  CHECK(wall_time_text(test_now) == "2026-06-01 00:00:00 UTC");
}
