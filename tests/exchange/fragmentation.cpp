// IKE fragmentation, RFC 7383. What makes the messages long is traffic selectors: 60 of IPv6 a side, 4.8 kB.
//
//   a: IKE_SA_INIT, N(IKEV2_FRAGMENTATION_SUPPORTED)  -->
//                                                     <--  IKE_SA_INIT, N(IKEV2_FRAGMENTATION_SUPPORTED)  :b
//   SKF(1 of 5) … SKF(5 of 5)                         -->
//                                                     <--  SKF(1 of 5) … SKF(5 of 5)
#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Long : OneSided {
  Long() { make_messages_long(*this, 60); }
};

std::optional<FragmentPosition> position_of(const Datagram& datagram) {
  const Message message = parsed(datagram.bytes);
  return message.encrypted ? message.encrypted->fragment : std::nullopt;
}

ExchangeType exchange_of(const Datagram& datagram) {
  return parsed(datagram.bytes).header.exchange;
}

std::vector<Datagram> sent(const Simulation& simulation, Side from, ExchangeType exchange) {
  std::vector<Datagram> found;
  for (const Datagram& datagram : simulation.wire) {
    if (datagram.from == from && exchange_of(datagram) == exchange) found.push_back(datagram);
  }
  return found;
}

int dropped(Simulation& simulation, Side side, DropReason reason) {
  return simulation.node(side).drops[reason];
}

/// Bytes of IP around a message of IPv4 on port 500.
constexpr std::size_t around = 28;

}  // namespace

TEST_CASE("a long IKE_AUTH crosses in fragments of 1280 bytes of IP, both ways") {
  Long simulation;
  REQUIRE(simulation.comes_up());
  CHECK_FALSE(simulation.disagreement().has_value());
  for (const Side side : {a, b}) {
    const auto fragments = sent(simulation, side, ExchangeType::ike_auth);
    REQUIRE(fragments.size() == 5);
    std::size_t total_len = 0;
    for (std::size_t i = 0; i < fragments.size(); ++i) {
      const auto position = position_of(fragments[i]);
      REQUIRE(position.has_value());
      CHECK(position->number == i + 1);
      CHECK(position->total == 5);
      CHECK(fragments[i].bytes.size() + around <= 1280);
      total_len += fragments[i].bytes.size();
    }
    CHECK(fragments[0].bytes.size() + around == 1280);
    CHECK(total_len > 4800);
  }
}

TEST_CASE("both ends announce it in IKE_SA_INIT, which is never cut itself") {
  Long simulation;
  REQUIRE(simulation.comes_up());
  for (const Side side : {a, b}) {
    const auto init = sent(simulation, side, ExchangeType::ike_sa_init);
    REQUIRE(init.size() == 1);
    const Message message = parsed(init[0].bytes);
    const NotifyPayload* announced = message.find_notify(NotifyType::ikev2_fragmentation_supported);
    REQUIRE(announced != nullptr);  // RFC 7383 §2.3: no SPI, no data
    CHECK(announced->spi.empty());
    CHECK(announced->data.empty());
    CHECK_FALSE(message.encrypted.has_value());
  }
}

TEST_CASE("what fits stays whole") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  for (const Datagram& datagram : simulation.wire) CHECK_FALSE(position_of(datagram).has_value());
}

TEST_CASE("with the end that does not want it all stays whole, and nothing is announced in the answer") {
  for (const Side without : {a, b}) {
    Long simulation;
    simulation.config(without).fragment_size = 0;
    REQUIRE(simulation.comes_up());
    for (const Datagram& datagram : simulation.wire) CHECK_FALSE(position_of(datagram).has_value());
    CHECK(parsed(sent(simulation, b, ExchangeType::ike_sa_init)[0].bytes)
              .find_notify(NotifyType::ikev2_fragmentation_supported) == nullptr);
  }
}

TEST_CASE("fragments from a peer that did not announce them are dropped") {
  OneSided simulation;
  simulation.config(b).fragment_size = 0;
  REQUIRE(simulation.comes_up());
  const auto fragments = simulation.forge_fragments(a, ExchangeType::informational, false, 2, {}, 600);
  REQUIRE(fragments.size() == 1);
  CHECK(simulation.inject(fragments[0]).empty());
  CHECK(dropped(simulation, b, DropReason::ike_fragment) == 1);
  const auto whole = simulation.forge(a, ExchangeType::informational, false, 2, {});
  CHECK(simulation.inject(whole).size() == 1);
}

TEST_CASE("on port 4500 the non-ESP marker counts") {
  Long simulation;
  simulation.config(a).encapsulation = EncapsulationPreference::udp;
  REQUIRE(simulation.comes_up());
  for (const Side side : {a, b})
    CHECK(sent(simulation, side, ExchangeType::ike_auth)[0].bytes.size() + 4 + around == 1280);
}

TEST_CASE("the size of the configuration counts, each way its own") {
  Long simulation;
  simulation.config(a).fragment_size = 576;
  simulation.config(b).fragment_size = 4000;
  REQUIRE(simulation.comes_up());
  CHECK(sent(simulation, a, ExchangeType::ike_auth)[0].bytes.size() + around == 576);
  CHECK(sent(simulation, b, ExchangeType::ike_auth)[0].bytes.size() + around == 4000);
}

TEST_CASE("whichever fragment is lost, all are sent again, byte for byte, and the exchange completes") {
  for (const Side side : {a, b}) {
    for (std::uint16_t lost = 1; lost <= 5; ++lost) {
      Long simulation;
      CAPTURE(lost);
      bool once = false;
      simulation.filter = [&](const Datagram& datagram) {
        const auto position = position_of(datagram);
        return datagram.from != side || !position || position->number != lost || std::exchange(once, true);
      };
      REQUIRE(simulation.comes_up());
      simulation.run_for(2s);
      CHECK_FALSE(simulation.disagreement().has_value());
      const auto fragments = sent(simulation, side, ExchangeType::ike_auth);
      REQUIRE(fragments.size() == 10);
      for (std::size_t i = 0; i < 5; ++i) CHECK(fragments[i].bytes == fragments[i + 5].bytes);
    }
  }
}

TEST_CASE("reordered and doubled fragments make one message") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Simulation simulation(seed);
    make_messages_long(simulation, 60);
    simulation.config(b).start = StartMode::wait;
    simulation.conditions() = {0, 0.5, 1ms, 300ms};
    simulation.start();
    REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 3s));
    simulation.run_for(5s);
    CHECK(simulation.disagreement().value_or("") == "");
    CHECK(simulation.node(b).installs == 1);
  }
}

TEST_CASE(
    "a request that comes again has its response sent for its first fragment, and for no other (RFC 7383 §2.6.1)") {
  Long simulation;
  REQUIRE(simulation.comes_up());
  const auto request = sent(simulation, a, ExchangeType::ike_auth),
             response = sent(simulation, b, ExchangeType::ike_auth);
  for (std::size_t i = 1; i < request.size(); ++i) CHECK(simulation.inject(request[i]).empty());
  const auto again = simulation.inject(request[0]);
  REQUIRE(again.size() == response.size());
  for (std::size_t i = 0; i < again.size(); ++i) CHECK(again[i].bytes == response[i].bytes);
}

TEST_CASE("when a path is too narrow for 1280 bytes, the request is cut smaller, and then the response") {
  Long simulation;
  simulation.filter = [&](const Datagram& datagram) { return datagram.bytes.size() + around <= 600; };
  REQUIRE(simulation.comes_up(60s));
  CHECK_FALSE(simulation.disagreement().has_value());
  std::uint16_t last = 0;
  for (const Datagram& datagram : sent(simulation, a, ExchangeType::ike_auth)) {
    const auto position = position_of(datagram);
    CHECK(position->total >= last);  // RFC 7383 §2.5.2: only a larger total starts a new set
    last = position->total;
  }
  CHECK(last > 5);
  // What it has found out stays: the rekey of the child goes by small fragments at once.
  simulation.wire.clear();
  simulation.filter = nullptr;
  simulation.command(a, simulation.node(a).ike->rekey(simulation.now(), "tokyo", IkeEndpoint::RekeyWhat::both));
  simulation.run_for(10s);
  CHECK_FALSE(simulation.disagreement().has_value());
  for (const Datagram& datagram : simulation.wire) CHECK(datagram.bytes.size() + around <= 576);
}

TEST_CASE(
    "when only the way back is narrow, the request that comes again in smaller fragments makes the response smaller") {
  Long simulation;
  simulation.filter = [&](const Datagram& datagram) {
    return datagram.from == a || datagram.bytes.size() + around <= 600;
  };
  REQUIRE(simulation.comes_up(60s));
  CHECK_FALSE(simulation.disagreement().has_value());
  CHECK(simulation.node(b).installs == 1);  // the request was answered once
}

TEST_CASE("a short request has no smaller fragments") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  simulation.wire.clear();
  simulation.filter = [](const Datagram&) { return false; };
  simulation.command(a, simulation.node(a).ike->down(simulation.now(), "tokyo"));
  simulation.run_for(100s);
  const auto tries = sent(simulation, a, ExchangeType::informational);
  REQUIRE(tries.size() == 7);
  for (const Datagram& datagram : tries) CHECK(datagram.bytes == tries[0].bytes);
}

TEST_CASE("a forged fragment is dropped, and takes no place") {
  Long simulation;
  std::vector<Datagram> held;
  simulation.filter = [&](const Datagram& datagram) {
    if (datagram.from != a || !position_of(datagram)) return true;
    held.push_back(datagram);
    return false;
  };
  simulation.start();
  simulation.run_for(100ms);
  REQUIRE(held.size() == 5);
  simulation.filter = nullptr;
  for (Datagram forged : held) {
    forged.bytes.back() ^= 1;
    CHECK(simulation.inject(forged).empty());
  }
  Datagram larger = held[1];  // a total that nobody authenticated
  larger.bytes[35] = 6;
  CHECK(simulation.inject(larger).empty());
  CHECK(dropped(simulation, b, DropReason::ike_integrity) == 6);
  std::size_t num_answers = 0;
  for (const Datagram& datagram : held) num_answers += simulation.inject(datagram).size();
  CHECK(num_answers == 5);
}

TEST_CASE("a larger total starts the set again, a smaller one is ignored, what is there is not taken twice") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  const std::vector<Payload> content{VendorIdPayload{Bytes(1500, 1)}};
  const auto of = [&](std::size_t size) {
    return simulation.forge_fragments(a, ExchangeType::informational, false, 2, content, size);
  };
  const auto two = of(1000), four = of(500);
  REQUIRE(two.size() == 2);
  REQUIRE(four.size() == 4);
  CHECK(simulation.inject(two[0]).empty());
  CHECK(simulation.inject(two[0]).empty());
  CHECK(dropped(simulation, b, DropReason::ike_fragment) == 1);
  for (const std::size_t i : {3UL, 0UL, 2UL}) CHECK(simulation.inject(four[i]).empty());
  CHECK(simulation.inject(two[1]).empty());
  CHECK(dropped(simulation, b, DropReason::ike_fragment) == 2);
  CHECK(simulation.inject(four[1]).size() == 1);  // complete: the answer
}

TEST_CASE("fragments beyond count, bytes and time are not kept") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  SUBCASE("count") {
    const auto many =
        simulation.forge_fragments(a, ExchangeType::informational, false, 2, {VendorIdPayload{Bytes(30000)}}, 150);
    REQUIRE(many.size() > 256);
    for (const Datagram& datagram : many) CHECK(simulation.inject(datagram).empty());
    CHECK(dropped(simulation, b, DropReason::ike_fragment) == static_cast<int>(many.size()));
  }
  SUBCASE("bytes") {
    const auto large = simulation.forge_fragments(a, ExchangeType::informational, false, 2,
                                                  {VendorIdPayload{Bytes(40000)}, VendorIdPayload{Bytes(40000)}}, 1200);
    for (const Datagram& datagram : large) CHECK(simulation.inject(datagram).empty());
    CHECK(dropped(simulation, b, DropReason::ike_fragment) > 0);
  }
  SUBCASE("time") {
    const auto two =
        simulation.forge_fragments(a, ExchangeType::informational, false, 2, {VendorIdPayload{Bytes(1500)}}, 1000);
    CHECK(simulation.inject(two[0]).empty());
    simulation.filter = [](const Datagram&) { return false; };
    simulation.run_for(31s);
    CHECK(simulation.inject(two[1]).empty());
    CHECK(simulation.inject(two[0]).size() == 1);
  }
}

TEST_CASE("what breaks the grammar in fragments is as fatal as in one message") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  const auto fragments = simulation.forge_fragments(a, ExchangeType::informational, false, 2,
                                                    {UnknownPayload{200, false}, NoncePayload{Bytes(3)}}, 600);
  const auto answer = simulation.inject(fragments.at(0));
  REQUIRE(answer.size() == 1);
  CHECK(simulation.open(answer[0])->find_notify(NotifyType::invalid_syntax) != nullptr);
  CHECK_FALSE(simulation.established(b));
}
