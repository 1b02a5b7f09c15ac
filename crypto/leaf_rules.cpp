#include "leaf_rules.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "openssl_handle.h"

namespace culvert::crypto {
namespace {

constexpr std::string_view any_usage = "2.5.29.37.0";         // RFC 5280 §4.2.1.12
constexpr std::string_view ipsec_ike = "1.3.6.1.5.5.7.3.17";  // RFC 4945 §5.1.3.12
// What is in use for IKE in its stead: TLS, Microsoft's iKEIntermediate, and the three that RFC 4945 deprecates.
constexpr std::array<std::string_view, 6> customary{
    "1.3.6.1.5.5.7.3.1",  // serverAuth
    "1.3.6.1.5.5.7.3.2",  // clientAuth
    "1.3.6.1.5.5.8.2.2",  // iKEIntermediate
    "1.3.6.1.5.5.7.3.5",  // ipsecEndSystem
    "1.3.6.1.5.5.7.3.6",  // ipsecTunnel
    "1.3.6.1.5.5.7.3.7",  // ipsecUser
};

std::string dotted(const ASN1_OBJECT* object) {
  std::array<char, 128> text{};
  OBJ_obj2txt(text.data(), text.size(), object, 1);
  return text.data();
}

bool allows_ike(std::string_view usage, ExtendedKeyUsagePolicy policy) {
  return usage == any_usage || usage == ipsec_ike ||
         (policy == ExtendedKeyUsagePolicy::ike_or_tls && std::ranges::find(customary, usage) != customary.end());
}

bool extended_usage_allows_ike(X509* x509, ExtendedKeyUsagePolicy policy) {
  using UsagesHandle = std::unique_ptr<EXTENDED_KEY_USAGE, FreeWith<EXTENDED_KEY_USAGE_free>>;
  int critical = 0;
  const UsagesHandle usages(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(x509, NID_ext_key_usage, &critical, nullptr)));
  ERR_clear_error();
  if (!usages) return critical == -1;  // absent, or else one that cannot be read
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    if (allows_ike(dotted(sk_ASN1_OBJECT_value(usages.get(), i)), policy)) return true;
  }
  return false;
}

}  // namespace

std::optional<TrustFailure> check_any_rules(const Certificate& certificate) {
  if ((X509_get_extension_flags(certificate.library_certificate()) & EXFLAG_INVALID) != 0)
    return TrustFailure{TrustError::malformed,
                        certificate.name() + ": an extension that cannot be read, or is there twice"};
  if (!certificate.public_key())
    return TrustFailure{TrustError::weak_key, certificate.name() + ": " + certificate.public_key().error().detail};
  return std::nullopt;
}

std::optional<TrustFailure> check_leaf_rules(const Certificate& leaf, ExtendedKeyUsagePolicy policy) {
  X509* x509 = leaf.library_certificate();
  // RFC 4945 §5.1.3.2: without keyUsage all is allowed; with it, digitalSignature or nonRepudiation.
  if ((X509_get_key_usage(x509) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0)
    return TrustFailure{TrustError::key_usage, leaf.name() + ": its keyUsage does not allow signatures"};
  if (!extended_usage_allows_ike(x509, policy))
    return TrustFailure{TrustError::extended_key_usage, leaf.name() + ": its extendedKeyUsage does not allow IKE"};
  return std::nullopt;
}

}  // namespace culvert::crypto
