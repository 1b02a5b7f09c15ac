#pragma once
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/eap/mschapv2.h"

namespace culvert::eap {

/// draft-kamath-pppext-eap-mschapv2-02 §2.
///
///   |    OpCode     |  MS-CHAPv2-ID |            MS-Length          |  Data ...
///
/// Answers to Success and Failure are the OpCode alone.
enum class OpCode : std::uint8_t { challenge = 1, response = 2, success = 3, failure = 4 };

struct ChapMessage {
  OpCode code{};
  std::uint8_t id = 0;
  ByteView data;
};

inline std::optional<ChapMessage> parse_chap(ByteView bytes) {
  Reader reader(bytes);
  const auto code = reader.u8();
  if (!code || *code < 1 || *code > 4) return std::nullopt;
  if (reader.empty()) return ChapMessage{static_cast<OpCode>(*code), 0, {}};
  const auto id = reader.u8();
  const auto length = reader.u16();
  if (!length || *length < 4 || *length > bytes.size()) return std::nullopt;
  return ChapMessage{static_cast<OpCode>(*code), *id, bytes.subspan(4, *length - 4u)};
}

inline Bytes build_chap(OpCode code, std::uint8_t id, std::initializer_list<ByteView> parts) {
  Bytes bytes;
  Writer writer(bytes);
  writer.u8(static_cast<std::uint8_t>(code));
  writer.u8(id);
  {
    const auto length = writer.length16(2);
    for (const ByteView part : parts) writer.bytes(part);
  }
  return bytes;
}

}  // namespace culvert::eap
