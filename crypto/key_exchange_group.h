#pragma once
#include <memory>

#include "culvert/crypto/key_exchange.h"

namespace culvert::crypto {

// What KeyExchange::generate and from_private choose from. An empty `private_value` asks for a fresh one.
[[nodiscard]] Result<std::unique_ptr<KeyExchange>> make_x25519(ByteView private_value);
[[nodiscard]] Result<std::unique_ptr<KeyExchange>> make_ecp(KeMethod method, ByteView private_value);
[[nodiscard]] Result<std::unique_ptr<KeyExchange>> make_modp(KeMethod method, ByteView private_value);

}  // namespace culvert::crypto
