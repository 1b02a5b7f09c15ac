#pragma once
// Certificates for these tests, made while they run.
#include <string_view>
#include <vector>

#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/crypto/trust.h"

namespace culvert::test {

/// 2026-06-01 00:00:00 UTC: when these tests take place.
inline constexpr crypto::WallTime test_now{std::chrono::sys_days(std::chrono::year(2026) / 6 / 1)};
inline constexpr std::chrono::days day{1};

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

}  // namespace culvert::test
