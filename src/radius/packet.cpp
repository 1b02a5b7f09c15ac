#include "culvert/radius/packet.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include <algorithm>
#include <memory>

namespace culvert::radius {
namespace {

constexpr std::size_t header_len = 20, authenticator_at = 4;

Authenticator md5(std::initializer_list<ByteView> parts) {
  Authenticator digest{};
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(ctx.get(), EVP_md5(), nullptr);
  for (const ByteView part : parts) EVP_DigestUpdate(ctx.get(), part.data(), part.size());
  EVP_DigestFinal_ex(ctx.get(), digest.data(), nullptr);
  return digest;
}

Authenticator hmac_md5(ByteView key, ByteView message) {
  Authenticator digest{};
  unsigned len = 0;
  HMAC(EVP_md5(), key.data(), static_cast<int>(key.size()), message.data(), message.size(), digest.data(), &len);
  return digest;
}

bool equal(ByteView a, ByteView b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

Bytes encode(const Packet& packet) {
  Bytes bytes;
  Writer writer(bytes);
  writer.u8(static_cast<std::uint8_t>(packet.code));
  writer.u8(packet.identifier);
  writer.u16(0);
  writer.bytes(packet.authenticator);
  for (const Attribute& attribute : packet.attributes) {
    writer.u8(static_cast<std::uint8_t>(attribute.type));
    writer.u8(static_cast<std::uint8_t>(attribute.value.size() + 2));
    writer.bytes(attribute.value);
  }
  if (bytes.size() <= max_packet_len) store_be(bytes.data() + 2, static_cast<std::uint16_t>(bytes.size()));
  return bytes;
}

/// Where the value of the packet's only Message-Authenticator stands; nullopt: there is none, several, or one of
/// another length. `bytes` have been parsed.
std::optional<std::size_t> find_message_authenticator(ByteView bytes) {
  std::optional<std::size_t> found;
  for (std::size_t at = header_len; at + 2 <= bytes.size(); at += bytes[at + 1]) {
    if (bytes[at] != static_cast<std::uint8_t>(AttributeType::message_authenticator)) continue;
    if (found || bytes[at + 1] != 2 + sizeof(Authenticator)) return std::nullopt;
    found = at + 2;
  }
  return found;
}

}  // namespace

void Packet::add(AttributeType type, ByteView value) {
  value = value.first(std::min(value.size(), max_value_len));
  if (!value.empty()) attributes.push_back({type, Bytes(value.begin(), value.end())});
}

void Packet::add(AttributeType type, std::uint32_t number) {
  std::array<std::uint8_t, 4> value;
  store_be(value.data(), number);
  add(type, ByteView(value));
}

void Packet::add_eap(ByteView message) {
  for (; !message.empty(); message = message.subspan(std::min(message.size(), max_value_len)))
    add(AttributeType::eap_message, message);
}

const Bytes* Packet::find(AttributeType type) const noexcept {
  const auto found = std::ranges::find(attributes, type, &Attribute::type);
  return found == attributes.end() ? nullptr : &found->value;
}

std::optional<std::uint32_t> Packet::number(AttributeType type) const noexcept {
  const Bytes* value = find(type);
  if (!value || value->size() != 4) return std::nullopt;
  return load_be<std::uint32_t>(value->data());
}

std::string Packet::text(AttributeType type) const {
  const Bytes* value = find(type);
  std::string text(value ? as_text(*value) : "");
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

Bytes Packet::eap() const {
  Bytes message;
  for (const Attribute& attribute : attributes)
    if (attribute.type == AttributeType::eap_message) append(message, attribute.value);
  return message;
}

std::optional<IpAddress> Packet::framed_ipv4() const {
  const auto number_of = number(AttributeType::framed_ip_address);
  // 0xFFFFFFFF: the user chooses; 0xFFFFFFFE: the NAS does.
  if (!number_of || *number_of == 0 || *number_of >= 0xfffffffe) return std::nullopt;
  return IpAddress::from_bytes(*find(AttributeType::framed_ip_address));
}

std::optional<IpAddress> Packet::framed_ipv6() const {
  const Bytes* value = find(AttributeType::framed_ipv6_address);
  if (!value || value->size() != 16) return std::nullopt;
  return IpAddress::from_bytes(*value);
}

Result<Packet> parse(ByteView bytes) {
  if (bytes.size() > max_packet_len) return fail(Errc::exhausted, "a RADIUS packet that is too long");
  if (bytes.size() < header_len) return fail(Errc::malformed, "a RADIUS packet without its header");
  const std::size_t length = load_be<std::uint16_t>(bytes.data() + 2);
  if (length < header_len || length > bytes.size()) return fail(Errc::malformed, "a RADIUS length that does not fit");
  Packet packet{static_cast<Code>(bytes[0]), bytes[1], {}, {}};
  std::copy_n(bytes.begin() + authenticator_at, packet.authenticator.size(), packet.authenticator.begin());
  for (Reader reader(bytes.first(length).subspan(header_len)); !reader.empty();) {
    const auto type = reader.u8();
    const auto len = reader.u8();
    const auto value = len && *len >= 2 ? reader.take(*len - 2u) : std::nullopt;
    if (!value) return fail(Errc::malformed, "a RADIUS attribute whose length does not fit");
    if (packet.attributes.size() >= max_attributes) return fail(Errc::exhausted, "too many RADIUS attributes");
    packet.attributes.push_back({static_cast<AttributeType>(*type), Bytes(value->begin(), value->end())});
  }
  return packet;
}

Result<Bytes> build_request(Packet& packet, ByteView secret) {
  const bool access = packet.code == Code::access_request;
  if (access) {
    packet.attributes.insert(packet.attributes.begin(), {AttributeType::message_authenticator, Bytes(16)});
  } else {
    packet.authenticator = {};
  }
  Bytes bytes = encode(packet);
  if (bytes.size() > max_packet_len) return fail(Errc::exhausted, "a RADIUS request that is too long");
  if (access) {
    const Authenticator mac = hmac_md5(secret, bytes);  // RFC 3579 §3.2: over zeros in its own place
    std::ranges::copy(mac, bytes.begin() + header_len + 2);
    packet.attributes.front().value.assign(mac.begin(), mac.end());
  } else {
    packet.authenticator = md5({bytes, secret});
    std::ranges::copy(packet.authenticator, bytes.begin() + authenticator_at);
  }
  return bytes;
}

Result<Packet> open_reply(ByteView datagram, const Packet& request, ByteView secret) {
  auto packet = parse(datagram);
  if (!packet) return packet;
  const bool access = request.code == Code::access_request;
  const bool fits = access ? packet->code == Code::access_accept || packet->code == Code::access_reject ||
                                 packet->code == Code::access_challenge
                           : packet->code == Code::accounting_response;
  if (!fits || packet->identifier != request.identifier) return fail(Errc::no_match, "a reply to another request");
  const ByteView received = datagram.first(load_be<std::uint16_t>(datagram.data() + 2));
  Bytes bytes(received.begin(), received.end());
  std::ranges::copy(request.authenticator, bytes.begin() + authenticator_at);
  if (!equal(md5({bytes, secret}), packet->authenticator))
    return fail(Errc::authentication, "the Response Authenticator does not hold: the secrets differ, or it is forged");
  if (!access) return packet;
  // MD5 alone can be forged by a chosen prefix (CVE-2024-3596, "BlastRADIUS"): HMAC-MD5 cannot.
  const auto at = find_message_authenticator(bytes);
  if (!at) return fail(Errc::authentication, "the reply has no Message-Authenticator; the server must send one");
  Authenticator shown;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(*at), shown.size(), shown.begin());
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(*at), shown.size(), 0);
  if (!equal(hmac_md5(secret, bytes), shown))
    return fail(Errc::authentication, "the Message-Authenticator does not hold");
  return packet;
}

namespace {

constexpr std::uint32_t microsoft = 311;
constexpr std::uint8_t mppe_send_key = 16, mppe_recv_key = 17;

/// The value of a Microsoft attribute of this type: first of its kind.
std::optional<ByteView> find_microsoft(const Packet& packet, std::uint8_t type) {
  for (const Attribute& attribute : packet.attributes) {
    if (attribute.type != AttributeType::vendor_specific) continue;
    Reader reader(attribute.value);
    if (reader.u32() != microsoft) continue;
    // RFC 2865 §5.26: several attributes of the vendor may follow each other.
    while (!reader.empty()) {
      const auto of = reader.u8();
      const auto len = reader.u8();
      const auto value = len && *len >= 2 ? reader.take(*len - 2u) : std::nullopt;
      if (!value) break;
      if (*of == type) return value;
    }
  }
  return std::nullopt;
}

/// RFC 2548 §2.4.2: salt | blocks of 16, each masked by MD5(secret | authenticator and salt, or the block before it);
/// in clear a length, the key, and padding.
Secret unmask_key(std::optional<ByteView> value, const Authenticator& request, ByteView secret) {
  if (!value || value->size() < 18 || (value->size() - 2) % 16 != 0) return {};
  const ByteView salt = value->first(2), masked = value->subspan(2);
  if (!(salt[0] & 0x80)) return {};  // "MUST be set": what has it not is no key
  Secret clear(masked.size());
  for (std::size_t at = 0; at < masked.size(); at += 16) {
    Authenticator mask = at == 0 ? md5({secret, request, salt}) : md5({secret, masked.subspan(at - 16, 16)});
    for (std::size_t i = 0; i < 16; ++i) clear.mutable_view()[at + i] = masked[at + i] ^ mask[i];
    sodium_memzero(mask.data(), mask.size());
  }
  const std::size_t len = clear.view()[0];
  if (len == 0 || len > clear.size() - 1) return {};
  return Secret::copy_of(clear.view().subspan(1, len));
}

}  // namespace

Secret master_session_key(const Packet& reply, const Authenticator& request, ByteView secret) {
  const Secret receive = unmask_key(find_microsoft(reply, mppe_recv_key), request, secret);
  const Secret send = unmask_key(find_microsoft(reply, mppe_send_key), request, secret);
  if (receive.empty() || send.empty()) return {};
  Secret msk(receive.size() + send.size());
  std::ranges::copy(receive.view(), msk.mutable_view().begin());
  std::ranges::copy(send.view(), msk.mutable_view().begin() + static_cast<std::ptrdiff_t>(receive.size()));
  return msk;
}

}  // namespace culvert::radius
