#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/crypto/cipher_suite.h"
#include "culvert/crypto/key_exchange.h"
#include "culvert/crypto/prf.h"

namespace culvert::ike {

enum class ProtocolId : std::uint8_t { none = 0, ike = 1, ah = 2, esp = 3 };
enum class TransformType : std::uint8_t { encr = 1, prf = 2, integ = 3, ke = 4, esn = 5 };

/// RFC 7296 §3.3.2. `key_bits` is the Key Length attribute, 0 when absent. Unknown types and ids are kept, and never
/// match; so is a transform with an attribute that we do not understand, which is unacceptable by §3.3.6.
struct Transform {
  TransformType type{};
  std::uint16_t id = 0;
  std::uint16_t key_bits = 0;
  bool unknown_attribute = false;
  friend bool operator==(const Transform&, const Transform&) noexcept = default;
};

// IANA numbers that culvert speaks.
inline constexpr std::uint16_t encr_aes_cbc = 12, encr_aes_gcm_16 = 20, encr_chacha20_poly1305 = 28;
inline constexpr std::uint16_t prf_hmac_sha1 = 2, prf_hmac_sha2_256 = 5, prf_hmac_sha2_384 = 6, prf_hmac_sha2_512 = 7;
inline constexpr std::uint16_t integ_none = 0, integ_sha2_256_128 = 12, integ_sha2_384_192 = 13,
                               integ_sha2_512_256 = 14;
inline constexpr std::uint16_t ke_none = 0, esn_no = 0, esn_yes = 1;

/// RFC 7296 §3.3.1: alternatives of each type, in order of preference.
struct Proposal {
  std::uint8_t number = 1;
  ProtocolId protocol = ProtocolId::ike;
  Bytes spi;  ///< empty, 4 (ESP) or 8 bytes (IKE rekey)
  std::vector<Transform> transforms;
  friend bool operator==(const Proposal&, const Proposal&) = default;
};

/// "aes256gcm16-prfsha384-x25519", "aes256-sha256-ecp256-modp2048": words joined by '-', several of one type are
/// alternatives. IKE: a PRF is implied by the integrity algorithm when none is named (and must be named with an AEAD).
/// ESP: "esn", "noesn"; with neither both are offered, ESN first; a key exchange word asks for PFS, and "none" among
/// them lets the peer do without. Aliases: "curve25519" is x25519. Errc::malformed names the word, the words that exist
/// (nearest first), or what is missing. AEAD and non-AEAD never share a proposal.
[[nodiscard]] Result<Proposal> parse_ike_proposal(std::string_view text);
[[nodiscard]] Result<Proposal> parse_esp_proposal(std::string_view text);
[[nodiscard]] std::vector<Proposal> default_ike_proposals();
[[nodiscard]] std::vector<Proposal> default_esp_proposals();
/// The words that parse_*_proposal reads; transforms without a word by their IANA name.
[[nodiscard]] std::string to_string(const Proposal& proposal);
/// For logs: "AES-GCM-16-256", "MODP1024", "HMAC-SHA1-96", "encryption 4711"; also of well-known algorithms that we do
/// not speak.
[[nodiscard]] std::string transform_name(const Transform& transform);
[[nodiscard]] std::string_view transform_type_name(TransformType type) noexcept;  ///< "encryption", "key exchange", …

/// What one exchange agreed on for the IKE SA.
struct IkeSuite {
  crypto::CipherSuite cipher{};
  crypto::Prf prf{};
  crypto::KeMethod ke{};
  friend bool operator==(const IkeSuite&, const IkeSuite&) noexcept = default;
};
/// …and for a pair of ESP SAs; `ke` only when a key exchange (PFS) was agreed.
struct EspSuite {
  crypto::CipherSuite cipher{};
  std::optional<crypto::KeMethod> ke;
  bool esn = false;
  friend bool operator==(const EspSuite&, const EspSuite&) noexcept = default;
};
[[nodiscard]] std::string to_string(const IkeSuite& suite);
[[nodiscard]] std::string to_string(const EspSuite& suite);

}  // namespace culvert::ike
