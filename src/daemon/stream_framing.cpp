#include "stream_framing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

namespace culvert::daemon {
namespace {

constexpr std::size_t buffer_len = 256 * 1024;  // a read's worth of frames; at least the longest one

}  // namespace

void append_frame(Bytes& stream, ByteView payload) {
  assert(!payload.empty() && payload.size() <= max_frame_payload_len);
  const std::size_t at = stream.size();
  stream.resize(at + frame_header_len + payload.size());
  store_be(stream.data() + at, static_cast<std::uint16_t>(frame_header_len + payload.size()));
  std::ranges::copy(payload, stream.begin() + static_cast<std::ptrdiff_t>(at + frame_header_len));
}

MutableByteView FrameReader::space() {
  if (buffer_.empty()) buffer_.resize(buffer_len);
  if (begin_ > 0) {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
  }
  assert(end_ < buffer_.size());  // `next` has been asked for all that it had
  return MutableByteView(buffer_).subspan(end_);
}

Result<std::optional<ByteView>> FrameReader::next() {
  const ByteView rest = ByteView(buffer_).subspan(begin_, end_ - begin_);
  if (expects_prefix_) {
    const std::size_t known = std::min(rest.size(), stream_prefix.size());
    if (as_text(rest.first(known)) != stream_prefix.substr(0, known))
      return fail(Errc::malformed, "it does not begin with IKETCP");
    if (known < stream_prefix.size()) return std::nullopt;
    expects_prefix_ = false;
    begin_ += stream_prefix.size();
    return next();
  }
  if (rest.size() < frame_header_len) return std::nullopt;
  const std::size_t len = load_be<std::uint16_t>(rest.data());
  // RFC 9329 §3: 0 and 1 are no lengths; the connection cannot go on.
  if (len < frame_header_len) return fail(Errc::malformed, fmt::format("a frame says that it has {} bytes", len));
  if (rest.size() < len) return std::nullopt;
  begin_ += len;
  return rest.subspan(frame_header_len, len - frame_header_len);
}

}  // namespace culvert::daemon
