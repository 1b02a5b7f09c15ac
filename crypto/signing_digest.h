#pragma once
#include <openssl/evp.h>

#include "culvert/crypto/public_key.h"

namespace culvert::crypto {

/// What certificates and CRLs of this key are signed with: SHA2 of the key's strength; nullptr for Ed25519, which has
/// its own.
[[nodiscard]] inline const EVP_MD* signing_digest(const PublicKey& key) noexcept {
  switch (key.type()) {
    case KeyType::ed25519:
      return nullptr;
    case KeyType::ecdsa_p384:
      return EVP_sha384();
    case KeyType::ecdsa_p521:
      return EVP_sha512();
    case KeyType::rsa:
    case KeyType::rsa_pss:
    case KeyType::ecdsa_p256:
      break;
  }
  return key.bits() > 3072 ? EVP_sha384() : EVP_sha256();
}

}  // namespace culvert::crypto
