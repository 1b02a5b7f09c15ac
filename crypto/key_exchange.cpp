#include "culvert/crypto/key_exchange.h"

#include <string>

#include "key_exchange_group.h"

namespace culvert::crypto {
namespace {

Result<std::unique_ptr<KeyExchange>> make(KeMethod method, ByteView private_value) {
  switch (method) {
    case KeMethod::x25519:
      return make_x25519(private_value);
    case KeMethod::ecp256:
    case KeMethod::ecp384:
    case KeMethod::ecp521:
      return make_ecp(method, private_value);
    case KeMethod::modp2048:
    case KeMethod::modp3072:
    case KeMethod::modp4096:
      return make_modp(method, private_value);
  }
  return fail(Errc::unsupported, "key exchange method " + std::to_string(static_cast<unsigned>(method)));
}

}  // namespace

std::size_t public_value_len(KeMethod method) noexcept {
  switch (method) {
    case KeMethod::modp2048:
      return 256;
    case KeMethod::modp3072:
      return 384;
    case KeMethod::modp4096:
      return 512;
    case KeMethod::ecp256:
      return 64;  // x | y, RFC 5903 §7
    case KeMethod::ecp384:
      return 96;
    case KeMethod::ecp521:
      return 132;
    case KeMethod::x25519:
      return 32;
  }
  return 0;
}

std::string_view ke_method_name(KeMethod method) noexcept {
  switch (method) {
    case KeMethod::modp2048:
      return "MODP2048";
    case KeMethod::modp3072:
      return "MODP3072";
    case KeMethod::modp4096:
      return "MODP4096";
    case KeMethod::ecp256:
      return "ECP256";
    case KeMethod::ecp384:
      return "ECP384";
    case KeMethod::ecp521:
      return "ECP521";
    case KeMethod::x25519:
      return "X25519";
  }
  return "unknown key exchange method";
}

Result<std::unique_ptr<KeyExchange>> KeyExchange::generate(KeMethod method) {
  return make(method, {});
}

Result<std::unique_ptr<KeyExchange>> KeyExchange::from_private(KeMethod method, ByteView private_value) {
  if (private_value.empty()) return fail(Errc::invalid, "empty private value");
  return make(method, private_value);
}

}  // namespace culvert::crypto
