#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace culvert::crypto {

/// Every way in which ESP and the IKE SK payload are encrypted and authenticated. AEADs, and CBC with an HMAC behind it
/// (encrypt-then-MAC) in the same shape: AAD | explicit IV | ciphertext | ICV.
enum class CipherSuite : std::uint8_t {
  aes_gcm_16_128,          ///< RFC 4106, RFC 5282
  aes_gcm_16_256,
  chacha20_poly1305,       ///< RFC 7634
  aes_cbc_128_sha2_256_128,  ///< RFC 3602 + RFC 4868
  aes_cbc_128_sha2_384_192,
  aes_cbc_128_sha2_512_256,
  aes_cbc_256_sha2_256_128,
  aes_cbc_256_sha2_384_192,
  aes_cbc_256_sha2_512_256,
};

/// Sizes in bytes.
struct CipherSuiteInfo {
  std::string_view name;         ///< for people and logs, e.g. "AES-GCM-16-256"
  std::uint8_t key_len;          ///< of the cipher, without salt
  std::uint8_t salt_len;         ///< 4 for AEADs, 0 for CBC
  std::uint8_t integrity_len;    ///< key length of the HMAC, 0 for AEADs
  std::uint8_t iv_len;           ///< explicit IV on the wire: 8 for AEADs, 16 for CBC
  std::uint8_t icv_len;          ///< 16, 24 or 32
  std::uint8_t block_len;        ///< alignment of the plaintext: 4 for AEADs (RFC 4303 §2.4), 16 for CBC
  bool is_aead;
};

[[nodiscard]] const CipherSuiteInfo& info(CipherSuite suite) noexcept;

inline constexpr std::size_t max_iv_len = 16;
inline constexpr std::size_t max_icv_len = 32;

}  // namespace culvert::crypto
