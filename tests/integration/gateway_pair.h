#pragma once
#include <memory>
#include <string>

#include "culvert/tunnel/data_plane.h"
#include "lab_namespace.h"

namespace culvert::lab {

/// What a pair of gateways agrees on; a test changes what it is about.
struct Agreement {
  std::string a = "127.0.0.1", b = "127.0.0.2";  ///< outer addresses
  tunnel::Carry carry = tunnel::Carry::gre;
  EspMode mode = EspMode::transport;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
  crypto::CipherSuite suite = crypto::CipherSuite::aes_gcm_16_256;
  bool esn = true;
  bool gre_checksum = false, gre_sequence = false;
  bool trap = false;
  std::uint16_t mtu = 1400;
  unsigned workers = 1;
  Duration max_wait = std::chrono::seconds(30);
  std::uint64_t hard_packets = 0, soft_packets = 0;
};

/// One gateway with a device.
struct Gateway {
  std::unique_ptr<tunnel::DataPlane> plane;
  std::unique_ptr<DeviceEnd> device;

  [[nodiscard]] std::uint64_t drops(DropReason reason) const {
    return plane->drops()[static_cast<std::size_t>(reason)];
  }
  /// The next event of this kind; others on the way are lost. nullopt after five seconds.
  template <class T>
  [[nodiscard]] std::optional<T> next() {
    std::optional<T> found;
    [[maybe_unused]] const bool in_time = eventually([&] {
      for (auto& event : plane->poll_events(1)) {
        if (auto* wanted = std::get_if<T>(&event)) found = std::move(*wanted);
      }
      return found.has_value();
    });
    return found;
  }
};

inline constexpr TunnelId the_tunnel{1};
inline constexpr ChildId the_child{7};

[[nodiscard]] inline tunnel::TunnelConfig gre_tunnel(TunnelId id, ChildId child, const std::string& device) {
  tunnel::TunnelConfig config;
  config.id = id;
  config.name = device;
  config.child = child;
  config.device = device;
  config.mtu = 1400;
  return config;
}

/// Two gateways in one namespace, on loopback, that IKE has nothing to do with: keys are the test's.
class GatewayPair {
 public:
  explicit GatewayPair(Agreement agreement = {});  ///< throws when one of them does not start

  /// Installs a fresh pair of SAs on both sides; `number` makes its SPIs and keys. The inbound SPI of A is
  /// spi_a(number).
  void install(std::uint32_t number);
  void install_a(std::uint32_t number, bool use_outbound);
  void install_b(std::uint32_t number, bool use_outbound);
  static Spi spi_a(std::uint32_t number) { return Spi{0x1000 + number}; }
  static Spi spi_b(std::uint32_t number) { return Spi{0x200000 + number}; }
  [[nodiscard]] ChildSaKeys keys_a(std::uint32_t number) const;
  [[nodiscard]] ChildSaKeys keys_b(std::uint32_t number) const;
  [[nodiscard]] EspEncapsulation encapsulation() const { return agreement_.encapsulation; }
  [[nodiscard]] Endpoint endpoint_a() const { return {*IpAddress::parse(agreement_.a), 4500}; }
  [[nodiscard]] Endpoint endpoint_b() const { return {*IpAddress::parse(agreement_.b), 4500}; }

  Gateway a, b;

 private:
  Gateway make(const std::string& address, const std::string& device) const;

  Agreement agreement_;
};

// Inner addresses: a's net is 10.1.0.0/16 and fd01::/16, b's 10.2.0.0/16 and fd02::/16.
inline const IpAddress host_a = *IpAddress::parse("10.1.0.1"), host_b = *IpAddress::parse("10.2.0.1");
inline const IpAddress host_a6 = *IpAddress::parse("fd01::1"), host_b6 = *IpAddress::parse("fd02::1");

/// Sends one packet each way and of each family, and expects it unchanged at the other end.
void check_both_ways(GatewayPair& pair, std::uint32_t number, std::size_t len = 200);

}  // namespace culvert::lab
