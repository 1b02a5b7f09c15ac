#pragma once
#include <optional>

#include "message.h"

namespace culvert::ike {

/// What a COOKIE needs to know of an IKE_SA_INIT request: a look without copying anything, for requests by the
/// thousand.
struct InitScan {
  ByteView nonce;   ///< 16…256 bytes
  ByteView cookie;  ///< empty: none
};
/// `datagram` has a header that parse_header took. nullopt: its payloads do not fit each other, or the nonce is
/// missing; parse() would not take it either. What it takes, parse() may still refuse.
[[nodiscard]] std::optional<InitScan> scan_init(ByteView datagram);

}  // namespace culvert::ike
