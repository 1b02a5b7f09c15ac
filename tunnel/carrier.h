#pragma once
#include <optional>

#include "culvert/base/drop_reason.h"
#include "packet.h"
#include "tunnel.h"

namespace culvert::tunnel {

/// Outbound, between the device and ESP: makes of an inner IP packet what the SA carries. carry = "ip": nothing is
/// added. carry = "gre": a GRE header (RFC 2784, 2890), in tunnel mode behind its delivery header. In: `tunnel` and
/// `outbound_sa` set, `data` a whole IP packet. Out: also `next_header` and `outer_tos` set (tos.h). Drops:
/// inner_malformed, gre_recursion (GRE: the packet is bound for the tunnel's own end; ip: it is this SA's own ESP),
/// too_big (no IP packet could hold it), no_policy (the delivery header is outside the SA's selectors), no_sa,
/// no_buffer.
void push_batch(PacketBatch& batch) noexcept;

/// Inbound, between ESP and the device: the reverse. In: as decrypt_batch left it, `child` set. Out: `data` is the
/// inner IP packet, `tunnel` the one whose device gets it. Drops: gre_malformed, gre_checksum, gre_key_unknown,
/// gre_out_of_order, gre_protocol, inner_malformed, ecn_invalid, next_header_invalid.
void pop_batch(PacketBatch& batch) noexcept;

/// The same for one packet; nullopt: done.
[[nodiscard]] std::optional<DropReason> push(Packet& packet) noexcept;
[[nodiscard]] std::optional<DropReason> pop(Packet& packet) noexcept;

}  // namespace culvert::tunnel
