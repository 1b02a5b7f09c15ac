// Reauthentication, RFC 7296 §2.8.3 and RFC 4478: a new IKE SA with all the children, then the Delete of the old one.
#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Reauthenticating : OneSided {
  [[nodiscard]] bool is_new(IkeSpi old) const { return established(a) && status(a).spi_i != old && !disagreement(); }
};

void add_lan(Simulation& simulation) {
  for (const Side side : {a, b}) {
    ChildConfig lan = simulation.config(side).children.front();
    lan.id = ChildId(8);
    lan.name = "lan";
    lan.mode = ModePreference::tunnel;
    lan.local = {SelectorSpec{*IpPrefix::parse(side == a ? "10.1.0.0/16" : "10.2.0.0/16"), 0}};
    lan.remote = {SelectorSpec{*IpPrefix::parse(side == a ? "10.2.0.0/16" : "10.1.0.0/16"), 0}};
    simulation.config(side).children.push_back(lan);
  }
}

int num_of(const std::vector<Message>& messages, ExchangeType exchange) {
  return static_cast<int>(requests_of(messages, exchange).size());
}

}  // namespace

// a: IKE_SA_INIT, IKE_AUTH  -->  <-- :b     (no INITIAL_CONTACT)
// a: CREATE_CHILD_SA (lan)  -->  <-- :b
// a: old: Delete            -->  <-- :b
TEST_CASE("the initiator reauthenticates: all children move, the old IKE SA is deleted after that, no packet is lost") {
  Reauthenticating simulation;
  add_lan(simulation);
  simulation.config(a).reauth_lifetime = 100s;
  simulation.conditions() = {0, 0.2, 1ms, 300ms};
  REQUIRE(simulation.comes_up(20s));
  simulation.run_for(5s);
  const IkeSpi old = simulation.status(a).spi_i;
  simulation.set_traffic(20ms);
  simulation.wire.clear();
  bool deleted_early = false;
  std::optional<TimePoint> deleted;
  simulation.filter = [&](const Datagram& datagram) {
    const auto message = simulation.open(datagram);
    if (!message || !message->find<DeletePayload>() || datagram.from != a) return true;
    if (simulation.node(a).plane.size() < 2) deleted_early = true;
    if (!deleted) deleted = simulation.now();
    return true;
  };
  simulation.run_for(85s);
  REQUIRE(simulation.run_until([&] { return simulation.node(a).plane.size() == 4; }, 30s));
  const TimePoint complete = simulation.now();
  REQUIRE(simulation.run_until([&] { return simulation.is_new(old); }, 30s));
  REQUIRE(deleted);
  CHECK(*deleted - complete >= 500ms);  // what is under way on the old children arrives
  simulation.run_for(4s);
  CHECK_FALSE(deleted_early);
  for (const Side side : {a, b}) {
    CHECK(simulation.node(side).lost == 0);
    CHECK(simulation.node(side).unsent == 0);
    CHECK_FALSE(simulation.reported(side, "down:"));
  }
  const auto requests = simulation.messages(a);
  CHECK(num_of(requests, ExchangeType::ike_sa_init) == 1);
  for (const Message& auth : requests_of(requests, ExchangeType::ike_auth))
    CHECK(auth.find_notify(NotifyType::initial_contact) == nullptr);
  CHECK(simulation.node(a).plane.size() == 2);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("a responder with reauth_lifetime sends AUTH_LIFETIME, and the initiator reauthenticates within it") {
  Reauthenticating simulation;
  simulation.config(b).reauth_lifetime = 200s;
  REQUIRE(simulation.comes_up());
  bool announced = false;
  for (const Message& message : simulation.messages(b)) {
    const NotifyPayload* notify = message.find_notify(NotifyType::auth_lifetime);
    if (!notify) continue;
    announced = true;
    CHECK(message.header.exchange == ExchangeType::ike_auth);
    CHECK(notify->data == Bytes{0, 0, 0, 200});
  }
  CHECK(announced);
  const IkeSpi old = simulation.status(a).spi_i;
  simulation.run_for(155s);
  CHECK(simulation.status(a).spi_i == old);
  CHECK(simulation.run_until([&] { return simulation.is_new(old); }, 40s));
}

TEST_CASE("AUTH_LIFETIME in an INFORMATIONAL request counts, too, and a longer one changes nothing") {
  Reauthenticating simulation;
  REQUIRE(simulation.comes_up());
  const IkeSpi old = simulation.status(a).spi_i;
  const auto say = [&](std::uint32_t id, Bytes seconds) {
    simulation.inject(simulation.forge(b, ExchangeType::informational, false, id,
                                       {notify(NotifyType::auth_lifetime, std::move(seconds))}));
  };
  SUBCASE("within a minute") {
    say(0, {0, 0, 0, 60});
    say(1, {0, 1, 0, 0});
    CHECK(simulation.run_until([&] { return simulation.is_new(old); }, 60s));
  }
  SUBCASE("malformed: ignored") {
    say(0, {0, 0, 1});
    simulation.run_for(10s);
    CHECK(simulation.status(a).spi_i == old);
  }
  SUBCASE("at once, again and again: never more than one a second") {
    for (std::uint32_t id = 0; id < 5; ++id) say(id, {0, 0, 0, 0});
    simulation.wire.clear();
    simulation.run_for(3s);
    CHECK(num_of(simulation.messages(a), ExchangeType::ike_sa_init) <= 3);
  }
}

TEST_CASE("AUTH_LIFETIME is the responder's to say: from the initiator it means nothing") {
  Reauthenticating simulation;
  REQUIRE(simulation.comes_up());
  const IkeSpi old = simulation.status(a).spi_i;
  simulation.inject(
      simulation.forge(a, ExchangeType::informational, false, 2, {notify(NotifyType::auth_lifetime, {0, 0, 0, 10})}));
  simulation.wire.clear();
  simulation.run_for(20s);
  CHECK(simulation.status(a).spi_i == old);
}

TEST_CASE("a responder whose peer does not reauthenticate does so itself when it can call, else it closes") {
  Reauthenticating simulation;
  simulation.config(b).reauth_lifetime = 60s;
  bool mute = true;  // a never begins another one
  simulation.filter = [&](const Datagram& datagram) {
    const Message message = parsed(datagram.bytes);
    return mute || datagram.from == b || message.header.exchange != ExchangeType::ike_sa_init ||
           message.header.response;
  };
  SUBCASE("it can call") {
    REQUIRE(simulation.comes_up());
    const IkeSpi old = simulation.status(a).spi_i;
    mute = false;
    simulation.run_for(20s);
    REQUIRE(simulation.run_until([&] { return simulation.is_new(old); }, 70s));
    CHECK(simulation.status(b).initiator);
  }
  SUBCASE("it cannot") {
    simulation.config(b).addresses.clear();
    REQUIRE(simulation.comes_up());
    mute = false;
    simulation.run_for(85s);
    CHECK(simulation.established(b));
    simulation.run_for(10s);
    CHECK_FALSE(simulation.established(b));
    CHECK(simulation.reported(b, "not authenticated again in time"));
  }
}

TEST_CASE("a reauthentication that fails leaves the old IKE SA up until its time is over, and is tried again") {
  Reauthenticating simulation;
  simulation.config(a).reauth_lifetime = 100s;
  REQUIRE(simulation.comes_up());
  const IkeSpi old = simulation.status(a).spi_i;
  bool lost = true;
  simulation.filter = [&](const Datagram& datagram) {
    return !lost || parsed(datagram.bytes).header.exchange != ExchangeType::ike_sa_init;
  };
  simulation.config(a).retransmit_tries = 2;
  simulation.run_for(115s);
  CHECK(simulation.status(a).spi_i == old);
  SUBCASE("it succeeds later") {
    lost = false;
    CHECK(simulation.run_until([&] { return simulation.is_new(old); }, 14s));
  }
  SUBCASE("it never does: closed, and connected anew when that works again") {
    simulation.run_for(20s);
    CHECK_FALSE(simulation.established(a));
    CHECK_FALSE(simulation.established(b));
    lost = false;
    CHECK(simulation.run_until([&] { return simulation.both_up(); }, 120s));
  }
}

// Both ends may call, and b's own reauthentication crosses a's.
TEST_CASE("both ends reauthenticate at once, and one IKE SA remains without loss") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Simulation simulation(seed);
    for (const Side side : {a, b}) {
      simulation.config(side).reauth_lifetime = 40s;
      simulation.config(side).jitter = 0;
    }
    simulation.conditions().max_delay = 100ms;
    simulation.start();
    simulation.run_for(10s);
    simulation.set_traffic(30ms);
    simulation.run_for(30s);
    CHECK(simulation.run_until([&] { return !simulation.disagreement(); }, 20s));
    for (const Side side : {a, b}) {
      CHECK(simulation.node(side).lost == 0);
      CHECK(simulation.node(side).unsent == 0);
    }
  }
}
