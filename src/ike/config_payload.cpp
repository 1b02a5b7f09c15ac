// The Configuration payload, RFC 7296 §3.15, with INTERNAL_DNS_DOMAIN of RFC 8598 §3.
#include "config_payload.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "culvert/base/text.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_attributes = 128;  // of one payload; ours
constexpr std::size_t max_subnets = 64;      // that we take from a gateway

Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

/// Lengths of the values that RFC 7296 §3.15.1 and RFC 8598 §3 allow. An address of IPv6 without its prefix length
/// comes from implementations of RFC 4306, whose text was unclear. Others than these are not ours to judge.
bool has_right_length(const CfgAttribute& attribute) {
  const std::size_t length = attribute.value.size();
  using enum CfgAttributeType;
  switch (attribute.type) {
    case internal_ip4_address:
    case internal_ip4_netmask:
    case internal_ip4_dns:
      return length == 0 || length == 4;
    case internal_ip6_address:
      return length == 0 || length == 16 || length == 17;
    case internal_ip6_dns:
      return length == 0 || length == 16;
    case internal_ip4_subnet:
      return length == 0 || length == 8;
    case internal_ip6_subnet:
      return length == 0 || length == 17;
    case internal_dns_domain:
      return length <= 253;
    default:
      return true;
  }
}

}  // namespace

// ---- grammar
// ------------------------------------------------------------------------------------------------------------------
//
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |   CFG Type    |                    RESERVED                   |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |R|         Attribute Type      |            Length             |  each
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                             Value                             ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// R is reserved: ignored on receipt.

std::expected<CpPayload, PayloadError> parse_cp(ByteView body) {
  Reader reader(body);
  const auto type = reader.u8();
  if (!type || !reader.skip(3)) return std::unexpected("CP payload is too short");
  CpPayload cp;
  cp.type = static_cast<CfgType>(*type);
  while (!reader.empty()) {
    const auto number = reader.u16();
    const auto length = reader.u16();
    const auto value = length ? reader.take(*length) : std::nullopt;
    if (!number || !value) return std::unexpected("configuration attribute is cut off");
    CfgAttribute attribute{static_cast<CfgAttributeType>(*number & 0x7fff), copy(*value)};
    if (!has_right_length(attribute)) return std::unexpected("length of a configuration attribute");
    if (cp.attributes.size() >= max_attributes) return std::unexpected("number of configuration attributes");
    cp.attributes.push_back(std::move(attribute));
  }
  return cp;
}

void write_cp(Writer& writer, const CpPayload& cp) {
  writer.u8(static_cast<std::uint8_t>(cp.type));
  writer.zeros(3);
  for (const CfgAttribute& attribute : cp.attributes) {
    writer.u16(static_cast<std::uint16_t>(attribute.type));
    writer.u16(static_cast<std::uint16_t>(attribute.value.size()));
    writer.bytes(attribute.value);
  }
}

// ---- meaning
// ------------------------------------------------------------------------------------------------------------------

namespace {

constexpr std::uint8_t host_length_v6 = 128;

CfgAttribute address_attribute(const IpAddress& address) {
  CfgAttribute attribute{
      address.is_v4() ? CfgAttributeType::internal_ip4_address : CfgAttributeType::internal_ip6_address,
      copy(address.bytes())};
  if (!address.is_v4()) attribute.value.push_back(host_length_v6);
  return attribute;
}

/// The address of an attribute that may be empty.
std::optional<IpAddress> address_in(const CfgAttribute& attribute) {
  const ByteView value(attribute.value);
  const auto address = IpAddress::from_bytes(value.size() == 17 ? value.first(16) : value);
  return address && !address->is_unspecified() ? address : std::nullopt;
}

IpAddress mask_of(std::uint8_t length) {
  return IpPrefix{IpAddress::last(IpFamily::v4), length}.network();
}

CfgAttribute subnet_attribute(const IpPrefix& subnet) {
  const IpAddress network = subnet.network();
  if (network.is_v4()) {
    CfgAttribute attribute{CfgAttributeType::internal_ip4_subnet, copy(network.bytes())};
    append(attribute.value, mask_of(subnet.length).bytes());
    return attribute;
  }
  CfgAttribute attribute{CfgAttributeType::internal_ip6_subnet, copy(network.bytes())};
  attribute.value.push_back(subnet.length);
  return attribute;
}

std::optional<IpPrefix> subnet_in(const CfgAttribute& attribute) {
  const ByteView value(attribute.value);
  if (value.size() == 17) {
    if (value[16] > 128) return std::nullopt;
    return IpPrefix{*IpAddress::from_bytes(value.first(16)), value[16]};
  }
  if (value.size() != 8) return std::nullopt;
  const auto mask = load_be<std::uint32_t>(value.data() + 4);
  const auto length = static_cast<std::uint8_t>(std::countl_one(mask));
  if (length < 32 && (mask << length) != 0) return std::nullopt;  // not a mask
  return IpPrefix{*IpAddress::from_bytes(value.first(4)), length};
}

bool is_usable(const IpAddress& address) {
  return !address.is_unspecified() && !address.is_multicast() && !address.is_loopback() &&
         address != IpAddress::last(address.family());
}

}  // namespace

bool is_domain(std::string_view text) noexcept {
  if (text.empty() || text.size() > 253) return false;
  std::size_t label = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hyphen = c == '-', dot = c == '.';
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!hyphen && !dot && !word) return false;
    const bool at_edge = label == 0 || i + 1 == text.size() || text[i + 1] == '.';
    if ((hyphen && at_edge) || (dot && (label == 0 || i + 1 == text.size()))) return false;
    label = dot ? 0 : label + 1;
    if (label > 63) return false;
  }
  return true;
}

CpPayload make_request(bool v4, bool v6, const VirtualNet& before) {
  using enum CfgAttributeType;
  CpPayload cp{CfgType::request, {}};
  const auto ask = [&](CfgAttributeType type) { cp.attributes.push_back({type, {}}); };
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
    if (!(family == IpFamily::v4 ? v4 : v6)) continue;
    const IpAddress* had = before.address(family);
    if (had) {
      cp.attributes.push_back(address_attribute(*had));
    } else {
      ask(family == IpFamily::v4 ? internal_ip4_address : internal_ip6_address);
    }
    ask(family == IpFamily::v4 ? internal_ip4_dns : internal_ip6_dns);
    ask(family == IpFamily::v4 ? internal_ip4_subnet : internal_ip6_subnet);
  }
  ask(internal_dns_domain);
  return cp;
}

AddressRequest read_request(const CpPayload& request) {
  AddressRequest asked;
  for (const CfgAttribute& attribute : request.attributes) {
    using enum CfgAttributeType;
    switch (attribute.type) {
      case internal_ip4_address:
        asked.v4 = true;
        if (!asked.wish_v4) asked.wish_v4 = address_in(attribute);
        break;
      case internal_ip6_address:
        asked.v6 = true;
        if (!asked.wish_v6) asked.wish_v6 = address_in(attribute);
        break;
      case internal_ip4_dns:
        asked.dns_v4 = true;
        break;
      case internal_ip6_dns:
        asked.dns_v6 = true;
        break;
      case internal_ip4_subnet:
        asked.subnet_v4 = true;
        break;
      case internal_ip6_subnet:
        asked.subnet_v6 = true;
        break;
      case internal_dns_domain:
        asked.domains = true;
        break;
      default:
        break;  // §3.15.1: what we do not know is ignored
    }
  }
  return asked;
}

CpPayload make_reply(const VirtualNet& net, const AddressRequest& asked) {
  using enum CfgAttributeType;
  CpPayload cp{CfgType::reply, {}};
  bool names_servers = false;
  for (const IpAddress& address : net.addresses)
    if (asked.wants(address.family())) cp.attributes.push_back(address_attribute(address));
  for (const IpAddress& server : net.dns) {
    if (!(server.is_v4() ? asked.dns_v4 : asked.dns_v6)) continue;
    cp.attributes.push_back({server.is_v4() ? internal_ip4_dns : internal_ip6_dns, copy(server.bytes())});
    names_servers = true;
  }
  // RFC 8598 §3.1: domains go with servers, and to who knows what they are.
  if (asked.domains && names_servers)
    for (const std::string& domain : net.domains)
      cp.attributes.push_back({internal_dns_domain, copy(as_bytes(domain))});
  for (const IpPrefix& subnet : net.subnets)
    if (subnet.address.is_v4() ? asked.subnet_v4 : asked.subnet_v6) cp.attributes.push_back(subnet_attribute(subnet));
  return cp;
}

std::expected<VirtualNet, std::string> read_reply(const CpPayload& reply) {
  VirtualNet net;
  const auto add = [](auto& list, auto value, std::size_t most) {
    if (list.size() < most && std::ranges::find(list, value) == list.end()) list.push_back(std::move(value));
  };
  for (const CfgAttribute& attribute : reply.attributes) {
    using enum CfgAttributeType;
    const auto address = address_in(attribute);
    switch (attribute.type) {
      case internal_ip4_address:
      case internal_ip6_address:
        if (!address) break;
        if (!is_usable(*address)) return std::unexpected(fmt::format("it gives us {}", address->to_string()));
        if (!net.address(address->family())) net.addresses.push_back(*address);
        break;
      case internal_ip4_dns:
      case internal_ip6_dns:
        if (address && is_usable(*address)) add(net.dns, *address, max_dns);
        break;
      case internal_ip4_subnet:
      case internal_ip6_subnet:
        if (const auto subnet = subnet_in(attribute)) add(net.subnets, *subnet, max_subnets);
        break;
      case internal_dns_domain: {
        const ByteView value(attribute.value);
        std::string domain(value.begin(), value.end());
        if (domain.ends_with('.')) domain.pop_back();
        std::ranges::transform(domain, domain.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
        if (is_domain(domain)) add(net.domains, std::move(domain), max_domains);
        break;
      }
      default:
        break;
    }
  }
  return net;
}

}  // namespace culvert::ike
