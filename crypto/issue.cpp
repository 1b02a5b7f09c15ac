#include "culvert/crypto/issue.h"

#include <openssl/x509v3.h>

#include <algorithm>

#include "culvert/crypto/random.h"
#include "openssl_handle.h"
#include "openssl_x509.h"
#include "signing_digest.h"

namespace culvert::crypto {
namespace {

constexpr std::size_t serial_len = 16;
constexpr std::size_t max_name_len = 253;
constexpr std::size_t max_names = 64;

using IntegerHandle = std::unique_ptr<ASN1_INTEGER, FreeWith<ASN1_INTEGER_free>>;
using TimeHandle = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;
using GeneralNameHandle = std::unique_ptr<GENERAL_NAME, FreeWith<GENERAL_NAME_free>>;
using GeneralNamesHandle = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
using SubtreeHandle = std::unique_ptr<GENERAL_SUBTREE, FreeWith<GENERAL_SUBTREE_free>>;
using ConstraintsHandle = std::unique_ptr<NAME_CONSTRAINTS, FreeWith<NAME_CONSTRAINTS_free>>;
using ExtensionHandle = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;

std::unexpected<Error> invalid(std::string why) {
  return fail(Errc::invalid, std::move(why));
}

TimeHandle asn1_time(WallTime time) {
  return TimeHandle(ASN1_TIME_set(nullptr, static_cast<time_t>(time.time_since_epoch().count())));
}

/// Big-endian content of a positive INTEGER.
IntegerHandle asn1_integer(ByteView bytes) {
  const BignumHandle number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  return IntegerHandle(number ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr);
}

/// RFC 5280 §4.1.2.2: positive, unique. The first bit is 0 and the second 1, so that all are of one length.
IntegerHandle random_serial() {
  Bytes bytes(serial_len);
  system_random().fill(bytes);
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x3fU) | 0x40U);
  return asn1_integer(bytes);
}

bool add_extension(X509* certificate, int nid, void* value, bool critical) {
  return X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

/// An extension out of OpenSSL's configuration language: constants of ours only, never what a user typed.
bool add_constant(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

GeneralNameHandle text_name(int kind, std::string_view text) {
  GeneralNameHandle name(GENERAL_NAME_new());
  std::unique_ptr<ASN1_IA5STRING, FreeWith<ASN1_IA5STRING_free>> value(ASN1_IA5STRING_new());
  if (!name || !value || ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size())) != 1) return {};
  GENERAL_NAME_set0_value(name.get(), kind, value.release());
  return name;
}

GeneralNameHandle octet_name(ByteView octets) {
  GeneralNameHandle name(GENERAL_NAME_new());
  std::unique_ptr<ASN1_OCTET_STRING, FreeWith<ASN1_OCTET_STRING_free>> value(ASN1_OCTET_STRING_new());
  if (!name || !value || ASN1_OCTET_STRING_set(value.get(), octets.data(), static_cast<int>(octets.size())) != 1)
    return {};
  GENERAL_NAME_set0_value(name.get(), GEN_IPADD, value.release());
  return name;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= max_name_len &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

Result<GeneralNameHandle> general_name(const AlternativeName& name) {
  using Type = AlternativeName::Type;
  if (name.type == Type::ip) {
    const auto address = IpAddress::parse(name.text);
    if (!address) return invalid("alternative name: not an IP address");
    return octet_name(address->bytes());
  }
  if (!is_name(name.text)) return invalid("alternative name: empty, too long, or with blanks or non-ASCII characters");
  const bool has_at = name.text.find('@') != std::string::npos;
  if (name.type == Type::email && !has_at) return invalid("alternative name: an e-mail address has an '@'");
  if (name.type == Type::dns && (has_at || name.text.find_first_of("*/:") != std::string::npos))
    return invalid("alternative name: not a domain name");
  const int kind = name.type == Type::dns ? GEN_DNS : name.type == Type::email ? GEN_EMAIL : GEN_URI;
  return text_name(kind, name.text);
}

Result<void> add_alternative_names(X509* certificate, const LeafRequest& request, bool subject_is_empty) {
  if (request.names.empty()) return {};
  if (request.names.size() > max_names) return invalid("more than 64 alternative names");
  const GeneralNamesHandle names(GENERAL_NAMES_new());
  for (const AlternativeName& wanted : request.names) {
    auto name = general_name(wanted);
    if (!name) return std::unexpected(name.error());
    if (!names || !*name || sk_GENERAL_NAME_push(names.get(), name->get()) <= 0)
      return fail(Errc::internal, "GENERAL_NAME");
    name->release();  // the stack owns it now
  }
  // RFC 5280 §4.2.1.6: critical when there is no subject.
  if (!add_extension(certificate, NID_subject_alt_name, names.get(), subject_is_empty))
    return openssl_failure(Errc::internal, "subjectAltName");
  return {};
}

bool push_subtree(STACK_OF(GENERAL_SUBTREE) * *list, GeneralNameHandle base) {
  SubtreeHandle subtree(GENERAL_SUBTREE_new());
  if (!*list) *list = sk_GENERAL_SUBTREE_new_null();
  if (!subtree || !base || !*list) return false;
  GENERAL_NAME_free(subtree->base);
  subtree->base = base.release();
  if (sk_GENERAL_SUBTREE_push(*list, subtree.get()) <= 0) return false;
  subtree.release();  // the list owns it now
  return true;
}

/// RFC 5280 §4.2.1.10: an address and its mask.
Bytes address_and_mask(const IpPrefix& prefix) {
  const IpAddress network = prefix.network();
  Bytes bytes(network.bytes().begin(), network.bytes().end());
  for (std::size_t i = 0; i < network.size(); ++i) {
    const int bits = std::clamp(static_cast<int>(prefix.length) - static_cast<int>(8 * i), 0, 8);
    bytes.push_back(static_cast<std::uint8_t>(0xff00U >> bits));
  }
  return bytes;
}

Result<void> add_subtrees(STACK_OF(GENERAL_SUBTREE) * *list, const NameSubtrees& subtrees) {
  if (subtrees.dns.size() + subtrees.email.size() + subtrees.ip.size() > max_names)
    return invalid("more than 64 name constraints");
  bool ok = true;
  for (const std::string& name : subtrees.dns) {
    if (!is_name(name)) return invalid("name constraint: not a domain name");
    ok = ok && push_subtree(list, text_name(GEN_DNS, name));
  }
  for (const std::string& name : subtrees.email) {
    if (!is_name(name)) return invalid("name constraint: not an e-mail address or domain");
    ok = ok && push_subtree(list, text_name(GEN_EMAIL, name));
  }
  for (const IpPrefix& prefix : subtrees.ip) ok = ok && push_subtree(list, octet_name(address_and_mask(prefix)));
  if (!ok) return openssl_failure(Errc::internal, "name constraints");
  return {};
}

Result<void> add_name_constraints(X509* certificate, const CaRequest& request) {
  if (request.permitted.empty() && request.excluded.empty()) return {};
  const ConstraintsHandle constraints(NAME_CONSTRAINTS_new());
  if (!constraints) return fail(Errc::internal, "NAME_CONSTRAINTS_new");
  if (auto added = add_subtrees(&constraints->permittedSubtrees, request.permitted); !added) return added;
  if (auto added = add_subtrees(&constraints->excludedSubtrees, request.excluded); !added) return added;
  // RFC 5280 §4.2.1.10: MUST be critical.
  if (!add_extension(certificate, NID_name_constraints, constraints.get(), true))
    return openssl_failure(Errc::internal, "nameConstraints");
  return {};
}

Result<NameHandle> subject_name(const Bytes& der) {
  const std::uint8_t* end = der.data();
  NameHandle name(d2i_X509_NAME(nullptr, &end, static_cast<long>(der.size())));
  if (!name || end != der.data() + der.size()) return invalid("the subject is no distinguished name");
  return name;
}

/// A certificate with all but its extensions and its signature. `issuer`: nullptr for self-signed.
Result<X509Handle> start(const Bytes& subject, const Validity& validity, const PublicKey& key,
                         const Certificate* issuer) {
  if (validity.not_after <= validity.not_before) return invalid("the validity ends before it starts");
  const auto name = subject_name(subject);
  if (!name) return std::unexpected(name.error());
  X509Handle certificate(X509_new());
  const IntegerHandle serial = random_serial();
  const TimeHandle not_before = asn1_time(validity.not_before);
  const TimeHandle not_after = asn1_time(validity.not_after);
  if (!not_before || !not_after) return invalid("a validity that certificates cannot express");
  const X509_NAME* issuer_name = issuer ? X509_get_subject_name(issuer->library_certificate()) : name->get();
  if (!certificate || !serial || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_set_serialNumber(certificate.get(), serial.get()) != 1 ||
      X509_set_subject_name(certificate.get(), name->get()) != 1 ||
      X509_set_issuer_name(certificate.get(), issuer_name) != 1 ||
      X509_set1_notBefore(certificate.get(), not_before.get()) != 1 ||
      X509_set1_notAfter(certificate.get(), not_after.get()) != 1 ||
      X509_set_pubkey(certificate.get(), key.library_key()) != 1) {
    return openssl_failure(Errc::internal, "certificate");
  }
  return certificate;
}

Result<Certificate> finish(X509Handle certificate, const PrivateKey& key) {
  if (X509_sign(certificate.get(), key.library_key(), signing_digest(key.public_key())) <= 0)
    return openssl_failure(Errc::internal, "sign a certificate");
  return Certificate::from_der(encode(certificate.get(), i2d_X509));
}

Result<void> check_issuer(const PrivateKey& ca_key, const Certificate& ca, const Validity& validity) {
  if (!ca.is_ca()) return invalid(ca.name() + ": not a CA certificate");
  if (!ca.public_key() || !(*ca.public_key() == ca_key.public_key()))
    return invalid(ca.name() + ": the private key is another's");
  if (validity.not_after > ca.not_after())
    return invalid("valid until " + wall_time_text(validity.not_after) + ", longer than its CA (" +
                   wall_time_text(ca.not_after()) + ")");
  return {};
}

Result<Certificate> issue_ca(const PrivateKey& signing_key, const Certificate* issuer, const PublicKey& key,
                             const CaRequest& request) {
  auto certificate = start(request.subject, request.validity, key, issuer);
  if (!certificate) return std::unexpected(certificate.error());
  X509* x509 = certificate->get();
  if (X509_NAME_entry_count(X509_get_subject_name(x509)) == 0) return invalid("a CA needs a subject");
  X509* issuer_x509 = issuer ? issuer->library_certificate() : x509;
  // RFC 5280 §4.2.1.9, §4.2.1.3: critical.
  std::string basic = "critical,CA:TRUE";
  if (request.path_length) basic += ",pathlen:" + std::to_string(std::min(*request.path_length, 100U));
  if (!add_constant(x509, issuer_x509, NID_basic_constraints, basic.c_str()) ||
      !add_constant(x509, issuer_x509, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_constant(x509, issuer_x509, NID_subject_key_identifier, "hash") ||
      (issuer && !add_constant(x509, issuer_x509, NID_authority_key_identifier, "keyid:always"))) {
    return openssl_failure(Errc::internal, "extensions of a CA certificate");
  }
  if (auto added = add_name_constraints(x509, request); !added) return std::unexpected(added.error());
  return finish(std::move(*certificate), signing_key);
}

}  // namespace

Result<Certificate> issue_self_signed_ca(const PrivateKey& key, const CaRequest& request) {
  return issue_ca(key, nullptr, key.public_key(), request);
}

Result<Certificate> issue_intermediate_ca(const PrivateKey& ca_key, const Certificate& ca, const PublicKey& key,
                                          const CaRequest& request) {
  if (auto fits = check_issuer(ca_key, ca, request.validity); !fits) return std::unexpected(fits.error());
  return issue_ca(ca_key, &ca, key, request);
}

Result<Certificate> issue_leaf(const PrivateKey& ca_key, const Certificate& ca, const PublicKey& key,
                               const LeafRequest& request) {
  if (auto fits = check_issuer(ca_key, ca, request.validity); !fits) return std::unexpected(fits.error());
  auto certificate = start(request.subject, request.validity, key, &ca);
  if (!certificate) return std::unexpected(certificate.error());
  X509* x509 = certificate->get();
  const bool subject_is_empty = X509_NAME_entry_count(X509_get_subject_name(x509)) == 0;
  if (subject_is_empty && request.names.empty()) return invalid("neither a subject nor an alternative name");
  std::string usages = "1.3.6.1.5.5.7.3.17";  // id-kp-ipsecIKE, RFC 4945 §5.1.3.12
  if (request.server) usages += ",serverAuth";
  if (request.client) usages += ",clientAuth";
  X509* issuer_x509 = ca.library_certificate();
  if (!add_constant(x509, issuer_x509, NID_basic_constraints, "critical,CA:FALSE") ||
      !add_constant(x509, issuer_x509, NID_key_usage, "critical,digitalSignature") ||
      !add_constant(x509, issuer_x509, NID_ext_key_usage, usages.c_str()) ||
      !add_constant(x509, issuer_x509, NID_subject_key_identifier, "hash") ||
      !add_constant(x509, issuer_x509, NID_authority_key_identifier, "keyid:always")) {
    return openssl_failure(Errc::internal, "extensions of a certificate");
  }
  if (auto added = add_alternative_names(x509, request, subject_is_empty); !added)
    return std::unexpected(added.error());
  return finish(std::move(*certificate), ca_key);
}

}  // namespace culvert::crypto
