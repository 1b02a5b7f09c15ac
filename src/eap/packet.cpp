#include "culvert/eap/packet.h"

#include <algorithm>

namespace culvert::eap {

Result<Packet> parse(ByteView bytes) {
  if (bytes.size() > max_packet_len) return fail(Errc::exhausted, "an EAP packet that is too long");
  Reader reader(bytes);
  const auto code = reader.u8();
  const auto identifier = reader.u8();
  const auto length = reader.u16();
  if (!length) return fail(Errc::malformed, "an EAP packet without its header");
  if (*code < 1 || *code > 4) return fail(Errc::malformed, "an EAP code that RFC 3748 does not have");
  if (*length < 4 || *length > bytes.size()) return fail(Errc::malformed, "an EAP length that does not fit");
  Packet packet{static_cast<Code>(*code), *identifier, {}, {}};
  if (packet.code == Code::success || packet.code == Code::failure) {
    if (*length != 4) return fail(Errc::malformed, "EAP-Success or EAP-Failure with data");  // §4.2
    return packet;
  }
  if (*length < 5) return fail(Errc::malformed, "an EAP request or response without a type");
  packet.type = static_cast<Type>(bytes[4]);
  packet.data.assign(bytes.begin() + 5, bytes.begin() + *length);
  return packet;
}

Bytes build(const Packet& packet) {
  Bytes bytes;
  Writer writer(bytes);
  writer.u8(static_cast<std::uint8_t>(packet.code));
  writer.u8(packet.identifier);
  const bool typed = packet.code == Code::request || packet.code == Code::response;
  writer.u16(static_cast<std::uint16_t>(typed ? 5 + packet.data.size() : 4));
  if (typed) {
    writer.u8(static_cast<std::uint8_t>(packet.type));
    writer.bytes(packet.data);
  }
  return bytes;
}

bool is_usable_identity(ByteView identity) noexcept {
  return !identity.empty() && identity.size() <= max_identity_len &&
         std::ranges::none_of(identity, [](std::uint8_t c) { return c < 0x20 || c == 0x7f; });
}

}  // namespace culvert::eap
