// Quick crash detection, RFC 6290.
#include <doctest/doctest.h>

#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

std::shared_ptr<const Secret> crash_secret(std::uint8_t fill) {
  return std::make_shared<const Secret>(Secret::copy_of(Bytes(32, fill)));
}

/// Both ends make tokens; b waits for calls, a asks for life after 30 s of silence.
struct Crashing : OneSided {
  Crashing() {
    node(a).options.crash_secret = crash_secret(1);
    node(b).options.crash_secret = crash_secret(2);
  }
  [[nodiscard]] Bytes token_said(Side side) const {
    Bytes last;
    for (const Message& message : messages(side)) {
      const NotifyPayload* notify = message.find_notify(NotifyType::qcd_token);
      if (notify) last = notify->data;
    }
    return last;
  }
  /// What b answers to an unprotected `datagram`.
  [[nodiscard]] static const NotifyPayload* token_in(const std::vector<Datagram>& answers, Message& into) {
    if (answers.empty()) return nullptr;
    into = parsed(answers.front().bytes);
    return into.find_notify(NotifyType::qcd_token);
  }
};

Datagram some_request(Crashing& simulation) {
  return simulation.forge(a, ExchangeType::informational, false, 2, {});
}

}  // namespace

TEST_CASE("both ends say their tokens behind AUTH, and they differ") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  const Bytes ours = simulation.token_said(a), theirs = simulation.token_said(b);
  CHECK(ours.size() == 32);
  CHECK(theirs.size() == 32);
  CHECK(ours != theirs);
  CHECK(simulation.wire.size() == 4);
}

// b: killed, back, knows nothing.  a: ESP -->  <-- b: INVALID_SPI (a hint)
// a: liveness check -->            <-- b: INVALID_IKE_SPI, QCD_TOKEN
// a: IKE_SA_INIT …
TEST_CASE("a peer that has crashed is known at once from its token, and connected anew") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  simulation.run_for(40s);
  simulation.set_traffic(100ms);
  simulation.run_for(1s);
  simulation.kill(b);
  simulation.run_for(500ms);
  simulation.start(b);
  REQUIRE(simulation.run_until([&] { return simulation.node(b).ike && simulation.both_up(); }, 3s));
  CHECK(simulation.reported(a, "the peer has lost its memory (QCD_TOKEN)"));
  simulation.run_for(10s);
  CHECK(simulation.disagreement().value_or("") == "");
}

// a sleeps, b gives it up.  a: awake, liveness check -->      <-- b: INVALID_IKE_SPI, QCD_TOKEN, and no answer by the
// keys that it still has for retransmissions: that would prove a life (RFC 7296 §2.4) that the IKE SA does not have.
TEST_CASE("who has given a peer up says so when that one asks, and does not answer as if nothing had happened") {
  Crashing simulation;
  bool has_token = true;
  SUBCASE("with tokens") {}
  SUBCASE("without: then by silence") {
    simulation.node(b).options.crash_secret = nullptr;
    has_token = false;
  }
  simulation.config(a).liveness = 600s;
  simulation.config(b).liveness = 5s;
  REQUIRE(simulation.comes_up());
  simulation.conditions().loss = 1;
  REQUIRE(simulation.run_until([&] { return !simulation.established(b); }, 300s));
  REQUIRE(simulation.established(a));
  simulation.conditions().loss = 0;
  simulation.set_traffic(100ms);
  const auto retransmitted = simulation.config(a).retransmit_first * 200;
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, has_token ? Duration(3s) : retransmitted));
  CHECK(simulation.reported(a, "the peer has lost its memory (QCD_TOKEN)") == has_token);
  simulation.run_for(10s);
  CHECK(simulation.disagreement().value_or("") == "");
}

TEST_CASE("without a token from before nothing but liveness ends an IKE SA") {
  Crashing simulation;
  simulation.node(b).options.crash_secret = nullptr;
  REQUIRE(simulation.comes_up());
  simulation.run_for(40s);
  simulation.set_traffic(100ms);
  simulation.kill(b);
  simulation.node(b).options.crash_secret = crash_secret(2);
  simulation.start(b);
  simulation.run_for(10s);
  CHECK(simulation.established(a));
  CHECK_FALSE(simulation.established(b));
}

TEST_CASE("a wrong token, one that is protected by nothing but guesses, is a hint at most") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  const PeerStatus up = simulation.status(a);
  Bytes token = simulation.token_said(b);
  const auto send = [&](Bytes data, NotifyType error, bool response) {
    const Header header{up.spi_i, up.spi_r, ExchangeType::informational, false, response, MessageId(2)};
    const Bytes bytes = build(header, {notify(error), notify(NotifyType::qcd_token, std::move(data))});
    simulation.deliver({b, {simulation.node(b).address, simulation.node(a).address}, bytes, false});
  };
  Bytes wrong = token;
  wrong[31] ^= 1;
  send(wrong, NotifyType::invalid_ike_spi, true);
  send({}, NotifyType::invalid_ike_spi, true);
  send(Bytes(token.begin(), token.end() - 1), NotifyType::invalid_ike_spi, true);
  send(token, NotifyType::invalid_spi, true);
  CHECK(simulation.established(a));
  send(token, NotifyType::invalid_ike_spi, false);  // a request: never answered, never obeyed
  CHECK(simulation.established(a));
  send(token, NotifyType::invalid_ike_spi, true);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.node(a).plane.empty());
}

// The token would end the IKE SA at a. Whoever sees its SPIs may send b a message with them, as they are, with the I
// flag turned, or with one of them changed (RFC 6290 §9.1).
TEST_CASE("the token of an IKE SA that is up is never given away") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  const Bytes token = simulation.token_said(b);
  Datagram request = some_request(simulation);
  Message answer;
  SUBCASE("as it is, with a broken ICV") {
    request.bytes.back() ^= 1;
  }
  SUBCASE("the I flag turned") {
    request.bytes[19] ^= 0x08;
  }
  SUBCASE("SPIi changed") {
    request.bytes[0] ^= 1;
  }
  SUBCASE("SPIr changed") {
    request.bytes[8] ^= 1;
  }
  SUBCASE("both swapped") {
    std::swap_ranges(request.bytes.begin(), request.bytes.begin() + 8, request.bytes.begin() + 8);
  }
  const NotifyPayload* said = Crashing::token_in(simulation.inject(request), answer);
  CHECK((!said || said->data != token));
  SUBCASE("but it is, once that is gone") {
    simulation.kill(b);
    simulation.start(b);
    const NotifyPayload* given = Crashing::token_in(simulation.inject(request), answer);
    REQUIRE(given);
    CHECK(given->data == token);
    CHECK(answer.find_notify(NotifyType::invalid_ike_spi) != nullptr);
    CHECK(answer.header.message_id.value() == 2);
  }
}

TEST_CASE("answers with tokens are limited: a hundred at once, then two hundred a second") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  const Datagram request = some_request(simulation);
  simulation.kill(b);
  simulation.start(b);
  std::size_t num = 0;
  for (int i = 0; i < 1000; ++i) num += simulation.inject(request).size();
  CHECK(num == 100);
  simulation.run_for(1s);
  for (int i = 0; i < 1000; ++i) num += simulation.inject(request).size();
  CHECK(num == 200);
}

TEST_CASE("after a rekey of the IKE SA, by either end, the tokens are those of the new one") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  Side by = a;
  SUBCASE("by a") {}
  SUBCASE("by b") {
    by = b;
  }
  const Bytes before_a = simulation.token_said(a), before_b = simulation.token_said(b);
  simulation.command(
      by, simulation.node(by).ike->rekey(simulation.now(), simulation.config(by).name, IkeEndpoint::RekeyWhat::ike));
  simulation.run_for(40s);
  CHECK(simulation.token_said(a) != before_a);
  CHECK(simulation.token_said(b) != before_b);
  simulation.set_traffic(100ms);
  for (const Side victim : {b, a}) {
    simulation.kill(victim);
    simulation.config(victim).start = StartMode::wait;
    simulation.config(other(victim)).start = StartMode::always;
    simulation.node(victim).configs.front().start = StartMode::wait;
    simulation.start(victim);
    simulation.run_for(5s);
    CHECK(simulation.reported(other(victim), "QCD_TOKEN"));
    break;
  }
}

TEST_CASE("ESP without an SA is answered outside any IKE SA, for those who may be peers, at a bounded rate") {
  Crashing simulation;
  simulation.start(b);
  const Path path{simulation.node(b).address, simulation.node(a).address};
  const auto actions = simulation.node(b).ike->on_unknown_spi(simulation.now(), path, Spi(0x01020304));
  REQUIRE(actions.size() == 1);
  const auto* sent = std::get_if<SendDatagram>(&actions.front());
  REQUIRE(sent);
  CHECK(sent->path == path);
  const Message message = parsed(sent->bytes);
  CHECK_FALSE(message.header.response);
  CHECK(message.header.exchange == ExchangeType::informational);
  const NotifyPayload* notify = message.find_notify(NotifyType::invalid_spi);
  REQUIRE(notify);
  CHECK(notify->data == Bytes{1, 2, 3, 4});
  std::size_t num = 0;
  for (int i = 0; i < 100; ++i)
    num += simulation.node(b).ike->on_unknown_spi(simulation.now(), path, Spi(0x01020304)).size();
  CHECK(num == 9);
  simulation.run_for(60s);
  const Path stranger{simulation.node(b).address, {*IpAddress::parse("198.51.100.66"), 4500}};
  CHECK(simulation.node(b).ike->on_unknown_spi(simulation.now(), stranger, Spi(0x01020304)).empty());
  const Path raw{{simulation.node(b).address.address, 0}, {simulation.node(a).address.address, 0}};
  const auto to_raw = simulation.node(b).ike->on_unknown_spi(simulation.now(), raw, Spi(0x01020304));
  REQUIRE(to_raw.size() == 1);
  CHECK(std::get<SendDatagram>(to_raw.front()).path.remote.port == 500);
  CHECK(std::get<SendDatagram>(to_raw.front()).path.local.port == 500);
}

TEST_CASE("INVALID_SPI from outside causes one liveness check, and only if it names an SPI that we send on") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  simulation.wire.clear();
  const auto hint = [&](Spi spi) {
    Bytes data(4);
    store_be(data.data(), spi.value());
    const Header header{IkeSpi(4711), IkeSpi(0), ExchangeType::informational, true, false, MessageId(0)};
    simulation.deliver({b,
                        {simulation.node(b).address, simulation.node(a).address},
                        build(header, {notify(NotifyType::invalid_spi, data)}),
                        false});
  };
  for (int i = 0; i < 50; ++i) hint(Spi(0x77777777));
  CHECK(simulation.wire.empty());
  const Spi outbound = simulation.node(a).plane.begin()->second.keys.outbound_spi;
  for (int i = 0; i < 50; ++i) hint(outbound);
  simulation.run_for(5s);
  CHECK(requests_of(simulation.messages(a), ExchangeType::informational).size() == 1);
  CHECK(simulation.both_up());
}

// b asks for a rekey of the IKE SA; a's answer makes the new one at a, and a's first message there overtakes the
// answer.
TEST_CASE("the token of an IKE SA that a rekey is about to make is not given away either") {
  Crashing simulation;
  REQUIRE(simulation.comes_up());
  std::optional<Datagram> late;
  simulation.filter = [&](const Datagram& datagram) {
    const Message message = parsed(datagram.bytes);
    if (datagram.from != a || !message.header.response || message.header.exchange != ExchangeType::create_child_sa)
      return true;
    late = datagram;
    return false;
  };
  simulation.command(b, simulation.node(b).ike->rekey(simulation.now(), "paris", IkeEndpoint::RekeyWhat::ike));
  REQUIRE(simulation.run_until([&] { return late.has_value(); }, 2s));
  const Datagram first = simulation.forge(a, ExchangeType::informational, false, 0, {});
  const auto answers = simulation.inject(first);
  Message answer;
  CHECK(Crashing::token_in(answers, answer) == nullptr);
  simulation.filter = nullptr;
  simulation.run_for(10s);
  CHECK(simulation.disagreement().value_or("") == "");
}

// RFC 7296 §2.8: the responder may send on the new SA before the initiator has its answer.
TEST_CASE("an SPI that was offered or is in use is taken, and one that never was is not") {
  Crashing simulation;
  simulation.filter = [&](const Datagram& datagram) {
    return datagram.from == a || parse_header(datagram.bytes)->exchange != ExchangeType::ike_auth;
  };
  simulation.start();
  REQUIRE(simulation.run_until([&] { return !simulation.node(b).plane.empty(); }, 20s));
  const Spi offered = simulation.node(b).plane.begin()->second.keys.outbound_spi;
  CHECK(simulation.node(a).plane.empty());
  CHECK(simulation.node(a).ike->is_taken(offered));
  simulation.filter = {};
  REQUIRE(simulation.run_until([&] { return simulation.node(a).plane.contains(offered); }, 20s));
  CHECK(simulation.node(a).ike->is_taken(offered));
  CHECK_FALSE(simulation.node(a).ike->is_taken(Spi(0x01020304)));
}
