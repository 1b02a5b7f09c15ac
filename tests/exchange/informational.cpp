// INFORMATIONAL: deletion, liveness, hints, windows; and what an enemy may send.
#include <doctest/doctest.h>

#include <algorithm>

#include "simulation.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Up : Simulation {
  Up() {
    config(b).start = StartMode::wait;
    record_wire = true;
    use_debug_keys();
    start();
    REQUIRE(run_until([&] { return both_up(); }, 5s));
    run_for(1s);
    wire.clear();
  }
  Spi child(Side side) { return status(side).children.front().inbound_spi; }
  void still_up() {
    CHECK(disagreement().value_or("") == "");
    CHECK(fault() == "");
  }
};

Bytes bytes_of(Spi spi) {
  Bytes bytes(4);
  store_be(bytes.data(), spi.value());
  return bytes;
}

}  // namespace

// ---- deletion
// ------------------------------------------------------------------------------------------------------------------

// b: HDR, SK {D(IKE)}  -->
//                      <--  HDR, SK {}
TEST_CASE("down deletes the IKE SA by an exchange, and both know that there is none") {
  Up simulation;
  simulation.config(a).start = StartMode::wait;
  simulation.command(b, simulation.node(b).ike->down(simulation.now(), "paris"));
  CHECK(simulation.node(b).plane.empty());
  simulation.run_for(100ms);
  CHECK(simulation.both_gone());
  const auto answers = simulation.messages(a);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].payloads.empty());
  CHECK(simulation.status(b).admin_down);
  CHECK(simulation.status(b).reason.starts_with("administratively down"));
  CHECK(simulation.status(a).reason.starts_with("deleted by the peer"));
  CHECK(simulation.reported(a, "peer tokyo: down: deleted by the peer", log::Level::info));
}

TEST_CASE("a peer that is administratively down takes no calls until it is up again") {
  Up simulation;
  simulation.command(b, simulation.node(b).ike->down(simulation.now(), "paris"));
  simulation.run_for(20s);
  CHECK(simulation.both_gone());
  CHECK(simulation.status(a).reason.contains("TEMPORARY_FAILURE"));
  simulation.command(b, simulation.node(b).ike->up(simulation.now(), "paris"));
  simulation.run_for(5s);
  CHECK(simulation.both_up());
}

TEST_CASE("start = always comes back after the peer's Delete") {
  Up simulation;
  simulation.inject(simulation.forge(b, ExchangeType::informational, false, 0, {DeletePayload{ProtocolId::ike, {}}}));
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.status(a).retry_at.has_value());
  simulation.run_for(5s);
  CHECK(simulation.established(a));
  simulation.run_for(60s);
  simulation.still_up();
}

TEST_CASE("the peer's Delete of the only child is answered with the paired SPI, and the child comes back") {
  Up simulation;
  const Spi mine = simulation.child(a), theirs = simulation.child(b);
  const auto answers = simulation.inject(
      simulation.forge(b, ExchangeType::informational, false, 0, {DeletePayload{ProtocolId::esp, {bytes_of(theirs)}}}));
  REQUIRE(answers.size() == 1);
  const auto answer = simulation.open(answers[0]);
  REQUIRE(answer);
  REQUIRE(answer->find<DeletePayload>());
  CHECK(answer->find<DeletePayload>()->spis == std::vector<Bytes>{bytes_of(mine)});
  CHECK(simulation.established(a));
  CHECK_FALSE(simulation.up(a));
  CHECK(simulation.status(a).children.front().reason.contains("deleted by the peer"));
  simulation.run_for(5s);
  CHECK(simulation.up(a));
}

TEST_CASE("a Delete with SPIs that nobody has is answered without a Delete payload") {
  Up simulation;
  const auto answers = simulation.inject(
      simulation.forge(b, ExchangeType::informational, false, 0, {DeletePayload{ProtocolId::esp, {{1, 2, 3, 4}}}}));
  REQUIRE(answers.size() == 1);
  CHECK(simulation.open(answers[0])->payloads.empty());
  CHECK(simulation.up(a));
}

TEST_CASE("a Delete is answered again byte for byte after the IKE SA is gone") {
  Up simulation;
  simulation.config(a).start = StartMode::wait;
  const Datagram deletion =
      simulation.forge(b, ExchangeType::informational, false, 0, {DeletePayload{ProtocolId::ike, {}}});
  const auto first = simulation.inject(deletion);
  const auto second = simulation.inject(deletion);
  REQUIRE(first.size() == 1);
  REQUIRE(second.size() == 1);
  CHECK(first[0].bytes == second[0].bytes);
}

TEST_CASE("shutting down sends one Delete for each IKE SA and waits for nothing") {
  Up simulation;
  simulation.config(a).start = StartMode::wait;
  simulation.perform(b, simulation.node(b).ike->shut_down(simulation.now()));
  CHECK(simulation.node(b).plane.empty());
  CHECK(simulation.messages(b).size() == 1);
  simulation.run_for(100ms);
  CHECK_FALSE(simulation.established(a));
}

// ---- liveness
// ------------------------------------------------------------------------------------------------------------------

TEST_CASE("silence is asked about after the configured time, once, and traffic is no silence") {
  Up simulation;
  SUBCASE("silence") {
    simulation.run_for(31s);
    CHECK(!simulation.messages().empty());
    for (const Message& message : simulation.messages()) {
      CHECK(message.header.exchange == ExchangeType::informational);
      CHECK(message.payloads.empty());
    }
  }
  SUBCASE("ESP from the peer") {
    simulation.set_traffic(1s);
    simulation.run_for(200s);
    CHECK(simulation.wire.empty());
  }
  simulation.still_up();
}

TEST_CASE("a hint causes one liveness check in a while, and nothing more") {
  Up simulation;
  const Path path = simulation.status(a).path;
  for (int i = 0; i < 50; ++i) {
    simulation.perform(a, simulation.node(a).ike->on_hint(simulation.now(), path));
    simulation.run_for(20ms);
  }
  CHECK(simulation.messages(a).size() == 1);
  Path elsewhere = path;
  elsewhere.remote.address = *IpAddress::parse("198.51.100.1");
  simulation.run_for(20s);
  simulation.wire.clear();
  simulation.perform(a, simulation.node(a).ike->on_hint(simulation.now(), elsewhere));
  simulation.run_for(1s);
  CHECK(simulation.wire.empty());
  simulation.still_up();
}

// ---- windows
// -------------------------------------------------------------------------------------------------------------------

TEST_CASE("a replayed request gets the cached response, an older or changed one gets nothing") {
  Up simulation;
  const Datagram first = simulation.forge(b, ExchangeType::informational, false, 0, {});
  const Datagram second = simulation.forge(b, ExchangeType::informational, false, 1, {});
  const auto answer = simulation.inject(first);
  REQUIRE(answer.size() == 1);
  CHECK(simulation.inject(first).at(0).bytes == answer[0].bytes);
  CHECK(simulation.inject(second).size() == 1);
  CHECK(simulation.inject(first).empty());
  const Datagram other_bytes =
      simulation.forge(b, ExchangeType::informational, false, 1, {notify(NotifyType::additional_ts_possible)});
  CHECK(simulation.inject(other_bytes).empty());
  CHECK(simulation.node(a).drops[DropReason::ike_replayed] == 2);
}

// RFC 7296 §2.3
TEST_CASE("a request beyond the window is dropped, and its sender told INVALID_MESSAGE_ID in a request of our own") {
  Up simulation;
  const auto answers = simulation.inject(simulation.forge(b, ExchangeType::informational, false, 7, {}));
  REQUIRE(answers.size() == 1);
  const auto complaint = simulation.open(answers[0]);
  REQUIRE(complaint);
  CHECK_FALSE(complaint->header.response);
  const NotifyPayload* told = complaint->find_notify(NotifyType::invalid_message_id);
  REQUIRE(told);
  CHECK(told->data == Bytes{0, 0, 0, 7});
  CHECK(simulation.inject(simulation.forge(b, ExchangeType::informational, false, 8, {})).empty());
}

TEST_CASE("a response that nobody asked for is dropped") {
  Up simulation;
  CHECK(simulation.inject(simulation.forge(b, ExchangeType::informational, true, 2, {})).empty());
  CHECK(simulation.node(a).drops[DropReason::ike_replayed] == 1);
  simulation.still_up();
}

TEST_CASE("our own message sent back to us is a stranger's") {
  Up simulation;
  Datagram mine = simulation.forge(a, ExchangeType::informational, false, 2, {});
  mine.from = b;
  std::swap(mine.path.local, mine.path.remote);
  for (const Datagram& answer : simulation.inject(mine)) CHECK_FALSE(parsed(answer.bytes).encrypted);
  CHECK(simulation.node(a).drops[DropReason::ike_unknown_sa] == 1);
  simulation.still_up();
}

// ---- what an enemy may send
// ----------------------------------------------------------------------------------------------------

// RFC 7296 §2.5
TEST_CASE("an unknown critical payload is named in UNSUPPORTED_CRITICAL_PAYLOAD, a non-critical one skipped") {
  Up simulation;
  const auto refused =
      simulation.inject(simulation.forge(b, ExchangeType::informational, false, 0, {UnknownPayload{200, true}}));
  REQUIRE(refused.size() == 1);
  const auto refusal = simulation.open(refused[0]);
  REQUIRE(refusal);
  const NotifyPayload* told = refusal->find_notify(NotifyType::unsupported_critical_payload);
  REQUIRE(told);
  CHECK(told->data == Bytes{200});
  const auto answered =
      simulation.inject(simulation.forge(b, ExchangeType::informational, false, 1, {UnknownPayload{200, false}}));
  REQUIRE(answered.size() == 1);
  CHECK(simulation.open(answered[0])->payloads.empty());
  CHECK(simulation.up(a));
}

// RFC 7296 §2.21.3
TEST_CASE("an authenticated message that makes no sense gets INVALID_SYNTAX, and ends that IKE SA alone") {
  Up simulation;
  const auto refused =
      simulation.inject(simulation.forge(b, ExchangeType::create_child_sa, false, 0, {NoncePayload{Bytes(32)}}));
  REQUIRE(refused.size() >= 1);
  CHECK(simulation.open(refused[0])->find_notify(NotifyType::invalid_syntax) != nullptr);
  CHECK_FALSE(simulation.established(a));
  simulation.run_for(200s);
  simulation.still_up();
}

TEST_CASE("a message whose ICV does not hold changes nothing and is counted") {
  Up simulation;
  Datagram forged = simulation.forge(b, ExchangeType::informational, false, 0, {DeletePayload{ProtocolId::ike, {}}});
  for (std::size_t at : {std::size_t{30}, forged.bytes.size() / 2, forged.bytes.size() - 1}) {
    Datagram changed = forged;
    changed.bytes[at] ^= 0x40;
    CHECK(simulation.inject(changed).empty());
  }
  CHECK(simulation.node(a).drops[DropReason::ike_integrity] + simulation.node(a).drops[DropReason::ike_malformed] == 3);
  simulation.still_up();
}

// RFC 7296 §2.4, §2.21.4
TEST_CASE("an unprotected notify for a living IKE SA is a hint at most") {
  Up simulation;
  const PeerStatus status = simulation.status(a);
  const Header header{status.spi_i, status.spi_r, ExchangeType::informational, false, true, MessageId(2)};
  for (const NotifyType type :
       {NotifyType::invalid_ike_spi, NotifyType::authentication_failed, NotifyType::invalid_syntax}) {
    simulation.inject(
        {b, {simulation.node(b).address, simulation.node(a).address}, build(header, {notify(type)}), false});
  }
  simulation.run_for(1s);
  simulation.still_up();
}

TEST_CASE("an unprotected Delete is nothing") {
  Up simulation;
  const PeerStatus status = simulation.status(a);
  const Header header{status.spi_i, status.spi_r, ExchangeType::informational, false, false, MessageId(0)};
  CHECK(simulation
            .inject({b,
                     {simulation.node(b).address, simulation.node(a).address},
                     build(header, {DeletePayload{ProtocolId::ike, {}}}),
                     false})
            .empty());
  simulation.still_up();
}

// RFC 7296 §2.21.4
TEST_CASE("a protected message for an unknown IKE SA gets INVALID_IKE_SPI, at a bounded rate") {
  Up simulation;
  Datagram stray = simulation.forge(a, ExchangeType::informational, false, 2, {});
  stray.bytes[9] ^= 1;  // SPIr
  int answers = 0;
  for (int i = 0; i < 1000; ++i) answers += static_cast<int>(simulation.inject(stray).size());
  CHECK(answers >= 1);
  CHECK(answers <= 11);
  CHECK(simulation.node(b).drops[DropReason::ike_unknown_sa] == 1000);
  simulation.still_up();
}

// RFC 7296 §2.5
TEST_CASE("a higher major version is answered with INVALID_MAJOR_VERSION and ours, a response never is") {
  Up simulation;
  Datagram request = simulation.forge(a, ExchangeType::informational, false, 2, {});
  request.bytes[17] = 0x30;
  const auto answers = simulation.inject(request);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].bytes[17] == 0x20);
  CHECK(parsed(answers[0].bytes).find_notify(NotifyType::invalid_major_version) != nullptr);
  request.bytes[19] |= 0x20;
  CHECK(simulation.inject(request).empty());
}

TEST_CASE("truncated and random datagrams change nothing") {
  Up simulation;
  const Datagram good =
      simulation.forge(b, ExchangeType::informational, false, 0, {DeletePayload{ProtocolId::ike, {}}});
  for (std::size_t len = 0; len < good.bytes.size(); ++len) {
    Datagram cut = good;
    cut.bytes.resize(len);
    simulation.inject(cut);
  }
  SeededRandom random(99);
  for (int i = 0; i < 20000; ++i) {
    Datagram noise = good;
    noise.bytes.resize(random.next() % 200);
    random.fill(noise.bytes);
    if (random.chance(0.7) && noise.bytes.size() >= 28) {  // a header that fits, so that more of the parser is reached
      std::copy_n(good.bytes.begin(), 24, noise.bytes.begin());
      noise.bytes[18] = static_cast<std::uint8_t>(34 + random.next() % 4);
      noise.bytes[19] = static_cast<std::uint8_t>(random.next() & 0x28);
      store_be(noise.bytes.data() + 24, static_cast<std::uint32_t>(noise.bytes.size()));
      if (random.chance(0.5)) std::fill_n(noise.bytes.begin() + 8, 8, std::uint8_t{0});
    }
    simulation.inject(noise);
  }
  simulation.run_for(40s);
  simulation.still_up();
  std::size_t lines = simulation.node(a).reports.size();
  CHECK(lines < 40);
}

TEST_CASE("IKE_AUTH cannot be had twice") {
  Up simulation;
  const auto refused =
      simulation.inject(simulation.forge(a, ExchangeType::ike_auth, false, 2, {IdPayload{true, 2, {}, Bytes{1, 2}}}));
  REQUIRE(refused.size() >= 1);
  CHECK(simulation.open(refused[0])->find_notify(NotifyType::invalid_syntax) != nullptr);
}
