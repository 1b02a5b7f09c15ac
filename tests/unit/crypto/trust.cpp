#include "culvert/crypto/trust.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

const AlternativeName gateway_name{AlternativeName::Type::dns, "gw.example.net"};

}  // namespace

TEST_CASE(
    "a leaf below a configured CA is accepted, with or without intermediates, in any order and with useless ones") {
  const Authority root = make_ca("O=Example,CN=Root");
  const Authority middle = make_intermediate(root, "O=Example,CN=Middle");
  const Authority low = make_intermediate(middle, "O=Example,CN=Low");
  const Authority stranger = make_ca("O=Example,CN=Stranger");
  const Holder leaf = make_leaf(low, "CN=gw", {gateway_name});
  const TrustStore store = TrustStore::create({stranger.certificate, root.certificate}).value();
  const std::vector<std::vector<Certificate>> sent{
      {leaf.certificate, low.certificate, middle.certificate},
      {leaf.certificate, middle.certificate, low.certificate, root.certificate},
      {leaf.certificate, leaf.certificate, middle.certificate, stranger.certificate, low.certificate, low.certificate},
  };
  for (const auto& certificates : sent) {
    const auto verified = store.verify(certificates, {.now = test_now}, nullptr);
    REQUIRE(verified);
    CHECK(verified->leaf() == leaf.certificate);
    CHECK(verified->chain() == std::vector{leaf.certificate, low.certificate, middle.certificate, root.certificate});
    CHECK(verified->public_key() == leaf.key.public_key());
    CHECK(verified->not_after() == leaf.certificate.not_after());
    CHECK(!verified->revocation_checked());
  }
  CHECK(verdict(store, {leaf.certificate, low.certificate}) == "untrusted-issuer");
  const TrustStore with_intermediates =
      TrustStore::create({root.certificate}, {middle.certificate, low.certificate}).value();
  CHECK(verdict(with_intermediates, {leaf.certificate}) == "ok");
  const TrustStore at_the_middle = TrustStore::create({middle.certificate}).value();
  CHECK(verdict(at_the_middle, {leaf.certificate, low.certificate}) == "ok");
}

TEST_CASE("what a wrong CA signed is refused, also when it has the right CA's name") {
  const Authority root = make_ca("O=Example,CN=Root");
  const Authority namesake = make_ca("O=Example,CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  const Holder leaf = make_leaf(namesake, "CN=gw", {gateway_name});
  const auto verified = store.verify(std::vector{leaf.certificate, namesake.certificate}, {.now = test_now}, nullptr);
  REQUIRE(!verified);
  CHECK(verified.error().reason == TrustError::untrusted_issuer);
  CHECK(verified.error().detail.find("CN=gw") != std::string::npos);
  CHECK(verdict(store, {}) == "no-certificate");
  CHECK(verdict(TrustStore::create({}).value(), {leaf.certificate}) == "untrusted-issuer");
}

TEST_CASE("the caller's time decides what is valid, to the second") {
  const Authority root = make_ca("CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  const Holder leaf = make_leaf(root, "CN=gw", {}, {test_now, test_now + day});
  const auto at = [&](WallTime now) {
    VerifyOptions options;
    options.now = now;
    return verdict(store, {leaf.certificate}, options);
  };
  CHECK(at(test_now - std::chrono::seconds(1)) == "not-yet-valid");
  CHECK(at(test_now) == "ok");
  CHECK(at(test_now + day - std::chrono::seconds(1)) == "ok");
  CHECK(at(test_now + day + std::chrono::seconds(1)) == "expired");
  CHECK(at(test_now + 400 * day) == "expired");
  VerifyOptions later;
  later.now = test_now + 2 * day;
  const auto verified = store.verify(std::vector{leaf.certificate}, later, nullptr);
  REQUIRE(!verified);
  CHECK(verified.error().detail == "CN=gw: expired 2026-06-02 00:00:00 UTC");
}

TEST_CASE("an expired CA, and one whose path length is used up, are named") {
  CaRequest short_path;
  short_path.path_length = 0;
  const Authority root = make_ca("CN=Root", short_path);
  const Authority middle = make_intermediate(root, "CN=Middle");
  const Holder leaf = make_leaf(middle, "CN=gw");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  CHECK(verdict(store, {leaf.certificate, middle.certificate}) == "path-length");
  CHECK(verdict(store, {make_leaf(root, "CN=gw").certificate}) == "ok");
  VerifyOptions later;
  later.now = test_now + 400 * day;
  CHECK(verdict(store, {make_leaf(root, "CN=gw", {}, valid_now(day, 365 * day)).certificate}, later) == "expired");
}

TEST_CASE("name constraints of the CA bind host names, addresses and e-mail of a leaf") {
  CaRequest request;
  request.permitted.dns = {"example.net"};
  request.permitted.email = {"example.net"};
  request.permitted.ip = {*IpPrefix::parse("192.0.2.0/24"), *IpPrefix::parse("2001:db8::/32")};
  request.excluded.dns = {"lab.example.net"};
  const Authority root = make_ca("CN=Root", request);
  const TrustStore store = TrustStore::create({root.certificate}).value();
  using Type = AlternativeName::Type;
  const auto judged = [&](Type type, const char* name) {
    return verdict(store, {make_leaf(root, "CN=gw", {{type, name}}).certificate});
  };
  CHECK(judged(Type::dns, "gw.example.net") == "ok");
  CHECK(judged(Type::dns, "example.net") == "ok");
  CHECK(judged(Type::dns, "gw.example.com") == "name-constraints");
  CHECK(judged(Type::dns, "notexample.net") == "name-constraints");
  CHECK(judged(Type::dns, "gw.lab.example.net") == "name-constraints");
  CHECK(judged(Type::ip, "192.0.2.77") == "ok");
  CHECK(judged(Type::ip, "192.0.3.77") == "name-constraints");
  CHECK(judged(Type::ip, "2001:db8:1::1") == "ok");
  CHECK(judged(Type::ip, "2001:db9::1") == "name-constraints");
  CHECK(judged(Type::email, "a@example.net") == "ok");
  CHECK(judged(Type::email, "a@example.com") == "name-constraints");
  // A CN is never taken as a host name, so it may look like one.
  CHECK(verdict(store, {make_leaf(root, "CN=gw.example.com").certificate}) == "ok");
}

TEST_CASE("extendedKeyUsage allows IKE when absent, any, ipsecIKE, or by default what TLS and Microsoft have") {
  const Authority root = make_ca("CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  const auto judged = [&](const char* usage, ExtendedKeyUsagePolicy policy) {
    std::vector<std::pair<int, const char*>> extensions;
    if (usage) extensions.emplace_back(NID_ext_key_usage, usage);
    VerifyOptions options;
    options.extended_key_usage = policy;
    return verdict(store, {make_with(root, extensions).certificate}, options);
  };
  using enum ExtendedKeyUsagePolicy;
  for (const ExtendedKeyUsagePolicy policy : {ike_or_tls, ike_only}) {
    CHECK(judged(nullptr, policy) == "ok");
    CHECK(judged("anyExtendedKeyUsage", policy) == "ok");
    CHECK(judged("1.3.6.1.5.5.7.3.17", policy) == "ok");
    CHECK(judged("critical,codeSigning,1.3.6.1.5.5.7.3.17", policy) == "ok");
    CHECK(judged("codeSigning", policy) == "extended-key-usage");
    CHECK(judged("critical,emailProtection,OCSPSigning", policy) == "extended-key-usage");
  }
  for (const char* customary : {"serverAuth", "clientAuth", "1.3.6.1.5.5.8.2.2", "critical,codeSigning,serverAuth"}) {
    CHECK(judged(customary, ike_or_tls) == "ok");
    CHECK(judged(customary, ike_only) == "extended-key-usage");
  }
}

TEST_CASE("keyUsage allows IKE when absent or with digitalSignature or nonRepudiation") {
  const Authority root = make_ca("CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  const auto judged = [&](const char* usage) {
    return verdict(store, {make_with(root, {{NID_key_usage, usage}}).certificate});
  };
  CHECK(verdict(store, {make_with(root, {}).certificate}) == "ok");
  CHECK(judged("critical,digitalSignature") == "ok");
  CHECK(judged("nonRepudiation") == "ok");
  CHECK(judged("keyEncipherment,keyAgreement") == "key-usage");
  CHECK(judged("critical,keyCertSign") == "key-usage");
}

TEST_CASE("weak keys, weak hashes and unknown critical extensions are refused as such") {
  const Authority root = make_ca("CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  CHECK(verdict(store, {make_with(root, {}, valid_now(), EVP_sha1()).certificate}) == "weak-hash");
  CHECK(verdict(store, {make_with(root, {{NID_netscape_comment, "critical,DER:0c0161"}}).certificate}) ==
        "unknown-critical-extension");
  const auto twice = make_with(root, {{NID_key_usage, "digitalSignature"}, {NID_key_usage, "digitalSignature"}});
  CHECK(verdict(store, {twice.certificate}) == "malformed");
  // 1024 bits; python-cryptography's.
  const Certificate weak = Certificate::from_file_content(published("x509/custom/ca/rsa_ca.pem")).value().front();
  CHECK(weak.public_key().has_value() == TrustStore::create({weak}).has_value());
  const auto old = Certificate::from_file_content(published("x509/verisign_md2_root.pem")).value().front();
  CHECK(TrustStore::create({old}).error().code == Errc::invalid);
}

TEST_CASE("anchors are CAs") {
  const Authority root = make_ca("CN=Root");
  const Holder leaf = make_leaf(root, "CN=gw");
  const auto store = TrustStore::create({root.certificate, leaf.certificate});
  REQUIRE(!store);
  CHECK(store.error().detail == "CN=gw: not a CA certificate");
}

TEST_CASE("a peer's certificates are bounded in number, and the chain in length") {
  const Authority root = make_ca("CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  const Holder leaf = make_leaf(root, "CN=gw");
  CHECK(verdict(store, std::vector(16, leaf.certificate)) == "ok");
  CHECK(verdict(store, std::vector(17, leaf.certificate)) == "too-many-certificates");
  Authority above = root;
  std::vector<Certificate> chain;
  for (int i = 0; i < 10; ++i) {
    above = make_intermediate(above, "CN=Level " + std::to_string(i));
    chain.insert(chain.begin(), above.certificate);
    std::vector<Certificate> sent = chain;
    sent.insert(sent.begin(), make_leaf(above, "CN=gw").certificate);
    CHECK_MESSAGE((verdict(store, sent) == "ok") == (i < max_chain_depth), i);
  }
}

TEST_CASE("certificate policies are demanded where the operator asks for some") {
  const Authority root = make_ca("CN=Root");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  const Holder with = make_with(root, {{NID_certificate_policies, "DER:3007300506032a0304"}});
  VerifyOptions options;
  options.policies = {"1.2.3.4"};
  CHECK(verdict(store, {with.certificate}, options) == "ok");
  CHECK(verdict(store, {make_with(root, {}).certificate}, options) == "certificate-policy");
  options.policies = {"1.2.3.5"};
  CHECK(verdict(store, {with.certificate}, options) == "certificate-policy");
  options.policies = {"no number"};
  CHECK(verdict(store, {with.certificate}, options) != "ok");
}

TEST_CASE("CERTREQ names each anchor by the SHA-1 of its key") {
  const Authority one = make_ca("CN=One");
  const Authority two = make_ca("CN=Two");
  const Authority other = make_ca("CN=Other");
  const TrustStore store = TrustStore::create({one.certificate, two.certificate}).value();
  const Bytes named = store.certification_authorities();
  CHECK(named.size() == 40);
  CHECK(store.has_authority_of(one.certificate.spki_sha1()));
  CHECK(store.has_authority_of(named));
  CHECK(!store.has_authority_of(other.certificate.spki_sha1()));
  CHECK(!store.has_authority_of(ByteView(named).first(19)));
  CHECK(!store.has_authority_of({}));
  CHECK(one.certificate.spki_sha1() == one.key.public_key().spki_sha1());
}

TEST_CASE("one store verifies in several threads at once") {
  const Authority root = make_ca("CN=Root");
  const Holder good = make_leaf(root, "CN=good");
  const Holder bad = make_leaf(root, "CN=bad");
  const TrustStore store = TrustStore::create({root.certificate}).value();
  std::vector<RevokedCertificate> revoked{{bad.certificate.serial(), test_now}};
  for (std::uint8_t i = 0; i < 100; ++i) revoked.push_back({{0x41, i}, test_now});
  const RevocationData data{{issue_crl(root.key, root.certificate, revoked, 1, test_now - day, test_now + day).value()},
                            {}};
  VerifyOptions options;
  options.revocation = RevocationPolicy::strict;
  std::atomic<int> num_right = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        // A peer's certificate is parsed by whoever receives it.
        const Certificate peer = Certificate::from_der(good.certificate.der()).value();
        num_right += verdict(store, {peer}, options, &data) == "ok" ? 1 : 0;
        num_right += verdict(store, {bad.certificate}, options, &data) == "revoked" ? 1 : 0;
      }
    });
  }
  threads.clear();
  CHECK(num_right == 400);
}
