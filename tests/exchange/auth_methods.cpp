// Each way to authenticate, in both roles: what goes over the wire, and that both ends come up.
#include <doctest/doctest.h>

#include "credentials.h"
#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Certified : OneSided {
  explicit Certified(KeyType of_a = KeyType::ecdsa_p256, KeyType of_b = KeyType::ecdsa_p256) {
    use_certificates(*this, of_a, of_b);
    send_whole(*this);
  }
  Message message(std::size_t index) { return open(wire.at(index)).value_or(Message{}); }
};

std::vector<Bytes> certs_of(const Message& message, std::uint8_t encoding) {
  std::vector<Bytes> found;
  for (const Payload& payload : message.payloads) {
    const auto* cert = std::get_if<CertPayload>(&payload);
    if (cert && cert->encoding == encoding) found.push_back(cert->data);
  }
  return found;
}

std::vector<CertReqPayload> requests_in(const Message& message) {
  std::vector<CertReqPayload> found;
  for (const Payload& payload : message.payloads)
    if (const auto* request = std::get_if<CertReqPayload>(&payload)) found.push_back(*request);
  return found;
}

std::string hex_of(ByteView bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

// RFC 7427 §3: length | AlgorithmIdentifier | signature. The identifiers: RFC 7427 appendix A.3, A.4 and RFC 8410 §3.
TEST_CASE("both ends sign with every kind of key by RFC 7427, and name the algorithm as the RFC does") {
  const std::map<KeyType, std::string> identifiers{
      {KeyType::ecdsa_p256, "300a06082a8648ce3d040302"},
      {KeyType::ecdsa_p384, "300a06082a8648ce3d040303"},
      {KeyType::ecdsa_p521, "300a06082a8648ce3d040304"},
      {KeyType::ed25519, "300506032b6570"},
      {KeyType::rsa,
       "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d"
       "06096086480165030402010500a203020120"},
  };
  for (const auto& [type, identifier] : identifiers) {
    CAPTURE(identifier);
    Certified simulation(type, type);
    REQUIRE(simulation.comes_up());
    CHECK(simulation.disagreement().value_or("") == "");
    REQUIRE(simulation.wire.size() == 4);
    for (const std::size_t index : {2, 3}) {
      const Message message = simulation.message(index);
      const auto* auth = message.find<AuthPayload>();
      REQUIRE(auth);
      CHECK(auth->method == 14);
      const std::string data = hex_of(auth->data);
      CHECK(data.substr(2).starts_with(identifier));
    }
  }
}

TEST_CASE("RSA keys sign by PKCS#1 v1.5 where the configuration says so") {
  Certified simulation(KeyType::rsa, KeyType::rsa);
  for (const Side side : {a, b}) simulation.config(side).auth.rsa_pss = false;
  REQUIRE(simulation.comes_up());
  // RFC 7427 appendix A.1.2: sha256WithRSAEncryption.
  CHECK(
      hex_of(simulation.message(2).find<AuthPayload>()->data).substr(2).starts_with("300d06092a864886f70d01010b0500"));
}

TEST_CASE("without RFC 7427 on either side the classic methods are used, and both are told") {
  const std::map<KeyType, int> methods{
      {KeyType::rsa, 1}, {KeyType::ecdsa_p256, 9}, {KeyType::ecdsa_p384, 10}, {KeyType::ecdsa_p521, 11}};
  for (const auto& [type, method] : methods) {
    for (const bool of_initiator : {true, false}) {
      CAPTURE(method);
      Certified simulation(type, type);
      simulation.config(of_initiator ? a : b).auth.digital_signatures = false;
      REQUIRE(simulation.comes_up());
      CHECK(simulation.message(2).find<AuthPayload>()->method == method);
      CHECK(simulation.message(3).find<AuthPayload>()->method == method);
      CHECK_FALSE(simulation.message(1).find_notify(NotifyType::signature_hash_algorithms));
      CHECK((simulation.message(0).find_notify(NotifyType::signature_hash_algorithms) == nullptr) == of_initiator);
    }
  }
}

TEST_CASE("a key that has no classic method cannot authenticate without RFC 7427, and the operator reads that") {
  Certified simulation(KeyType::ed25519, KeyType::ed25519);
  simulation.config(b).auth.digital_signatures = false;
  simulation.start();
  simulation.run_for(3s);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.reported(a, "does not know RFC 7427, without which our Ed25519 key cannot sign", log::Level::warn));
  Certified other_way(KeyType::ecdsa_p256, KeyType::ed25519);
  other_way.config(a).auth.digital_signatures = false;
  other_way.start();
  other_way.run_for(3s);
  CHECK_FALSE(other_way.established(b));
  CHECK(other_way.reported(b, "we cannot authenticate ourselves to it: the peer does not know RFC 7427"));
  CHECK(other_way.reported(a, "AUTHENTICATION_FAILED"));
}

// RFC 7296 §1.2: CERTREQ goes in the IKE_SA_INIT response and in the IKE_AUTH request; §3.7: SHA-1 of the CA's key.
TEST_CASE("CERTREQ names the CAs, CERT has the leaf first, and hashes are announced by both") {
  Certified simulation;
  simulation.config(a).auth.ours = own(Pki::leaf(pki().intermediate, a), {pki().intermediate.certificate});
  REQUIRE(simulation.comes_up());
  const Bytes hash = pki().ca.key.public_key().spki_sha1();
  for (const std::size_t index : {1, 2}) {
    const auto wanted = requests_in(simulation.message(index));
    REQUIRE(wanted.size() == 1);
    CHECK(wanted.front().encoding == 4);
    CHECK(wanted.front().data == hash);
  }
  CHECK(requests_in(simulation.message(0)).empty());
  CHECK(requests_in(simulation.message(3)).empty());
  // RFC 7427 §4: SHA2-256, -384, -512 and Identity (RFC 8420 §2), 16 bits each.
  for (const std::size_t index : {0, 1}) {
    const Message message = simulation.message(index);
    const NotifyPayload* hashes = message.find_notify(NotifyType::signature_hash_algorithms);
    REQUIRE(hashes);
    CHECK(hex_of(hashes->data) == "0002000300040005");
  }
  const auto sent = certs_of(simulation.message(2), 4);
  REQUIRE(sent.size() == 2);
  CHECK(sent[0] == std::get<OwnCertificate>(simulation.config(a).auth.ours).chain[0]->der());
  CHECK(sent[1] == pki().intermediate.certificate.der());
  CHECK(certs_of(simulation.message(3), 4) == std::vector<Bytes>{pki().holder(b).certificate.der()});
  CHECK_FALSE(simulation.message(0).find_notify(NotifyType::http_cert_lookup_supported));
  CHECK_FALSE(simulation.message(2).find_notify(NotifyType::http_cert_lookup_supported));
}

TEST_CASE("with pre-shared keys alone nothing of certificates is on the wire") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  for (const Message& message : simulation.messages()) {
    CHECK(requests_in(message).empty());
    CHECK(certs_of(message, 4).empty());
    CHECK_FALSE(message.find_notify(NotifyType::signature_hash_algorithms));
  }
}

TEST_CASE("a pre-shared key proves one end and a certificate the other, either way round") {
  for (const Side signer : {a, b}) {
    OneSided simulation;
    send_whole(simulation);
    simulation.config(signer).auth.ours = own(pki().holder(signer));
    simulation.config(other(signer)).auth.theirs = trusting(pki().ca);
    REQUIRE(simulation.comes_up());
    CHECK(simulation.disagreement().value_or("") == "");
    const auto request = *simulation.open(simulation.wire[2]), response = *simulation.open(simulation.wire[3]);
    CHECK(request.find<AuthPayload>()->method == (signer == a ? 14 : 2));
    CHECK(response.find<AuthPayload>()->method == (signer == b ? 14 : 2));
    CHECK(simulation.status(signer).remote_auth == "pre-shared key");
    CHECK(simulation.status(other(signer)).local_auth == "pre-shared key");
    CHECK(simulation.status(other(signer)).remote_auth.starts_with("certificate "));
  }
}

// RFC 7670 §3: encoding 15 with the SubjectPublicKeyInfo.
TEST_CASE("raw public keys need no certificate: each end sends its SubjectPublicKeyInfo") {
  for (const KeyType type : {KeyType::ed25519, KeyType::ecdsa_p256, KeyType::rsa}) {
    OneSided simulation;
    send_whole(simulation);
    use_raw_keys(simulation, type, type);
    REQUIRE(simulation.comes_up());
    CHECK(simulation.disagreement().value_or("") == "");
    const auto request = *simulation.open(simulation.wire[2]), response = *simulation.open(simulation.wire[3]);
    CHECK(certs_of(request, 15) == std::vector<Bytes>{pki().holder(a, type).key.public_key().spki()});
    CHECK(certs_of(response, 15) == std::vector<Bytes>{pki().holder(b, type).key.public_key().spki()});
    CHECK(simulation.status(a).remote_auth.contains(pki().holder(b, type).key.public_key().fingerprint()));
  }
}

// strongSwan with `pubkeys` does so.
TEST_CASE("a peer that sends no CERT proves a raw key, or a certificate that the configuration has") {
  for (const bool raw : {true, false}) {
    OneSided simulation;
    send_whole(simulation);
    simulation.config(a).auth.ours = OwnCertificate{own(pki().holder(a)).key, {}};  // sends nothing
    if (raw) {
      simulation.config(b).auth.theirs = expecting(pki().holder(a));
    } else {
      PeerCertificate expected = trusting(pki().ca);
      expected.known = {std::make_shared<const crypto::Certificate>(pki().holder(b).certificate),
                        std::make_shared<const crypto::Certificate>(pki().holder(a).certificate)};
      simulation.config(b).auth.theirs = expected;
    }
    REQUIRE(simulation.comes_up());
    CHECK(certs_of(*simulation.open(simulation.wire[2]), 4).empty());
  }
}

TEST_CASE("status says how both have proved who they are, and until when") {
  Certified simulation;
  REQUIRE(simulation.comes_up());
  const PeerStatus status = simulation.status(a);
  CHECK(status.local_auth == "certificate O=Example,CN=paris.example.net (ECDSA P-256)");
  CHECK(status.remote_auth ==
        "certificate O=Example,CN=tokyo.example.net of O=Example,CN=Example CA, ECDSA with SHA2-256");
  CHECK(status.remote_certificate_until == pki().holder(b).certificate.not_after());
  CHECK(status.remote_id == "tokyo.example.net");
}

TEST_CASE("every kind of identity that the certificate has is accepted") {
  using Type = crypto::AlternativeName::Type;
  const Holder holder = culvert::test::make_leaf(pki().ca, "C=DE, O=Example, CN=gw",
                                                 {{Type::dns, "gw.example.net"},
                                                  {Type::email, "gw@example.net"},
                                                  {Type::ip, "192.0.2.1"},
                                                  {Type::ip, "2001:db8::1"}});
  for (const char* id : {"gw.example.net", "gw@example.net", "192.0.2.1", "2001:db8::1", "C=DE, O=Example, CN=gw"}) {
    CAPTURE(id);
    Certified simulation;
    simulation.config(a).auth.ours = own(holder);
    simulation.config(a).local_id = *Identity::parse(id);
    simulation.config(b).remote_id = *Identity::parse(id);
    CHECK(simulation.comes_up());
  }
}

TEST_CASE("an identity with wildcards lets in whom a certificate asserts, in either role") {
  for (const char* pattern : {"*.example.net", "*"}) {
    Certified simulation;
    simulation.config(b).remote_id = *Identity::parse(pattern);
    simulation.config(a).remote_id = *Identity::parse(pattern);
    REQUIRE(simulation.comes_up());
    CHECK(simulation.status(b).remote_id == "paris.example.net");
    CHECK(simulation.status(a).remote_id == "tokyo.example.net");
    // What is not one identity cannot be asked for.
    CHECK(simulation.open(simulation.wire[2])->find_id(false) == nullptr);
  }
  Certified by_name;
  by_name.config(a).local_id = *Identity::parse("O=Example, CN=paris.example.net");
  by_name.config(b).remote_id = *Identity::parse("O=Example, CN=*");
  CHECK(by_name.comes_up());
}

TEST_CASE("the exact identity comes before one with wildcards, whatever their order") {
  for (const bool exact_first : {true, false}) {
    Certified simulation;
    PeerConfig all = simulation.config(b);
    all.id = PeerId(1);
    all.name = "everybody";
    all.remote_id = *Identity::parse("*.example.net");
    all.auth.theirs = trusting(pki().other_ca);
    auto& configs = simulation.node(b).configs;
    configs.insert(exact_first ? configs.end() : configs.begin(), all);
    simulation.start();
    CHECK(simulation.run_until([&] { return simulation.established(a); }, 5s));
  }
}
