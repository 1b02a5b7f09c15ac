#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "rules.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_addresses = 16;
constexpr std::size_t max_proposals = 16;

}  // namespace

/// RFC 1123 §2.1: letters, digits and inner hyphens in labels of at most 63 bytes, 253 in all. A name of digits and
/// dots alone is an address that did not parse.
bool is_host_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > 253 || text.find_first_not_of("0123456789.") == std::string_view::npos)
    return false;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('.', start), text.size());
    const std::string_view label = text.substr(start, end - start);
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    for (const char c : label) {
      const bool fine =
          (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      if (!fine) return false;
    }
    start = end + 1;
  }
  return true;
}

namespace {

void check_address(const RawPeer& raw, const Located<std::string>& name, const GatewayConfig& gateway,
                   Findings& findings) {
  const std::string key = raw.key("address");
  if (name.value == "any") {
    return findings.error(name.at, key, "\"any\" stands alone: address = \"any\"");
  }
  const auto address = IpAddress::parse(name.value);
  if (!address) {
    if (is_host_name(name.value)) return;
    return findings.error(
        name.at, key,
        fmt::format("expected a host name or an address without a port (that is the key `port`), got {}",
                    in_quotes(name.value)));
  }
  if (address->is_unspecified() || address->is_multicast()) {
    return findings.error(
        name.at, key,
        fmt::format("{} is no address of a peer; a peer that may come from anywhere has address = \"any\"",
                    name.value));
  }
  const auto same_family = [&](const IpAddress& own) { return own.family() == address->family(); };
  if (!gateway.listen.empty() && std::ranges::none_of(gateway.listen, same_family)) {
    findings.error(name.at, key,
                   fmt::format("gateway.listen has no {} address to reach {} from", address->is_v4() ? "IPv4" : "IPv6",
                               name.value));
  }
}

void check_addresses(const RawPeer& raw, const GatewayConfig& gateway, ike::PeerConfig& peer, Findings& findings) {
  if (!raw.address.value) return;
  const PeerAddresses& addresses = *raw.address.value;
  if (addresses.names.size() > max_addresses) {
    findings.error(raw.address.at, raw.key("address"), fmt::format("more than {} addresses", max_addresses));
  }
  for (const auto& name : addresses.names) {
    if (std::ranges::find(peer.addresses, name.value) != peer.addresses.end()) {
      findings.error(name.at, raw.key("address"), fmt::format("{} is listed twice", in_quotes(name.value)));
      continue;
    }
    check_address(raw, name, gateway, findings);
    peer.addresses.push_back(name.value);
  }
}

void check_local_addresses(const RawPeer& raw, const GatewayConfig& gateway, ike::PeerConfig& peer,
                           Findings& findings) {
  if (!raw.local_address.value) return;
  const std::string key = raw.key("local_address");
  for (const auto& [address, at] : *raw.local_address.value) {
    const auto covers = [&](const IpAddress& own) {
      return own == address || (own.is_unspecified() && own.family() == address.family());
    };
    if (address.is_unspecified() || address.is_multicast()) {
      findings.error(at, key, fmt::format("{} is no address to send from", address.to_string()));
    } else if (std::ranges::find(peer.local_addresses, address) != peer.local_addresses.end()) {
      findings.error(at, key, fmt::format("{} is listed twice", address.to_string()));
    } else if (!gateway.listen.empty() && std::ranges::none_of(gateway.listen, covers)) {
      findings.error(at, key, fmt::format("gateway.listen does not cover {}", address.to_string()));
    }
    peer.local_addresses.push_back(address);
  }
  if (peer.local_addresses.size() > max_addresses) {
    findings.error(raw.local_address.at, key, fmt::format("more than {} addresses", max_addresses));
  }
}

void check_start(const RawPeer& raw, ike::PeerConfig& peer, Findings& findings) {
  const bool from_anywhere = raw.address.value && raw.address.value->any;
  peer.start = raw.start.value.value_or(from_anywhere ? ike::StartMode::wait : ike::StartMode::always);
  if (from_anywhere && peer.start != ike::StartMode::wait) {
    findings.error(raw.start.at, raw.key("start"),
                   "a peer with address = \"any\" cannot be called: start = \"wait\", or name its address");
  }
}

using ProposalParser = Result<ike::Proposal> (*)(std::string_view);

std::vector<ike::Proposal> check_proposals(const List<std::string>& list, const std::string& key, ProposalParser parse,
                                           Findings& findings) {
  std::vector<ike::Proposal> proposals;
  if (!list.value) return proposals;
  if (list.value->size() > max_proposals)
    findings.error(list.at, key, fmt::format("more than {} proposals", max_proposals));
  std::set<std::string_view> seen;
  for (const auto& [text, at] : *list.value) {
    auto proposal = parse(text);
    if (!proposal) {
      findings.error(at, key, proposal.error().detail);
    } else if (!seen.insert(text).second) {
      findings.error(at, key, fmt::format("{} is listed twice", in_quotes(text)));
    } else {
      proposal->number = static_cast<std::uint8_t>(proposals.size() + 1);  // RFC 7296 §3.3.1: from 1, one more each
      proposals.push_back(std::move(*proposal));
    }
    if (proposals.size() >= max_proposals) break;
  }
  return proposals;
}

void fill_timers(const RawPeer& raw, ike::PeerConfig& peer) {
  peer.port = static_cast<std::uint16_t>(raw.port.value.value_or(peer.port));
  peer.nat_port = static_cast<std::uint16_t>(raw.nat_port.value.value_or(peer.nat_port));
  peer.tcp_port = static_cast<std::uint16_t>(raw.tcp_port.value.value_or(peer.tcp_port));
  peer.encapsulation = raw.encapsulation.value.value_or(peer.encapsulation);
  peer.ike_lifetime = raw.ike_lifetime.value.value_or(peer.ike_lifetime);
  peer.reauth_lifetime = raw.reauth_lifetime.value.value_or(peer.reauth_lifetime);
  peer.child_lifetime = raw.child_lifetime.value.value_or(peer.child_lifetime);
  peer.child_bytes = raw.child_bytes.value.value_or(peer.child_bytes);
  peer.child_packets = raw.child_packets.value.value_or(peer.child_packets);
  peer.jitter = raw.rekey_jitter.value.value_or(peer.jitter);
  peer.liveness = raw.liveness.value.value_or(peer.liveness);
  peer.retransmit_first = raw.retransmit_timeout.value.value_or(peer.retransmit_first);
  peer.retransmit_tries = static_cast<int>(raw.retransmit_tries.value.value_or(peer.retransmit_tries));
  peer.keepalive = raw.keepalive.value.value_or(peer.keepalive);
  peer.unique = raw.unique.value.value_or(peer.unique);
  peer.resumption = raw.resumption.value.value_or(peer.resumption);
  peer.follow_redirects = raw.follow_redirects.value.value_or(peer.follow_redirects);
  peer.childless = raw.childless.value.value_or(peer.childless);
  peer.probe_interval = raw.probe_interval.value.value_or(peer.probe_interval);
  peer.path_mtu_discovery = raw.path_mtu_discovery.value.value_or(peer.path_mtu_discovery);
  peer.mobike = raw.mobike.value.value_or(peer.mobike);
}

/// RFC 791 §3.2: each IPv4 host takes 576 bytes; smaller fragments would only be more.
void check_fragment_size(const RawPeer& raw, ike::PeerConfig& peer, Findings& findings) {
  const std::int64_t size = raw.fragment_size.value.value_or(peer.fragment_size);
  if (size != 0 && size < 576) {
    findings.error(raw.fragment_size.at, raw.key("fragment_size"),
                   fmt::format("expected 576 … 65535, or 0 for no fragmentation, got {}", size));
  }
  peer.fragment_size = static_cast<std::uint16_t>(size);
}

/// Equal for identities that match, and nearly never for others.
std::string match_key(const ike::Identity& id) {
  std::string key(1, static_cast<char>(id.type));
  for (const std::uint8_t byte : id.data)
    key += static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
  return key;
}

}  // namespace

ike::PeerConfig check_peer(const RawPeer& raw, PeerId id, const GatewayConfig& gateway, Findings& findings) {
  ike::PeerConfig peer;
  peer.id = id;
  peer.name = raw.name;
  check_addresses(raw, gateway, peer, findings);
  check_local_addresses(raw, gateway, peer, findings);
  check_start(raw, peer, findings);
  fill_timers(raw, peer);
  check_fragment_size(raw, peer, findings);
  peer.ike_proposals = raw.ike.present ? check_proposals(raw.ike, raw.key("ike"), ike::parse_ike_proposal, findings)
                                       : ike::default_ike_proposals();
  peer.esp_proposals = raw.esp.present ? check_proposals(raw.esp, raw.key("esp"), ike::parse_esp_proposal, findings)
                                       : ike::default_esp_proposals();
  return peer;
}

void check_identities(const std::vector<RawPeer>& raw, const std::vector<ike::PeerConfig>& peers, Findings& findings) {
  std::map<std::pair<std::string, std::string>, std::size_t> seen;
  for (std::size_t i = 0; i < peers.size(); ++i) {
    const ike::PeerConfig& peer = peers[i];
    if (peer.remote_id.data.empty() || peer.local_id.data.empty()) continue;
    const auto [first, is_new] = seen.try_emplace({match_key(peer.remote_id), match_key(peer.local_id)}, i);
    if (is_new) continue;
    const ike::PeerConfig& other = peers[first->second];
    if (!peer.remote_id.matches(other.remote_id) || !peer.local_id.matches(other.local_id)) continue;
    findings.error(raw[i].id.at, raw[i].key("id"),
                   fmt::format("peer {} ({}) has the same id and the same local_id: a peer that calls could be "
                               "either. Put all tunnels "
                               "to that gateway under one peer, or give one of the two another id",
                               other.name, findings.place(raw[first->second].at)));
  }
}

}  // namespace culvert::config
