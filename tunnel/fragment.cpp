#include "fragment.h"

#include <algorithm>

#include "culvert/wire/flow.h"
#include "culvert/wire/ipv4.h"

namespace culvert::tunnel {
namespace {

constexpr std::size_t unit = 8;  ///< offsets count in these
constexpr std::uint8_t option_copied = 0x80, option_end = 0, option_nop = 1;

/// Appends the options that every fragment carries (RFC 791 §3.1, the copied flag), padded to 4 bytes; how many bytes.
/// Malformed options end the list.
std::size_t copy_options(ByteView options, std::uint8_t* to) noexcept {
  std::size_t copied = 0;
  for (std::size_t at = 0; at < options.size() && options[at] != option_end;) {
    if (options[at] == option_nop) {
      ++at;
      continue;
    }
    if (at + 1 >= options.size()) break;
    const std::size_t len = options[at + 1];
    if (len < 2 || at + len > options.size()) break;
    if ((options[at] & option_copied) != 0) {
      std::copy_n(options.begin() + static_cast<std::ptrdiff_t>(at), len, to + copied);
      copied += len;
    }
    at += len;
  }
  while (copied % 4 != 0) to[copied++] = option_end;
  return copied;
}

}  // namespace

Fit fit(ByteView ip_packet, std::uint16_t mtu) noexcept {
  const auto len = wire::ip_total_len(ip_packet);
  if (!len) return Fit::malformed;
  if (*len <= mtu) return Fit::fits;
  if (ip_packet[0] >> 4 != 4) return Fit::too_big;
  return (load_be<std::uint16_t>(&ip_packet[6]) & wire::ipv4_df) != 0 ? Fit::too_big : Fit::fragment;
}

Ipv4Fragmenter::Ipv4Fragmenter(ByteView packet, std::uint16_t mtu) noexcept : mtu_(mtu) {
  const auto header = wire::Ipv4Header::parse(packet);
  if (!header || header->dont_fragment() || mtu < header->header_len + unit) return;
  const ByteView payload = packet.first(header->total_len).subspan(header->header_len);
  if (header->fragment_offset() + payload.size() > 65535) return;
  header_ = packet.first(header->header_len);
  payload_ = payload;
}

std::size_t Ipv4Fragmenter::next(MutableByteView out) noexcept {
  if (done() || out.size() < mtu_) return 0;
  const std::size_t header_len = write_header(out);
  const std::size_t left = payload_.size() - sent_;
  const std::size_t room = mtu_ - header_len;
  const std::size_t len = left <= room ? left : room / unit * unit;
  std::copy_n(payload_.begin() + static_cast<std::ptrdiff_t>(sent_), len,
              out.begin() + static_cast<std::ptrdiff_t>(header_len));

  const auto original = load_be<std::uint16_t>(&header_[6]);
  const bool more = len < left || (original & wire::ipv4_mf) != 0;
  const auto offset = static_cast<std::uint16_t>((original & wire::ipv4_offset_mask) + sent_ / unit);
  store_be(&out[2], static_cast<std::uint16_t>(header_len + len));
  store_be(&out[6], static_cast<std::uint16_t>((more ? wire::ipv4_mf : 0) | offset));
  store_be(&out[10], std::uint16_t{0});
  store_be(&out[10], wire::checksum(out.first(header_len)));
  sent_ += len;
  return header_len + len;
}

// The first fragment has all options, the others only those that are copied.
std::size_t Ipv4Fragmenter::write_header(MutableByteView out) const noexcept {
  if (sent_ == 0) {
    std::copy(header_.begin(), header_.end(), out.begin());
    return header_.size();
  }
  std::copy_n(header_.begin(), wire::ipv4_min_header_len, out.begin());
  const std::size_t options_len =
      copy_options(header_.subspan(wire::ipv4_min_header_len), out.data() + wire::ipv4_min_header_len);
  const std::size_t header_len = wire::ipv4_min_header_len + options_len;
  out[0] = static_cast<std::uint8_t>(0x40 | header_len / 4);
  return header_len;
}

}  // namespace culvert::tunnel
