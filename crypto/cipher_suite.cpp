#include "culvert/crypto/cipher_suite.h"

#include <array>

namespace culvert::crypto {
namespace {

// In the order of the enum. HMAC keys are as long as the digest (RFC 4868 §2.1.1), ICVs half of it (§2.3).
constexpr std::array<CipherSuiteInfo, 9> suites{{
    {"AES-GCM-16-128", 16, 4, 0, 8, 16, 4, true},
    {"AES-GCM-16-256", 32, 4, 0, 8, 16, 4, true},
    {"CHACHA20-POLY1305", 32, 4, 0, 8, 16, 4, true},
    {"AES-CBC-128/HMAC-SHA2-256-128", 16, 0, 32, 16, 16, 16, false},
    {"AES-CBC-128/HMAC-SHA2-384-192", 16, 0, 48, 16, 24, 16, false},
    {"AES-CBC-128/HMAC-SHA2-512-256", 16, 0, 64, 16, 32, 16, false},
    {"AES-CBC-256/HMAC-SHA2-256-128", 32, 0, 32, 16, 16, 16, false},
    {"AES-CBC-256/HMAC-SHA2-384-192", 32, 0, 48, 16, 24, 16, false},
    {"AES-CBC-256/HMAC-SHA2-512-256", 32, 0, 64, 16, 32, 16, false},
}};
static_assert(suites.size() == static_cast<std::size_t>(CipherSuite::aes_cbc_256_sha2_512_256) + 1);

}  // namespace

const CipherSuiteInfo& info(CipherSuite suite) noexcept {
  return suites[static_cast<std::size_t>(suite)];
}

}  // namespace culvert::crypto
