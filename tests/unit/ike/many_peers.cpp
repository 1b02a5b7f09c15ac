// What a set-up costs with thousands of peers, counted in sessions and peers looked at, not in time.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "core.h"
#include "initiation_pace.h"
#include "peer.h"
#include "peer_directory.h"
#include "session.h"

using namespace culvert;
using namespace culvert::ike;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint start_time = TimePoint{} + 1000s;
const IpAddress gateway = *IpAddress::parse("192.0.2.1"), elsewhere = *IpAddress::parse("198.51.100.7");

template <class T>
T must(Result<T> result) {
  REQUIRE(result);
  return std::move(*result);
}

PeerConfig config_of(std::uint32_t number, const std::string& ours, const std::string& theirs,
                     const std::string& address) {
  PeerConfig config;
  config.id = PeerId(number);
  config.name = fmt::format("p{}", number);
  config.local_id = must(Identity::parse(ours));
  config.remote_id = must(Identity::parse(theirs));
  static const auto psk = std::make_shared<const Secret>(Secret::copy_of(as_bytes("one secret for all of them")));
  config.auth = AuthConfig::psk(psk);
  if (!address.empty()) config.addresses = {address};
  config.start = StartMode::wait;
  config.ike_proposals = {must(parse_ike_proposal("aes256gcm16-prfsha256-x25519"))};
  config.esp_proposals = {must(parse_esp_proposal("aes256gcm16-esn"))};
  ChildConfig child;
  child.id = ChildId(number);
  child.name = config.name;
  child.local = child.remote = {SelectorSpec{*IpPrefix::parse("10.0.0.0/8"), 0}};
  config.children = {child};
  return config;
}

/// Two ends and what is on the way between them. The first one calls.
class Pair {
 public:
  Pair(std::vector<PeerConfig> callers, std::vector<PeerConfig> called)
      : ends_{std::make_unique<Core>(EndpointOptions{}, std::move(callers), crypto::system_random()),
              std::make_unique<Core>(EndpointOptions{}, std::move(called), crypto::system_random())} {}

  Core& end(int which) { return *ends_[which]; }
  [[nodiscard]] int num_installed(int which) const { return num_installed_[which]; }

  void call(const std::string& peer) {
    end(0).begin(start_time);
    Peer* found = end(0).find_peer(peer);
    REQUIRE(found);
    end(0).touch(*found);
    REQUIRE(found->up());
    perform(0, end(0).finish());
    while (!on_the_way_.empty()) {
      const auto [to, datagram] = std::move(on_the_way_.front());
      on_the_way_.pop_front();
      end(to).begin(start_time);
      end(to).receive({datagram.path.remote, datagram.path.local}, datagram.bytes);
      perform(to, end(to).finish());
    }
  }

 private:
  void perform(int which, Actions actions) {
    for (Action& action : actions) {
      if (auto* sent = std::get_if<SendDatagram>(&action)) on_the_way_.emplace_back(1 - which, std::move(*sent));
      if (std::holds_alternative<InstallChild>(action)) ++num_installed_[which];
      if (const auto* wanted = std::get_if<ResolveAddresses>(&action)) {
        end(which).begin(start_time);
        Peer& peer = *end(which).find_peer(wanted->peer);
        end(which).touch(peer);
        peer.on_addresses({Path{{elsewhere, 500}, {gateway, 500}}}, "");
        perform(which, end(which).finish());
      }
      if (auto* compute = std::get_if<Compute>(&action)) {
        end(which).begin(start_time);
        end(which).on_computed(compute->id, compute->work(std::chrono::sys_seconds{}));
        perform(which, end(which).finish());
      }
    }
  }

  std::unique_ptr<Core> ends_[2];
  std::deque<std::pair<int, SendDatagram>> on_the_way_;
  int num_installed_[2] = {0, 0};
};

}  // namespace

TEST_CASE("with 2,000 peers a set-up looks at a handful of them, in either role") {
  constexpr std::uint32_t num_peers = 2000;
  std::vector<PeerConfig> callers, called;
  for (std::uint32_t i = 0; i < num_peers; ++i) {
    callers.push_back(config_of(i, fmt::format("c{}.example", i), "gw.example", "192.0.2.1"));
    called.push_back(config_of(i, "gw.example", fmt::format("c{}.example", i), ""));
    for (PeerConfig* config : {&callers.back(), &called.back()}) config->mobike = false;
  }
  Pair pair(std::move(callers), std::move(called));
  std::uint64_t most[2] = {0, 0};
  for (int i = 0; i < 60; ++i) {  // fewer than are held back
    const std::uint64_t before[2] = {pair.end(0).num_looks(), pair.end(1).num_looks()};
    pair.call(fmt::format("p{}", 1000 + i));
    for (const int which : {0, 1}) most[which] = std::max(most[which], pair.end(which).num_looks() - before[which]);
  }
  CHECK(pair.num_installed(0) == 60);
  CHECK(pair.num_installed(1) == 60);
  CHECK(most[0] < 40);
  CHECK(most[1] < 40);
  // Whoever calls from an address that nobody has: what is said to him is the same for all that it may be.
  PeerDirectory& directory = const_cast<PeerDirectory&>(pair.end(1).directory());
  CHECK(directory.candidates(elsewhere).size() == 1);
  CHECK(directory.claimed_by(must(Identity::parse("c7.example"))).size() == 1);
}

TEST_CASE("an identity means whoever has it, whatever its case, and every pattern, in the order of the configuration") {
  std::vector<PeerConfig> configs;
  for (const char* id : {"*.example", "a.example", "CN=a,O=Example", "A.Example", "x@example.net", "X@Example.net"})
    configs.push_back(config_of(static_cast<std::uint32_t>(configs.size()), "gw.example", id, ""));
  Core core({}, std::move(configs), crypto::system_random());
  const auto claimed = [&](const char* id) {
    std::vector<std::uint32_t> numbers;
    for (const Peer* peer : core.directory().claimed_by(must(Identity::parse(id))))
      numbers.push_back(peer->config().id.value());
    return numbers;
  };
  CHECK(claimed("A.EXAMPLE") == std::vector<std::uint32_t>{0, 1, 2, 3});
  CHECK(claimed("b.example") == std::vector<std::uint32_t>{0, 2});
  CHECK(claimed("x@EXAMPLE.net") == std::vector<std::uint32_t>{0, 2, 4, 5});
}

TEST_CASE("peers that name an address come first, and those that differ in what IKE_SA_INIT says come all") {
  std::vector<PeerConfig> configs;
  configs.push_back(config_of(0, "gw.example", "any.example", ""));
  configs.push_back(config_of(1, "gw.example", "named.example", "198.51.100.7"));
  configs.push_back(config_of(2, "gw.example", "other.example", "198.51.100.7"));
  configs.push_back(config_of(3, "gw.example", "another.example", "203.0.113.9"));
  configs[2].ike_proposals = {must(parse_ike_proposal("aes128gcm16-prfsha256-x25519"))};
  configs[3].ike_proposals = {must(parse_ike_proposal("aes256gcm16-prfsha384-ecp384"))};
  Core core({}, std::move(configs), crypto::system_random());
  PeerDirectory& directory = const_cast<PeerDirectory&>(core.directory());
  const auto names = [&](const char* from) {
    std::vector<std::string> found;
    for (const PeerConfig* config : directory.candidates(*IpAddress::parse(from))) found.push_back(config->name);
    return found;
  };
  CHECK(names("198.51.100.7") == std::vector<std::string>{"p1", "p2"});  // p0 says what p1 says
  CHECK(names("203.0.113.9") == std::vector<std::string>{"p3", "p0"});
  CHECK(names("203.0.113.10") == std::vector<std::string>{"p0"});
  CHECK(directory.knows(*IpAddress::parse("203.0.113.9")));
  CHECK_FALSE(directory.knows(*IpAddress::parse("203.0.113.10")));
  CHECK(directory.takes_strangers());
}

TEST_CASE("a gateway that starts with 1,000 peers calls some at once, the others soon and one by one") {
  constexpr std::uint32_t num_peers = 1000;
  std::vector<PeerConfig> configs;
  for (std::uint32_t i = 0; i < num_peers; ++i) {
    configs.push_back(config_of(i, "gw.example", fmt::format("c{}.example", i), "203.0.113.9"));
    configs.back().start = StartMode::always;
  }
  IkeEndpoint endpoint(EndpointOptions{}, std::move(configs), crypto::system_random());
  const auto calls_in = [](const Actions& actions) {
    return std::ranges::count_if(actions, [](const Action& a) { return std::holds_alternative<ResolveAddresses>(a); });
  };
  std::ptrdiff_t called = calls_in(endpoint.start(start_time));
  CHECK(called == InitiationPace::burst);
  TimePoint now = start_time;
  std::ptrdiff_t most = 0;
  while (called < num_peers && now < start_time + 10s) {
    const auto next = endpoint.deadline();
    REQUIRE(next);
    now = *next;
    const auto calls = calls_in(endpoint.on_deadline(now));
    called += calls;
    most = std::max(most, calls);
  }
  CHECK(called == num_peers);
  CHECK(most == 1);
  CHECK(now - start_time == (num_peers - InitiationPace::burst) * InitiationPace::interval);
}
