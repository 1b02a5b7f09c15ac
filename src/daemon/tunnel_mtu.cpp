#include "tunnel_mtu.h"

#include <algorithm>

#include "culvert/tunnel/mtu.h"

namespace culvert::daemon {
namespace {

constexpr std::uint16_t min_tunnel_mtu = 576;

bool has_transform(const ike::Proposal& proposal, ike::TransformType type, std::uint16_t id) {
  return std::ranges::any_of(proposal.transforms,
                             [&](const ike::Transform& t) { return t.type == type && t.id == id; });
}

void add_suites(const ike::Proposal& proposal, std::vector<crypto::CipherSuite>& suites) {
  using crypto::CipherSuite;
  for (const auto& transform : proposal.transforms) {
    if (transform.type != ike::TransformType::encr) continue;
    const bool wide = transform.key_bits == 256;
    if (transform.id == ike::encr_aes_gcm_16)
      suites.push_back(wide ? CipherSuite::aes_gcm_16_256 : CipherSuite::aes_gcm_16_128);
    if (transform.id == ike::encr_chacha20_poly1305) suites.push_back(CipherSuite::chacha20_poly1305);
    if (transform.id != ike::encr_aes_cbc) continue;
    if (has_transform(proposal, ike::TransformType::integ, ike::integ_sha2_256_128))
      suites.push_back(wide ? CipherSuite::aes_cbc_256_sha2_256_128 : CipherSuite::aes_cbc_128_sha2_256_128);
    if (has_transform(proposal, ike::TransformType::integ, ike::integ_sha2_384_192))
      suites.push_back(wide ? CipherSuite::aes_cbc_256_sha2_384_192 : CipherSuite::aes_cbc_128_sha2_384_192);
    if (has_transform(proposal, ike::TransformType::integ, ike::integ_sha2_512_256))
      suites.push_back(wide ? CipherSuite::aes_cbc_256_sha2_512_256 : CipherSuite::aes_cbc_128_sha2_512_256);
  }
}

/// Literal addresses have one family each; a name, or "any", may turn out to be of every family that we listen on.
std::vector<IpFamily> outer_families(const ike::PeerConfig& peer, const std::vector<IpAddress>& listen) {
  std::vector<IpFamily> families;
  const auto add = [&](IpFamily family) {
    const bool listening =
        std::ranges::any_of(listen, [&](const IpAddress& address) { return address.family() == family; });
    if (listening && std::ranges::find(families, family) == families.end()) families.push_back(family);
  };
  for (const auto& name : peer.addresses) {
    if (const auto literal = IpAddress::parse(name)) {
      add(literal->family());
    } else {
      add(IpFamily::v4);
      add(IpFamily::v6);
    }
  }
  if (families.empty()) {
    add(IpFamily::v4);
    add(IpFamily::v6);
  }
  return families;
}

std::vector<EspMode> modes(const ike::PeerConfig& peer, ChildId child) {
  for (const auto& config : peer.children)
    if (config.id == child && config.mode == ike::ModePreference::transport) return {EspMode::transport};
  return {EspMode::tunnel};  // transport, where it may come, is smaller
}

tunnel::MtuQuery query_of(const tunnel::TunnelConfig& tunnel, const SaShape& sa, std::uint32_t path_mtu) {
  tunnel::MtuQuery query;
  query.outer_mtu = path_mtu;
  query.outer_family = sa.outer_family;
  query.encapsulation = sa.encapsulation;
  query.suite = sa.suite;
  query.mode = sa.mode;
  query.carry = tunnel.carry;
  query.gre_key = tunnel.gre_key.has_value();
  query.gre_sequence = tunnel.gre_sequence;
  query.gre_checksum = tunnel.gre_checksum;
  query.delivery_family = tunnel.gre_source ? tunnel.gre_source->family() : sa.outer_family;
  return query;
}

}  // namespace

std::uint16_t tunnel_mtu(const tunnel::TunnelConfig& tunnel, const SaShape& sa, std::uint32_t path_mtu) {
  return std::max(min_tunnel_mtu, largest_inner(tunnel, sa, path_mtu));
}

std::uint16_t largest_inner(const tunnel::TunnelConfig& tunnel, const SaShape& sa, std::uint32_t outer) {
  return tunnel::inner_mtu(query_of(tunnel, sa, outer));
}

std::size_t tunnel_overhead(const tunnel::TunnelConfig& tunnel, const SaShape& sa) {
  return tunnel::carrier_overhead(query_of(tunnel, sa, default_path_mtu));
}

std::vector<SaShape> possible_shapes(const ike::PeerConfig& peer, ChildId child, const std::vector<IpAddress>& listen) {
  std::vector<crypto::CipherSuite> suites;
  for (const auto& proposal : peer.esp_proposals) add_suites(proposal, suites);
  if (suites.empty()) suites.push_back(crypto::CipherSuite::aes_cbc_256_sha2_512_256);
  // UDP encapsulation costs the more; only "raw" rules it out.
  const auto encapsulation =
      peer.encapsulation == ike::EncapsulationPreference::raw ? EspEncapsulation::raw : EspEncapsulation::udp;
  std::vector<SaShape> shapes;
  for (const auto suite : suites)
    for (const auto mode : modes(peer, child))
      for (const auto family : outer_families(peer, listen)) shapes.push_back({suite, mode, encapsulation, family});
  if (shapes.empty()) shapes.push_back({suites.front(), EspMode::tunnel, encapsulation, IpFamily::v6});
  return shapes;
}

std::uint16_t smallest_tunnel_mtu(const tunnel::TunnelConfig& tunnel, const std::vector<SaShape>& shapes,
                                  std::uint32_t path_mtu) {
  std::uint16_t smallest = 65535;
  for (const auto& shape : shapes) smallest = std::min(smallest, tunnel_mtu(tunnel, shape, path_mtu));
  return smallest;
}

}  // namespace culvert::daemon
