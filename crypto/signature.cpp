#include "signature.h"

#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

namespace culvert::crypto {
namespace {

using MdCtxHandle = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using EcdsaSigHandle = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

const EVP_MD* digest(HashAlgorithm hash) noexcept {
  switch (hash) {
    case HashAlgorithm::sha1:
      return EVP_sha1();
    case HashAlgorithm::sha2_256:
      return EVP_sha256();
    case HashAlgorithm::sha2_384:
      return EVP_sha384();
    case HashAlgorithm::sha2_512:
      return EVP_sha512();
    case HashAlgorithm::identity:
      return nullptr;
  }
  return nullptr;
}

bool set_padding(EVP_PKEY_CTX* ctx, const SignatureParameters& how) {
  switch (how.scheme.algorithm) {
    case SignatureAlgorithm::rsa_pkcs1:
      return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    case SignatureAlgorithm::rsa_pss:
      return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, how.salt_len) == 1 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest(how.scheme.hash)) == 1;
    case SignatureAlgorithm::ecdsa:
    case SignatureAlgorithm::ed25519:
      return true;
  }
  return false;
}

}  // namespace

Result<Bytes> sign(EVP_PKEY* key, const SignatureParameters& how, ByteView message) {
  const MdCtxHandle ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_ctx = nullptr;  // owned by ctx
  if (!ctx || EVP_DigestSignInit(ctx.get(), &key_ctx, digest(how.scheme.hash), nullptr, key) != 1 ||
      !set_padding(key_ctx, how)) {
    return openssl_failure(Errc::internal, "sign with " + how.scheme.name());
  }
  std::size_t len = 0;
  if (EVP_DigestSign(ctx.get(), nullptr, &len, message.data(), message.size()) != 1)
    return openssl_failure(Errc::internal, "sign with " + how.scheme.name());
  Bytes signature(len);
  if (EVP_DigestSign(ctx.get(), signature.data(), &len, message.data(), message.size()) != 1)
    return openssl_failure(Errc::internal, "sign with " + how.scheme.name());
  signature.resize(len);
  return signature;
}

Result<void> verify(EVP_PKEY* key, const SignatureParameters& how, ByteView signature, ByteView message) {
  const MdCtxHandle ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_ctx = nullptr;  // owned by ctx
  if (!ctx || EVP_DigestVerifyInit(ctx.get(), &key_ctx, digest(how.scheme.hash), nullptr, key) != 1 ||
      !set_padding(key_ctx, how)) {
    return openssl_failure(Errc::unsupported, "verify " + how.scheme.name());
  }
  if (EVP_DigestVerify(ctx.get(), signature.data(), signature.size(), message.data(), message.size()) != 1) {
    ERR_clear_error();
    return fail(Errc::authentication, "the signature (" + how.scheme.name() + ") does not hold");
  }
  return {};
}

std::optional<Bytes> ecdsa_to_fixed(ByteView der, std::size_t len) {
  const std::uint8_t* end = der.data();
  const EcdsaSigHandle parsed(d2i_ECDSA_SIG(nullptr, &end, static_cast<long>(der.size())));
  Bytes fixed(2 * len);
  const int number_len = static_cast<int>(len);
  if (!parsed || end != der.data() + der.size() ||
      BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), fixed.data(), number_len) != number_len ||
      BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), fixed.data() + len, number_len) != number_len) {
    ERR_clear_error();
    return std::nullopt;
  }
  return fixed;
}

std::optional<Bytes> ecdsa_to_der(ByteView fixed) {
  const int number_len = static_cast<int>(fixed.size() / 2);
  BignumHandle r(BN_bin2bn(fixed.data(), number_len, nullptr));
  BignumHandle s(BN_bin2bn(fixed.data() + number_len, number_len, nullptr));
  const EcdsaSigHandle signature(ECDSA_SIG_new());
  if (!r || !s || !signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return std::nullopt;
  r.release();  // the signature owns them now
  s.release();
  std::uint8_t* der = nullptr;
  const int len = i2d_ECDSA_SIG(signature.get(), &der);
  if (len <= 0) return std::nullopt;
  Bytes bytes(der, der + len);
  OPENSSL_free(der);
  return bytes;
}

bool fits(KeyType type, SignatureAlgorithm algorithm) noexcept {
  switch (type) {
    case KeyType::rsa:
      return algorithm == SignatureAlgorithm::rsa_pkcs1 || algorithm == SignatureAlgorithm::rsa_pss;
    case KeyType::rsa_pss:
      return algorithm == SignatureAlgorithm::rsa_pss;
    case KeyType::ecdsa_p256:
    case KeyType::ecdsa_p384:
    case KeyType::ecdsa_p521:
      return algorithm == SignatureAlgorithm::ecdsa;
    case KeyType::ed25519:
      return algorithm == SignatureAlgorithm::ed25519;
  }
  return false;
}

std::optional<ClassicEcdsa> classic_ecdsa(AuthMethod method) noexcept {
  switch (method) {
    case AuthMethod::ecdsa_p256:
      return ClassicEcdsa{KeyType::ecdsa_p256, HashAlgorithm::sha2_256, 32};
    case AuthMethod::ecdsa_p384:
      return ClassicEcdsa{KeyType::ecdsa_p384, HashAlgorithm::sha2_384, 48};
    case AuthMethod::ecdsa_p521:
      return ClassicEcdsa{KeyType::ecdsa_p521, HashAlgorithm::sha2_512, 66};
    case AuthMethod::rsa_signature:
    case AuthMethod::digital_signature:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace culvert::crypto
