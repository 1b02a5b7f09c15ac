#include "init_scan.h"

namespace culvert::ike {
namespace {

constexpr std::size_t next_payload_offset = 16;
constexpr std::size_t min_nonce_len = 16, max_nonce_len = 256;  // RFC 7296 §3.9

/// RFC 7296 §3.10: protocol and SPI size are 0 in a COOKIE, then the type and the data.
bool is_cookie(ByteView body) {
  return body.size() >= 4 && body[1] == 0 &&
         load_be<std::uint16_t>(body.data() + 2) == static_cast<std::uint16_t>(NotifyType::cookie);
}

}  // namespace

std::optional<InitScan> scan_init(ByteView datagram) {
  InitScan scan;
  Reader reader(datagram.subspan(header_len));
  auto type = static_cast<PayloadType>(datagram[next_payload_offset]);
  for (std::size_t i = 0; type != PayloadType::none && i < max_payloads; ++i) {
    const auto next = reader.u8(), flags = reader.u8();
    const auto length = reader.u16();
    if (!flags || !length || *length < generic_header_len) return std::nullopt;
    const auto body = reader.take(*length - generic_header_len);
    if (!body) return std::nullopt;
    if (type == PayloadType::nonce && scan.nonce.empty()) scan.nonce = *body;
    if (type == PayloadType::notify && scan.cookie.empty() && is_cookie(*body)) scan.cookie = body->subspan(4);
    type = static_cast<PayloadType>(*next);
  }
  const bool fits = scan.nonce.size() >= min_nonce_len && scan.nonce.size() <= max_nonce_len;
  if (type != PayloadType::none || !reader.empty() || !fits) return std::nullopt;
  return scan;
}

}  // namespace culvert::ike
