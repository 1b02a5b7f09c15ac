#pragma once
#include <doctest/doctest.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/crypto/trust.h"
#include "openssl_x509.h"

namespace culvert::test {

/// 2026-06-01 00:00:00 UTC: when these tests take place.
inline constexpr crypto::WallTime test_now{std::chrono::sys_days(std::chrono::year(2026) / 6 / 1)};
inline constexpr std::chrono::days day{1};

/// A file of Debian's python3-cryptography-vectors; fails the test when it is not there.
[[nodiscard]] inline Bytes published(const std::filesystem::path& file) {
  const char* elsewhere = std::getenv("CULVERT_CRYPTOGRAPHY_VECTORS");
  const std::filesystem::path folder = elsewhere ? elsewhere : "/usr/lib/python3/dist-packages/cryptography_vectors";
  std::ifstream in(folder / file, std::ios::binary);
  REQUIRE_MESSAGE(in, "install python3-cryptography-vectors: " << file.string());
  return Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

/// A CA and its key.
struct Authority {
  crypto::PrivateKey key;
  crypto::Certificate certificate;
};

/// A certificate and its key.
struct Holder {
  crypto::PrivateKey key;
  crypto::Certificate certificate;
};

[[nodiscard]] inline Bytes dn(std::string_view text) {
  return crypto::encode_distinguished_name(text).value();
}

[[nodiscard]] inline crypto::PrivateKey new_key(crypto::KeyType type = crypto::KeyType::ecdsa_p256) {
  return crypto::PrivateKey::generate({type, 2048}).value();
}

[[nodiscard]] inline crypto::Validity valid_now(std::chrono::days before = day, std::chrono::days after = 30 * day) {
  return {test_now - before, test_now + after};
}

[[nodiscard]] inline Authority make_ca(std::string_view subject, crypto::CaRequest request = {},
                                       crypto::KeyType type = crypto::KeyType::ecdsa_p256) {
  request.subject = dn(subject);
  if (request.validity.not_after == crypto::WallTime{}) request.validity = valid_now(day, 365 * day);
  const crypto::PrivateKey key = new_key(type);
  return {key, crypto::issue_self_signed_ca(key, request).value()};
}

[[nodiscard]] inline Authority make_intermediate(const Authority& above, std::string_view subject,
                                                 crypto::CaRequest request = {}) {
  request.subject = dn(subject);
  if (request.validity.not_after == crypto::WallTime{}) request.validity = valid_now(day, 100 * day);
  const crypto::PrivateKey key = new_key();
  return {key, crypto::issue_intermediate_ca(above.key, above.certificate, key.public_key(), request).value()};
}

[[nodiscard]] inline Holder make_leaf(const Authority& ca, std::string_view subject,
                                      std::vector<crypto::AlternativeName> names = {},
                                      crypto::Validity validity = valid_now(),
                                      crypto::KeyType type = crypto::KeyType::ecdsa_p256) {
  const crypto::PrivateKey key = new_key(type);
  const crypto::LeafRequest request{dn(subject), validity, std::move(names), true, false};
  return {key, crypto::issue_leaf(ca.key, ca.certificate, key.public_key(), request).value()};
}

/// A certificate that OpenSSL, and not we, issues: with these extensions in its configuration language.
[[nodiscard]] inline Holder make_with(const Authority& ca, const std::vector<std::pair<int, const char*>>& extensions,
                                      crypto::Validity validity = valid_now(), const EVP_MD* digest = EVP_sha256(),
                                      std::optional<crypto::PrivateKey> own_key = std::nullopt) {
  const crypto::PrivateKey key = own_key ? *own_key : new_key();
  const crypto::X509Handle x509(X509_new());
  const auto time = [](crypto::WallTime at) { return static_cast<time_t>(at.time_since_epoch().count()); };
  X509_set_version(x509.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 4711);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("made by OpenSSL"), -1, -1, 0);
  X509_set_issuer_name(x509.get(), X509_get_subject_name(ca.certificate.library_certificate()));
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), time(validity.not_before));
  ASN1_TIME_set(X509_getm_notAfter(x509.get()), time(validity.not_after));
  X509_set_pubkey(x509.get(), key.library_key());
  for (const auto& [nid, value] : extensions) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, ca.certificate.library_certificate(), x509.get(), nullptr, nullptr, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    REQUIRE_MESSAGE(extension, value);
    X509_add_ext(x509.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  REQUIRE(X509_sign(x509.get(), ca.key.library_key(), digest) > 0);
  return {key, crypto::Certificate::from_der(crypto::encode(x509.get(), i2d_X509)).value()};
}

/// "ok", or the reason's name.
[[nodiscard]] inline std::string verdict(const crypto::TrustStore& store, const std::vector<crypto::Certificate>& sent,
                                         crypto::VerifyOptions options = {},
                                         const crypto::RevocationData* revocation = nullptr) {
  if (options.now == crypto::WallTime{}) options.now = test_now;
  const auto verified = store.verify(sent, options, revocation);
  return verified ? "ok" : std::string(crypto::trust_error_name(verified.error().reason));
}

}  // namespace culvert::test
