// Traffic while the control thread changes everything under it: no packet may be lost, none may come twice, nothing may
// be read after it went. Run under ThreadSanitizer and AddressSanitizer these are the tests of snapshots and their
// reclamation.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <thread>
#include <vector>

#include "gateway_pair.h"

using namespace culvert;
using namespace culvert::lab;

namespace {

/// Sends packets into one device and takes them from the other, at most `window` on the way, so that no queue of the
/// kernel overflows and whatever is missing was lost by us.
class Traffic {
 public:
  Traffic(const Gateway& from, const Gateway& to, const IpAddress& source, const IpAddress& destination)
      : sender_([this, &from, source, destination] { send(from, source, destination); }),
        receiver_([this, &to] { receive(to); }) {}
  ~Traffic() { stop(); }

  void stop() {
    stopping_ = true;
    if (sender_.joinable()) sender_.join();
    if (receiver_.joinable()) receiver_.join();
  }
  [[nodiscard]] std::uint32_t sent() const { return sent_; }
  [[nodiscard]] std::uint32_t received() const { return received_; }
  [[nodiscard]] bool each_once() const { return each_once_; }

 private:
  static constexpr std::uint32_t window = 100;
  static constexpr std::chrono::milliseconds look{20};
  static constexpr int max_looks_in_vain = 150;  ///< counted, not timed: the process may have been stopped meanwhile

  void send(const Gateway& from, const IpAddress& source, const IpAddress& destination) {
    while (!stopping_) {
      const std::uint32_t number = sent_;
      from.device->send(udp_packet(source, destination, number, 64 + number % 1000));
      sent_ = number + 1;
      // A packet that is lost would stop the sender for good: the count at the end shows it.
      while (sent_ - received_ >= window && !stopping_) std::this_thread::yield();
    }
    done_sending_ = true;
  }
  void receive(const Gateway& to) {
    std::vector<bool> seen;
    int looks_in_vain = 0;
    while (!done_sending_ || received_ < sent_) {
      const auto packet = to.device->receive(look);
      if (!packet) {
        if (++looks_in_vain > max_looks_in_vain) return;
        continue;
      }
      looks_in_vain = 0;
      const std::uint32_t number = number_of(*packet);
      if (number >= seen.size()) seen.resize(number + 1);
      if (seen[number]) each_once_ = false;
      seen[number] = true;
      ++received_;
    }
  }

  std::atomic<std::uint32_t> sent_{0}, received_{0};
  std::atomic<bool> stopping_{false}, done_sending_{false}, each_once_{true};
  std::thread sender_, receiver_;
};

/// Nothing is on its way on this pair of SAs any more: what one side sent the other has opened. Nothing is added
/// either: install and activate_outbound have switched both sides to the next pair before they returned.
bool is_quiet(GatewayPair& pair, std::uint32_t number) {
  const auto a = *pair.a.plane->traffic(GatewayPair::spi_a(number)),
             b = *pair.b.plane->traffic(GatewayPair::spi_b(number));
  return a.outbound_packets == b.inbound_packets && b.outbound_packets == a.inbound_packets;
}

/// For the message of a failure: what each side sent and received on a pair of SAs.
std::string describe(const GatewayPair& pair, std::uint32_t number) {
  const auto a = pair.a.plane->traffic(GatewayPair::spi_a(number)),
             b = pair.b.plane->traffic(GatewayPair::spi_b(number));
  if (!a || !b) return "gone";
  return fmt::format("a sent {}, b received {}; b sent {}, a received {}", a->outbound_packets, b->inbound_packets,
                     b->outbound_packets, a->inbound_packets);
}

/// The order of RFC 7296 §2.8: the responder is ready to receive before it answers, the initiator sends on the new SA
/// first, the responder follows when it sees that, and only then the old one goes.
void rekey(GatewayPair& pair, std::uint32_t from, std::uint32_t to) {
  INFO("rekey to ", to, ": old: ", describe(pair, from), "; new: ", describe(pair, to));
  pair.install_b(to, false);
  pair.install_a(to, true);
  REQUIRE(eventually([&] { return pair.b.plane->traffic(GatewayPair::spi_b(to))->inbound_packets > 0; }));
  pair.b.plane->activate_outbound(GatewayPair::spi_b(to));
  REQUIRE(eventually([&] { return is_quiet(pair, from); }));
  pair.a.plane->remove(GatewayPair::spi_a(from));
  pair.b.plane->remove(GatewayPair::spi_b(from));
}

void check_nothing_lost(const GatewayPair& pair, const Traffic& traffic) {
  CHECK(traffic.sent() > 0);
  CHECK(traffic.received() == traffic.sent());
  CHECK(traffic.each_once());
  for (const Gateway* gateway : {&pair.a, &pair.b}) {
    const auto drops = gateway->plane->drops();
    for (std::size_t i = 0; i < drops.size(); ++i) {
      CAPTURE(drop_reason_name(static_cast<DropReason>(i)));
      CHECK(drops[i] == 0);
    }
  }
}

}  // namespace

TEST_CASE("forty rekeys under traffic in both directions lose no packet") {
  if (!enter_namespace()) {
    MESSAGE("skipped: not root");
    return;
  }
  for (const unsigned workers : {1U, 3U}) {
    CAPTURE(workers);
    GatewayPair pair({.workers = workers});
    pair.install(1);
    Traffic there(pair.a, pair.b, host_a, host_b), back(pair.b, pair.a, host_b6, host_a6);
    for (std::uint32_t number = 1; number <= 40; ++number) rekey(pair, number, number + 1);
    there.stop();
    back.stop();
    check_nothing_lost(pair, there);
    check_nothing_lost(pair, back);
  }
}

TEST_CASE("tunnels and SAs of others come and go, paths move and MTUs change, while traffic passes unharmed") {
  if (!enter_namespace()) {
    MESSAGE("skipped: not root");
    return;
  }
  GatewayPair pair({.workers = 3});
  pair.install(1);
  Traffic there(pair.a, pair.b, host_a, host_b), back(pair.b, pair.a, host_b6, host_a6);
  for (std::uint32_t i = 0; i < 20; ++i) {
    const auto other = gre_tunnel(TunnelId{100 + i}, ChildId{100 + i}, "cvt-other");
    REQUIRE(pair.a.plane->add_tunnel(other));
    for (std::uint32_t n = 0; n < 20; ++n) {
      ChildSaKeys keys = pair.keys_a(1000 + n);
      keys.child = other.child;
      REQUIRE(pair.a.plane->install(std::move(keys), true));
    }
    pair.a.plane->move(GatewayPair::spi_a(1), pair.endpoint_a(), pair.endpoint_b(), pair.encapsulation());
    pair.a.plane->set_mtu(the_tunnel, i % 2 == 0 ? 1400 : 1500);
    for (std::uint32_t n = 0; n < 20; ++n) pair.a.plane->remove(GatewayPair::spi_a(1000 + n));
    pair.a.plane->remove_tunnel(other.id);
    [[maybe_unused]] const auto events = pair.a.plane->poll_events(100);
  }
  there.stop();
  back.stop();
  check_nothing_lost(pair, there);
  check_nothing_lost(pair, back);
}

TEST_CASE("what waits for an SA leaves whole, once and before what comes after it, also with several workers") {
  if (!enter_namespace()) {
    MESSAGE("skipped: not root");
    return;
  }
  GatewayPair pair({.trap = true, .workers = 3});
  for (std::uint32_t round = 1; round <= 200; ++round) {
    CAPTURE(round);
    constexpr std::uint32_t num = 60;
    std::thread sender([&] {  // of one flow: in it order is promised
      for (std::uint32_t i = 0; i < num; ++i)
        pair.a.device->send(with_ports(udp_packet(host_a, host_b, i, 100), 1024, 7));
    });
    // The SA comes before, amid or after the packets.
    std::this_thread::sleep_for(std::chrono::microseconds(round % 20 * 25));
    pair.install(round);
    sender.join();
    for (std::uint32_t i = 0; i < num; ++i) {
      const auto packet = pair.b.device->receive();
      REQUIRE(packet);
      REQUIRE(number_of(*packet) == i);
    }
    pair.a.plane->remove(GatewayPair::spi_a(round));
    pair.b.plane->remove(GatewayPair::spi_b(round));
  }
}

TEST_CASE("a data plane goes down at once in the midst of traffic") {
  if (!enter_namespace()) {
    MESSAGE("skipped: not root");
    return;
  }
  for (int round = 0; round < 5; ++round) {
    GatewayPair pair({.workers = 2});
    pair.install(1);
    for (std::uint32_t i = 0; i < 300; ++i) pair.a.device->send(udp_packet(host_a, host_b, i, 1000));
    pair.b.plane.reset();
    pair.a.plane.reset();
    CHECK_FALSE(device_exists("cvt-a"));
    CHECK_FALSE(device_exists("cvt-b"));
  }
}
