// Real exchanges between two strongSwan 5.9.8: what we parse, derive, decrypt and authenticate must be what they sent
// and logged.
//   paris                                    tokyo
//    1  IKE_SA_INIT SA KE Ni        ───▶
//                                   ◀───  2  SA KE Nr
//    3  IKE_AUTH {IDi AUTH SA TS}   ───▶
//                                   ◀───  4  {IDr AUTH SA TS}
//    5  CREATE_CHILD_SA {REKEY_SA}  ───▶                           and 7, 8: the old child is deleted
//                                   ◀───  6
//                                   ◀───  9  CREATE_CHILD_SA {SA Ni KE}: tokyo rekeys the IKE SA,
//   10                              ───▶                           and 11, 12: deletes the old one
//   13  INFORMATIONAL {D}           ───▶                           with the keys of the new IKE SA
//                                   ◀─── 14
#include <doctest/doctest.h>

#include "keymat.h"
#include "message.h"
#include "proposal_select.h"
#include "traffic_selector.h"
#include "vectors/ikev2_transcript.h"

namespace culvert::ike {
namespace {

using test::to_hex;

struct Scenario {
  const char* file;
  const char* ike;
  const char* esp;
};

struct Exchange : test::Transcript {
  explicit Exchange(const Scenario& scenario)
      : Transcript(scenario.file), ike(*parse_ike_proposal(scenario.ike)), esp(*parse_esp_proposal(scenario.esp)) {
    for (int i = 1; i <= 14; ++i) messages.push_back(parse(message(i)).value());
  }
  [[nodiscard]] const Message& operator()(int number) const { return messages[static_cast<std::size_t>(number) - 1]; }
  /// Opens a message with keys that strongSwan logged.
  [[nodiscard]] std::vector<Payload> open(int number, int ike_sa, char sender, crypto::CipherSuite cipher) const {
    const std::string prefix = "ike_" + std::to_string(ike_sa);
    auto protection =
        SkProtection::create(cipher, (*this)[prefix + "_sk_e" + sender], or_empty(prefix + "_sk_a" + sender));
    REQUIRE(protection.has_value());
    auto payloads = protection->open(message(number), (*this)(number));
    REQUIRE(payloads.has_value());
    return std::move(*payloads);
  }

  Proposal ike, esp;
  std::vector<Message> messages;
};

template <class T>
const T& get(const std::vector<Payload>& payloads) {
  for (const Payload& payload : payloads) {
    if (const T* found = std::get_if<T>(&payload)) return *found;
  }
  throw std::runtime_error("payload is missing");
}

IkeSuite negotiate(const Exchange& exchange) {
  const auto choice = choose_ike({&exchange.ike, 1}, *exchange(1).find<SaPayload>(), IkeNegotiation::initial);
  REQUIRE(choice.has_value());
  return choice->suite;
}

void check_ike_keys(const Exchange& exchange, const std::string& prefix, const IkeKeys& keys) {
  CHECK(to_hex(keys.sk_d.view()) == to_hex(exchange[prefix + "_sk_d"]));
  CHECK(to_hex(keys.sk_ai.view()) == to_hex(exchange.or_empty(prefix + "_sk_ai")));
  CHECK(to_hex(keys.sk_ar.view()) == to_hex(exchange.or_empty(prefix + "_sk_ar")));
  CHECK(to_hex(keys.sk_ei.view()) == to_hex(exchange[prefix + "_sk_ei"]));
  CHECK(to_hex(keys.sk_er.view()) == to_hex(exchange[prefix + "_sk_er"]));
  CHECK(to_hex(keys.sk_pi.view()) == to_hex(exchange[prefix + "_sk_pi"]));
  CHECK(to_hex(keys.sk_pr.view()) == to_hex(exchange[prefix + "_sk_pr"]));
}

void check_child_keys(const Exchange& exchange, const std::string& prefix, const ChildKeys& keys) {
  const auto& i_to_r = keys.initiator_to_responder;
  const auto& r_to_i = keys.responder_to_initiator;
  CHECK(to_hex(i_to_r.encryption.view()) == to_hex(exchange[prefix + "_encryption_initiator"]));
  CHECK(to_hex(r_to_i.encryption.view()) == to_hex(exchange[prefix + "_encryption_responder"]));
  CHECK(to_hex(i_to_r.integrity.view()) == to_hex(exchange.or_empty(prefix + "_integrity_initiator")));
  CHECK(to_hex(r_to_i.integrity.view()) == to_hex(exchange.or_empty(prefix + "_integrity_responder")));
}

void check_ike_sa_init(const Exchange& exchange) {
  for (const int number : {1, 2}) {
    INFO("message ", number);
    CHECK(exchange(number).header.response == (number == 2));
    CHECK(to_hex(build(exchange(number).header, exchange(number).payloads)) == to_hex(exchange.message(number)));
  }
  // Our choice from paris' offer is what tokyo answered.
  const auto choice = choose_ike({&exchange.ike, 1}, *exchange(1).find<SaPayload>(), IkeNegotiation::initial);
  REQUIRE(choice.has_value());
  CHECK(choice->answer == exchange(2).find<SaPayload>()->proposals.front());
  // ... and tokyo's answer is acceptable to what we would have offered.
  const auto offered = offer_ike({&exchange.ike, 1}, IkeNegotiation::initial);
  const auto accepted = accept_ike(offered, *exchange(2).find<SaPayload>(), IkeNegotiation::initial);
  REQUIRE(accepted.has_value());
  CHECK(accepted->suite == choice->suite);
  CHECK(ke_fit(choice->suite.ke, exchange(1).find<KePayload>()) == KeFit::fits);

  // kernel-libipsec fakes the hash of its source, so that both sides float to 4500; that of the destination is true.
  const Endpoint tokyo{*IpAddress::parse("192.0.2.2"), 500};
  const auto* destination = exchange(1).find_notify(NotifyType::nat_detection_destination_ip);
  REQUIRE(destination != nullptr);
  CHECK(to_hex(destination->data) == to_hex(nat_detection_hash(exchange(1).header.spi_i, IkeSpi{}, tokyo)));
}

void check_ike_auth(const Exchange& exchange, const IkeSuite& suite) {
  const ByteView ni = exchange(1).find<NoncePayload>()->data, nr = exchange(2).find<NoncePayload>()->data;
  const IkeSpi spi_i = exchange(2).header.spi_i, spi_r = exchange(2).header.spi_r;
  const Secret seed = skeyseed(suite.prf, ni, nr, exchange["ike_1_g_ir"]);
  CHECK(to_hex(seed.view()) == to_hex(exchange["ike_1_skeyseed"]));
  const IkeKeys keys = derive_ike_keys(suite, seed.view(), ni, nr, spi_i, spi_r);
  check_ike_keys(exchange, "ike_1", keys);

  const auto request = exchange.open(3, 1, 'i', suite.cipher), response = exchange.open(4, 1, 'r', suite.cipher);
  const auto &id_i = get<IdPayload>(request), &id_r = get<IdPayload>(response);
  CHECK(Identity{IdType(id_i.type), id_i.data}.matches(*Identity::parse("paris.example.net")));
  CHECK(Identity{IdType(id_r.type), id_r.data}.matches(*Identity::parse("tokyo.example.net")));
  const Bytes auth_i = psk_auth(suite.prf, exchange["psk"], exchange.message(1), nr, keys.sk_pi.view(), id_i.body());
  const Bytes auth_r = psk_auth(suite.prf, exchange["psk"], exchange.message(2), ni, keys.sk_pr.view(), id_r.body());
  CHECK(to_hex(auth_i) == to_hex(exchange["auth_i"]));
  CHECK(to_hex(auth_r) == to_hex(exchange["auth_r"]));
  CHECK(get<AuthPayload>(request).method == 2);
  CHECK(to_hex(get<AuthPayload>(request).data) == to_hex(auth_i));
  CHECK(to_hex(get<AuthPayload>(response).data) == to_hex(auth_r));

  const auto child = choose_esp({&exchange.esp, 1}, get<SaPayload>(request), EspNegotiation::ike_auth);
  REQUIRE(child.has_value());
  CHECK_FALSE(child->suite.ke.has_value());
  CHECK_FALSE(child->suite.esn);
  CHECK(child->answer.transforms == get<SaPayload>(response).proposals.front().transforms);
  CHECK(child->peer_spi.value() > 255);
  check_child_keys(exchange, "child_1",
                   derive_child_keys(suite.prf, child->suite.cipher, keys.sk_d.view(), {}, ni, nr));
  CHECK(to_string(get<TsPayload>(request).selectors) == "10.81.1.0/24");
}

void check_child_rekey(const Exchange& exchange, const IkeSuite& suite) {
  const auto request = exchange.open(5, 1, 'i', suite.cipher), response = exchange.open(6, 1, 'r', suite.cipher);
  CHECK(get<NotifyPayload>(request).type == NotifyType::rekey_sa);
  CHECK(get<NotifyPayload>(request).spi.size() == 4);
  const auto child = choose_esp({&exchange.esp, 1}, get<SaPayload>(request), EspNegotiation::create_child);
  REQUIRE(child.has_value());
  CHECK(child->answer.transforms == get<SaPayload>(response).proposals.front().transforms);
  const Bytes g_ir = exchange.or_empty("child_2_g_ir");
  CHECK(child->suite.ke.has_value() == !g_ir.empty());
  check_child_keys(exchange, "child_2",
                   derive_child_keys(suite.prf, child->suite.cipher, exchange["ike_1_sk_d"], g_ir,
                                     get<NoncePayload>(request).data, get<NoncePayload>(response).data));
  const auto deleted = exchange.open(7, 1, 'i', suite.cipher);
  CHECK(get<DeletePayload>(deleted).protocol == ProtocolId::esp);
  CHECK(get<DeletePayload>(deleted).spis.size() == 1);
}

void check_ike_rekey(const Exchange& exchange, const IkeSuite& suite) {
  // tokyo is the responder of the old SA ('r'), and the initiator of the new one.
  const auto request = exchange.open(9, 1, 'r', suite.cipher), response = exchange.open(10, 1, 'i', suite.cipher);
  const auto choice = choose_ike({&exchange.ike, 1}, get<SaPayload>(request), IkeNegotiation::rekey);
  REQUIRE(choice.has_value());
  const auto answered = accept_ike(get<SaPayload>(request).proposals, get<SaPayload>(response), IkeNegotiation::rekey);
  REQUIRE(answered.has_value());
  CHECK(answered->suite == choice->suite);
  CHECK(choice->peer_spi == exchange(13).header.spi_i);
  CHECK(answered->peer_spi == exchange(13).header.spi_r);

  const ByteView ni = get<NoncePayload>(request).data, nr = get<NoncePayload>(response).data;
  const Secret seed = skeyseed_rekey(suite.prf, exchange["ike_1_sk_d"], exchange["ike_2_g_ir"], ni, nr);
  CHECK(to_hex(seed.view()) == to_hex(exchange["ike_2_skeyseed"]));
  check_ike_keys(exchange, "ike_2",
                 derive_ike_keys(choice->suite, seed.view(), ni, nr, choice->peer_spi, answered->peer_spi));
  CHECK(get<DeletePayload>(exchange.open(11, 1, 'r', suite.cipher)).protocol == ProtocolId::ike);
  CHECK(exchange.open(12, 1, 'i', suite.cipher).empty());
  CHECK(get<DeletePayload>(exchange.open(13, 2, 'r', suite.cipher)).protocol == ProtocolId::ike);
  CHECK(exchange.open(14, 2, 'i', suite.cipher).empty());
}

void check_all(const Scenario& scenario) {
  const Exchange exchange(scenario);
  const IkeSuite suite = negotiate(exchange);
  check_ike_sa_init(exchange);
  check_ike_auth(exchange, suite);
  check_child_rekey(exchange, suite);
  check_ike_rekey(exchange, suite);
}

TEST_CASE("a strongSwan exchange with AES-GCM, ECP256 and PFS by x25519 is understood to the last key") {
  check_all({"ikev2_strongswan_aead.txt", "aes256gcm16-prfsha384-ecp256", "aes128gcm16-x25519-noesn"});
}

TEST_CASE("a strongSwan exchange with AES-CBC, HMAC-SHA2 and MODP2048 is understood to the last key") {
  check_all({"ikev2_strongswan_cbc.txt", "aes128-sha256-modp2048", "aes256-sha512-noesn"});
}

TEST_CASE("a strongSwan exchange with ChaCha20-Poly1305 and x25519 is understood to the last key") {
  check_all({"ikev2_strongswan_chacha.txt", "chacha20poly1305-prfsha512-x25519", "chacha20poly1305-noesn"});
}

TEST_CASE("no bit of a strongSwan IKE_AUTH can change without the ICV failing") {
  for (const char* file : {"ikev2_strongswan_aead.txt", "ikev2_strongswan_cbc.txt", "ikev2_strongswan_chacha.txt"}) {
    const bool cbc = std::string_view(file).find("cbc") != std::string_view::npos,
               gcm = std::string_view(file).find("aead") != std::string_view::npos;
    const auto suite = cbc   ? crypto::CipherSuite::aes_cbc_128_sha2_256_128
                       : gcm ? crypto::CipherSuite::aes_gcm_16_256
                             : crypto::CipherSuite::chacha20_poly1305;
    const test::Transcript exchange(file);
    const auto protection = SkProtection::create(suite, exchange["ike_1_sk_ei"], exchange.or_empty("ike_1_sk_ai"));
    REQUIRE(protection.has_value());
    for (std::size_t bit = 0; bit < exchange.message(3).size() * 8; ++bit) {
      Bytes changed = exchange.message(3);
      changed[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      const auto message = parse(changed);
      if (!message) continue;  // a header or length that no longer holds
      const auto opened = protection->open(changed, *message);
      REQUIRE_FALSE(opened.has_value());
      REQUIRE_FALSE(opened.error().authentic);
    }
  }
}

}  // namespace
}  // namespace culvert::ike
