#pragma once
#include <openssl/params.h>

#include <cstddef>
#include <memory>

#include "culvert/base/bytes.h"
#include "culvert/base/secret.h"
#include "openssl_handle.h"

using OSSL_PARAM_BLD = struct ossl_param_bld_st;

namespace culvert::crypto {

/// Builds an EVP_PKEY from its parts. The parts that are pointed to stay valid until `make`.
class PkeyParams {
 public:
  PkeyParams();
  ~PkeyParams();
  PkeyParams(const PkeyParams&) = delete;
  PkeyParams& operator=(const PkeyParams&) = delete;

  void add_text(const char* name, const char* value);
  void add_octets(const char* name, ByteView value);
  void add_number(const char* name, const BIGNUM* value);
  /// Null when the library refuses the parts (OpenSSL's error queue says why).
  [[nodiscard]] PkeyHandle make(const char* type, int selection) const;

 private:
  OSSL_PARAM_BLD* builder_;
  bool ok_;
};

enum class PeerCheck : std::uint8_t {
  by_library,  ///< EVP_PKEY_public_check
  done,        ///< the caller has checked the value
};

/// Diffie-Hellman of our key and the peer's: exactly `len` bytes, leading zeros kept. Errc::invalid when the library
/// refuses the peer's key.
[[nodiscard]] Result<Secret> derive(EVP_PKEY* own, EVP_PKEY* peer, std::size_t len, PeerCheck check);

}  // namespace culvert::crypto
