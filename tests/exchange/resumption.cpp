// Session resumption, RFC 5723.
#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Resuming : OneSided {
  Resuming() {
    for (const Side side : {a, b}) {
      config(side).resumption = true;
      config(side).liveness = 5s;
      config(side).retransmit_tries = 3;
      node(side).options.unix_at_zero = 1'800'000'000s;
    }
  }
  /// Comes up, then b loses its memory and returns; a finds that out and has a ticket.
  void lose_and_return() {
    REQUIRE(comes_up());
    run_for(2s);
    kill(b);
    wire.clear();
    REQUIRE(run_until([&] { return !established(a); }, 60s));
    start(b);
  }
  [[nodiscard]] int num(ExchangeType exchange, Side from = a) const {
    int count = 0;
    for (const Datagram& datagram : wire)
      count += datagram.from == from && parsed(datagram.bytes).header.exchange == exchange;
    return count;
  }
  [[nodiscard]] bool said(NotifyType type, Side from) const {
    return std::ranges::any_of(messages(from),
                               [&](const Message& message) { return message.find_notify(type) != nullptr; });
  }
};

}  // namespace

// a: IKE_SESSION_RESUME {Ni, ticket}  -->  <--  {Nr}  :b      no key exchange
// a: IKE_AUTH                         -->  <--        :b
// a: CREATE_CHILD_SA (IKE)            -->  <--        :b      a fresh key exchange, a little later
TEST_CASE("an IKE SA that was lost comes back from its ticket, and gets fresh keys soon after") {
  Resuming simulation;
  simulation.lose_and_return();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  CHECK(simulation.num(ExchangeType::ike_session_resume) >= 1);
  CHECK(simulation.num(ExchangeType::ike_sa_init) == 0);
  const PeerStatus resumed = simulation.status(a);
  CHECK(simulation.disagreement().value_or("") == "");
  simulation.run_for(6s);
  CHECK(simulation.status(a).spi_i != resumed.spi_i);
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.said(NotifyType::ticket_lt_opaque, b));
}

TEST_CASE("without resumption on both sides there are neither tickets nor resumptions") {
  Resuming simulation;
  SUBCASE("a does not ask") {
    simulation.config(a).resumption = false;
  }
  SUBCASE("b does not give") {
    simulation.config(b).resumption = false;
  }
  simulation.lose_and_return();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  CHECK(simulation.num(ExchangeType::ike_session_resume) == 0);
  CHECK(simulation.num(ExchangeType::ike_sa_init) >= 1);
  CHECK_FALSE(simulation.said(NotifyType::ticket_lt_opaque, b));
}

TEST_CASE("a ticket that is no longer good is refused, and a full IKE_SA_INIT follows in the same attempt") {
  Resuming simulation;
  REQUIRE(simulation.comes_up());
  simulation.run_for(2s);
  simulation.kill(b);
  REQUIRE(simulation.run_until([&] { return !simulation.established(a); }, 60s));
  SUBCASE("b has lost its keys") {
    simulation.node(b).options.ticket_keys = nullptr;
  }
  SUBCASE("b takes no more tickets") {
    simulation.config(b).resumption = false;
  }
  SUBCASE("another pre-shared key") {
    // The ticket would still open; that the key has changed voids it.
    for (const Side side : {a, b})
      simulation.config(side).auth =
          AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("another key"))));
  }
  SUBCASE("algorithms that are no longer allowed") {
    simulation.config(b).ike_proposals = {*parse_ike_proposal("aes256gcm16-prfsha384-x25519")};
  }
  SUBCASE("its authentication is too old by now") {
    simulation.config(b).reauth_lifetime = 1s;
  }
  SUBCASE("the clock says that it has expired") {
    simulation.node(b).options.unix_at_zero += 9h;
  }
  SUBCASE("the clock was set back to before it was made") {
    simulation.node(b).options.unix_at_zero -= 9h;
  }
  simulation.wire.clear();
  simulation.start(b);
  simulation.run_for(70s);
  CHECK(simulation.said(NotifyType::ticket_nack, b));
  CHECK(simulation.num(ExchangeType::ike_sa_init) >= 1);
}

// The IKE_SA_INIT that follows is the first message of an IKE SA: SPIr is zero (RFC 7296 §3.1).
TEST_CASE("where a NAT has come onto the path, and raw ESP is wanted, a full IKE_SA_INIT says why it cannot be") {
  Resuming simulation;
  simulation.config(a).encapsulation = EncapsulationPreference::raw;
  REQUIRE(simulation.comes_up());
  simulation.run_for(2s);
  simulation.kill(b);
  simulation.put_behind_nat({*IpAddress::parse("203.0.113.7"), 20000}, {*IpAddress::parse("203.0.113.7"), 20001});
  simulation.config(b).addresses.clear();
  REQUIRE(simulation.run_until([&] { return !simulation.established(a); }, 60s));
  simulation.wire.clear();
  simulation.start(b);
  simulation.run_for(70s);
  CHECK(simulation.num(ExchangeType::ike_session_resume) >= 1);
  REQUIRE(simulation.num(ExchangeType::ike_sa_init) >= 1);
  for (const Datagram& datagram : simulation.wire) {
    const Header header = parsed(datagram.bytes).header;
    if (datagram.from == a && header.exchange == ExchangeType::ike_sa_init) CHECK(header.spi_r.value() == 0);
  }
  CHECK(simulation.status(a).reason.contains("encapsulation = \"raw\" forbids UDP"));
}

// RFC 5685 has no redirect in IKE_SESSION_RESUME: the ticket is refused, and IKE_SA_INIT is sent elsewhere.
TEST_CASE("a gateway that drains takes no tickets: who comes back is sent to the other one") {
  Resuming simulation;
  simulation.config(a).follow_redirects = true;
  REQUIRE(simulation.comes_up());
  simulation.run_for(2s);
  simulation.kill(b);
  REQUIRE(simulation.run_until([&] { return !simulation.established(a); }, 60s));
  simulation.node(b).options.redirect = "192.0.2.77";
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 70s));
  CHECK(simulation.said(NotifyType::ticket_nack, b));
  CHECK(simulation.status(a).path.remote.address == *IpAddress::parse("192.0.2.77"));
}

TEST_CASE("silence is an answer, too: IKE_SA_INIT follows") {
  Resuming simulation;
  simulation.filter = [&](const Datagram& datagram) {
    return parsed(datagram.bytes).header.exchange != ExchangeType::ike_session_resume;
  };
  simulation.lose_and_return();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  CHECK(simulation.num(ExchangeType::ike_session_resume) == 3);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("a COOKIE is asked for and returned in IKE_SESSION_RESUME as in IKE_SA_INIT") {
  Resuming simulation;
  simulation.node(b).options.cookie_threshold = 0;
  simulation.lose_and_return();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  CHECK(simulation.num(ExchangeType::ike_session_resume) == 2);
  CHECK(simulation.num(ExchangeType::ike_sa_init) == 0);
}

TEST_CASE("what was closed on purpose is not resumed") {
  Resuming simulation;
  REQUIRE(simulation.comes_up());
  simulation.command(a, simulation.node(a).ike->down(simulation.now(), "tokyo"));
  simulation.run_for(2s);
  simulation.command(a, simulation.node(a).ike->up(simulation.now(), "tokyo"));
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 5s));
  CHECK(simulation.num(ExchangeType::ike_session_resume) == 0);
}

// Somebody who has seen the ticket on the wire knows no SK_d: IKE_AUTH fails, and the ticket is not used up by that.
TEST_CASE("a ticket is used once, and only by who can authenticate") {
  Resuming simulation;
  simulation.lose_and_return();
  REQUIRE(simulation.run_until([&] { return simulation.num(ExchangeType::ike_session_resume) > 0; }, 60s));
  const auto request = std::ranges::find_if(simulation.wire, [](const Datagram& datagram) {
    return parsed(datagram.bytes).header.exchange == ExchangeType::ike_session_resume;
  });
  Datagram copy = *request;
  copy.bytes[0] ^= 0x55;  // another SPIi: not a retransmission
  auto answers = simulation.inject(copy);
  REQUIRE(answers.size() == 1);
  CHECK(parsed(answers[0].bytes).find<NoncePayload>() != nullptr);  // not used up: still good
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  CHECK(simulation.num(ExchangeType::ike_sa_init) == 0);
  copy.bytes[1] ^= 0x55;
  answers = simulation.inject(copy);
  REQUIRE(answers.size() == 1);
  CHECK(parsed(answers[0].bytes).find_notify(NotifyType::ticket_nack) != nullptr);
}

TEST_CASE("a resumption proves nothing anew: reauth_lifetime counts from the IKE_AUTH that did") {
  Resuming simulation;
  simulation.config(a).reauth_lifetime = 100s;
  simulation.config(a).jitter = 0;
  simulation.lose_and_return();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  CHECK(simulation.num(ExchangeType::ike_sa_init) == 0);
  // Started at one hour on the clock of the simulation, up some milliseconds later.
  simulation.run_until(TimePoint{} + 1h + 98s);
  CHECK(simulation.num(ExchangeType::ike_sa_init) == 0);
  simulation.run_until(TimePoint{} + 1h + 103s);
  CHECK(simulation.num(ExchangeType::ike_sa_init) >= 1);
}
