#include "culvert/crypto/private_key.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "algorithm_identifier.h"
#include "openssl_handle.h"
#include "private_key_pkcs11.h"
#include "signature.h"

namespace culvert::crypto {
namespace {

constexpr std::size_t max_pem_len = 64 * 1024;
constexpr std::size_t max_passphrase_len = 1024;

using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;

struct Passphrase {
  ByteView text;
  bool asked = false;
};

// OpenSSL's pem_password_cb.
int give_passphrase(char* buffer, int size, int /*writing*/, void* context) {
  auto& passphrase = *static_cast<Passphrase*>(context);
  passphrase.asked = true;
  if (passphrase.text.empty() || std::cmp_greater(passphrase.text.size(), size)) return -1;
  std::ranges::copy(as_text(passphrase.text), buffer);
  return static_cast<int>(passphrase.text.size());
}

/// A BIO in memory that wipes what was written to it.
BioHandle secret_bio() {
  return BioHandle(BIO_new(BIO_s_secmem()));
}

}  // namespace

Result<PrivateKey> PrivateKey::from_pem(ByteView pem, const Secret& passphrase) {
  if (pem.size() > max_pem_len) return fail(Errc::malformed, "private key: file of more than 64 KiB");
  if (passphrase.size() > max_passphrase_len)
    return fail(Errc::invalid, "private key: passphrase of more than 1024 bytes");
  const BioHandle in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Passphrase context{passphrase.view()};
  const std::shared_ptr<EVP_PKEY> key(
      in ? PEM_read_bio_PrivateKey(in.get(), nullptr, give_passphrase, &context) : nullptr, EVP_PKEY_free);
  if (!key && context.asked && passphrase.empty()) {
    ERR_clear_error();
    return fail(Errc::invalid, "private key: it is encrypted and no passphrase is given");
  }
  if (!key && context.asked)
    return openssl_failure(Errc::authentication, "private key: wrong passphrase, or an encryption that is not known");
  if (!key) return openssl_failure(Errc::malformed, "private key: no PEM private key in it");
  return from_library(key, false);
}

Result<PrivateKey> PrivateKey::from_pkcs11(std::string_view uri, const std::filesystem::path& module,
                                           const Secret& pin) {
  auto key = load_pkcs11_key(uri, module, pin);
  if (!key) return std::unexpected(key.error());
  return from_library(std::move(*key), true);
}

Result<PrivateKey> PrivateKey::generate(KeySpec spec) {
  EVP_PKEY* key = nullptr;
  switch (spec.type) {
    case KeyType::rsa:
      if (spec.rsa_bits != 2048 && spec.rsa_bits != 3072 && spec.rsa_bits != 4096)
        return fail(Errc::invalid, "RSA keys are made with 2048, 3072 or 4096 bits");
      key = EVP_RSA_gen(spec.rsa_bits);
      break;
    case KeyType::rsa_pss:
      return fail(Errc::unsupported, "keys for RSA-PSS alone are not made");
    case KeyType::ecdsa_p256:
      key = EVP_EC_gen("P-256");
      break;
    case KeyType::ecdsa_p384:
      key = EVP_EC_gen("P-384");
      break;
    case KeyType::ecdsa_p521:
      key = EVP_EC_gen("P-521");
      break;
    case KeyType::ed25519:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
  }
  if (!key) return openssl_failure(Errc::internal, "generate a key");
  return from_library(std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free), false);
}

Result<PrivateKey> PrivateKey::from_library(std::shared_ptr<evp_pkey_st> key, bool in_token) {
  // The public half on its own, out of its encoding: a token's key can do little but sign, and nothing that verifies
  // shall hold a private key.
  std::uint8_t* der = nullptr;
  const int len = i2d_PUBKEY(key.get(), &der);
  if (len <= 0) return openssl_failure(Errc::unsupported, "private key without its public half");
  auto public_key = PublicKey::from_spki({der, static_cast<std::size_t>(len)});
  OPENSSL_free(der);
  if (!public_key) return std::unexpected(public_key.error());
  const bool is_rsa = public_key->type() == KeyType::rsa || public_key->type() == KeyType::rsa_pss;
  if (!in_token && !is_rsa) {
    const PkeyCtxHandle ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
    if (!ctx || EVP_PKEY_pairwise_check(ctx.get()) != 1)
      return openssl_failure(Errc::invalid, "private key whose halves do not belong together");
  }
  return PrivateKey(std::move(key), std::move(*public_key), in_token);
}

Result<Secret> PrivateKey::to_pem(const Secret& passphrase) const {
  if (in_token_) return fail(Errc::unsupported, "a key in a token cannot be written out");
  if (passphrase.size() > max_passphrase_len) return fail(Errc::invalid, "passphrase of more than 1024 bytes");
  const BioHandle out = secret_bio();
  Passphrase context{passphrase.view()};
  const EVP_CIPHER* cipher = passphrase.empty() ? nullptr : EVP_aes_256_cbc();
  if (!out || PEM_write_bio_PKCS8PrivateKey(out.get(), key_.get(), cipher, nullptr, 0, give_passphrase, &context) != 1)
    return openssl_failure(Errc::internal, "write a private key");
  char* text = nullptr;
  const long len = BIO_get_mem_data(out.get(), &text);
  return Secret::copy_of(as_bytes({text, static_cast<std::size_t>(len)}));
}

Result<Bytes> PrivateKey::sign_digital_signature(SignatureScheme scheme, ByteView message) const {
  const Bytes algorithm = encode_algorithm_identifier(scheme);
  if (!fits(public_.type(), scheme.algorithm) || algorithm.empty())
    return fail(Errc::invalid, "a key of " + public_.description() + " does not sign with " + scheme.name());
  const auto signature = sign(key_.get(), {scheme, hash_len(scheme.hash)}, message);
  if (!signature) return std::unexpected(signature.error());
  Bytes auth_data;
  Writer writer(auth_data);
  writer.u8(static_cast<std::uint8_t>(algorithm.size()));
  writer.bytes(algorithm);
  writer.bytes(*signature);
  return auth_data;
}

Result<Bytes> PrivateKey::sign_classic(ByteView message, HashAlgorithm rsa_hash) const {
  const auto method = classic_method(public_.type());
  if (!method) return fail(Errc::invalid, "a key of " + public_.description() + " signs by RFC 7427 alone");
  const auto ecdsa = classic_ecdsa(*method);
  if (!ecdsa) {
    if (rsa_hash == HashAlgorithm::identity) return fail(Errc::invalid, "RSA needs a hash");
    return sign(key_.get(), {{SignatureAlgorithm::rsa_pkcs1, rsa_hash}, 0}, message);
  }
  const auto der = sign(key_.get(), {{SignatureAlgorithm::ecdsa, ecdsa->hash}, 0}, message);
  if (!der) return std::unexpected(der.error());
  auto fixed = ecdsa_to_fixed(*der, ecdsa->number_len);
  if (!fixed) return fail(Errc::internal, "ECDSA signature that the library made");
  return std::move(*fixed);
}

}  // namespace culvert::crypto
