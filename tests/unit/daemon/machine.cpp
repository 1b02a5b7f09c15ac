#include "machine.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "culvert/base/log.h"
#include "fake_plane.h"
#include "private_netns.h"
#include "temp_dir.h"
#include "tun_device.h"

using namespace culvert;
using daemon::Machine;
using daemon::Netlink;
using daemon::SaShape;
using daemon::StateDir;

namespace {

IpPrefix prefix(const char* text) {
  return IpPrefix::parse(text).value();
}
IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

/// What ip(8) sees.
std::string ip(const std::string& arguments) {
  std::string output;
  std::array<char, 512> chunk{};
  FILE* pipe = popen(("ip " + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) output += chunk.data();
  pclose(pipe);
  return output;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A data plane whose devices are real, as the machine's side of them is.
class DevicePlane final : public test::FakePlane {
 public:
  Result<void> add_tunnel(const tunnel::TunnelConfig& config) override {
    test::TunDevice device(config.device.c_str());
    if (!device.made()) return fail(Errc::io, "no device");
    devices_.emplace(config.id, std::move(device));
    return {};
  }
  void remove_tunnel(TunnelId id) override { devices_.erase(id); }
  void remove_tunnels(std::span<const TunnelId> ids, const std::function<void()>& before_closing) override {
    before_closing();
    for (const TunnelId id : ids) devices_.erase(id);
  }
  void adjust(const tunnel::TunnelConfig& config) override { adjusted.push_back(config); }
  void set_mtu(TunnelId id, std::uint16_t mtu) override { mtus[id] = mtu; }

  std::map<TunnelId, std::uint16_t> mtus;
  std::vector<tunnel::TunnelConfig> adjusted;

 private:
  std::map<TunnelId, test::TunDevice> devices_;
};

/// The gateway 192.0.2.1 on "wan" (MTU 1500), a LAN 10.1.0.0/16, and one peer at 192.0.2.2 with one tunnel.
struct World {
  explicit World(tunnel::Carry carry) {
    ike::PeerConfig peer;
    peer.id = PeerId(0);
    peer.name = "tokyo";
    peer.addresses = {"192.0.2.2"};
    peer.esp_proposals = {ike::parse_esp_proposal("aes256gcm16-esn").value()};
    ike::ChildConfig child;
    child.id = ChildId(0);
    child.local = {{carry == tunnel::Carry::ip ? std::optional(prefix("10.1.0.0/16")) : std::nullopt, 0}};
    peer.children = {child};
    config.peers = {peer};
    config.gateway.listen = {IpAddress::any(IpFamily::v4)};
    config::TunnelSettings tunnel;
    tunnel.peer = PeerId(0);
    tunnel.plane.id = TunnelId(0);
    tunnel.plane.name = "tokyo-net";
    tunnel.plane.child = ChildId(0);
    tunnel.plane.carry = carry;
    tunnel.plane.device = "cvt0";
    tunnel.routes = {prefix("10.2.0.0/16")};
    config.tunnels = {tunnel};
    ip("link add lan type bridge");
    ip("link add wan type bridge");
    ip("addr add 10.1.0.1/16 dev lan");
    ip("addr add 192.0.2.1/24 dev wan");
    ip("link set lan up");
    ip("link set wan up");
  }
  Result<Machine> machine() {
    auto netlink = Netlink::open();
    auto state = StateDir::open(dir.path());
    REQUIRE(netlink.has_value());
    REQUIRE(state.has_value());
    return Machine::create(config, std::move(*netlink), std::move(*state));
  }
  config::TunnelSettings& tunnel() { return config.tunnels[0]; }

  test::TempDir dir;
  config::Config config;
  DevicePlane plane;
};

struct Quiet {
  Quiet() {
    log::set_sink([](log::Level, std::string_view) {});
  }
  ~Quiet() { log::set_sink({}); }
};

}  // namespace

#define NEEDS_NETNS(netns)                                  \
  if (!(netns).ok()) {                                      \
    MESSAGE("skipped: not root, or no network namespaces"); \
    return;                                                 \
  }

TEST_CASE("a tunnel's device gets what the configuration says, and nothing of it is left at the end") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  world.tunnel().addresses = {prefix("169.254.10.1/30"), prefix("fd00:10::1/64")};
  world.tunnel().routes.push_back(prefix("fd02::/48"));
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());
  const auto seen = ip("addr show dev cvt0");
  // 1500 - 20 - 8 - 8 - 8 - 16 = 1440, less 2, less GRE 4 and its delivery header 20 (RFC 791, 768, 4303, 4106, 2784).
  CHECK(contains(seen, "mtu 1414"));
  CHECK(machine->mtu(TunnelId(0)) == 1414);
  CHECK(contains(seen, "inet 169.254.10.1/30"));
  CHECK(contains(seen, "inet6 fd00:10::1/64"));
  CHECK(contains(seen, "fe80::"));  // OSPFv3 speaks from a link-local address
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev cvt0"));
  CHECK(contains(ip("-6 route show"), "fd02::/48 dev cvt0"));
  machine->tear_down(world.plane);
  CHECK_FALSE(contains(ip("link show"), "cvt0"));
  CHECK_FALSE(contains(ip("route show"), "10.2.0.0/16"));
  CHECK_FALSE(contains(ip("-6 route show"), "fd02::/48"));
  CHECK_FALSE(contains(ip("route show") + ip("-6 route show"), "unreachable"));
  CHECK_FALSE(std::filesystem::exists(world.dir.path() / "machine"));
}

TEST_CASE("what this host sends into plain ESP comes from an address that the selectors own") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::ip);
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev cvt0 proto 233 scope link src 10.1.0.1"));
  CHECK_FALSE(contains(ip("addr show dev cvt0"), "fe80::"));
}

TEST_CASE("the MTU becomes exact with the SA, unless the configuration fixes it") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  const SaShape transport{crypto::CipherSuite::aes_gcm_16_256, EspMode::transport, EspEncapsulation::udp, IpFamily::v4};
  SUBCASE("from the path") {
    auto machine = world.machine();
    REQUIRE(machine.has_value());
    REQUIRE(machine->set_up(world.plane).has_value());
    machine->adapt_mtu(world.plane, ChildId(0), transport, address("192.0.2.2"));
    CHECK(world.plane.mtus[TunnelId(0)] == 1434);  // without the delivery header's 20
    CHECK(contains(ip("link show cvt0"), "mtu 1434"));
    ip("route add 192.0.2.2/32 dev wan mtu 1400");
    machine->adapt_mtu(world.plane, ChildId(0), transport, address("192.0.2.2"));
    CHECK(machine->mtu(TunnelId(0)) == 1334);
    machine->adapt_mtu(world.plane, ChildId(7), transport, address("192.0.2.2"));  // of nobody's
  }
  SUBCASE("fixed") {
    world.tunnel().plane.mtu = 1300;
    auto machine = world.machine();
    REQUIRE(machine.has_value());
    REQUIRE(machine->set_up(world.plane).has_value());
    machine->adapt_mtu(world.plane, ChildId(0), transport, address("192.0.2.2"));
    CHECK(world.plane.mtus.empty());
    CHECK(contains(ip("link show cvt0"), "mtu 1300"));
  }
}

TEST_CASE("an MTU below what IPv6 needs is refused where the tunnel carries IPv6") {  // RFC 8200 §5
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  world.tunnel().plane.mtu = 1200;
  world.tunnel().addresses = {prefix("fd00:10::1/64")};
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  const auto ready = machine->set_up(world.plane);
  REQUIRE_FALSE(ready.has_value());
  CHECK(contains(ready.error().detail, "tunnel tokyo-net: device cvt0: an MTU of 1200"));
}

TEST_CASE("a device of that name which is not ours stops the start and stays as it is") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  const test::TunDevice other("cvt0");
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  const auto ready = machine->set_up(world.plane);
  REQUIRE_FALSE(ready.has_value());
  CHECK(contains(ready.error().detail, "cvt0 exists already"));
  machine->tear_down(world.plane);
  CHECK(contains(ip("link show"), "cvt0"));
}

TEST_CASE("after a crash the next start removes the device that was recorded, and only that one") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  { const test::TunDevice left("cvt0", true); }  // persistent: it outlives whoever made it
  { const test::TunDevice foreign("other0", true); }
  auto netlink = Netlink::open();
  REQUIRE(netlink.has_value());
  const int ours = netlink->find_link("cvt0").value().index;
  const int foreign = netlink->find_link("other0").value().index;
  {
    auto state = StateDir::open(world.dir.path());
    REQUIRE(state.has_value());
    // other0 has another index than was recorded: it is not the device that was ours.
    REQUIRE(state->record({{{"cvt0", ours}, {"other0", foreign + 1000}}, {}, {}}).has_value());
  }
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  CHECK_FALSE(netlink->find_link("cvt0").has_value());
  CHECK(netlink->find_link("other0").has_value());
  CHECK(machine->set_up(world.plane).has_value());
}

TEST_CASE(
    "what a tunnel's routes stand for stays unreachable after a crash, until the next gateway goes as it was told to") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  world.tunnel().addresses = {prefix("169.254.10.1/30"), prefix("10.7.7.7/32")};
  world.tunnel().routes.push_back(prefix("fd02::/48"));
  world.tunnel().routes.push_back(prefix("0.0.0.0/0"));
  ip("link set lo up");
  ip("route add default via 192.0.2.254 dev wan metric 100");
  const auto unreachable = [](const char* net) {
    return contains(ip("route show") + ip("-6 route show"), std::string("unreachable ") + net);
  };
  {
    auto machine = world.machine();
    REQUIRE(machine.has_value());
    REQUIRE(machine->set_up(world.plane).has_value());
    CHECK(contains(ip("route get 10.2.3.4"), "dev cvt0"));
    world.plane.remove_tunnel(TunnelId(0));  // what the kernel does for a process that is killed
  }
  for (const char* net : {"10.2.0.0/16", "169.254.10.0/30", "fd02::/48"}) CHECK(unreachable(net));
  CHECK_FALSE(unreachable("10.7.7.7"));
  CHECK_FALSE(unreachable("default"));
  CHECK(contains(ip("route get 10.2.3.4"), "No route to host"));

  SUBCASE("the next start leaves what is still configured where it is, and takes away the rest") {
    world.tunnel().addresses.clear();
    auto machine = world.machine();
    REQUIRE(machine.has_value());
    CHECK(unreachable("10.2.0.0/16"));  // also before the device is there
    CHECK_FALSE(unreachable("169.254.10.0/30"));
    REQUIRE(machine->set_up(world.plane).has_value());
    CHECK(contains(ip("route get 10.2.3.4"), "dev cvt0"));
    machine->tear_down(world.plane);
    CHECK_FALSE(contains(ip("route show") + ip("-6 route show"), "unreachable"));
    CHECK_FALSE(std::filesystem::exists(world.dir.path() / "machine"));
  }
  SUBCASE("a start that fails leaves them, and the one after that knows them") {
    world.tunnel().routes.push_back(prefix("10.3.0.0/16"));
    {
      const test::TunDevice in_the_way("cvt0");
      auto machine = world.machine();
      REQUIRE(machine.has_value());
      REQUIRE_FALSE(machine->set_up(world.plane).has_value());
      machine->abandon(world.plane);
    }
    CHECK(unreachable("10.2.0.0/16"));
    CHECK_FALSE(unreachable("10.3.0.0/16"));  // nobody had routed that before
    world.tunnel().fail_closed = false;
    REQUIRE(world.machine().has_value());
    CHECK_FALSE(contains(ip("route show") + ip("-6 route show"), "unreachable"));
  }
  SUBCASE("a gateway that fails while it runs leaves them, too") {
    auto machine = world.machine();
    REQUIRE(machine.has_value());
    REQUIRE(machine->set_up(world.plane).has_value());
    machine->abandon(world.plane);
    CHECK_FALSE(contains(ip("link show"), "cvt0"));
    CHECK(unreachable("10.2.0.0/16"));
  }
}

TEST_CASE("routes and guards follow a tunnel into another table, and a reload moves them there and back") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  ip("link set lo up");
  world.tunnel().routes = {prefix("10.2.0.0/16"), prefix("0.0.0.0/0"), prefix("fd02::/48")};
  world.tunnel().addresses = {prefix("169.254.10.1/30")};
  world.tunnel().table = 100;
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());
  const auto table = [](const char* name) {
    return ip((std::string("route show table ") + name).c_str()) +
           ip((std::string("-6 route show table ") + name).c_str());
  };
  for (const char* shown : {"\n10.2.0.0/16 dev cvt0", "default dev cvt0", "fd02::/48 dev cvt0",
                            "unreachable 10.2.0.0/16", "unreachable default", "unreachable fd02::/48"})
    CHECK(contains("\n" + table("100"), shown));
  CHECK_FALSE(contains(table("main"), "10.2.0.0/16"));
  CHECK(contains(table("main"), "unreachable 169.254.10.0/30"));  // where the kernel puts the route of an address

  config::ReloadPlan plan;
  plan.changed_tunnels = {TunnelId(0)};
  const auto reload = [&](std::uint32_t to, std::uint32_t metric) {
    config::Config before = world.config;
    world.tunnel().table = to;
    world.tunnel().metric = metric;
    const auto done = machine->reconfigure(before, plan, world.plane);
    if (done) {
      machine->finish_reload(before, plan, world.plane);
    } else {
      world.config = before;
      machine->index_tunnels();
    }
    return done;
  };
  REQUIRE(reload(101, 0).has_value());
  CHECK(table("100") == "");
  for (const char* shown : {"default dev cvt0", "unreachable default", "unreachable fd02::/48"})
    CHECK(contains(table("101"), shown));
  REQUIRE(reload(101, 77).has_value());
  CHECK(contains(table("101"), "10.2.0.0/16 dev cvt0 proto 233 scope link metric 77"));
  CHECK(contains(table("101"), "fd02::/48 dev cvt0 proto 233 metric 77"));
  CHECK_FALSE(contains(table("101"), "metric 1024"));

  // What somebody else has put there stops all of it, and nothing has moved.
  ip("route add 10.2.0.0/16 dev wan table 102 metric 77");
  const auto refused = reload(102, 77);
  REQUIRE_FALSE(refused.has_value());
  CHECK(contains(refused.error().detail, "route 10.2.0.0/16 exists already, dev wan"));
  CHECK(contains(table("101"), "10.2.0.0/16 dev cvt0 proto 233 scope link metric 77"));
  CHECK_FALSE(contains(table("102"), "cvt0"));
  CHECK_FALSE(contains(table("102"), "unreachable"));

  machine->tear_down(world.plane);
  CHECK(table("101") == "");
}

TEST_CASE("while a tunnel's routes go to another table the kernel refuses no packet") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  for (const char* table : {"100", "101"}) ip(std::string("rule add priority ") + table + " lookup " + table);
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());

  std::atomic<bool> over = false;
  std::atomic<unsigned> asked = 0, refused = 0;
  std::thread sender([&] {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    inet_pton(AF_INET, "10.2.3.4", &to.sin_addr);
    while (!over) {
      const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
      if (connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) ++refused;
      ++asked;
      close(socket);
    }
  });
  config::ReloadPlan plan;
  plan.changed_tunnels = {TunnelId(0)};
  bool done = true;
  for (unsigned turn = 0; turn < 60 && done; ++turn) {
    const config::Config before = world.config;
    constexpr std::uint32_t tables[] = {100, 101, config::main_table};
    world.tunnel().table = tables[turn % 3];
    done = machine->reconfigure(before, plan, world.plane).has_value();
    machine->finish_reload(before, plan, world.plane);
  }
  over = true;
  sender.join();
  CHECK(done);
  CHECK(asked > 1000);
  CHECK(refused == 0);
}

TEST_CASE("two tunnels may exchange the metrics of the same prefix") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  ip("link set lo up");
  config::TunnelSettings second = world.tunnel();
  second.plane.id = TunnelId(1);
  second.plane.name = "backup";
  second.plane.device = "cvt1";
  second.metric = 20;
  world.tunnel().metric = 10;
  world.config.tunnels.push_back(second);
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());
  CHECK(contains(ip("route get 10.2.3.4"), "dev cvt0"));
  const config::Config before = world.config;
  std::swap(world.config.tunnels[0].metric, world.config.tunnels[1].metric);
  config::ReloadPlan plan;
  plan.changed_tunnels = {TunnelId(0), TunnelId(1)};
  REQUIRE(machine->reconfigure(before, plan, world.plane).has_value());
  machine->finish_reload(before, plan, world.plane);
  CHECK(contains(ip("route get 10.2.3.4"), "dev cvt1"));
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev cvt0 proto 233 scope link metric 20"));
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev cvt1 proto 233 scope link metric 10"));
}

TEST_CASE("guards of an older daemon are taken over under the new number, or removed") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  REQUIRE(StateDir::open(world.dir.path()).value().record({{}, {{prefix("10.99.0.0/16"), 254}}, {}}).has_value());
  std::ofstream(world.dir.path() / "machine", std::ios::app) << "guard 10.2.0.0/16\nguard 10.3.0.0/16\n";
  for (const char* net : {"10.2.0.0/16", "10.3.0.0/16"})
    ip((std::string("route add unreachable ") + net + " proto 197 metric 4000000000").c_str());
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  CHECK(contains(ip("-N route show"), "7 10.2.0.0/16 proto 233"));  // RTN_UNREACHABLE; also before the device is there
  CHECK_FALSE(contains(ip("route show"), "10.3.0.0/16"));
  REQUIRE(machine->set_up(world.plane).has_value());
  machine->tear_down(world.plane);
  CHECK_FALSE(contains(ip("route show"), "unreachable"));
}

TEST_CASE("a tunnel that is not fail_closed leaves nothing behind that refuses") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  world.tunnel().fail_closed = false;
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());
  CHECK(contains(ip("route show"), "10.2.0.0/16 dev cvt0"));
  CHECK_FALSE(contains(ip("route show") + ip("-6 route show"), "unreachable"));
}

TEST_CASE("a device has no queueing discipline beside its own queues, and all devices go at once") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  { const test::TunDevice foreign("other0", true); }
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());
  CHECK(contains(ip("link show dev cvt0"), "qdisc noqueue"));
  machine->tear_down(world.plane);
  CHECK_FALSE(contains(ip("link show"), "cvt0"));
  CHECK(contains(ip("link show"), "other0"));
}

TEST_CASE("a peer whose address is routed into its own tunnel is told so in words") {
  const test::PrivateNetns netns;
  NEEDS_NETNS(netns);
  const Quiet quiet;
  World world(tunnel::Carry::gre);
  world.tunnel().routes = {prefix("0.0.0.0/0")};
  auto machine = world.machine();
  REQUIRE(machine.has_value());
  REQUIRE(machine->set_up(world.plane).has_value());
  CHECK_FALSE(machine->leads_into_tunnel(address("192.0.2.2")).has_value());  // connected
  const auto why = machine->leads_into_tunnel(address("198.51.100.2"));
  REQUIRE(why.has_value());
  CHECK(contains(*why, "198.51.100.2 leads into our own tunnel device cvt0"));
}
