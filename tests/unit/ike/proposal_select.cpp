// RFC 7296 §2.7, §3.3: what is chosen, what is accepted as an answer, and what is said when nothing fits.
#include "proposal_select.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace culvert::ike {
namespace {

using enum TransformType;
constexpr auto initial = IkeNegotiation::initial;
constexpr auto ike_auth = EspNegotiation::ike_auth;
constexpr auto create_child = EspNegotiation::create_child;

std::vector<Proposal> ike(std::initializer_list<const char*> texts) {
  std::vector<Proposal> proposals;
  for (const char* text : texts) proposals.push_back(parse_ike_proposal(text).value());
  return offer_ike(proposals, initial);
}
std::vector<Proposal> esp(std::initializer_list<const char*> texts) {
  std::vector<Proposal> proposals;
  for (const char* text : texts) proposals.push_back(parse_esp_proposal(text).value());
  return offer_esp(proposals, create_child, Spi(0xc0000001));
}
/// A peer's proposal, transform by transform.
SaPayload offer(ProtocolId protocol, std::vector<Transform> transforms) {
  return {{{1, protocol, protocol == ProtocolId::esp ? Bytes{0xc0, 0, 0, 1} : Bytes{}, std::move(transforms)}}};
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

template <class T>
std::string mismatch(const Result<T>& result) {
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == Errc::no_match);
  return result.error().detail;
}

std::string ike_mismatch(std::initializer_list<const char*> ours, std::vector<Transform> theirs) {
  return mismatch(choose_ike(ike(ours), offer(ProtocolId::ike, std::move(theirs)), initial));
}
std::string esp_mismatch(std::initializer_list<const char*> ours, std::vector<Transform> theirs) {
  return mismatch(choose_esp(esp(ours), offer(ProtocolId::esp, std::move(theirs)), create_child));
}

TEST_CASE("the responder answers with the peer's number, and one transform of each type") {
  const auto choice = choose_ike(
      ike({"aes256gcm16-prfsha384-x25519-ecp256"}),
      {ike({"aes128-sha256-modp2048", "aes256gcm16-aes128gcm16-prfsha256-prfsha384-ecp256-x25519"})}, initial);
  REQUIRE(choice.has_value());
  CHECK(choice->answer == Proposal{2, ProtocolId::ike, {}, {{encr, 20, 256}, {prf, 6}, {ke, 31}}});
  CHECK(choice->suite ==
        IkeSuite{crypto::CipherSuite::aes_gcm_16_256, crypto::Prf::hmac_sha2_384, crypto::KeMethod::x25519});
  CHECK(choice->peer_spi == IkeSpi{});
}

TEST_CASE(
    "our order decides: of proposals, and of transforms in a proposal, also when the peer spreads them over "
    "proposals") {
  const SaPayload offered{
      ike({"aes128gcm16-prfsha256-modp2048", "aes256gcm16-prfsha256-x25519", "aes256-sha256-x25519"})};
  CHECK(choose_ike(ike({"aes256gcm16-aes128gcm16-prfsha256-x25519-modp2048"}), offered, initial)->answer.number == 2);
  CHECK(choose_ike(ike({"aes128gcm16-aes256gcm16-prfsha256-x25519-modp2048"}), offered, initial)->answer.number == 1);
  CHECK(choose_ike(ike({"aes256-sha256-x25519", "aes256gcm16-prfsha256-x25519"}), offered, initial)->answer.number ==
        3);
}

TEST_CASE("the key length is part of the algorithm") {
  const auto ours = ike({"aes256gcm16-chacha20poly1305-prfsha256-x25519"});
  const auto with = [&](Transform encryption) {
    return choose_ike(ours, offer(ProtocolId::ike, {encryption, {prf, 5}, {ke, 31}}), initial).has_value();
  };
  CHECK(with({encr, 20, 256}));
  CHECK_FALSE(with({encr, 20, 128}));
  CHECK_FALSE(with({encr, 20, 0}));  // AES without Key Length: RFC 7296 §3.3.5
  CHECK_FALSE(with({encr, 20, 255}));
  CHECK(with({encr, 28, 0}));
  CHECK_FALSE(with({encr, 28, 256}));  // ChaCha20 MUST NOT have one: RFC 7634 §4
  CHECK_FALSE(with({encr, 20, 256, true}));
}

TEST_CASE("beside an AEAD stands no integrity transform or NONE, which is then answered (RFC 5282 §8)") {
  const auto ours = ike({"aes256gcm16-prfsha256-x25519"});
  const auto with_none =
      choose_ike(ours, offer(ProtocolId::ike, {{encr, 20, 256}, {integ, 0}, {prf, 5}, {ke, 31}}), initial);
  REQUIRE(with_none.has_value());
  CHECK(with_none->answer.transforms == std::vector<Transform>{{encr, 20, 256}, {integ, 0}, {prf, 5}, {ke, 31}});
  CHECK(with_none->suite.cipher == crypto::CipherSuite::aes_gcm_16_256);
  CHECK_FALSE(choose_ike(ours, offer(ProtocolId::ike, {{encr, 20, 256}, {integ, 12}, {prf, 5}, {ke, 31}}), initial)
                  .has_value());
}

TEST_CASE(
    "an unknown transform id is passed over, an unknown transform type makes the proposal unacceptable (RFC 7296 "
    "§3.3.6)") {
  const auto ours = ike({"aes256gcm16-prfsha256-x25519"});
  const std::vector<Transform> good{{encr, 4711, 1}, {encr, 20, 256}, {prf, 99}, {prf, 5}, {ke, 31}, {ke, 36}};
  CHECK(choose_ike(ours, offer(ProtocolId::ike, good), initial).has_value());
  auto additional = good;
  additional.push_back({static_cast<TransformType>(6), 36});  // ADDKE1, RFC 9370
  CHECK(contains(mismatch(choose_ike(ours, offer(ProtocolId::ike, additional), initial)), "transform type 6"));
  SaPayload both = offer(ProtocolId::ike, additional);
  both.proposals.push_back({2, ProtocolId::ike, {}, good});
  CHECK(choose_ike(ours, both, initial)->answer.number == 2);
}

TEST_CASE("every suite of the first wave is found by its transforms") {
  using enum crypto::CipherSuite;
  const std::pair<const char*, crypto::CipherSuite> rows[] = {{"aes128gcm16", aes_gcm_16_128},
                                                              {"aes256gcm16", aes_gcm_16_256},
                                                              {"chacha20poly1305", chacha20_poly1305},
                                                              {"aes128-sha256", aes_cbc_128_sha2_256_128},
                                                              {"aes128-sha384", aes_cbc_128_sha2_384_192},
                                                              {"aes128-sha512", aes_cbc_128_sha2_512_256},
                                                              {"aes256-sha256", aes_cbc_256_sha2_256_128},
                                                              {"aes256-sha384", aes_cbc_256_sha2_384_192},
                                                              {"aes256-sha512", aes_cbc_256_sha2_512_256}};
  for (const auto& [text, suite] : rows) {
    const auto choice = choose_esp(default_esp_proposals(), {esp({text})}, ike_auth);
    REQUIRE(choice.has_value());
    CHECK(choice->suite == EspSuite{suite, std::nullopt, true});
    CHECK(choice->peer_spi == Spi(0xc0000001));
  }
}

TEST_CASE("ESP in IKE_AUTH: key exchange is neither sent nor read") {
  const auto configured = esp({"aes256gcm16-x25519-esn", "aes256gcm16-ecp256-esn", "aes128gcm16-x25519"});
  const auto offered = offer_esp(configured, ike_auth, Spi(0x1000));
  REQUIRE(offered.size() == 2);  // the first two are the same without it
  CHECK(offered[0] == Proposal{1, ProtocolId::esp, {0, 0, 0x10, 0}, {{encr, 20, 256}, {esn, 1}}});
  CHECK(offered[1].number == 2);
  const auto choice = choose_esp(configured, {configured}, ike_auth);
  REQUIRE(choice.has_value());
  CHECK_FALSE(choice->suite.ke.has_value());
  CHECK(choice->answer.transforms == std::vector<Transform>{{encr, 20, 256}, {esn, 1}});
}

TEST_CASE("ESP in CREATE_CHILD_SA: PFS where it is configured, without only where none is allowed") {
  const auto pfs = esp({"aes256gcm16-x25519-esn"}), optional = esp({"aes256gcm16-x25519-none-esn"}),
             without = esp({"aes256gcm16-esn"});
  const auto ke_of = [](const auto& ours, const auto& theirs) {
    return choose_esp(ours, {theirs}, create_child)->suite.ke;
  };
  CHECK(ke_of(pfs, pfs) == crypto::KeMethod::x25519);
  CHECK(ke_of(pfs, optional) == crypto::KeMethod::x25519);
  CHECK(ke_of(optional, optional) == crypto::KeMethod::x25519);
  CHECK(ke_of(optional, without) == std::nullopt);
  CHECK(ke_of(without, optional) == std::nullopt);
  CHECK(ke_of(without, without) == std::nullopt);
  CHECK(contains(mismatch(choose_esp(pfs, {without}, create_child)),
                 "no key exchange we accept: it offered none, we allow x25519"));
  CHECK(contains(mismatch(choose_esp(without, {pfs}, create_child)),
                 "no key exchange we accept: it offered x25519, we allow none"));
}

TEST_CASE("ESN is a mandatory type for ESP (RFC 7296 §3.3.3), and one that a proposal must agree on") {
  CHECK(choose_esp(esp({"aes256gcm16"}), {esp({"aes256gcm16-noesn"})}, ike_auth)->suite.esn == false);
  CHECK(choose_esp(esp({"aes256gcm16"}), {esp({"aes256gcm16"})}, ike_auth)->suite.esn == true);
  CHECK(contains(esp_mismatch({"aes256gcm16-esn"}, {{encr, 20, 256}, {esn, 0}}), "it offered no ESN, we allow ESN"));
  CHECK(contains(esp_mismatch({"aes256gcm16"}, {{encr, 20, 256}}), "it offered none, we allow ESN, no ESN"));
}

TEST_CASE("SPIs must have the size of their negotiation, and not be reserved") {
  const auto ours = ike({"aes256gcm16-prfsha256-x25519"});
  const auto rekey = [&](Bytes spi) {
    SaPayload offered{ours};
    offered.proposals[0].spi = std::move(spi);
    return choose_ike(ours, offered, IkeNegotiation::rekey);
  };
  CHECK(rekey({1, 2, 3, 4, 5, 6, 7, 8})->peer_spi == IkeSpi(0x0102030405060708));
  CHECK_FALSE(rekey({}).has_value());
  CHECK_FALSE(rekey(Bytes(8)).has_value());
  SaPayload with_spi{ours};
  with_spi.proposals[0].spi = Bytes(8, 1);
  CHECK_FALSE(choose_ike(ours, with_spi, initial).has_value());
  SaPayload reserved{esp({"aes256gcm16"})};
  reserved.proposals[0].spi = {0, 0, 0, 255};
  CHECK(contains(mismatch(choose_esp(esp({"aes256gcm16"}), reserved, ike_auth)), "reserved"));
}

TEST_CASE("a mismatch is said in words that an operator can act on") {
  CHECK(ike_mismatch({"aes256gcm16-prfsha256-x25519-ecp256"}, {{encr, 20, 256}, {prf, 5}, {ke, 2}}) ==
        "its proposal has no key exchange we accept: it offered MODP1024, we allow x25519, ECP256");
  CHECK(ike_mismatch({"aes128-sha256-x25519"}, {{encr, 3}, {integ, 2}, {prf, 2}, {ke, 31}}) ==
        "its proposal has no encryption we accept: it offered 3DES, we allow AES-CBC-128; and no PRF we accept: it "
        "offered PRF-HMAC-SHA1, we "
        "allow PRF-HMAC-SHA2-256");
  CHECK(ike_mismatch({"aes128-sha256-x25519"}, {{encr, 12, 128}, {integ, 2}, {integ, 1}, {prf, 5}, {ke, 31}}) ==
        "its proposal has no integrity algorithm we accept: it offered HMAC-SHA1-96, HMAC-MD5-96, we allow "
        "HMAC-SHA2-256-128");
  CHECK(ike_mismatch({"aes256gcm16-prfsha256-x25519"}, {{encr, 20, 256}, {ke, 31}}) ==
        "its proposal has no PRF we accept: it offered none, we allow PRF-HMAC-SHA2-256");
  CHECK(esp_mismatch({"aes256gcm16-esn"}, {{encr, 3}, {integ, 2}, {esn, 1}}) ==
        "its ESP proposal has no encryption we accept: it offered 3DES, we allow AES-GCM-16-256");
}

TEST_CASE("a mismatch of combinations shows both sides") {
  const SaPayload offered{ike({"aes256gcm16-prfsha256-modp2048", "aes128gcm16-prfsha256-x25519"})};
  CHECK(mismatch(choose_ike(ike({"aes256gcm16-prfsha256-x25519"}), offered, initial)) ==
        "its proposal has no combination we accept: it offered aes256gcm16-prfsha256-modp2048 or "
        "aes128gcm16-prfsha256-x25519; we allow "
        "aes256gcm16-prfsha256-x25519");
}

TEST_CASE("a mismatch stays short, however much is offered") {
  std::vector<Transform> many;
  for (std::uint16_t i = 100; i < 228; ++i) many.push_back({ke, i});
  SaPayload offered{std::vector<Proposal>(64, Proposal{1, ProtocolId::ike, {}, many})};
  const std::string text = mismatch(choose_ike(default_ike_proposals(), offered, initial));
  CHECK(text.size() < 1500);
  CHECK(contains(text, " and more"));
  CHECK(contains(mismatch(choose_ike(default_ike_proposals(), {}, initial)), "is missing"));
  CHECK(contains(mismatch(choose_ike(default_ike_proposals(), offer(ProtocolId::ah, {}), initial)), "for protocol 2"));
}

TEST_CASE("the initiator accepts one proposal of its own, with one transform a type") {
  const auto offered = ike({"aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256", "aes128-sha256-x25519"});
  const auto accept = [&](std::uint8_t number, std::vector<Transform> transforms) {
    return accept_ike(offered, {{{number, ProtocolId::ike, {}, std::move(transforms)}}}, initial);
  };
  const auto good = accept(1, {{ke, 19}, {encr, 20, 128}, {prf, 5}});
  REQUIRE(good.has_value());
  CHECK(good->suite ==
        IkeSuite{crypto::CipherSuite::aes_gcm_16_128, crypto::Prf::hmac_sha2_256, crypto::KeMethod::ecp256});
  CHECK(accept(2, {{encr, 12, 128}, {integ, 12}, {prf, 5}, {ke, 31}}).has_value());

  CHECK(contains(mismatch(accept(3, {{encr, 20, 128}, {prf, 5}, {ke, 19}})), "number of no proposal"));
  CHECK(contains(mismatch(accept(2, {{encr, 20, 128}, {prf, 5}, {ke, 19}})), "not what we offered"));
  CHECK(contains(mismatch(accept(1, {{encr, 20, 128}, {prf, 5}, {ke, 14}})), "not what we offered"));
  CHECK(contains(mismatch(accept(1, {{encr, 20, 128}, {prf, 6}, {ke, 19}})), "not what we offered"));
  CHECK(contains(mismatch(accept(1, {{encr, 20}, {prf, 5}, {ke, 19}})), "not what we offered"));
  CHECK(contains(mismatch(accept(1, {{encr, 20, 128}, {prf, 5}})), "not what we offered"));
  CHECK(contains(mismatch(accept(1, {{encr, 20, 128}, {encr, 20, 256}, {prf, 5}, {ke, 19}})), "several transforms"));
  CHECK(contains(mismatch(accept(1, {{encr, 20, 128}, {prf, 5}, {ke, 19}, {esn, 0}})), "transform type 5"));
  CHECK_FALSE(accept(1, {{encr, 20, 128}, {integ, 12}, {prf, 5}, {ke, 19}}).has_value());
  CHECK(accept(1, {{encr, 20, 128}, {integ, 0}, {prf, 5}, {ke, 19}}).has_value());
  CHECK_FALSE(accept(1, {}).has_value());

  const Proposal one{1, ProtocolId::ike, {}, {{encr, 20, 128}, {prf, 5}, {ke, 19}}};
  CHECK(contains(mismatch(accept_ike(offered, {{one, one}}, initial)), "several proposals"));
  CHECK_FALSE(accept_ike(offered, {}, initial).has_value());
}

TEST_CASE("the initiator accepts an ESP answer with its SPI, with or without the PFS it made optional") {
  const auto offered = offer_esp(esp({"aes256gcm16-x25519-none-esn-noesn"}), create_child, Spi(0x1000));
  const auto accept = [&](std::vector<Transform> transforms, Bytes spi = {0, 0, 0x20, 0}) {
    return accept_esp(offered, {{{1, ProtocolId::esp, std::move(spi), std::move(transforms)}}}, create_child);
  };
  const auto pfs = accept({{encr, 20, 256}, {ke, 31}, {esn, 1}});
  REQUIRE(pfs.has_value());
  CHECK(pfs->suite == EspSuite{crypto::CipherSuite::aes_gcm_16_256, crypto::KeMethod::x25519, true});
  CHECK(pfs->peer_spi == Spi(0x2000));
  CHECK_FALSE(accept({{encr, 20, 256}, {esn, 0}})->suite.ke.has_value());
  CHECK_FALSE(accept({{encr, 20, 256}, {ke, 0}, {esn, 0}})->suite.ke.has_value());
  CHECK_FALSE(accept({{encr, 20, 256}, {ke, 19}, {esn, 0}}).has_value());
  CHECK_FALSE(accept({{encr, 20, 256}, {ke, 31}}).has_value());
  CHECK_FALSE(accept({{encr, 20, 256}, {ke, 31}, {esn, 1}}, {0, 0, 0, 1}).has_value());
  CHECK_FALSE(accept({{encr, 20, 256}, {ke, 31}, {esn, 1}}, {}).has_value());

  const auto required = offer_esp(esp({"aes256gcm16-x25519-esn"}), create_child, Spi(0x1000));
  CHECK_FALSE(accept_esp(required, {{{1, ProtocolId::esp, {0, 0, 0x20, 0}, {{encr, 20, 256}, {esn, 1}}}}}, create_child)
                  .has_value());
}

TEST_CASE("what a responder chooses, the initiator accepts, for every pair of defaults") {
  for (const auto negotiation : {ike_auth, create_child}) {
    const auto offered = offer_esp(default_esp_proposals(), negotiation, Spi(0x1000));
    auto choice = choose_esp(default_esp_proposals(), {offered}, negotiation);
    REQUIRE(choice.has_value());
    choice->answer.spi = {0, 0, 0x20, 0};
    const auto accepted = accept_esp(offered, {{choice->answer}}, negotiation);
    REQUIRE(accepted.has_value());
    CHECK(accepted->suite == choice->suite);
    CHECK(accepted->suite.ke.has_value() == (negotiation == create_child));
  }
  const auto offered = offer_ike(default_ike_proposals(), IkeNegotiation::rekey, IkeSpi(7));
  auto choice = choose_ike(default_ike_proposals(), {offered}, IkeNegotiation::rekey);
  REQUIRE(choice.has_value());
  CHECK(choice->peer_spi == IkeSpi(7));
  choice->answer.spi = Bytes(8, 9);
  CHECK(accept_ike(offered, {{choice->answer}}, IkeNegotiation::rekey)->suite == choice->suite);
}

TEST_CASE("key exchange: the guess, INVALID_KE_PAYLOAD, and no way to be sent to what we did not offer") {
  const auto proposals = ike({"aes256gcm16-prfsha256-ecp384-x25519", "aes128-sha256-modp2048"});
  CHECK(preferred_ke(proposals) == crypto::KeMethod::ecp384);
  CHECK(preferred_ke(esp({"aes256gcm16", "aes256gcm16-x25519"})) == crypto::KeMethod::x25519);
  CHECK_FALSE(preferred_ke(esp({"aes256gcm16"})).has_value());
  CHECK(offers_ke(proposals, crypto::KeMethod::modp2048));
  CHECK_FALSE(offers_ke(proposals, crypto::KeMethod::modp4096));

  const KePayload payload{31, Bytes(32)};
  CHECK(ke_fit(crypto::KeMethod::x25519, &payload) == KeFit::fits);
  CHECK(ke_fit(crypto::KeMethod::ecp256, &payload) == KeFit::wrong);
  CHECK(ke_fit(crypto::KeMethod::x25519, nullptr) == KeFit::wrong);
  CHECK(ke_fit(std::nullopt, &payload) == KeFit::unused);

  const auto notify = invalid_ke_payload(crypto::KeMethod::ecp384);
  CHECK(notify.type == NotifyType::invalid_ke_payload);
  CHECK(notify.data == Bytes{0, 20});
  CHECK(wanted_ke(notify) == crypto::KeMethod::ecp384);
  CHECK_FALSE(wanted_ke({NotifyType::invalid_ke_payload, ProtocolId::none, {}, {0, 2}}).has_value());  // MODP1024
  CHECK_FALSE(wanted_ke({NotifyType::invalid_ke_payload, ProtocolId::none, {}, {20}}).has_value());
  CHECK_FALSE(wanted_ke({NotifyType::invalid_ke_payload, ProtocolId::none, {}, {0, 20, 0}}).has_value());
  CHECK_FALSE(wanted_ke({NotifyType::cookie, ProtocolId::none, {}, {0, 20}}).has_value());
}

}  // namespace
}  // namespace culvert::ike
