#pragma once
#include <map>
#include <utility>
#include <vector>

#include "culvert/tunnel/data_plane.h"

namespace culvert::test {

/// A data plane that only remembers what it was told, and answers what the test put in.
class FakePlane : public tunnel::DataPlane {
 public:
  Result<void> add_tunnel(const tunnel::TunnelConfig&) override { return {}; }
  bool has_kept_device(const std::string&) const override { return false; }
  void close_kept() override {}
  Result<void> renew_device(TunnelId) override { return {}; }
  std::vector<tunnel::NamedDescriptor> descriptors() const override { return {}; }
  void remove_tunnel(TunnelId) override {}
  void remove_tunnels(std::span<const TunnelId>, const std::function<void()>& before_closing) override {
    before_closing();
  }
  void adjust(const tunnel::TunnelConfig&) override {}
  void set_mtu(TunnelId, std::uint16_t) override {}
  Result<void> install(ChildSaKeys, bool) override { return {}; }
  void activate_outbound(Spi) override {}
  void move(Spi, const Endpoint&, const Endpoint&, EspEncapsulation) override {}
  void remove(Spi) override {}
  void flush_waiting(ChildId) override {}
  void send_whole(const Endpoint&, const Endpoint&, ByteView) override {}
  Result<void> send_control(const Endpoint&, const Endpoint&, ByteView, bool) override { return {}; }
  bool send_echo(ChildId, const wire::Echo&, std::size_t, bool) override { return false; }
  bool answer_echo(Spi, const wire::Echo&) override { return false; }
  bool send_inner(TunnelId, ByteView, bool) override { return false; }
  void expect_from(std::span<const IpAddress>) override {}
  int event_fd() const noexcept override { return -1; }
  std::vector<tunnel::Event> poll_events(std::size_t) override { return {}; }
  std::vector<ChildSaKeys> copy_keys(const std::function<bool(PeerId)>&) const override { return {}; }
  std::optional<ChildTraffic> traffic(Spi inbound_spi) const override {
    const auto found = traffic_of.find(inbound_spi);
    return found == traffic_of.end() ? std::nullopt : std::optional(found->second);
  }
  tunnel::TunnelCounters counters(TunnelId id) const override {
    const auto found = counters_of.find(id);
    return found == counters_of.end() ? tunnel::TunnelCounters{} : found->second;
  }
  std::vector<std::uint64_t> drops() const override { return drop_counters; }
  void count_drop(DropReason) override {}
  tunnel::WorkerCounters worker_counters() const override { return {}; }
  std::size_t packet_memory() const override { return 4096; }

  std::map<Spi, ChildTraffic> traffic_of;
  std::map<TunnelId, tunnel::TunnelCounters> counters_of;
  std::vector<std::uint64_t> drop_counters = std::vector<std::uint64_t>(num_drop_reasons, 0);
};

}  // namespace culvert::test
