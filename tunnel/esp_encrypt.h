#pragma once
#include <cstdint>

#include "packet.h"

namespace culvert::tunnel {

enum class Metering : std::uint8_t {
  traffic,
  none,  ///< packets of the gateway's own: they use sequence numbers, but count against no limit of bytes or packets
};

/// ESP for every packet of the batch that is alive (RFC 4303 §3.3). In: `outbound_sa` and `next_header` set, `data` the
/// payload (an IP packet in tunnel mode, a GRE packet in transport mode), headroom ≥ 24, tailroom ≥ 50. Out: `data`
/// begins with the ESP header and ends with the ICV; UDP and IP are the socket's business. In place; one seal_batch for
/// all. Drops: sequence_exhausted, sa_expired, no_buffer, encrypt_failed. Raises events in the SAs: take them after the
/// batch.
void encrypt_batch(PacketBatch& batch, Metering metering = Metering::traffic) noexcept;

/// Bytes that ESP puts before the payload: header and IV; at most 24.
inline constexpr std::size_t max_esp_header_len = 8 + 16;
/// … and behind it: padding, trailer, ICV; at most 49.
inline constexpr std::size_t max_esp_trailer_len = 15 + 2 + 32;

}  // namespace culvert::tunnel
