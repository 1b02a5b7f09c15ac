// IKE_SA_INIT: COOKIE, INVALID_KE_PAYLOAD, half-open IKE SAs.
#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

// a: HDR, SA, KE, N            -->
//                              <--  HDR, N(COOKIE)
// a: HDR, N(COOKIE), SA, KE, N -->    message ID 0 again, RFC 7296 §2.6
TEST_CASE("a COOKIE is returned first in the same request, still with message ID 0") {
  OneSided simulation;
  simulation.node(b).options.cookie_threshold = 0;
  REQUIRE(simulation.comes_up());
  const auto sent = requests_of(simulation.messages(a), ExchangeType::ike_sa_init);
  REQUIRE(sent.size() == 2);
  CHECK(sent[1].header.message_id.value() == 0);
  CHECK(sent[0].header.spi_i == sent[1].header.spi_i);
  const auto* first = std::get_if<NotifyPayload>(&sent[1].payloads.front());
  REQUIRE(first);
  CHECK(first->type == NotifyType::cookie);
  CHECK(sent[0].find<NoncePayload>()->data == sent[1].find<NoncePayload>()->data);
}

TEST_CASE("a COOKIE that we did not make, or made for another address or SPI, brings nothing but a COOKIE") {
  OneSided simulation;
  simulation.node(b).options.cookie_threshold = 0;
  simulation.config(b).addresses.clear();  // strangers are welcome
  REQUIRE(simulation.comes_up());
  simulation.filter = [](const Datagram&) { return false; };
  const auto sent = requests_of(simulation.messages(a), ExchangeType::ike_sa_init);
  REQUIRE(sent.size() == 2);
  const auto answer_to = [&](const Message& message, const char* from) {
    Datagram request{a, simulation.wire.front().path, build(message.header, message.payloads), false};
    request.path.local.address = *IpAddress::parse(from);
    const auto answers = simulation.inject(request);
    return answers.size() == 1 ? parsed(answers.front().bytes) : Message{};
  };
  Message good = sent[1];
  REQUIRE(std::holds_alternative<NoncePayload>(good.payloads[3]));  // COOKIE, SA, KE, Ni
  good.payloads.emplace_back(VendorIdPayload{Bytes{1}});            // not the datagram that was answered already
  CHECK(answer_to(good, "192.0.2.1").find<SaPayload>() != nullptr);
  CHECK(answer_to(good, "192.0.2.9").find_notify(NotifyType::cookie) != nullptr);
  Message other_spi = good;
  other_spi.header.spi_i = IkeSpi(4711);
  CHECK(answer_to(other_spi, "192.0.2.1").find_notify(NotifyType::cookie) != nullptr);
  Message forged = good;
  std::get<NotifyPayload>(forged.payloads.front()).data.back() ^= 1;
  CHECK(answer_to(forged, "192.0.2.1").find_notify(NotifyType::cookie) != nullptr);
  Message other_nonce = good;
  std::get<NoncePayload>(other_nonce.payloads[3]).data[0] ^= 1;
  CHECK(answer_to(other_nonce, "192.0.2.1").find_notify(NotifyType::cookie) != nullptr);
}

TEST_CASE("a late copy of a COOKIE is not answered again") {
  OneSided simulation;
  simulation.node(b).options.cookie_threshold = 0;
  simulation.conditions().duplicate = 1;
  REQUIRE(simulation.comes_up());
  CHECK(requests_of(simulation.messages(a), ExchangeType::ike_sa_init).size() == 2);
}

// a: HDR, SA, KE(ecp256), N    -->
//                              <--  HDR, N(INVALID_KE_PAYLOAD, x25519)
// a: HDR, SA, KE(x25519), N    -->    with all proposals, RFC 7296 §1.2
TEST_CASE("INVALID_KE_PAYLOAD is answered with the other group and the whole set of proposals") {
  OneSided simulation;
  simulation.config(a).ike_proposals = ike_of("aes128gcm16-prfsha256-ecp256-x25519");
  REQUIRE(simulation.comes_up());
  const auto sent = requests_of(simulation.messages(a), ExchangeType::ike_sa_init);
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].find<KePayload>()->method == 19);  // IANA: 256-bit random ECP group
  CHECK(sent[1].find<KePayload>()->method == 31);  // IANA: curve25519
  CHECK(sent[0].find<SaPayload>()->proposals == sent[1].find<SaPayload>()->proposals);
  CHECK(sent[1].header.message_id.value() == 0);
}

TEST_CASE("a COOKIE is kept when INVALID_KE_PAYLOAD follows") {
  OneSided simulation;
  simulation.node(b).options.cookie_threshold = 0;
  simulation.config(a).ike_proposals = ike_of("aes128gcm16-prfsha256-ecp256-x25519");
  REQUIRE(simulation.comes_up());
  const auto sent = requests_of(simulation.messages(a), ExchangeType::ike_sa_init);
  REQUIRE(sent.size() == 3);
  const NotifyPayload* cookie = sent[2].find_notify(NotifyType::cookie);
  REQUIRE(cookie);
  CHECK(cookie->data == sent[1].find_notify(NotifyType::cookie)->data);
}

TEST_CASE("a peer that asks for another COOKIE for ever is given up") {
  OneSided simulation;
  int rounds = 0;
  simulation.filter = [&](const Datagram& datagram) {
    if (datagram.from == b) return false;
    Header header = parsed(datagram.bytes).header;
    header.response = true;
    header.initiator = false;
    const Bytes cookie{1, 2, 3, static_cast<std::uint8_t>(++rounds)};
    if (rounds < 50)
      simulation.deliver(
          {b, {datagram.path.remote, datagram.path.local}, build(header, {notify(NotifyType::cookie, cookie)}), false});
    return false;
  };
  simulation.start(a);
  simulation.run_for(500ms);
  CHECK(rounds < 12);
  CHECK(simulation.reported(a, "COOKIE"));
}

TEST_CASE("INVALID_KE_PAYLOAD for a group that was not offered ends the attempt") {
  OneSided simulation;
  simulation.filter = [&](const Datagram& datagram) {
    if (datagram.from == b) return false;
    Header header = parsed(datagram.bytes).header;
    header.response = true;
    header.initiator = false;
    simulation.deliver({b,
                        {datagram.path.remote, datagram.path.local},
                        build(header, {notify(NotifyType::invalid_ke_payload, {0, 14})}),
                        false});
    return false;
  };
  simulation.start(a);
  simulation.run_for(500ms);
  CHECK(simulation.reported(a, "wants a key exchange"));
  CHECK(simulation.status(a).retry_at.has_value());
}

TEST_CASE("half-open IKE SAs are bounded, and go by themselves") {
  OneSided simulation;
  simulation.node(b).options.max_half_open = 5;
  simulation.node(b).options.cookie_threshold = 1000;
  simulation.start();
  simulation.filter = [](const Datagram&) { return false; };
  REQUIRE(!simulation.wire.empty());
  Datagram flood = simulation.wire.front();
  for (std::uint8_t i = 0; i < 20; ++i) {
    flood.bytes[0] = i;  // another SPIi
    simulation.inject(flood);
  }
  CHECK(simulation.node(b).drops[DropReason::ike_half_open_limit] >= 14);
  simulation.run_for(40s);
  simulation.node(b).drops.clear();
  flood.bytes[0] = 200;
  CHECK(simulation.inject(flood).size() == 1);
}

TEST_CASE("a copy of an IKE_SA_INIT request gets the same response and makes no second IKE SA") {
  OneSided simulation;
  simulation.filter = [](const Datagram&) { return false; };
  simulation.start();
  const Datagram request = simulation.wire.front();
  const auto first = simulation.inject(request);
  const auto second = simulation.inject(request);
  REQUIRE(first.size() == 1);
  REQUIRE(second.size() == 1);
  CHECK(first.front().bytes == second.front().bytes);
}
