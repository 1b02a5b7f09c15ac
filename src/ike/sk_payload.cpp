// The SK payload: RFC 7296 §3.14 (CBC with HMAC) and RFC 5282 (AEAD).
//
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Next Payload  |C|  RESERVED   |         Payload Length        |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |   Initialization Vector: 8 bytes (AEAD) or 16 (CBC)           |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                    Encrypted IKE Payloads                     ~
// +               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |               |             Padding (0-255 octets)            |
// +-+-+-+-+-+-+-+-+                               +-+-+-+-+-+-+-+-+
// |                                               |  Pad Length   |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                    Integrity Checksum Data                    ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// What is authenticated beside the ciphertext: everything from the first byte of the message through the generic header
// above (in a fragment, RFC 7383 §2.5, through the two numbers behind it), and the IV (in the AEADs it is part of the
// nonce). RFC 5282 §5.1 and RFC 7296 §3.14 agree on it, so both have one shape: aad | iv | ciphertext | icv.
#include <algorithm>

#include "culvert/crypto/random.h"
#include "message.h"
#include "payloads.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_message_len = 65535;
constexpr std::size_t sk_header_len = 4;
constexpr std::size_t position_len = 4;  // of a fragment, RFC 7383 §2.5: its number, and how many there are

}  // namespace

Result<SkProtection> SkProtection::create(crypto::CipherSuite suite, ByteView encryption, ByteView integrity) {
  auto key = crypto::AeadKey::create(suite, encryption, integrity, crypto::AadLayout::prefix, crypto::AeadUse::messages);
  if (!key) return std::unexpected(std::move(key.error()));
  SkProtection protection;
  protection.key_ = std::move(*key);
  return protection;
}

Result<Bytes> SkProtection::seal(const Header& header, const std::vector<Payload>& payloads) {
  return seal_chain(header, build_payloads(payloads));
}

Result<Bytes> SkProtection::seal_chain(const Header& header, const PayloadChain& chain) {
  return seal_message(header, chain.first, std::nullopt, padded(chain.bytes));
}

std::size_t SkProtection::sealed_len(const PayloadChain& chain) const noexcept {
  const crypto::CipherSuiteInfo& cipher = crypto::info(key_->suite());
  const std::size_t block_len = cipher.is_aead ? 1 : cipher.block_len;
  const std::size_t text_len = (chain.bytes.size() / block_len + 1) * block_len;
  return header_len + sk_header_len + cipher.iv_len + text_len + cipher.icv_len;
}

/// RFC 5282 §3: an AEAD needs no padding. CBC fills its blocks (RFC 7296 §3.14).
Bytes SkProtection::padded(ByteView content) const {
  const crypto::CipherSuiteInfo& cipher = crypto::info(key_->suite());
  const std::size_t block_len = cipher.is_aead ? 1 : cipher.block_len;
  const std::size_t pad_len = block_len - 1 - content.size() % block_len;
  Bytes plaintext;
  plaintext.reserve(content.size() + pad_len + 1);
  append(plaintext, content);
  plaintext.resize(content.size() + pad_len);
  plaintext.push_back(static_cast<std::uint8_t>(pad_len));
  return plaintext;
}

Result<Bytes> SkProtection::seal_plaintext(const Header& header, PayloadType first, ByteView plaintext) {
  return seal_message(header, first, std::nullopt, plaintext);
}

// RFC 7383 §2.5: each fragment is a message of its own with the same header, padded and sealed on its own.
Result<std::vector<Bytes>> SkProtection::seal_fragments(const Header& header, const PayloadChain& chain,
                                                        std::size_t max_len) {
  const crypto::CipherSuiteInfo& cipher = crypto::info(key_->suite());
  const std::size_t around = header_len + sk_header_len + position_len + cipher.iv_len + cipher.icv_len;
  const std::size_t block_len = cipher.is_aead ? 1 : cipher.block_len;
  const std::size_t text_len = max_len > around ? (max_len - around) / block_len * block_len : 0;
  if (text_len < 2) return fail(Errc::invalid, "fragments of this size have no room for content");
  const std::size_t part_len = text_len - 1;  // the pad length takes a byte
  const std::size_t total = std::max<std::size_t>(1, (chain.bytes.size() + part_len - 1) / part_len);
  if (total > UINT16_MAX) return fail(Errc::invalid, "more than 65535 fragments");

  std::vector<Bytes> fragments;
  for (std::size_t i = 0; i < total; ++i) {
    const ByteView rest = ByteView(chain.bytes).subspan(i * part_len);
    const FragmentPosition position{static_cast<std::uint16_t>(i + 1), static_cast<std::uint16_t>(total)};
    // §2.5: the type of the first payload inside stands in the first fragment, zero in all others.
    auto fragment = seal_message(header, i == 0 ? chain.first : PayloadType::none, position,
                                 padded(rest.first(std::min(part_len, rest.size()))));
    if (!fragment) return std::unexpected(std::move(fragment.error()));
    fragments.push_back(std::move(*fragment));
  }
  return fragments;
}

Result<Bytes> SkProtection::seal_message(const Header& header, PayloadType first,
                                         const std::optional<FragmentPosition>& position, ByteView plaintext) {
  const crypto::CipherSuiteInfo& cipher = crypto::info(key_->suite());
  const std::size_t aad_len = header_len + sk_header_len + (position ? position_len : 0);
  const std::size_t body_len = cipher.iv_len + plaintext.size() + cipher.icv_len;
  if (aad_len + body_len > max_message_len) return fail(Errc::invalid, "IKE message of more than 65535 bytes");
  if (!cipher.is_aead && plaintext.size() % cipher.block_len != 0)
    return fail(Errc::invalid, "SK payload is not padded");
  if (iv_counter_ == UINT64_MAX) return fail(Errc::exhausted, "all IVs of an IKE SA are used up");

  Bytes message;
  message.reserve(aad_len + body_len);
  Writer writer(message);
  write_header(writer, header, position ? PayloadType::skf : PayloadType::sk, aad_len + body_len);
  writer.u8(static_cast<std::uint8_t>(first));
  writer.u8(0);
  writer.u16(static_cast<std::uint16_t>(aad_len - header_len + body_len));
  if (position) {
    writer.u16(position->number);
    writer.u16(position->total);
  }
  if (cipher.is_aead) {
    writer.u64(iv_counter_++);  // never twice under one key: RFC 5282 §3.1
  } else {
    writer.zeros(cipher.iv_len);  // unpredictable: RFC 3602 §3
    crypto::system_random().fill(MutableByteView(message).last(cipher.iv_len));
  }
  writer.bytes(plaintext);
  writer.zeros(cipher.icv_len);

  std::uint8_t* iv = message.data() + aad_len;
  std::uint8_t* text = iv + cipher.iv_len;
  crypto::AeadJob job{.key = key_.get(),
                      .aad = message.data(),
                      .iv = iv,
                      .src = text,
                      .dst = text,
                      .icv = text + plaintext.size(),
                      .aad_len = static_cast<std::uint32_t>(aad_len),
                      .len = static_cast<std::uint32_t>(plaintext.size())};
  crypto::seal_batch({&job, 1});
  if (!job.ok) return fail(Errc::internal, "the cipher refused to seal an IKE message");
  return message;
}

std::expected<std::vector<Payload>, SkProtection::OpenError> SkProtection::open(ByteView datagram,
                                                                                const Message& message) const {
  const auto content = open_content(datagram, message);
  if (!content) return std::unexpected(content.error());
  if (message.encrypted->fragment)
    return std::unexpected(OpenError{true, {ParseError::Kind::invalid_syntax, message.header, "not an SK payload"}});
  auto payloads = parse_payloads(message.encrypted->inner_first, *content);
  if (payloads) return std::move(*payloads);
  return std::unexpected(OpenError{true, {ParseError::Kind::invalid_syntax, message.header, payloads.error().where}});
}

std::expected<Bytes, SkProtection::OpenError> SkProtection::open_content(ByteView datagram,
                                                                         const Message& message) const {
  const auto forged = [&](const char* where) {
    return std::unexpected(OpenError{false, {ParseError::Kind::invalid_syntax, message.header, where}});
  };
  if (!message.encrypted) return forged("no SK payload");
  const EncryptedPayload& sk = *message.encrypted;
  if (sk.body_offset > datagram.size() || sk.body_len != datagram.size() - sk.body_offset) return forged("SK payload");
  const crypto::CipherSuiteInfo& cipher = crypto::info(key_->suite());
  if (sk.body_len < std::size_t{cipher.iv_len} + 1 + cipher.icv_len) return forged("SK payload is too short");
  const std::size_t text_len = sk.body_len - cipher.iv_len - cipher.icv_len;
  if (!cipher.is_aead && text_len % cipher.block_len != 0)
    return forged("SK payload is not a multiple of the cipher's block");

  Bytes copy(datagram.begin(), datagram.end());
  std::uint8_t* iv = copy.data() + sk.body_offset;
  std::uint8_t* text = iv + cipher.iv_len;
  crypto::AeadJob job{.key = key_.get(),
                      .aad = copy.data(),
                      .iv = iv,
                      .src = text,
                      .dst = text,
                      .icv = text + text_len,
                      .aad_len = static_cast<std::uint32_t>(sk.body_offset),
                      .len = static_cast<std::uint32_t>(text_len)};
  crypto::open_batch({&job, 1});
  if (!job.ok) return forged("ICV");

  // Any padding the sender likes is accepted, and its content ignored (RFC 7296 §3.14).
  const std::size_t pad_len = text[text_len - 1];
  if (pad_len + 1 > text_len)
    return std::unexpected(OpenError{true, {ParseError::Kind::invalid_syntax, message.header, "pad length"}});
  return Bytes(text, text + text_len - 1 - pad_len);
}

}  // namespace culvert::ike
