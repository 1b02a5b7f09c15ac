#pragma once
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/ids.h"
#include "packet.h"

namespace culvert::tunnel {

/// Opens every packet of the batch that is alive (RFC 4303 §3.4): replay precheck, one open_batch for all, window
/// commit, padding, next header, and in tunnel mode the inner packet's lengths, the SA's selectors (RFC 4301 §5.2) and
/// ECN (RFC 6040 §4.2). In: `data` begins with the ESP header (no UDP), `inbound_sa` set (SaTable::find), `outer_tos`
/// as received. Out: `data` is the inner IP packet (tunnel mode) or the transport payload, `next_header` says which.
/// Nothing of an SA changes before the ICV of a packet holds. Drops: outer_malformed, replay, replay_too_old,
/// icv_failed, sa_expired, padding_invalid, next_header_invalid, dummy, inner_malformed, selector_mismatch,
/// ecn_invalid. Raises events in the SAs: take them after the batch.
void decrypt_batch(PacketBatch& batch) noexcept;

/// The SPI of an ESP packet; nullopt when it is too short to have one.
[[nodiscard]] inline std::optional<Spi> esp_spi(ByteView packet) noexcept {
  if (packet.size() < 4) return std::nullopt;
  return Spi{load_be<std::uint32_t>(packet.data())};
}

}  // namespace culvert::tunnel
