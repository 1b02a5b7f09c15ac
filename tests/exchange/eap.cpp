// Logins by EAP inside IKE_AUTH, RFC 7296 §2.16, RFC 5998.
#include <doctest/doctest.h>

#include "eap_login.h"
#include "guess_limit.h"
#include "one_sided.h"
#include "road_warrior.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Login : OneSided {
  explicit Login(std::string_view password = "Ar3etTnp") { use_eap(*this, password); }
  Message message(std::size_t index) { return open(wire.at(index)).value_or(Message{}); }
  /// Neither side has an IKE SA, and `side` says why.
  void refused_by(Side side, const std::string& reason, Duration after = 900ms) {
    start();
    run_for(after);
    CHECK_FALSE(established(a));
    CHECK_FALSE(established(b));
    std::string lines;
    for (const Report& report : node(side).reports) lines += report.text + "\n";
    CAPTURE(lines);
    CHECK(lines.find(reason) != std::string::npos);
    CHECK(fault() == "");
  }
  /// Changes the messages of one side on their way; false: swallows one.
  void tamper(Side from, std::function<bool(Message&)> change) {
    filter = [=, this](const Datagram& datagram) {
      const auto header = parse_header(datagram.bytes);
      if (datagram.from != from || !header || header->exchange != ExchangeType::ike_auth) return true;
      Message message = open(datagram).value();
      if (change(message)) deliver(rewritten(datagram, message.payloads));
      return false;
    };
  }
};

template <class T>
void erase_from(Message& message) {
  std::erase_if(message.payloads, [](const Payload& payload) { return std::holds_alternative<T>(payload); });
}

template <class T>
T* find_in(Message& message) {
  for (Payload& payload : message.payloads)
    if (auto* found = std::get_if<T>(&payload)) return found;
  return nullptr;
}

}  // namespace

TEST_CASE(
    "a user logs in by MSCHAPv2: the gateway proves itself first, AUTH and the child come last, message IDs count up") {
  Login simulation;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.disagreement().value_or("") == "");
  // IKE_SA_INIT; IDi; identity; challenge; success; AUTH.
  REQUIRE(simulation.wire.size() == 12);
  const Message first = simulation.message(2), answer = simulation.message(3);
  CHECK_FALSE(first.find<AuthPayload>());
  CHECK(first.find<SaPayload>());
  CHECK(answer.find<AuthPayload>());
  CHECK(answer.find<CertPayload>());
  CHECK(answer.find<EapPayload>()->data.at(4) == 1);
  CHECK_FALSE(answer.find<SaPayload>());
  for (std::size_t i = 4; i < 10; ++i) {
    CHECK(simulation.message(i).header.message_id.value() == i / 2);
    CHECK(simulation.message(i).payloads.size() == 1);
    CHECK(simulation.message(i).find<EapPayload>());
  }
  CHECK(simulation.message(9).find<EapPayload>()->data.at(0) == 3);
  CHECK(simulation.message(10).find<AuthPayload>()->method == 2);
  const Message last = simulation.message(11);
  CHECK(last.find<AuthPayload>()->method == 2);
  CHECK(last.find<SaPayload>());
  CHECK_FALSE(last.find_id(false));
  CHECK(simulation.status(b).remote_auth == "EAP-MSCHAPv2, user carol");
  CHECK(simulation.status(b).remote_id == "carol");
  CHECK(simulation.status(a).local_auth == "EAP-MSCHAPv2 as carol");
  CHECK(simulation.status(a).remote_id == "tokyo.example.net");
}

TEST_CASE("a user logs in by EAP-TLS, TLS 1.2 and 1.3") {
  for (const bool tls13 : {false, true}) {
    CAPTURE(tls13);
    OneSided simulation;
    use_eap_tls(simulation, tls13);
    REQUIRE(simulation.comes_up());
    CHECK(simulation.disagreement().value_or("") == "");
    CHECK(simulation.status(b).remote_auth == "EAP-TLS, user paris.example.net");
    CHECK(simulation.status(b).remote_certificate_until.has_value());
    CHECK(simulation.node(b).computed > 3);
  }
}

TEST_CASE("the gateway may prove itself by a pre-shared key, too") {
  Login simulation;
  const auto key = std::make_shared<const Secret>(Secret::copy_of(as_bytes("a key between the two")));
  simulation.config(a).auth.theirs = PreSharedKey{key};
  simulation.config(b).auth.ours = PreSharedKey{key};
  CHECK(simulation.comes_up());
}

TEST_CASE("with EAP-TLS alone (RFC 5998) the gateway sends no AUTH of its own") {
  OneSided simulation;
  use_eap_tls(simulation);
  for (const Side side : {a, b}) simulation.config(side).auth.eap_only = true;
  REQUIRE(simulation.comes_up());
  const Message answer = simulation.open(simulation.wire.at(3)).value();
  CHECK(simulation.open(simulation.wire.at(2))->find_notify(NotifyType::eap_only_authentication));
  CHECK_FALSE(answer.find<AuthPayload>());
  CHECK_FALSE(answer.find<CertPayload>());
  CHECK(simulation.status(a).remote_auth == "EAP-TLS alone");
}

TEST_CASE("a gateway that does not do RFC 5998 proves itself to a client that would not need it") {
  OneSided simulation;
  use_eap_tls(simulation);
  simulation.config(a).auth.eap_only = true;
  REQUIRE(simulation.comes_up());
  CHECK(simulation.open(simulation.wire.at(3))->find<AuthPayload>());
}

TEST_CASE("a client that wants the gateway's own proof does not log in without it") {
  OneSided simulation;
  use_eap_tls(simulation);
  simulation.config(b).auth.eap_only = true;
  // Somebody lets the gateway believe that the client wants EAP alone.
  simulation.filter = [&](const Datagram& datagram) {
    const auto header = parse_header(datagram.bytes);
    if (datagram.from != a || header->exchange != ExchangeType::ike_auth) return true;
    Message message = simulation.open(datagram).value();
    message.payloads.emplace_back(notify(NotifyType::eap_only_authentication));
    simulation.deliver(simulation.rewritten(datagram, message.payloads));
    return false;
  };
  simulation.start();
  simulation.run_for(900ms);
  CHECK_FALSE(simulation.established(a));
  CHECK(simulation.reported(a, "it wants our login without proving first who it is"));
}

TEST_CASE("a wrong password and an unknown user are refused alike, and in as many messages") {
  std::vector<std::size_t> lengths;
  for (const bool unknown : {false, true}) {
    Login simulation("wrong");
    if (unknown) simulation.node(b).options.users = users({{"alice", "Ar3etTnp"}});
    simulation.refused_by(b, "wrong password, or no such user: carol");
    CHECK(simulation.reported(a, "the server refused our user name or password"));
    std::size_t len = 0;
    for (std::size_t i = 4; i < simulation.wire.size(); ++i) len += simulation.wire[i].bytes.size();
    lengths.push_back(len);
  }
  CHECK(lengths.front() == lengths.back());
}

TEST_CASE("a disabled or expired user is refused as if the password were wrong; a reload lets him in again") {
  Login simulation;
  const auto locked = [](auto change) {
    std::map<std::string, eap::UserEntry, std::less<>> entries;
    entries["carol"].user = users({{"carol", "Ar3etTnp"}})->find("carol")->user;
    change(entries["carol"]);
    return std::make_shared<eap::UserTable>(std::move(entries));
  };
  simulation.node(b).options.users = locked([](eap::UserEntry& entry) { entry.enabled = false; });
  simulation.refused_by(b, "wrong password, or no such user: carol");
  simulation.node(b).ike->set_users(locked([](eap::UserEntry& entry) { entry.until = crypto::WallTime{}; }));
  simulation.run_for(20s);
  CHECK_FALSE(simulation.established(b));
  simulation.node(b).ike->set_users(users({{"carol", "Ar3etTnp"}}));
  CHECK(simulation.run_until([&] { return simulation.both_up(); }, 70s));
}

TEST_CASE("a wrong password is said at once, also when the client goes away without another word") {
  Login simulation("wrong");
  simulation.tamper(a, [](const Message& message) { return message.header.message_id.value() < 4; });
  simulation.start();
  simulation.run_for(900ms);
  CHECK(simulation.reported(b, "wrong password, or no such user: carol"));
}

TEST_CASE("too many tries of one user are refused even with the password, but not from where he has logged in before") {
  Login simulation("wrong");
  simulation.start();
  simulation.run_for(600s);
  CHECK(simulation.node(b).drops[DropReason::ike_guessing] == 0);  // a client's back-off is slower than the limit
  GuessLimit limit;
  const auto home = IpAddress::v4(1), elsewhere = IpAddress::v4(2);
  const TimePoint now = simulation.now();
  REQUIRE(limit.take(now, "carol", home));
  limit.on_success(now, "carol", home);
  for (int i = 0; i < GuessLimit::burst; ++i) CHECK(limit.take(now, "carol", elsewhere));
  CHECK_FALSE(limit.take(now, "carol", elsewhere));
  CHECK(limit.take(now, "carol", home));
  CHECK(limit.take(now, "alice", elsewhere));
  CHECK(limit.take(now + GuessLimit::pause, "carol", elsewhere));
  CHECK_FALSE(limit.take(now + GuessLimit::pause, "carol", elsewhere));
  for (std::size_t i = 0; i < 2 * GuessLimit::max_users; ++i) (void)limit.take(now, std::to_string(i), elsewhere);
  CHECK(limit.size() <= GuessLimit::max_users);
  CHECK(limit.size() >= GuessLimit::max_users - GuessLimit::max_users / 16);  // forgets a few at a time
}

TEST_CASE("AUTH before EAP is over, and nothing at all, are refused") {
  for (const bool with_auth : {true, false}) {
    Login simulation;
    simulation.tamper(a, [=](Message& message) {
      if (message.header.message_id.value() != 2) return true;
      erase_from<EapPayload>(message);
      if (with_auth) message.payloads.emplace_back(AuthPayload{2, Bytes(32)});
      return true;
    });
    simulation.refused_by(b, "it sent AUTH, or nothing at all, before EAP was over");
  }
}

TEST_CASE("AUTH beside EAP is refused") {
  Login simulation;
  simulation.tamper(a, [](Message& message) {
    if (message.header.message_id.value() == 3) message.payloads.emplace_back(AuthPayload{2, Bytes(32)});
    return true;
  });
  simulation.refused_by(b, "before EAP was over");
}

TEST_CASE("AUTH that another key has made is refused behind a good login") {
  for (const Side liar : {a, b}) {
    Login simulation;
    simulation.tamper(liar, [=](Message& message) {
      auto* auth = find_in<AuthPayload>(message);
      if (auth && message.header.message_id.value() == 5) auth->data.at(7) ^= 1;
      return true;
    });
    simulation.start();
    simulation.run_for(900ms);
    CHECK_FALSE(simulation.established(a));
    CHECK(simulation.reported(other(liar), "its AUTH is not made by the key of"));
    if (liar == a) CHECK_FALSE(simulation.established(b));
  }
}

TEST_CASE("a gateway that skips the login is not believed, nor one that says success at once") {
  for (const int what : {0, 1}) {
    Login simulation;
    simulation.tamper(b, [=](Message& message) {
      if (message.header.message_id.value() == 1) {
        erase_from<EapPayload>(message);
        if (what == 1) message.payloads.emplace_back(EapPayload{eap::build({eap::Code::success, 1, {}, {}})});
      }
      return true;
    });
    simulation.refused_by(
        a, what == 0 ? "without asking for our EAP login" : "EAP-Success came before the server had proved itself");
  }
}

TEST_CASE("a gateway of another certificate does not even get the user's name") {
  Login simulation;
  simulation.config(b).auth.ours = own(Pki::leaf(pki().other_ca, b));
  simulation.start();
  simulation.run_for(900ms);
  CHECK_FALSE(simulation.established(a));
  for (const Message& message : simulation.messages(a)) CHECK_FALSE(message.find<EapPayload>());
}

TEST_CASE("oversized, cut off and repeated EAP ends the login") {
  const std::vector<Bytes> packets{Bytes(5000, 2), {}, {2}, {2, 1, 0, 4}, {1, 2, 0, 5, 1}, {9, 9, 9, 9, 9}};
  for (const Bytes& packet : packets) {
    Login simulation;
    simulation.tamper(a, [=](Message& message) {
      if (auto* payload = find_in<EapPayload>(message)) payload->data = packet;
      return true;
    });
    simulation.start();
    simulation.run_for(900ms);
    CHECK_FALSE(simulation.established(b));
    CHECK(simulation.node(b).installs == 0);
    CHECK(simulation.fault() == "");
  }
}

TEST_CASE("a conversation without end is given up") {
  Login simulation;
  use_radius(simulation, nullptr);
  std::uint8_t identifier = 0;
  simulation.node(b).radius = [&](const AskRadius&) {
    RadiusAnswer answer;
    answer.verdict = RadiusAnswer::Verdict::challenge;
    answer.eap = eap::build({eap::Code::request, ++identifier, eap::Type::identity, {}});
    answer.state = {1};
    return answer;
  };
  simulation.start();
  simulation.run_for(990ms);
  CHECK(simulation.node(b).asked.size() <= eap::max_rounds);
  CHECK(simulation.node(b).asked.size() > eap::max_rounds - 2);
  CHECK(simulation.reported(a, "it goes on without end"));
}

TEST_CASE("a login over a bad network comes up, and every message is handled once") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    for (const bool tls : {false, true}) {
      Simulation simulation(seed);
      if (tls) {
        use_eap_tls(simulation);
      } else {
        use_eap(simulation);
      }
      simulation.conditions() = {0.2, 0.2, 1ms, 80ms, 50ms, 0.1};
      simulation.start();
      CHECK(simulation.run_until([&] { return simulation.both_up(); }, 180s));
      CHECK(simulation.disagreement().value_or("") == "");
      CHECK(simulation.fault() == "");
    }
  }
}

TEST_CASE("a RADIUS server checks the user, by a method that we need not know") {
  Login simulation;
  auto config = std::make_shared<eap::ServerConfig>(eap::ServerConfig{{eap::Type::mschapv2}, nullptr, 3});
  use_radius(simulation,
             std::make_shared<FakeRadius>(config, std::map<std::string, std::string>{{"carol", "Ar3etTnp"}}));
  REQUIRE(simulation.comes_up());
  CHECK(simulation.status(b).remote_auth == "EAP by RADIUS, user carol");
  const auto& asked = simulation.node(b).asked;
  REQUIRE(asked.size() == 3);
  CHECK(asked[0].servers == "office");
  CHECK(asked[0].user == "carol");
  CHECK(asked[0].state.empty());
  CHECK_FALSE(asked[0].server);
  CHECK(asked[1].state == Bytes{1});
  CHECK(asked[1].server == 1);
}

TEST_CASE("RADIUS: wrong password, no key, no EAP, and silence, each end the login") {
  struct Case {
    std::string_view password;
    bool with_key, with_eap, silent;
    std::string reason;
  };
  const std::vector<Case> cases{{"wrong", true, true, false, "the RADIUS server refuses it"},
                                {"Ar3etTnp", false, true, false, "gives no key"},
                                {"Ar3etTnp", true, false, false, "challenge has no EAP request"},
                                {"Ar3etTnp", true, true, true, "no RADIUS server answers"}};
  for (const Case& one : cases) {
    CAPTURE(one.reason);
    Login simulation(one.password);
    auto config = std::make_shared<eap::ServerConfig>(eap::ServerConfig{{eap::Type::mschapv2}, nullptr, 1});
    auto server = std::make_shared<FakeRadius>(config, std::map<std::string, std::string>{{"carol", "Ar3etTnp"}});
    server->with_key = one.with_key;
    server->with_eap = one.with_eap;
    use_radius(simulation, server);
    simulation.config(a).auth.ours = login_as("carol", one.password);
    if (one.silent) simulation.node(b).radius = nullptr;
    simulation.refused_by(b, one.reason);
  }
}

TEST_CASE("a peer with a pre-shared key is not let in by EAP, and one of EAP not by a pre-shared key") {
  Login simulation;
  const auto key = std::make_shared<const Secret>(Secret::copy_of(as_bytes("a key between the two")));
  simulation.config(b).auth.theirs = PreSharedKey{key};
  simulation.config(b).remote_id = simulation.config(a).local_id;
  simulation.refused_by(b, "it authenticates by EAP");
  Login other;
  other.config(a).auth.ours = PreSharedKey{key};
  other.refused_by(b, "expects EAP");
}

namespace {

/// A client with addresses of a pool, as a user of EAP.
struct RoamingUser : RoadWarrior {
  explicit RoamingUser(const std::string& group) {
    config(a).auth = {login_as("carol", "Ar3etTnp"), trusting(pki().ca)};
    config(b).auth.theirs = expecting_users({eap::Type::mschapv2});
    config(b).remote_id = {};
    node(b).options.users = users({{"carol", "Ar3etTnp"}}, group);
    node(b).options.pools.front().groups = {"staff"};
  }
};

}  // namespace

TEST_CASE("a user of EAP is a client under his own name, with what his group may have") {
  RoamingUser simulation("staff");
  REQUIRE(simulation.comes_up());
  CHECK(simulation.disagreement().value_or("") == "");
  CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.99.0.1", "fd99::1"}));
  const auto clients = simulation.node(b).ike->clients(simulation.now(), std::nullopt, 10);
  REQUIRE(clients.size() == 1);
  CHECK(clients.front().user == "carol");
  CHECK(clients.front().groups == std::vector<std::string>{"staff"});
  RoamingUser other("guests");
  CHECK_FALSE(other.comes_up(2s));
  CHECK_FALSE(other.node(a).virtual_net);
}

TEST_CASE("the RADIUS server gives a user his address and his group, and hears of his session") {
  RoamingUser simulation("");
  auto config = std::make_shared<eap::ServerConfig>(eap::ServerConfig{{eap::Type::mschapv2}, nullptr, 3});
  auto server = std::make_shared<FakeRadius>(config, std::map<std::string, std::string>{{"carol", "Ar3etTnp"}});
  simulation.config(b).auth.theirs = PeerEap{nullptr, "office"};
  simulation.node(b).radius = [=](const AskRadius& ask) {
    RadiusAnswer answer = (*server)(ask);
    if (answer.verdict != RadiusAnswer::Verdict::accept) return answer;
    answer.groups = {"staff"};
    answer.addresses = addresses({"10.99.0.77"});
    answer.session_timeout = 60s;
    return answer;
  };
  REQUIRE(simulation.comes_up());
  CHECK(simulation.node(a).virtual_net->addresses == addresses({"10.99.0.77", "fd99::1"}));
  REQUIRE(simulation.node(b).logins.size() == 1);
  CHECK(simulation.node(b).logins.front().user == "carol");
  CHECK(simulation.node(b).logins.front().addresses == addresses({"10.99.0.77", "fd99::1"}));
  CHECK(simulation.node(b).logouts.empty());
  const TimePoint up = simulation.now();
  CHECK(simulation.run_until([&] { return !simulation.node(b).logouts.empty(); }, 70s));
  CHECK(simulation.now() - up <= 60s);
  CHECK(simulation.node(b).logouts.front().id == simulation.node(b).logins.front().id);
}
