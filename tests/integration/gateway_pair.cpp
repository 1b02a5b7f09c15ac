#include "gateway_pair.h"

#include <doctest/doctest.h>

#include <stdexcept>

namespace culvert::lab {
namespace {

/// Key material of one direction: any bytes will do, as long as each SA has its own.
DirectionKeys direction_keys(crypto::CipherSuite suite, std::uint32_t number, std::uint8_t direction) {
  const auto& sizes = crypto::info(suite);
  const auto fill = [&](std::size_t len, std::uint8_t purpose) {
    Secret secret(len);
    for (std::size_t i = 0; i < len; ++i) {
      secret.mutable_view()[i] =
          static_cast<std::uint8_t>(number * 7 + number / 256 + direction * 101 + purpose * 53 + i);
    }
    return secret;
  };
  return {fill(std::size_t{sizes.key_len} + sizes.salt_len, 1), fill(sizes.integrity_len, 2)};
}

std::vector<TrafficSelector> selectors(const char* v4, const char* v6) {
  return {TrafficSelector::from_prefix(*IpPrefix::parse(v4)), TrafficSelector::from_prefix(*IpPrefix::parse(v6))};
}

}  // namespace

GatewayPair::GatewayPair(Agreement agreement) : agreement_(std::move(agreement)) {
  a = make(agreement_.a, "cvt-a");
  b = make(agreement_.b, "cvt-b");
}

Gateway GatewayPair::make(const std::string& address, const std::string& device) const {
  auto plane = tunnel::DataPlane::create(
      {.workers = agreement_.workers, .listen = {*IpAddress::parse(address)}, .max_wait = agreement_.max_wait});
  if (!plane) throw std::runtime_error(plane.error().detail);
  tunnel::TunnelConfig config = gre_tunnel(the_tunnel, the_child, device);
  config.carry = agreement_.carry;
  config.mtu = agreement_.mtu;
  config.trap = agreement_.trap;
  if (agreement_.carry == tunnel::Carry::gre) {
    config.gre_key = 42;
    config.gre_checksum = agreement_.gre_checksum;
    config.gre_sequence = agreement_.gre_sequence;
    if (agreement_.mode == EspMode::tunnel) {
      config.gre_source = *IpAddress::parse(address == agreement_.a ? "192.0.2.1" : "192.0.2.2");
      config.gre_destination = *IpAddress::parse(address == agreement_.a ? "192.0.2.2" : "192.0.2.1");
    }
  }
  if (auto added = (*plane)->add_tunnel(config); !added) throw std::runtime_error(added.error().detail);
  set_up(device);
  return {std::move(*plane), std::make_unique<DeviceEnd>(device)};
}

ChildSaKeys GatewayPair::keys_a(std::uint32_t number) const {
  ChildSaKeys keys;
  keys.child = the_child;
  keys.inbound_spi = spi_a(number);
  keys.outbound_spi = spi_b(number);
  keys.suite = agreement_.suite;
  keys.inbound = direction_keys(agreement_.suite, number, 1);
  keys.outbound = direction_keys(agreement_.suite, number, 2);
  keys.mode = agreement_.mode;
  keys.encapsulation = agreement_.encapsulation;
  keys.esn = agreement_.esn;
  keys.hard_packets = agreement_.hard_packets;
  keys.soft_packets = agreement_.soft_packets;
  keys.local_endpoint = endpoint_a();
  keys.remote_endpoint = endpoint_b();
  if (agreement_.carry == tunnel::Carry::ip) {
    keys.local = selectors("10.1.0.0/16", "fd01::/16");
    keys.remote = selectors("10.2.0.0/16", "fd02::/16");
  } else if (agreement_.mode == EspMode::tunnel) {
    keys.local = {TrafficSelector::from_prefix(*IpPrefix::parse("192.0.2.1"), 47)};
    keys.remote = {TrafficSelector::from_prefix(*IpPrefix::parse("192.0.2.2"), 47)};
  } else {
    keys.local = {TrafficSelector::from_prefix(*IpPrefix::parse(agreement_.a), 47)};
    keys.remote = {TrafficSelector::from_prefix(*IpPrefix::parse(agreement_.b), 47)};
  }
  return keys;
}

ChildSaKeys GatewayPair::keys_b(std::uint32_t number) const {
  ChildSaKeys keys = keys_a(number);
  std::swap(keys.inbound_spi, keys.outbound_spi);
  std::swap(keys.inbound, keys.outbound);
  std::swap(keys.local, keys.remote);
  std::swap(keys.local_endpoint, keys.remote_endpoint);
  return keys;
}

void GatewayPair::install(std::uint32_t number) {
  install_b(number, true);
  install_a(number, true);
}

void GatewayPair::install_a(std::uint32_t number, bool use_outbound) {
  if (auto done = a.plane->install(keys_a(number), use_outbound); !done) throw std::runtime_error(done.error().detail);
}

void GatewayPair::install_b(std::uint32_t number, bool use_outbound) {
  if (auto done = b.plane->install(keys_b(number), use_outbound); !done) throw std::runtime_error(done.error().detail);
}

void check_both_ways(GatewayPair& pair, std::uint32_t number, std::size_t len) {
  const Bytes packets_a[] = {udp_packet(host_a, host_b, number, len), udp_packet(host_a6, host_b6, number + 1, len)};
  const Bytes packets_b[] = {udp_packet(host_b, host_a, number + 2, len),
                             udp_packet(host_b6, host_a6, number + 3, len)};
  for (const Bytes& packet : packets_a) {
    pair.a.device->send(packet);
    const auto arrived = pair.b.device->receive();
    REQUIRE(arrived);
    CHECK(*arrived == packet);
  }
  for (const Bytes& packet : packets_b) {
    pair.b.device->send(packet);
    const auto arrived = pair.a.device->receive();
    REQUIRE(arrived);
    CHECK(*arrived == packet);
  }
}

}  // namespace culvert::lab
