#include "tls_fragments.h"

#include <algorithm>

namespace culvert::eap {

TlsFragments::In TlsFragments::take(ByteView data) {
  Reader reader(data);
  const auto flags = reader.u8();
  if (!flags) return In::malformed;
  if (*flags & flag_start) return reader.empty() && !collecting_ ? In::start : In::malformed;
  if (*flags & flag_length) {
    const auto length = reader.u32();
    // RFC 5216 §2.1.5: in the first fragment; some repeat it in each.
    if (!length || *length > max_message || (collecting_ && announced_ && *announced_ != *length)) return In::malformed;
    if (!collecting_) announced_ = *length;
  }
  const ByteView part = reader.rest();
  const bool more = *flags & flag_more;
  if (part.empty()) return more || collecting_ || *flags & flag_length ? In::malformed : In::acknowledgement;
  if (!collecting_) in_.clear();
  if (in_.size() + part.size() > announced_.value_or(max_message)) return In::malformed;
  append(in_, part);
  collecting_ = more;
  if (more) return In::more;
  const bool whole = !announced_ || in_.size() == *announced_;
  announced_.reset();
  return whole ? In::complete : In::malformed;
}

Bytes TlsFragments::next() {
  Bytes data;
  Writer writer(data);
  const std::size_t len = std::min(out_.size() - sent_, fragment_len);
  const bool more = sent_ + len < out_.size();
  const bool first = sent_ == 0 && len > 0;
  writer.u8(static_cast<std::uint8_t>((first ? flag_length : 0) | (more ? flag_more : 0)));
  if (first) writer.u32(static_cast<std::uint32_t>(out_.size()));
  writer.bytes(ByteView(out_).subspan(sent_, len));
  sent_ += len;
  return data;
}

}  // namespace culvert::eap
