// Many that ask, few that mean it: what an endpoint does, keeps and says (RFC 7296 §2.6, RFC 8019).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

/// Side a has just sent its IKE_SA_INIT, which got lost; what it floods b with looks like it.
struct Flooded : OneSided {
  explicit Flooded(bool strangers = true) {
    if (strangers) config(b).addresses.clear();
    node(b).options.max_half_open = 200;
    node(b).options.cookie_threshold = 20;
    start();
    filter = [](const Datagram&) { return false; };
    request = wire.front();
  }
  Datagram from(const std::string& address, std::uint32_t spi) {
    Datagram copy = request;
    copy.path.local.address = *IpAddress::parse(address);
    store_be(copy.bytes.data(), spi + 1);
    return copy;
  }
  /// Requests from everywhere, with an answer for each of them counted by what it is.
  void flood(int num) {
    for (int i = 0; i < num; ++i) {
      if (i % 500 == 499) run_for(10ms);  // 50,000 a second
      const auto serial = num_sent++;
      for (const Datagram& answer :
           inject(from(fmt::format("10.{}.{}.{}", serial >> 16 & 255, serial >> 8 & 255, serial & 255), serial))) {
        const bool cookie = parsed(answer.bytes).find_notify(NotifyType::cookie) != nullptr;
        ++(cookie ? num_cookies : num_others);
        if (cookie) CHECK(answer.bytes.size() < request.bytes.size());  // of no use to who wants to multiply
      }
    }
  }
  int drops(DropReason reason) { return node(b).drops[reason]; }

  Datagram request;
  std::uint32_t num_sent = 0;
  int num_cookies = 0, num_others = 0;
};

}  // namespace

TEST_CASE("a flood from forged addresses gets cookies, and keeps no more than the threshold") {
  Flooded simulation;
  simulation.flood(50000);
  CHECK(simulation.num_others == 20);
  CHECK(simulation.num_cookies >= 5900);  // 5,000 at once, 1,000 a second
  CHECK(simulation.num_cookies <= 6000);
  CHECK(simulation.drops(DropReason::ike_cookie_demanded) >= simulation.num_cookies);
  CHECK(simulation.drops(DropReason::ike_flood) == 49980 - simulation.num_cookies);
  CHECK(simulation.reported(b, "a flood of IKE_SA_INIT", log::Level::warn));
  CHECK(std::ranges::count_if(simulation.node(b).reports,
                              [](const Report& line) { return line.text.contains("IKE_SA_INIT"); }) == 1);
}

TEST_CASE("an honest peer comes up in the middle of a flood, known or not") {
  for (const bool stranger : {true, false}) {
    Flooded simulation(stranger);
    simulation.flood(30000);
    simulation.filter = nullptr;
    CHECK(simulation.run_until([&] { return simulation.both_up(); }, 3s));
    CHECK(simulation.status(b).state == PeerStatus::State::established);
  }
}

TEST_CASE("once it is calm no cookie is demanded any more, and that is said") {
  Flooded simulation;
  simulation.flood(1000);
  simulation.kill(a);
  simulation.run_for(60s);
  CHECK(simulation.reported(b, "is over", log::Level::warn));
  const auto answer = simulation.inject(simulation.from("192.0.2.77", 99999));
  REQUIRE(answer.size() == 1);
  CHECK(parsed(answer[0].bytes).find<SaPayload>() != nullptr);
}

TEST_CASE("where every peer has an address, a stranger's request costs no cookie and hardly an answer") {
  Flooded simulation(false);
  simulation.flood(5000);
  CHECK(simulation.num_cookies == 0);
  CHECK(simulation.num_others <= 10 + 2);  // in a tenth of a second
  CHECK(simulation.drops(DropReason::ike_stranger) == 5000);
}

TEST_CASE("an established IKE SA works through a flood: liveness, rekeys") {
  OneSided simulation;
  simulation.config(b).addresses.clear();
  REQUIRE(simulation.comes_up());
  const Datagram request = simulation.wire.front();
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 100; ++i) {
      Datagram forged = request;
      forged.path.local.address = *IpAddress::parse(fmt::format("10.1.{}.{}", round, i));
      store_be(forged.bytes.data(), static_cast<std::uint32_t>(round * 100 + i + 1));
      (void)simulation.inject(forged);
    }
    if (round == 20)
      simulation.command(a, simulation.node(a).ike->rekey(simulation.now(), "tokyo", IkeEndpoint::RekeyWhat::both));
    simulation.run_for(1s);
  }
  CHECK_FALSE(simulation.disagreement().has_value());
  CHECK(simulation.node(b).installs == 2);
}

TEST_CASE("with cookies, too: one address takes its share of the half-open IKE SAs and no more") {
  Flooded simulation;
  int num_admitted = 0;
  for (std::uint32_t i = 0; i < 300; ++i) {
    if (i % 100 == 99) simulation.run_for(200ms);  // 500 a second, each of which gets its cookie
    const Datagram first = simulation.from("192.0.2.50", i);
    auto answer = simulation.inject(first);
    if (answer.size() != 1) continue;
    const Message message = parsed(answer[0].bytes);
    if (const NotifyPayload* cookie = message.find_notify(NotifyType::cookie)) {
      Message again = parsed(first.bytes);
      again.payloads.insert(again.payloads.begin(), *cookie);
      answer = simulation.inject({a, first.path, build(again.header, again.payloads), false});
    }
    num_admitted += answer.size() == 1 && parsed(answer[0].bytes).find<SaPayload>() ? 1 : 0;
  }
  CHECK(num_admitted <= 20 + 20);  // with a cookie a tenth of 200; those before cookies were asked for
  CHECK(simulation.drops(DropReason::ike_source_limit) > 200);
}

TEST_CASE("who fails to authenticate again and again is not listened to for a while") {
  OneSided simulation;
  simulation.config(a).auth = AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("guess"))));
  simulation.start();
  for (int i = 0; i < 30; ++i) {
    simulation.kill(a);
    simulation.start(a);
    simulation.run_for(500ms);
  }
  CHECK(simulation.node(b).drops[DropReason::ike_source_barred] > 0);
  CHECK_FALSE(simulation.established(b));
  simulation.kill(a);
  simulation.config(a).auth = simulation.config(b).auth;
  simulation.run_for(10s);
  simulation.start(a);
  CHECK(simulation.run_until([&] { return simulation.both_up(); }, 30s));
}

TEST_CASE("what has an unknown SPI is dropped by its header, and few of them are answered") {
  OneSided simulation;
  REQUIRE(simulation.comes_up());
  Datagram unknown = simulation.forge(a, ExchangeType::informational, false, 2, {});
  std::size_t num_answers = 0;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    store_be(unknown.bytes.data(), i + 1);
    num_answers += simulation.inject(unknown).size();
  }
  CHECK(num_answers <= 10);
  CHECK(simulation.node(b).drops[DropReason::ike_unknown_sa] == 5000);
}
