// Names of the algorithms of IANA's "IKEv2 Parameters" (transform types 1–5), for people. Also of those that we do not
// speak: an operator who reads "it offered MODP1024" knows what to change, one who reads "transform 2" does not.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "culvert/ike/proposal.h"

namespace culvert::ike {
namespace {

struct Name {
  std::uint16_t id;
  std::string_view text;
};

constexpr std::array encr_names = std::to_array<Name>({
    {1, "DES-IV64"},
    {2, "DES"},
    {3, "3DES"},
    {4, "RC5"},
    {5, "IDEA"},
    {6, "CAST"},
    {7, "Blowfish"},
    {8, "3IDEA"},
    {9, "DES-IV32"},
    {11, "NULL"},
    {12, "AES-CBC"},
    {13, "AES-CTR"},
    {14, "AES-CCM-8"},
    {15, "AES-CCM-12"},
    {16, "AES-CCM-16"},
    {18, "AES-GCM-8"},
    {19, "AES-GCM-12"},
    {20, "AES-GCM-16"},
    {21, "NULL-AES-GMAC"},
    {23, "CAMELLIA-CBC"},
    {24, "CAMELLIA-CTR"},
    {25, "CAMELLIA-CCM-8"},
    {26, "CAMELLIA-CCM-12"},
    {27, "CAMELLIA-CCM-16"},
    {28, "CHACHA20-POLY1305"},
    {29, "AES-CCM-8-IIV"},
    {30, "AES-GCM-16-IIV"},
    {31, "CHACHA20-POLY1305-IIV"},
});
constexpr std::array prf_names = std::to_array<Name>({
    {1, "PRF-HMAC-MD5"},
    {2, "PRF-HMAC-SHA1"},
    {3, "PRF-HMAC-TIGER"},
    {4, "PRF-AES128-XCBC"},
    {5, "PRF-HMAC-SHA2-256"},
    {6, "PRF-HMAC-SHA2-384"},
    {7, "PRF-HMAC-SHA2-512"},
    {8, "PRF-AES128-CMAC"},
});
constexpr std::array integ_names = std::to_array<Name>({
    {0, "none"},
    {1, "HMAC-MD5-96"},
    {2, "HMAC-SHA1-96"},
    {3, "DES-MAC"},
    {4, "KPDK-MD5"},
    {5, "AES-XCBC-96"},
    {6, "HMAC-MD5-128"},
    {7, "HMAC-SHA1-160"},
    {8, "AES-CMAC-96"},
    {9, "AES-128-GMAC"},
    {10, "AES-192-GMAC"},
    {11, "AES-256-GMAC"},
    {12, "HMAC-SHA2-256-128"},
    {13, "HMAC-SHA2-384-192"},
    {14, "HMAC-SHA2-512-256"},
});
constexpr std::array ke_names = std::to_array<Name>({
    {0, "none"},
    {1, "MODP768"},
    {2, "MODP1024"},
    {5, "MODP1536"},
    {14, "MODP2048"},
    {15, "MODP3072"},
    {16, "MODP4096"},
    {17, "MODP6144"},
    {18, "MODP8192"},
    {19, "ECP256"},
    {20, "ECP384"},
    {21, "ECP521"},
    {22, "MODP1024-S160"},
    {23, "MODP2048-S224"},
    {24, "MODP2048-S256"},
    {25, "ECP192"},
    {26, "ECP224"},
    {27, "BRAINPOOL-P224"},
    {28, "BRAINPOOL-P256"},
    {29, "BRAINPOOL-P384"},
    {30, "BRAINPOOL-P512"},
    {31, "x25519"},
    {32, "x448"},
    {35, "ML-KEM-512"},
    {36, "ML-KEM-768"},
    {37, "ML-KEM-1024"},
});
constexpr std::array esn_names = std::to_array<Name>({{0, "no ESN"}, {1, "ESN"}});

std::span<const Name> names_of(TransformType type) {
  switch (type) {
    case TransformType::encr:
      return encr_names;
    case TransformType::prf:
      return prf_names;
    case TransformType::integ:
      return integ_names;
    case TransformType::ke:
      return ke_names;
    case TransformType::esn:
      return esn_names;
  }
  return {};
}

}  // namespace

std::string_view transform_type_name(TransformType type) noexcept {
  switch (type) {
    case TransformType::encr:
      return "encryption";
    case TransformType::prf:
      return "PRF";
    case TransformType::integ:
      return "integrity algorithm";
    case TransformType::ke:
      return "key exchange";
    case TransformType::esn:
      return "sequence number size";
  }
  return "transform type";
}

std::string transform_name(const Transform& transform) {
  const auto names = names_of(transform.type);
  const auto found = std::ranges::find(names, transform.id, &Name::id);
  std::string text;
  if (found != names.end()) {
    text = found->text;
  } else if (names.empty()) {
    text = fmt::format("type {} number {}", static_cast<unsigned>(transform.type), transform.id);
  } else {
    text = fmt::format("{} {}", transform_type_name(transform.type), transform.id);
  }
  if (transform.key_bits != 0) text += fmt::format("-{}", transform.key_bits);
  if (transform.unknown_attribute) text += " with an attribute we do not know";
  return text;
}

}  // namespace culvert::ike
