#include "culvert/base/ip.h"

#include <arpa/inet.h>

#include <charconv>
#include <string>

namespace culvert {

std::optional<IpAddress> IpAddress::from_bytes(ByteView bytes) noexcept {
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  IpAddress address;
  address.family_ = bytes.size() == 4 ? IpFamily::v4 : IpFamily::v6;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) noexcept {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.empty() || text.size() >= terminated.size()) return std::nullopt;
  std::copy(text.begin(), text.end(), terminated.begin());
  IpAddress address;
  if (inet_pton(AF_INET, terminated.data(), address.bytes_.data()) == 1) return address;
  if (inet_pton(AF_INET6, terminated.data(), address.bytes_.data()) != 1) return std::nullopt;
  address.family_ = IpFamily::v6;
  return address;
}

IpAddress IpAddress::any(IpFamily family) noexcept {
  IpAddress address;
  address.family_ = family;
  return address;
}

IpAddress IpAddress::last(IpFamily family) noexcept {
  IpAddress address = any(family);
  std::fill_n(address.bytes_.begin(), address.size(), std::uint8_t{0xff});
  return address;
}

bool IpAddress::is_unspecified() const noexcept { return *this == any(family_); }
bool IpAddress::is_loopback() const noexcept {
  if (is_v4()) return bytes_[0] == 127;
  IpAddress loopback = any(IpFamily::v6);
  loopback.bytes_[15] = 1;
  return *this == loopback;
}
bool IpAddress::is_multicast() const noexcept { return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) noexcept {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  IpPrefix prefix{*address, static_cast<std::uint8_t>(address->bits())};
  if (slash == std::string_view::npos) return prefix;
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  const bool whole = error == std::errc{} && end == digits.data() + digits.size();
  if (!whole || length > static_cast<unsigned>(address->bits())) return std::nullopt;
  prefix.length = static_cast<std::uint8_t>(length);
  return prefix;
}

namespace {

/// The address with all bits behind the first `length` set to `bit`.
IpAddress with_host_bits(const IpAddress& address, unsigned length, bool bit) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  const ByteView from = address.bytes();
  for (std::size_t i = 0; i < from.size(); ++i) {
    const unsigned kept = length > 8 * i ? std::min<unsigned>(8, length - static_cast<unsigned>(8 * i)) : 0;
    const auto host = static_cast<std::uint8_t>(0xff >> kept);
    bytes[i] = static_cast<std::uint8_t>(bit ? from[i] | host : from[i] & ~host);
  }
  return *IpAddress::from_bytes({bytes.data(), from.size()});
}

}  // namespace

IpAddress IpPrefix::network() const noexcept { return with_host_bits(address, length, false); }
IpAddress IpPrefix::last() const noexcept { return with_host_bits(address, length, true); }

bool IpPrefix::contains(const IpAddress& other) const noexcept {
  return other.family() == address.family() && with_host_bits(other, length, false) == network();
}

bool IpPrefix::overlaps(const IpPrefix& other) const noexcept {
  return length <= other.length ? contains(other.address) : other.contains(address);
}

std::string IpPrefix::to_string() const { return address.to_string() + "/" + std::to_string(length); }

std::string Endpoint::to_string() const {
  const std::string text = address.to_string();
  return (address.is_v4() ? text : "[" + text + "]") + ":" + std::to_string(port);
}

}  // namespace culvert

std::size_t std::hash<culvert::IpAddress>::operator()(const culvert::IpAddress& address) const noexcept {
  return std::hash<std::string_view>{}(culvert::as_text(address.bytes()));
}
