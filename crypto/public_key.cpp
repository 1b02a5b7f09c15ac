#include "culvert/crypto/public_key.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <array>

#include "algorithm_identifier.h"
#include "base64.h"
#include "culvert/crypto/prf.h"
#include "openssl_x509.h"
#include "signature.h"

namespace culvert::crypto {
namespace {

constexpr std::size_t max_spki_len = 4096;
constexpr std::size_t max_text_len = 16 * 1024;
constexpr std::size_t ed25519_len = 32;  // RFC 8032 §5.1.5
constexpr int min_rsa_bits = 2048;
constexpr int max_rsa_bits = 8192;  // what an unauthenticated peer may make us calculate with
constexpr BN_ULONG min_rsa_exponent = 65537;
constexpr int max_rsa_exponent_bits = 64;

using X509PubkeyHandle = std::unique_ptr<X509_PUBKEY, FreeWith<X509_PUBKEY_free>>;

/// RSA: modulus and exponent. SP 800-131A, RFC 8247 §4.1: 2048 bits at least; FIPS 186-5 §5.1: exponent above 2^16,
/// odd.
Result<void> check_rsa(const EVP_PKEY* key, int bits) {
  if (bits < min_rsa_bits) return fail(Errc::invalid, "RSA key of " + std::to_string(bits) + " bits: at least 2048");
  if (bits > max_rsa_bits) return fail(Errc::invalid, "RSA key of " + std::to_string(bits) + " bits: at most 8192");
  BIGNUM* parameter = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &parameter) != 1)
    return openssl_failure(Errc::malformed, "RSA exponent");
  const BignumHandle exponent(parameter);
  parameter = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &parameter) != 1)
    return openssl_failure(Errc::malformed, "RSA modulus");
  const BignumHandle modulus(parameter);
  const BignumHandle least(BN_new());
  if (!least || BN_set_word(least.get(), min_rsa_exponent) != 1) return fail(Errc::internal, "BN_set_word");
  if (BN_is_odd(exponent.get()) == 0 || BN_cmp(exponent.get(), least.get()) < 0)
    return fail(Errc::invalid, "RSA key with a weak exponent: odd and 65537 or more");
  if (BN_num_bits(exponent.get()) > max_rsa_exponent_bits)
    return fail(Errc::invalid, "RSA key with an exponent of more than 64 bits");
  if (BN_is_odd(modulus.get()) == 0) return fail(Errc::invalid, "RSA key with an even modulus");
  return {};
}

Result<KeyType> check_ec(const EVP_PKEY* key) {
  std::array<char, 64> name{};
  std::array<char, 64> encoding{};
  std::size_t len = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &len) != 1 ||
      EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding.data(), encoding.size(), &len) != 1 ||
      std::string_view(encoding.data()) != OSSL_PKEY_EC_ENCODING_GROUP) {
    ERR_clear_error();
    // RFC 5480 §2.1.1: implicitCurve and specifiedCurve MUST NOT be used.
    return fail(Errc::unsupported, "EC key on a curve without a name");
  }
  const std::string_view curve = name.data();
  // The point lies on the curve and is not at infinity; the order of these curves is a prime, so no more is needed.
  const PkeyCtxHandle ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, const_cast<EVP_PKEY*>(key), nullptr));
  if (!ctx || EVP_PKEY_public_check_quick(ctx.get()) != 1)
    return openssl_failure(Errc::invalid, "EC key that is no point of its curve");
  if (curve == SN_X9_62_prime256v1) return KeyType::ecdsa_p256;
  if (curve == SN_secp384r1) return KeyType::ecdsa_p384;
  if (curve == SN_secp521r1) return KeyType::ecdsa_p521;
  return fail(Errc::unsupported, "EC key on " + std::string(curve) + ": P-256, P-384 or P-521");
}

/// The type of a key that we are willing to rely on.
Result<KeyType> check_key(const EVP_PKEY* key, int bits) {
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return KeyType::ed25519;
  if (EVP_PKEY_is_a(key, "EC") == 1) return check_ec(key);
  const bool is_pss = EVP_PKEY_is_a(key, "RSA-PSS") == 1;
  if (!is_pss && EVP_PKEY_is_a(key, "RSA") != 1)
    return fail(Errc::unsupported, "key that is none of RSA, ECDSA and Ed25519");
  if (auto strong = check_rsa(key, bits); !strong) return std::unexpected(strong.error());
  return is_pss ? KeyType::rsa_pss : KeyType::rsa;
}

Result<PublicKey> from_pem(std::string_view pem) {
  using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
  const BioHandle in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::shared_ptr<EVP_PKEY> key(in ? PEM_read_bio_PUBKEY(in.get(), nullptr, nullptr, nullptr) : nullptr,
                                      EVP_PKEY_free);
  if (!key) return openssl_failure(Errc::malformed, "PEM public key");
  return PublicKey::from_library(key, encode(key.get(), i2d_PUBKEY));
}

}  // namespace

Result<PublicKey> PublicKey::from_spki(ByteView der) {
  if (der.size() > max_spki_len) return fail(Errc::malformed, "public key of more than 4096 bytes");
  const std::uint8_t* end = der.data();
  const X509PubkeyHandle parsed(d2i_X509_PUBKEY(nullptr, &end, static_cast<long>(der.size())));
  const std::shared_ptr<EVP_PKEY> key(parsed ? X509_PUBKEY_get(parsed.get()) : nullptr, EVP_PKEY_free);
  if (!key) return openssl_failure(Errc::malformed, "public key: not a SubjectPublicKeyInfo that is understood");
  if (end != der.data() + der.size()) return fail(Errc::malformed, "public key: bytes behind it");
  return from_library(key, encode(parsed.get(), i2d_X509_PUBKEY));
}

Result<PublicKey> PublicKey::from_text(std::string_view text) {
  if (text.size() > max_text_len) return fail(Errc::malformed, "public key of more than 16384 characters");
  if (text.find("-----BEGIN") != std::string_view::npos) return from_pem(text);
  const auto der = from_base64(text);
  if (!der || der->empty())
    return fail(Errc::malformed, "public key: expected base64 of a SubjectPublicKeyInfo, or PEM");
  if (der->size() == ed25519_len) {
    const std::shared_ptr<EVP_PKEY> key(
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, der->data(), der->size()), EVP_PKEY_free);
    if (!key) return openssl_failure(Errc::internal, "EVP_PKEY_new_raw_public_key");
    return from_library(key, encode(key.get(), i2d_PUBKEY));
  }
  return from_spki(*der);
}

Result<PublicKey> PublicKey::from_library(std::shared_ptr<evp_pkey_st> key, Bytes spki) {
  const int bits = EVP_PKEY_get_bits(key.get());
  const Result<KeyType> type = check_key(key.get(), bits);
  if (!type) return std::unexpected(type.error());
  if (spki.empty()) return fail(Errc::internal, "SubjectPublicKeyInfo");
  PublicKey result;
  result.spki_ = std::make_shared<const Bytes>(std::move(spki));
  result.key_ = std::move(key);
  result.type_ = *type;
  result.bits_ = *type == KeyType::ed25519 ? 256 : static_cast<unsigned>(bits);
  return result;
}

std::string PublicKey::text() const {
  return base64(spki());
}

std::string PublicKey::fingerprint() const {
  std::string text = base64(sha256({spki()}));
  while (text.ends_with('=')) text.pop_back();
  return "SHA256:" + text;
}

std::string PublicKey::description() const {
  std::string text(key_type_name(type_));
  if (type_ == KeyType::rsa || type_ == KeyType::rsa_pss) text += " " + std::to_string(bits_);
  return text;
}

Bytes PublicKey::spki_sha1() const {
  return sha1({spki()});
}

Bytes PublicKey::key_bits_sha1() const {
  const std::uint8_t* end = spki().data();
  const X509PubkeyHandle parsed(d2i_X509_PUBKEY(nullptr, &end, static_cast<long>(spki().size())));
  const std::uint8_t* bits = nullptr;
  int len = 0;
  if (!parsed || X509_PUBKEY_get0_param(nullptr, &bits, &len, nullptr, parsed.get()) != 1) return {};
  return sha1({ByteView(bits, static_cast<std::size_t>(len))});
}

// RFC 7427 §3:
//   ASN.1 Length (1 octet) | AlgorithmIdentifier ASN.1 object | Signature Value
Result<SignatureScheme> PublicKey::verify_digital_signature(ByteView auth_data, ByteView message,
                                                            HashSet announced) const {
  Reader reader(auth_data);
  const auto algorithm_len = reader.u8();
  const auto algorithm = algorithm_len ? reader.take(*algorithm_len) : std::nullopt;
  if (!algorithm) return fail(Errc::malformed, "AUTH: shorter than its AlgorithmIdentifier");
  const Result<SignatureParameters> how = parse_algorithm_identifier(*algorithm);
  if (!how) return std::unexpected(how.error());
  const SignatureScheme scheme = how->scheme;
  if (!fits(type_, scheme.algorithm))
    return fail(Errc::unsupported, "AUTH: " + scheme.name() + " by a key of " + description());
  // RFC 7427 §4: only what was announced.
  if (!announced.contains(scheme.hash)) return fail(Errc::unsupported, "AUTH: " + scheme.name() + " was not announced");
  if (auto held = verify(key_.get(), *how, reader.rest(), message); !held) return std::unexpected(held.error());
  return scheme;
}

Result<SignatureScheme> PublicKey::verify_classic(AuthMethod method, ByteView signature, ByteView message,
                                                  bool allow_sha1) const {
  if (const auto ecdsa = classic_ecdsa(method)) {
    if (ecdsa->type != type_)
      return fail(Errc::unsupported,
                  "AUTH method " + std::to_string(static_cast<unsigned>(method)) + " by a key of " + description());
    if (signature.size() != 2 * ecdsa->number_len)
      return fail(Errc::malformed, "AUTH: ECDSA signature of a wrong length");
    const auto der = ecdsa_to_der(signature);
    const SignatureParameters how{{SignatureAlgorithm::ecdsa, ecdsa->hash}, 0};
    if (!der) return fail(Errc::internal, "i2d_ECDSA_SIG");
    if (auto held = verify(key_.get(), how, *der, message); !held) return std::unexpected(held.error());
    return how.scheme;
  }
  if (method != AuthMethod::rsa_signature || type_ != KeyType::rsa)
    return fail(Errc::unsupported,
                "AUTH method " + std::to_string(static_cast<unsigned>(method)) + " by a key of " + description());
  // The signature says inside which hash it is of (RFC 8017 §9.2), readable to the right key alone.
  using enum HashAlgorithm;
  for (const HashAlgorithm hash : {sha2_256, sha2_384, sha2_512, sha1}) {
    if (hash == sha1 && !allow_sha1) continue;
    const SignatureParameters how{{SignatureAlgorithm::rsa_pkcs1, hash}, 0};
    if (verify(key_.get(), how, signature, message)) return how.scheme;
  }
  return fail(Errc::authentication, "the signature (RSA) does not hold");
}

bool operator==(const PublicKey& a, const PublicKey& b) noexcept {
  return EVP_PKEY_eq(a.key_.get(), b.key_.get()) == 1;
}

}  // namespace culvert::crypto
