#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"

namespace culvert {

enum class IpFamily : std::uint8_t { v4 = 4, v6 = 6 };

/// An IPv4 or IPv6 address, a value. IPv4 takes the first 4 of the 16 bytes, the others are 0.
class IpAddress {
 public:
  constexpr IpAddress() noexcept = default;  ///< 0.0.0.0
  [[nodiscard]] static constexpr IpAddress v4(std::uint32_t host_order) noexcept {
    IpAddress address;
    for (int i = 0; i < 4; ++i) address.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
    return address;
  }
  /// 4 or 16 bytes in network order, else nullopt.
  [[nodiscard]] static std::optional<IpAddress> from_bytes(ByteView bytes) noexcept;
  /// Dotted quad or RFC 4291 text, no zone, no surrounding space.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text) noexcept;
  [[nodiscard]] static IpAddress any(IpFamily family) noexcept;
  [[nodiscard]] static IpAddress last(IpFamily family) noexcept;  ///< all ones

  [[nodiscard]] constexpr IpFamily family() const noexcept { return family_; }
  [[nodiscard]] constexpr bool is_v4() const noexcept { return family_ == IpFamily::v4; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return is_v4() ? 4 : 16; }
  [[nodiscard]] constexpr int bits() const noexcept { return is_v4() ? 32 : 128; }
  [[nodiscard]] ByteView bytes() const noexcept { return {bytes_.data(), size()}; }
  [[nodiscard]] bool is_unspecified() const noexcept;
  [[nodiscard]] bool is_loopback() const noexcept;
  [[nodiscard]] bool is_multicast() const noexcept;
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) noexcept = default;

 private:
  IpFamily family_ = IpFamily::v4;
  std::array<std::uint8_t, 16> bytes_{};
};

/// An address with a prefix length. `address` may have host bits (as an interface address has); `network()` clears them.
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;

  /// "10.1.0.0/16", "fd00::1/64"; without a slash the full length.
  [[nodiscard]] static std::optional<IpPrefix> parse(std::string_view text) noexcept;
  [[nodiscard]] IpAddress network() const noexcept;
  [[nodiscard]] IpAddress last() const noexcept;
  [[nodiscard]] bool has_host_bits() const noexcept { return network() != address; }
  [[nodiscard]] bool contains(const IpAddress& other) const noexcept;
  [[nodiscard]] bool overlaps(const IpPrefix& other) const noexcept;
  [[nodiscard]] std::string to_string() const;
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) noexcept = default;
};

/// A UDP (or, with port 0, a raw IP) endpoint.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  [[nodiscard]] std::string to_string() const;  ///< "192.0.2.1:500", "[2001:db8::1]:4500"
  friend auto operator<=>(const Endpoint&, const Endpoint&) noexcept = default;
};

}  // namespace culvert

template <>
struct std::hash<culvert::IpAddress> {
  std::size_t operator()(const culvert::IpAddress& address) const noexcept;
};
template <>
struct std::hash<culvert::Endpoint> {
  std::size_t operator()(const culvert::Endpoint& endpoint) const noexcept {
    return std::hash<culvert::IpAddress>{}(endpoint.address) * 31 + endpoint.port;
  }
};
