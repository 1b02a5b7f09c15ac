#include "carrier.h"

#include <cstring>

#include "culvert/wire/flow.h"
#include "culvert/wire/gre.h"
#include "sa.h"
#include "tos.h"

namespace culvert::tunnel {
namespace {

constexpr std::uint8_t delivery_ttl = 64;

/// The little that GRE needs to know of an inner packet; unlike Flow it takes any upper layer.
struct InnerHead {
  bool is_v4 = true;
  std::uint8_t tos = 0;
  std::uint32_t total_len = 0;
  std::uint32_t flow_label = 0;
  const std::uint8_t* destination = nullptr;  ///< 4 or 16 bytes of the packet

  [[nodiscard]] bool is_bound_for(const IpAddress& address) const noexcept {
    if (address.is_v4() != is_v4) return false;
    const std::uint8_t* other = address.bytes().data();
    return is_v4 ? std::memcmp(destination, other, 4) == 0 : std::memcmp(destination, other, 16) == 0;
  }
};

std::optional<InnerHead> parse_inner(ByteView packet) noexcept {
  const auto len = wire::ip_total_len(packet);
  if (!len) return std::nullopt;
  InnerHead head;
  head.is_v4 = packet[0] >> 4 == 4;
  head.tos = wire::ip_tos(packet);
  head.total_len = *len;
  if (head.is_v4) {
    head.destination = &packet[16];
  } else {
    head.flow_label = load_be<std::uint32_t>(packet.data()) & 0xFFFFF;
    head.destination = &packet[24];
  }
  return head;
}

// A selector of one single address is what both ends agreed on as a GRE endpoint. Behind a NAT it is right where the
// outer address of the SA is not.
IpAddress endpoint_of(const std::optional<IpAddress>& configured, std::span<const TrafficSelector> selectors,
                      const IpAddress& outer) noexcept {
  if (configured) return *configured;
  if (selectors.size() == 1 && selectors[0].first == selectors[0].last) return selectors[0].first;
  return outer;
}

wire::Flow delivery_flow(const Tunnel& tunnel, const OutboundSa& sa, const OuterPath& path) noexcept {
  wire::Flow flow;
  flow.source = endpoint_of(tunnel.config.gre_source, sa.selectors->local(), path.local.address);
  flow.destination = endpoint_of(tunnel.config.gre_destination, sa.selectors->remote(), path.remote.address);
  flow.protocol = wire::proto_gre;
  return flow;
}

std::optional<DropReason> push_gre_header(Packet& packet, Tunnel& tunnel, bool is_v4) noexcept {
  wire::GreHeader gre;
  gre.protocol = is_v4 ? wire::ethertype_ipv4 : wire::ethertype_ipv6;
  gre.has_checksum = tunnel.config.gre_checksum;
  gre.key = tunnel.config.gre_key;
  if (tunnel.config.gre_sequence) gre.sequence = tunnel.next_gre_sequence();
  std::uint8_t* at = packet.push_front(gre.len());
  if (at == nullptr) return DropReason::no_buffer;
  gre.write(at);
  if (gre.has_checksum) packet.fetch_body();
  if (gre.has_checksum) wire::fill_gre_checksum(packet.mutable_view());
  packet.next_header = wire::proto_gre;
  return std::nullopt;
}

// DF is always set: the inner MTU makes room for this header, so nothing on our side cuts it, and a packet that is
// never cut needs no identification (RFC 6864 §4.1).
std::optional<DropReason> push_delivery_header(Packet& packet, const wire::Flow& flow,
                                               const InnerHead& inner) noexcept {
  const std::size_t payload_len = packet.len;
  std::uint8_t* at = packet.push_front(flow.source.is_v4() ? wire::ipv4_min_header_len : wire::ipv6_header_len);
  if (at == nullptr) return DropReason::no_buffer;
  if (packet.len > 65535) return DropReason::too_big;
  if (flow.source.is_v4()) {
    wire::Ipv4Header header;
    header.tos = packet.outer_tos;
    header.total_len = static_cast<std::uint16_t>(packet.len);
    header.fragment_field = wire::ipv4_df;
    header.ttl = delivery_ttl;
    header.protocol = wire::proto_gre;
    header.source = flow.source;
    header.destination = flow.destination;
    header.write(at);
    packet.next_header = wire::proto_ipip;
  } else {
    wire::Ipv6Header header;
    header.traffic_class = packet.outer_tos;
    header.flow_label = inner.flow_label;
    header.payload_len = static_cast<std::uint16_t>(payload_len);
    header.next_header = wire::proto_gre;
    header.hop_limit = delivery_ttl;
    header.source = flow.source;
    header.destination = flow.destination;
    header.write(at);
    packet.next_header = wire::proto_ipv6;
  }
  return std::nullopt;
}

/// What packets of one device that leave by one SA have in common.
struct Way {
  Way(Tunnel& through, const OutboundSa& by) noexcept : tunnel(&through), sa(&by), path(by.path.load()) {
    if (through.config.carry == Carry::ip) return;
    delivery = delivery_flow(through, by, path);
    // RFC 4301 §5.1: the peer would have to drop it
    allowed = by.mode != EspMode::tunnel ||
              (delivery.source.family() == delivery.destination.family() && by.selectors->allows_outbound(delivery));
  }

  Tunnel* tunnel;
  const OutboundSa* sa;
  OuterPath path;
  wire::Flow delivery;  ///< GRE: the ends of its packets
  bool allowed = true;  ///< GRE: the SA may carry them
};

std::optional<DropReason> push_gre(Packet& packet, const InnerHead& inner, const Way& way) noexcept {
  // It would come back to this device, one GRE header longer each time.
  if (inner.is_bound_for(way.path.remote.address) || inner.is_bound_for(way.delivery.destination))
    return DropReason::gre_recursion;
  if (!way.allowed) return DropReason::no_policy;
  if (const auto wrong = push_gre_header(packet, *way.tunnel, inner.is_v4)) return wrong;
  return way.sa->mode == EspMode::tunnel ? push_delivery_header(packet, way.delivery, inner) : std::nullopt;
}

// The kernel's routes led an outer packet of this very SA into its own device. Other packets to the peer's outer
// address are the selectors' business: two gateways may well protect what they say to each other.
bool is_own_outer_packet(ByteView packet, const InnerHead& inner, const OuterPath& path) noexcept {
  if (!inner.is_bound_for(path.remote.address)) return false;
  const auto flow = wire::Flow::parse(packet);
  if (!flow || flow->source != path.local.address) return false;
  if (flow->protocol == wire::proto_esp) return true;
  return flow->protocol == wire::proto_udp && flow->ports_known && flow->source_port == path.local.port &&
         flow->destination_port == path.remote.port;
}

std::optional<DropReason> push(Packet& packet, const Way& way) noexcept {
  const auto inner = parse_inner(packet.view());
  if (!inner) return DropReason::inner_malformed;
  if (packet.body == nullptr) packet.truncate(inner->total_len);
  packet.outer_tos = outer_tos(inner->tos, way.tunnel->copy_dscp.load(std::memory_order_relaxed));
  if (way.tunnel->config.carry == Carry::gre) return push_gre(packet, *inner, way);
  if (is_own_outer_packet(packet.view(), *inner, way.path)) return DropReason::gre_recursion;
  packet.next_header = inner->is_v4 ? wire::proto_ipip : wire::proto_ipv6;
  return std::nullopt;
}

// ESP tunnel mode came before: the inner packet is the GRE delivery packet, and we are its destination.
std::optional<DropReason> pop_delivery_header(Packet& packet) noexcept {
  if (packet.next_header == wire::proto_ipip) {
    const auto header = wire::Ipv4Header::parse(packet.view());
    if (!header || wire::checksum(packet.view().first(header->header_len)) != 0) return DropReason::inner_malformed;
    if (header->protocol != wire::proto_gre) return DropReason::next_header_invalid;
    if (header->is_fragment()) return DropReason::gre_malformed;  // not put together again
    packet.truncate(header->total_len);
    packet.outer_tos = header->tos;
    packet.pop_front(header->header_len);
    return std::nullopt;
  }
  const auto header = wire::Ipv6Header::parse(packet.view());
  if (!header) return DropReason::inner_malformed;
  packet.truncate(header->total_len());
  const auto upper = wire::ipv6_upper_layer(packet.view(), header->next_header);
  if (!upper) return DropReason::inner_malformed;
  if (upper->protocol != wire::proto_gre) return DropReason::next_header_invalid;
  if (upper->fragment_offset != 0 || upper->more_fragments) return DropReason::gre_malformed;
  packet.outer_tos = header->traffic_class;
  packet.pop_front(upper->offset);
  return std::nullopt;
}

/// A GRE header without checksum and sequence number that was accepted, and the tunnel that it led to. Neighbours
/// mostly have the same, and then it need not be parsed again.
struct GreRun {
  /// The packet is of the same child, and begins with the same header.
  [[nodiscard]] bool goes_on(const Packet& packet) const noexcept {
    return packet.child == child && packet.len >= sizeof first &&
           (load_be<std::uint64_t>(packet.data) ^ first) >> (64 - 8 * header_len) == 0;
  }
  [[nodiscard]] bool is_v4() const noexcept { return static_cast<std::uint16_t>(first >> 32) == wire::ethertype_ipv4; }

  const ChildTunnels* child = nullptr;
  Tunnel* tunnel = nullptr;
  std::uint64_t first = 0;     ///< bytes, of which header_len are the header
  std::size_t header_len = 8;  ///< 4 without a key
};

std::optional<DropReason> accept_inner(Packet& packet, bool is_v4) noexcept {
  const auto len = wire::ip_total_len(packet.view());
  if (!len || (packet.data[0] >> 4 == 4) != is_v4) return DropReason::inner_malformed;
  packet.truncate(*len);
  return decapsulate_ecn(packet.mutable_view(), packet.outer_tos) ? std::nullopt
                                                                  : std::optional{DropReason::ecn_invalid};
}

// The order is the header's; a sequence number counts as delivered only when all else is right.
std::optional<DropReason> pop_gre(Packet& packet, GreRun& run) noexcept {
  if (run.goes_on(packet)) {
    packet.tunnel = run.tunnel;
    packet.pop_front(run.header_len);
    return accept_inner(packet, run.is_v4());
  }
  const auto gre = wire::GreHeader::parse(packet.view());
  if (!gre) return DropReason::gre_malformed;
  if (gre->has_checksum && !wire::gre_checksum_holds(packet.view())) return DropReason::gre_checksum;
  packet.tunnel = packet.child->gre(gre->key);
  if (packet.tunnel == nullptr) return DropReason::gre_key_unknown;
  if (gre->protocol != wire::ethertype_ipv4 && gre->protocol != wire::ethertype_ipv6) return DropReason::gre_protocol;

  if (!gre->has_checksum && !gre->sequence && packet.len >= sizeof run.first)
    run = {packet.child, packet.tunnel, load_be<std::uint64_t>(packet.data), gre->len()};
  packet.pop_front(gre->len());
  if (const auto wrong = accept_inner(packet, gre->protocol == wire::ethertype_ipv4)) return wrong;
  if (gre->sequence && !packet.tunnel->accept_gre_sequence(*gre->sequence)) return DropReason::gre_out_of_order;
  return std::nullopt;
}

std::optional<DropReason> pop(Packet& packet, GreRun& run) noexcept {
  if (packet.child == nullptr) return DropReason::no_policy;
  const bool is_ip = packet.next_header == wire::proto_ipip || packet.next_header == wire::proto_ipv6;
  if (packet.child->carry() == Carry::ip) {
    packet.tunnel = packet.child->ip();
    return is_ip ? std::nullopt : std::optional{DropReason::next_header_invalid};
  }
  if (is_ip) {
    if (const auto wrong = pop_delivery_header(packet)) return wrong;
  } else if (packet.next_header != wire::proto_gre) {
    return DropReason::next_header_invalid;
  }
  return pop_gre(packet, run);
}

}  // namespace

void push_batch(PacketBatch& batch) noexcept {
  std::optional<Way> way;
  batch.for_each_alive([&](std::size_t i, Packet& packet) {
    if (packet.outbound_sa == nullptr) return batch.drop(i, DropReason::no_sa);
    if (!way || way->sa != packet.outbound_sa || way->tunnel != packet.tunnel)
      way.emplace(*packet.tunnel, *packet.outbound_sa);
    if (const auto wrong = push(packet, *way)) batch.drop(i, *wrong);
  });
}

void pop_batch(PacketBatch& batch) noexcept {
  GreRun run;
  batch.for_each_alive([&](std::size_t i, Packet& packet) {
    if (const auto wrong = pop(packet, run)) batch.drop(i, *wrong);
  });
}

std::optional<DropReason> push(Packet& packet) noexcept {
  if (packet.outbound_sa == nullptr) return DropReason::no_sa;
  return push(packet, Way(*packet.tunnel, *packet.outbound_sa));
}

std::optional<DropReason> pop(Packet& packet) noexcept {
  GreRun run;
  return pop(packet, run);
}

}  // namespace culvert::tunnel
