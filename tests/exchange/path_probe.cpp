// RFC 8899 by IKE: src/ike/path_probe.cpp. The network of the simulation drops what is larger than the path carries.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "simulation.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

/// Bytes of IPv4.
std::size_t ip_len(const Datagram& datagram) {
  return 20 + 8 + (datagram.path.local.port == 4500 ? 4 : 0) + datagram.bytes.size();  // RFC 3948 §2.2
}

/// Two peers that are up, with a path that carries `carries` bytes of IP; nothing is lost for other reasons.
struct Path1 {
  explicit Path1(std::size_t carries) {
    simulation.filter = [this, carries](const Datagram& datagram) {
      largest = std::max(largest, ip_len(datagram));
      return ip_len(datagram) <= carries && !(drop && drop(datagram));
    };
    simulation.start();
    REQUIRE(simulation.run_until([this] { return simulation.both_up(); }, 10s));
    largest = 0;
  }
  bool probe(std::uint16_t size) {
    auto [begun, actions] = simulation.node(a).ike->probe_path(simulation.now(), simulation.config(a).id, size);
    simulation.perform(a, std::move(actions));
    return begun;
  }
  const std::vector<PathProbed>& results() { return simulation.node(a).probed; }
  bool wait(std::size_t num, Duration limit = 10s) {
    return simulation.run_until([&] { return results().size() >= num; }, limit);
  }
  Simulation simulation;
  std::size_t largest = 0;
  std::function<bool(const Datagram&)> drop;
};

}  // namespace

TEST_CASE("a probe that the path carries is answered, and leaves in one datagram of its size") {
  Path1 path(1500);
  REQUIRE(path.probe(1500));
  REQUIRE(path.wait(1));
  CHECK(path.results()[0].passed);
  CHECK(path.results()[0].size == 1500);
  CHECK(path.largest == 1500);
  CHECK(path.simulation.status(a).rtt.has_value());
}

TEST_CASE("a probe that the path does not carry ends in small fragments, and costs the IKE SA nothing") {
  Path1 path(1400);
  const auto spi = path.simulation.status(a).spi_i;
  for (const std::uint16_t size : {1500, 1404, 1400, 1280}) {
    REQUIRE(path.probe(size));
    const std::size_t before = path.results().size();
    REQUIRE(path.wait(before + 1));
    CHECK(path.results().back().size == size);
    CHECK(path.results().back().passed == (size <= 1400));
  }
  path.simulation.run_for(300s);
  CHECK(path.simulation.both_up());
  CHECK(path.simulation.status(a).spi_i == spi);
}

TEST_CASE("an answer that is lost does not make a probe fail: three tries, then fragments of the same request") {
  Path1 path(1500);
  REQUIRE(path.probe(1500));
  REQUIRE(path.wait(1));
  int lost = 0;
  path.drop = [&](const Datagram& datagram) { return datagram.from == b && lost++ < 2; };
  REQUIRE(path.probe(1500));
  REQUIRE(path.wait(2));
  CHECK(lost >= 2);
  CHECK(path.results()[1].passed);
}

TEST_CASE("what else is to be asked does not wait for a probe that stays silent") {
  Path1 path(1400);
  REQUIRE(path.probe(1400));
  REQUIRE(path.wait(1));
  REQUIRE(path.probe(1500));
  const TimePoint asked = path.simulation.now();
  const auto spi = path.simulation.status(a).spi_i;
  path.simulation.command(a, path.simulation.node(a).ike->rekey(asked, "tokyo", IkeEndpoint::RekeyWhat::ike));
  REQUIRE(path.simulation.run_until([&] { return path.simulation.status(a).spi_i != spi; }, 10s));
  // two round trips of 10 ms: the fragments of the probe, the rekey; a probe waits 100 ms for each of its tries
  CHECK(path.simulation.now() - asked <= 40ms);
  path.simulation.run_for(5s);
  CHECK(path.simulation.both_up());
}

TEST_CASE("a peer that ignores INFORMATIONAL in fragments is asked no more than that, and stays up") {
  Path1 path(1500);  // strongSwan 5.9.8 takes it for an unprotected message
  path.drop = [](const Datagram& datagram) {
    const Message message = parsed(datagram.bytes);
    return datagram.from == a && message.header.exchange == ExchangeType::informational && message.encrypted &&
           message.encrypted->fragment;
  };
  REQUIRE(path.probe(1500));
  REQUIRE(path.wait(1));
  CHECK_FALSE(path.results()[0].possible);
  CHECK_FALSE(path.probe(1500));
  CHECK(path.largest < 576);
  path.simulation.run_for(300s);
  CHECK(path.simulation.both_up());
}

TEST_CASE("a peer that dies during a probe is noticed as by any other request") {
  Path1 path(1500);
  REQUIRE(path.probe(1500));
  REQUIRE(path.wait(1));
  path.simulation.kill(b);
  REQUIRE(path.probe(1500));
  CHECK(path.simulation.run_until([&] { return !path.simulation.established(a); }, 300s));
}

TEST_CASE("a peer without fragmentation is never probed") {
  Simulation simulation;
  simulation.config(b).fragment_size = 0;
  simulation.start();
  REQUIRE(simulation.run_until([&] { return simulation.both_up(); }, 10s));
  const auto [begun, actions] = simulation.node(a).ike->probe_path(simulation.now(), simulation.config(a).id, 1500);
  CHECK_FALSE(begun);
  CHECK(actions.empty());
}
