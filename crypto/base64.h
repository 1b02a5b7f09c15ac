#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"

namespace culvert::crypto {

/// RFC 4648 §4, padded, one line.
[[nodiscard]] std::string base64(ByteView bytes);
/// RFC 4648 §4, padded; blanks and line ends anywhere are passed over. nullopt: anything else in it.
[[nodiscard]] std::optional<Bytes> from_base64(std::string_view text);
/// "aa:bb:cc"
[[nodiscard]] std::string colon_hex(ByteView bytes);

}  // namespace culvert::crypto
