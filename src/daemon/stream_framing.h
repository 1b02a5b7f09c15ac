#pragma once
#include <cstddef>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

/// IKE and ESP in a TCP stream (RFC 9329 §3): what the initiator of the connection sends first (§4), then frames, each
/// of two bytes of length, which count too, and what would be in a UDP datagram on port 4500.
inline constexpr std::string_view stream_prefix = "IKETCP";
inline constexpr std::size_t frame_header_len = 2;
inline constexpr std::size_t max_frame_payload_len = 65535 - frame_header_len;

/// Appends one frame. `payload`: 1 to max_frame_payload_len bytes.
void append_frame(Bytes& stream, ByteView payload);

/// Takes a stream apart. Holds at most one frame and what came behind it in the same read.
class FrameReader {
 public:
  /// `expects_prefix`: this end has accepted the connection.
  explicit FrameReader(bool expects_prefix) : expects_prefix_(expects_prefix) {}

  /// Where to read up to its size into; then call `received`. Never empty. Invalidates what `next` has returned.
  [[nodiscard]] MutableByteView space();
  void received(std::size_t len) { end_ += len; }

  /// The payload of the next frame, good until `space`; nullopt: more must be read first. Errc::malformed: the stream
  /// is none of these, or has lost its frames, which cannot be found again (RFC 9329 §6.1 wants it closed).
  [[nodiscard]] Result<std::optional<ByteView>> next();

 private:
  bool expects_prefix_;
  Bytes buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace culvert::daemon
