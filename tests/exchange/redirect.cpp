// Redirect, RFC 5685. The other gateway is side b by another address.
#include "redirect.h"

#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

constexpr const char* other_gateway = "192.0.2.77";

struct Redirecting : OneSided {
  Redirecting() { config(a).follow_redirects = true; }
  void redirect(const char* gateway) { command(b, node(b).ike->redirect(now(), gateway)); }
  [[nodiscard]] bool is_at(const char* gateway) const {
    return up(a) && status(a).path.remote.address == *IpAddress::parse(gateway);
  }
  [[nodiscard]] std::vector<Message> inits() const { return requests_of(messages(a), ExchangeType::ike_sa_init); }
};

}  // namespace

// a: IKE_SA_INIT {REDIRECT_SUPPORTED}           -->  <--  {REDIRECT: .77, Ni}  :b
// a: IKE_SA_INIT {REDIRECTED_FROM: .2} to .77   -->  <--                       :b
TEST_CASE("a redirect in IKE_SA_INIT is followed, and the new gateway learns where from") {
  Redirecting simulation;
  simulation.node(b).options.redirect = other_gateway;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.is_at(other_gateway));
  const auto inits = simulation.inits();
  REQUIRE(inits.size() == 2);
  CHECK(inits[0].find_notify(NotifyType::redirect_supported) != nullptr);
  const NotifyPayload* from = inits[1].find_notify(NotifyType::redirected_from);
  REQUIRE(from);
  CHECK(from->data == Bytes{1, 4, 192, 0, 2, 2});
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("who does not follow redirects does not say so, and is served where it is") {
  Redirecting simulation;
  simulation.config(a).follow_redirects = false;
  simulation.node(b).options.redirect = other_gateway;
  REQUIRE(simulation.comes_up());
  CHECK_FALSE(simulation.is_at(other_gateway));
  CHECK(simulation.inits().front().find_notify(NotifyType::redirect_supported) == nullptr);
}

TEST_CASE("a redirect that does not have our nonce, or that we have not asked for, is not followed") {
  Redirecting simulation;
  SUBCASE("another nonce") {}
  SUBCASE("not asked for") {
    simulation.config(a).follow_redirects = false;
  }
  simulation.filter = [&](const Datagram& datagram) {
    const Message message = parsed(datagram.bytes);
    if (datagram.from != a || message.header.exchange != ExchangeType::ike_sa_init) return true;
    Bytes nonce = message.find<NoncePayload>()->data;
    if (simulation.config(a).follow_redirects) nonce.back() ^= 1;
    Header header = message.header;
    header.response = true;
    header.initiator = false;
    simulation.deliver({b,
                        {datagram.path.remote, datagram.path.local},
                        build(header, {notify(NotifyType::redirect, redirect_data(other_gateway, nonce))}),
                        false});
    return true;
  };
  REQUIRE(simulation.comes_up());
  CHECK_FALSE(simulation.is_at(other_gateway));
}

TEST_CASE("redirects in a circle are followed five times in 300 s, then the configured address is tried again") {
  Redirecting simulation;
  int next = 0;
  simulation.filter = [&](const Datagram& datagram) {
    if (datagram.from == a && parsed(datagram.bytes).header.exchange == ExchangeType::ike_sa_init) {
      const char* circle[] = {"192.0.2.71", "192.0.2.72", "192.0.2.73"};
      simulation.redirect(circle[next++ % 3]);
    }
    return true;
  };
  simulation.start(b);
  simulation.start(a);
  simulation.run_for(500ms);
  CHECK(simulation.inits().size() == 6);
  CHECK(simulation.status(a).reason.contains("the sixth redirect within 300 s"));
  simulation.run_for(280s);
  CHECK(simulation.node(a).resolves <= 6 + 280);
  CHECK(simulation.inits().size() < 30);
}

// b: INFORMATIONAL {REDIRECT}  -->  <--  a;   a: Delete, IKE_SA_INIT to .77
TEST_CASE("an IKE SA that is up is sent elsewhere while its gateway drains, if its initiator follows") {
  Redirecting simulation;
  REQUIRE(simulation.comes_up());
  simulation.redirect(other_gateway);
  REQUIRE(simulation.run_until([&] { return simulation.is_at(other_gateway) && simulation.both_up(); }, 3s));
  simulation.run_for(20s);
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.reported(a, "sends us to 192.0.2.77"));
}

// A reauthentication stays where it is, so it does not announce RFC 5685 again; the IKE SA that it replaces has.
TEST_CASE("an IKE SA that was reauthenticated is sent elsewhere, too") {
  Redirecting simulation;
  simulation.config(a).reauth_lifetime = 20s;
  REQUIRE(simulation.comes_up());
  const IkeSpi first = simulation.status(a).spi_i;
  REQUIRE(simulation.run_until([&] { return simulation.status(a).spi_i != first; }, 30s));
  simulation.run_for(1s);
  REQUIRE(simulation.both_up());
  simulation.redirect(other_gateway);
  simulation.run_for(3s);
  CHECK(simulation.is_at(other_gateway));
}

TEST_CASE("an IKE SA that was resumed from a ticket is sent elsewhere, too") {
  Redirecting simulation;
  for (const Side side : {a, b}) {
    simulation.config(side).resumption = true;
    simulation.config(side).liveness = 5s;
    simulation.config(side).retransmit_tries = 3;
  }
  REQUIRE(simulation.comes_up());
  simulation.run_for(2s);
  simulation.kill(b);
  REQUIRE(simulation.run_until([&] { return !simulation.established(a); }, 60s));
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 60s));
  REQUIRE(simulation.reported(b, "resumed from a ticket"));
  simulation.redirect(other_gateway);
  simulation.run_for(3s);
  CHECK(simulation.is_at(other_gateway));
}

TEST_CASE("who is at the other gateway already is not sent there again") {
  Redirecting simulation;
  simulation.node(b).options.redirect = other_gateway;
  REQUIRE(simulation.comes_up());
  REQUIRE(simulation.is_at(other_gateway));
  const IkeSpi up = simulation.status(a).spi_i;
  simulation.redirect(other_gateway);
  simulation.run_for(5s);
  CHECK(simulation.status(a).spi_i == up);
}

TEST_CASE("a gateway does not send those elsewhere that it has called itself") {
  Redirecting simulation;
  simulation.config(b).follow_redirects = true;
  REQUIRE(simulation.comes_up());
  simulation.command(a, simulation.node(a).ike->redirect(simulation.now(), other_gateway));
  const IkeSpi up = simulation.status(a).spi_i;
  simulation.run_for(5s);
  CHECK(simulation.status(a).spi_i == up);
}

// The operator's word comes between IKE_SA_INIT and IKE_AUTH (RFC 5685 §6).
TEST_CASE("a redirect in the IKE_AUTH response is followed, without a child") {
  Redirecting simulation;
  simulation.filter = [&](const Datagram& datagram) {
    if (datagram.from == a && parsed(datagram.bytes).header.exchange == ExchangeType::ike_auth)
      simulation.redirect(other_gateway);
    return true;
  };
  REQUIRE(simulation.comes_up());
  CHECK(simulation.is_at(other_gateway));
  CHECK(simulation.node(b).installs == 1);
  simulation.run_for(20s);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("a gateway that cannot be reached is given up for the configured one") {
  Redirecting simulation;
  simulation.config(a).retransmit_tries = 2;
  simulation.node(b).options.redirect = "192.0.2.99";
  bool redirecting = true;
  simulation.filter = [&](const Datagram& datagram) {
    const bool dead = datagram.path.remote.address == *IpAddress::parse("192.0.2.99");
    if (dead && std::exchange(redirecting, false)) simulation.redirect("");
    return !dead;
  };
  simulation.start();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 30s));
  CHECK(simulation.is_at("192.0.2.2"));
}

TEST_CASE("redirect is refused for what is neither a name nor an address") {
  Redirecting simulation;
  simulation.start();
  for (const char* wrong : {"-x", ".x", "a b", "a\n", "a/b", "192.0.2.1:500"})
    CHECK_FALSE(simulation.node(b).ike->redirect(simulation.now(), wrong));
  CHECK(simulation.node(b).ike->redirect(simulation.now(), "gw.example.net"));
  CHECK(simulation.node(b).ike->redirect(simulation.now(), "2001:db8::1"));
  CHECK(simulation.node(b).ike->redirect(simulation.now(), ""));
}
