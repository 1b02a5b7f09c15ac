// What somebody on the wire, or a hostile peer that has come as far as IKE_AUTH, may try.
#include <doctest/doctest.h>

#include "credentials.h"
#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

/// Changes the payloads of every copy of one message of a handshake by certificates on its way.
struct Tampered : OneSided {
  using Change = std::function<void(std::vector<Payload>&)>;
  Tampered(Side from, ExchangeType exchange, Change change) {
    use_certificates(*this);
    send_whole(*this);
    filter = [=, this](const Datagram& datagram) {
      const auto header = parse_header(datagram.bytes);
      if (datagram.from != from || !header || header->exchange != exchange) return true;
      Message message = open(datagram).value();
      change(message.payloads);
      deliver(rewritten(datagram, message.payloads));
      return false;
    };
  }
  void refused_by(Side side, const std::string& reason) {
    CAPTURE(reason);
    start();
    run_for(2500ms);
    CHECK_FALSE(established(a));
    CHECK_FALSE(established(b));
    std::string lines;
    for (const Report& report : node(side).reports) lines += report.text + "\n";
    CAPTURE(lines);
    CHECK(reported(side, reason, log::Level::warn));
    CHECK(fault() == "");
  }
};

template <class T>
T& find_in(std::vector<Payload>& payloads) {
  for (Payload& payload : payloads)
    if (auto* found = std::get_if<T>(&payload)) return *found;
  throw std::logic_error("no such payload");
}

template <class T>
void erase_from(std::vector<Payload>& payloads) {
  std::erase_if(payloads, [](const Payload& payload) { return std::holds_alternative<T>(payload); });
}

Bytes bytes_of(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

AuthPayload digital(std::string_view identifier, const Bytes& signature) {
  AuthPayload auth{14, {}};
  const Bytes algorithm = bytes_of(identifier);
  auth.data.push_back(static_cast<std::uint8_t>(algorithm.size()));
  append(auth.data, algorithm);
  append(auth.data, signature);
  return auth;
}

}  // namespace

// RFC 7296 §2.15: AUTH covers IKE_SA_INIT of its sender, byte for byte.
TEST_CASE("a signature over an IKE_SA_INIT that was changed on its way does not hold, whichever one it is") {
  const auto add_vendor = [](std::vector<Payload>& payloads) { payloads.emplace_back(VendorIdPayload{Bytes(8, 1)}); };
  Tampered(a, ExchangeType::ike_sa_init, add_vendor).refused_by(b, "the signature in its AUTH does not hold");
  Tampered(b, ExchangeType::ike_sa_init, add_vendor).refused_by(a, "the signature in its AUTH does not hold");
}

TEST_CASE("hashes taken out of IKE_SA_INIT do not bring both ends down to the classic methods") {
  const auto take_out = [](std::vector<Payload>& payloads) {
    std::erase_if(payloads, [](const Payload& payload) {
      const auto* notify = std::get_if<NotifyPayload>(&payload);
      return notify && notify->type == NotifyType::signature_hash_algorithms;
    });
  };
  Tampered(a, ExchangeType::ike_sa_init, take_out).refused_by(b, "the signature in its AUTH does not hold");
  Tampered(b, ExchangeType::ike_sa_init, take_out).refused_by(a, "the signature in its AUTH does not hold");
}

// The identifiers: RFC 5758 §3.2, RFC 4055 §5, RFC 3279 §2.2.3.
TEST_CASE("SHA-1 and other algorithms that nobody announced are refused in method 14") {
  const std::pair<const char*, const char*> cases[] = {
      {"300906072a8648ce3d0401", "ecdsa-with-SHA1"},
      {"300d06092a864886f70d0101050500", "sha1WithRSAEncryption"},
      {"300d06092a864886f70d0101040500", "md5WithRSAEncryption"},
      {"300d06092a864886f70d01010a3000", "RSASSA-PSS with its default, SHA-1"},
      {"300a06082a8648ce3d040301", "ecdsa-with-SHA224"},
      {"3000", "nothing"},
  };
  for (const auto& [identifier, name] : cases) {
    for (const Side signer : {a, b}) {
      CAPTURE(name);
      Tampered(signer, ExchangeType::ike_auth, [&](std::vector<Payload>& payloads) {
        find_in<AuthPayload>(payloads) = digital(identifier, Bytes(70, 0x30));
      }).refused_by(other(signer), "its AUTH is not acceptable");
    }
  }
}

// RFC 7427 §4: with a hash that the other end has announced. b has announced none.
TEST_CASE("a signature by RFC 7427 is refused where its hash was not announced") {
  Tampered simulation(a, ExchangeType::ike_auth, [](std::vector<Payload>& payloads) {
    find_in<AuthPayload>(payloads) = digital("300a06082a8648ce3d040302", Bytes(70, 0x30));
  });
  simulation.config(b).auth.digital_signatures = false;
  simulation.refused_by(b, "its AUTH is not acceptable");
}

TEST_CASE("an AUTH payload of any other form is refused") {
  const std::vector<AuthPayload> cases = {
      {14, {}},
      {14, {0}},
      {14, Bytes(40, 0xff)},
      {14, bytes_of("0c300a06082a8648ce3d040302")},      // no signature
      {14, bytes_of("ff300a06082a8648ce3d0403023006")},  // longer than it is
      {9, {}},
      {9, Bytes(63, 1)},
      {9, Bytes(64, 0)},
      {10, Bytes(96, 1)},
      {1, Bytes(256, 1)},
      {3, Bytes(20, 1)},
      {0, {}},
      {12, Bytes(32, 1)},
      {255, Bytes(1000, 1)},
  };
  for (const AuthPayload& forged : cases) {
    for (const Side signer : {a, b}) {
      CAPTURE(static_cast<int>(forged.method));
      Tampered(signer, ExchangeType::ike_auth, [&](std::vector<Payload>& payloads) {
        find_in<AuthPayload>(payloads) = forged;
      }).refused_by(other(signer), "");
    }
  }
}

TEST_CASE("more certificates than are taken are refused before any of them is looked at") {
  const auto many = [](std::vector<Payload>& payloads) {
    for (int i = 0; i < 10; ++i) payloads.emplace_back(CertPayload{4, pki().intermediate.certificate.der()});
  };
  const auto large = [](std::vector<Payload>& payloads) {
    for (int i = 0; i < 4; ++i) payloads.emplace_back(CertPayload{4, Bytes(13'000, 0x30)});
  };
  for (const Side sender : {a, b}) {
    Tampered too_many(sender, ExchangeType::ike_auth, many);
    too_many.refused_by(other(sender), "it sends 11 certificates, more than the 10 that are taken");
    Tampered too_large(sender, ExchangeType::ike_auth, large);
    too_large.refused_by(other(sender), "bytes of certificates, more than the 49152 that are taken");
  }
  // Key exchange alone.
  Tampered counted(a, ExchangeType::ike_auth, many);
  counted.start();
  counted.run_for(500ms);
  CHECK(counted.node(b).computed == 1);
}

TEST_CASE("a certificate that is none is refused, and one behind the leaf does no harm") {
  for (const Side sender : {a, b}) {
    Tampered(sender, ExchangeType::ike_auth, [](std::vector<Payload>& payloads) {
      find_in<CertPayload>(payloads).data = Bytes(200, 0x30);
    }).refused_by(other(sender), "its certificate is malformed");
    Tampered(sender, ExchangeType::ike_auth, [](std::vector<Payload>& payloads) {
      find_in<CertPayload>(payloads).data.clear();
    }).refused_by(other(sender), "its certificate is malformed");
    Tampered fine(sender, ExchangeType::ike_auth, [](std::vector<Payload>& payloads) {
      payloads.emplace_back(CertPayload{4, Bytes(200, 0x30)});
      payloads.emplace_back(CertPayload{4, {}});
    });
    CHECK(fine.comes_up());
  }
}

// RFC 7296 §3.6: encodings 12 and 13.
TEST_CASE("hash and URL is ignored with a line, and nothing is fetched") {
  const std::string url = "http://evil.example.net/";
  for (const std::uint8_t encoding : {12, 13}) {
    const auto add = [&](std::vector<Payload>& payloads) {
      Bytes data(20, 7);
      append(data, as_bytes(url));
      payloads.insert(payloads.begin(), CertPayload{encoding, data});
    };
    for (const Side sender : {a, b}) {
      Tampered fine(sender, ExchangeType::ike_auth, add);
      CHECK(fine.comes_up());
      CHECK(fine.reported(other(sender), "it is a hash and a URL, and nothing is fetched", log::Level::warn));
      CHECK_FALSE(fine.reported(other(sender), url));
      Tampered alone(sender, ExchangeType::ike_auth, [&](std::vector<Payload>& payloads) {
        erase_from<CertPayload>(payloads);
        add(payloads);
      });
      alone.refused_by(other(sender), "it sends no certificate");
    }
  }
  Tampered pkcs7(a, ExchangeType::ike_auth, [](std::vector<Payload>& payloads) {
    payloads.emplace_back(CertPayload{1, Bytes(10, 1)});
  });
  CHECK(pkcs7.comes_up());
  CHECK(pkcs7.reported(b, "encoding 1 is not taken"));
}

TEST_CASE("a CERTREQ of any form changes nothing") {
  for (const CertReqPayload& request : {CertReqPayload{4, Bytes(20 * 500, 1)}, CertReqPayload{4, Bytes(19, 1)},
                                        CertReqPayload{12, {}}, CertReqPayload{200, Bytes(3, 1)}}) {
    Tampered simulation(a, ExchangeType::ike_auth, [&](std::vector<Payload>& payloads) {
      for (int i = 0; i < 5; ++i) payloads.emplace_back(request);
    });
    CHECK(simulation.comes_up());
  }
}

TEST_CASE("a peer cannot be another one of the same CA") {
  OneSided simulation;
  use_certificates(simulation);
  PeerConfig osaka = simulation.config(b);
  osaka.id = PeerId(1);
  osaka.name = "osaka";
  osaka.remote_id = *Identity::parse("osaka.example.net");
  simulation.node(b).configs.push_back(osaka);
  simulation.config(a).local_id = *Identity::parse("osaka.example.net");
  simulation.start();
  simulation.run_for(3s);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.reported(b, "does not say that it is osaka.example.net", log::Level::warn));
}

TEST_CASE("an identity that nobody has costs as much work as a certificate that is refused") {
  const auto work_for = [](const std::function<void(Simulation&)>& spoil) {
    OneSided simulation;
    use_certificates(simulation);
    PeerConfig shared = simulation.config(b);  // somebody with a pre-shared key stands in front
    shared.id = PeerId(1);
    shared.name = "shared";
    shared.remote_id = *Identity::parse("shared.example.net");
    shared.auth = AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("key"))));
    simulation.node(b).configs.push_back(shared);
    spoil(simulation);
    simulation.start();
    simulation.run_for(500ms);
    CHECK_FALSE(simulation.established(a));
    return simulation.node(b).computed;
  };
  const int refused =
      work_for([](Simulation& simulation) { simulation.config(a).auth.ours = own(Pki::leaf(pki().other_ca, a)); });
  CHECK(refused == 2);  // key exchange, verification
  CHECK(work_for([](Simulation& simulation) {
          simulation.config(a).local_id = *Identity::parse("nobody.example.net");
        }) == refused);
  CHECK(work_for([](Simulation& simulation) {
          simulation.config(a).local_id = *Identity::parse("shared.example.net");
        }) == refused);
}

TEST_CASE("an IKE_AUTH request that comes again while it is verified is answered once") {
  OneSided simulation;
  use_certificates(simulation);
  simulation.start();
  simulation.filter = [&](const Datagram& datagram) {
    if (datagram.from == a && parse_header(datagram.bytes)->exchange == ExchangeType::ike_auth) {
      simulation.conditions().max_compute = 20s;
      simulation.conditions().duplicate = 1;
    }
    return true;
  };
  simulation.run_for(70s);
  CHECK(simulation.established(b));
  int answers = 0;
  std::vector<Bytes> distinct;
  for (const Datagram& datagram : simulation.wire) {
    const auto header = parse_header(datagram.bytes);
    if (datagram.from != b || header->exchange != ExchangeType::ike_auth || !header->response) continue;
    ++answers;
    if (std::ranges::find(distinct, datagram.bytes) == distinct.end()) distinct.push_back(datagram.bytes);
  }
  CHECK(answers > 0);
  CHECK(distinct.size() == 1);
  CHECK(simulation.node(b).drops[DropReason::ike_replayed] > 0);
}

TEST_CASE("a gateway that goes down while somebody is verified forgets him") {
  for (const Side side : {a, b}) {
    OneSided simulation;
    use_certificates(simulation);
    simulation.conditions().max_compute = 5s;
    simulation.start();
    REQUIRE(simulation.run_until([&] { return simulation.wire.size() >= 3; }, 60s));
    simulation.run_for(10ms);
    simulation.perform(side, simulation.node(side).ike->shut_down(simulation.now()));
    const int computed = simulation.node(side).computed;
    simulation.run_for(20s);
    CHECK(simulation.node(side).computed >= computed);
    CHECK_FALSE(simulation.established(side));
    CHECK(simulation.node(side).plane.empty());
    CHECK(simulation.fault() == "");
  }
}

TEST_CASE("without room for signatures nobody comes up, and with room again everybody does") {
  OneSided simulation;
  use_certificates(simulation);
  simulation.conditions().no_room = 0.6;
  simulation.conditions().max_compute = 30ms;
  for (const Side side : {a, b}) simulation.config(side).retransmit_first = 100ms;
  simulation.start();
  simulation.run_for(10s);
  simulation.conditions().no_room = 0;
  CHECK(simulation.run_until([&] { return simulation.both_up(); }, 120s));
  CHECK(simulation.disagreement().value_or("") == "");
}
