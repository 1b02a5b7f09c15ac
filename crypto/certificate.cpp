#include "culvert/crypto/certificate.h"

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base64.h"
#include "culvert/base/text.h"
#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/prf.h"
#include "openssl_handle.h"
#include "openssl_x509.h"

namespace culvert::crypto {

struct Certificate::Parsed {
  std::shared_ptr<X509> x509;
  Bytes der;
  Bytes subject;
  Bytes issuer;
  Bytes serial;
  Bytes subject_key_id;
  Bytes spki_sha1;
  WallTime not_before{};
  WallTime not_after{};
  bool is_ca = false;
  std::vector<AlternativeName> alternative_names;
  Result<PublicKey> public_key = fail(Errc::internal, "no key");
};

namespace {

constexpr std::size_t max_shown_name = 256;
constexpr std::size_t max_urls = 8;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// RFC 5321 §2.4: the local part is the domain's own business, the domain has no case.
bool same_email(std::string_view a, std::string_view b) {
  const std::size_t at = a.rfind('@');
  return at != std::string_view::npos && a.size() == b.size() && a.substr(0, at) == b.substr(0, at) &&
         equal_ignoring_case(a.substr(at), b.substr(at));
}

std::optional<AlternativeName> alternative_name(const GENERAL_NAME* name) {
  using Type = AlternativeName::Type;
  int kind = 0;
  const auto* value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(name, &kind));
  if (kind == GEN_IPADD) {
    const auto address = IpAddress::from_bytes(string_bytes(value));
    if (!address) return std::nullopt;
    return AlternativeName{Type::ip, address->to_string()};
  }
  if (kind != GEN_DNS && kind != GEN_EMAIL && kind != GEN_URI) return std::nullopt;
  // A name with a NUL or another control character in it is meant to deceive: no identity looks like that.
  const std::string_view text = as_text(string_bytes(value));
  if (text.empty() || std::ranges::any_of(text, [](char c) { return c <= ' ' || c >= 0x7f; })) return std::nullopt;
  return AlternativeName{kind == GEN_DNS ? Type::dns : kind == GEN_EMAIL ? Type::email : Type::uri, std::string(text)};
}

Result<std::vector<AlternativeName>> alternative_names_of(const X509* x509) {
  using NamesHandle = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
  const NamesHandle names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  std::vector<AlternativeName> result;
  if (!names) return result;
  const int count = sk_GENERAL_NAME_num(names.get());
  if (std::cmp_greater(count, max_alternative_names))
    return fail(Errc::exhausted, "certificate with more than 256 alternative names");
  for (int i = 0; i < count; ++i) {
    if (auto name = alternative_name(sk_GENERAL_NAME_value(names.get(), i))) result.push_back(std::move(*name));
  }
  return result;
}

Result<PublicKey> public_key_of(X509* x509, const Bytes& spki) {
  const std::shared_ptr<EVP_PKEY> key(X509_get_pubkey(x509), EVP_PKEY_free);
  if (!key) return openssl_failure(Errc::unsupported, "public key");
  return PublicKey::from_library(key, spki);
}

bool is_http(std::string_view url) {
  return (url.starts_with("http://") || url.starts_with("https://")) &&
         std::ranges::none_of(url, [](char c) { return c <= ' ' || c >= 0x7f; });
}

void add_crl_urls(const DIST_POINT* point, std::vector<std::string>& urls) {
  if (!point->distpoint || point->distpoint->type != 0) return;
  const GENERAL_NAMES* names = point->distpoint->name.fullname;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && urls.size() < max_urls; ++i) {
    const auto name = alternative_name(sk_GENERAL_NAME_value(names, i));
    if (name && name->type == AlternativeName::Type::uri && is_http(name->text)) urls.push_back(name->text);
  }
}

struct PemBlock {
  std::string label;
  Bytes data;
};

/// The next block; nullopt at the end. Blocks of other kinds may hold private keys: they are wiped.
Result<std::optional<PemBlock>> next_pem_block(BIO* in) {
  char* label = nullptr;
  char* header = nullptr;
  std::uint8_t* data = nullptr;
  long len = 0;
  if (PEM_read_bio_ex(in, &label, &header, &data, &len, PEM_FLAG_SECURE) != 1) {
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!at_end) return openssl_failure(Errc::malformed, "PEM");
    ERR_clear_error();
    return std::nullopt;
  }
  PemBlock block{label, {}};
  if (block.label == PEM_STRING_X509 || block.label == PEM_STRING_X509_OLD) block.data.assign(data, data + len);
  OPENSSL_secure_free(label);
  OPENSSL_secure_free(header);
  OPENSSL_secure_clear_free(data, static_cast<std::size_t>(len));
  return block;
}

Result<std::vector<Certificate>> read_pem(std::string_view content) {
  using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
  const BioHandle in(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  if (!in) return fail(Errc::internal, "BIO_new_mem_buf");
  std::vector<Certificate> certificates;
  for (;;) {
    auto block = next_pem_block(in.get());
    const std::string which = "certificate " + std::to_string(certificates.size() + 1) + ": ";
    if (!block) return fail(block.error().code, which + block.error().detail);
    if (!*block) break;
    if ((*block)->data.empty()) continue;
    auto certificate = Certificate::from_der((*block)->data);
    if (!certificate) return fail(certificate.error().code, which + certificate.error().detail);
    if (certificates.size() == max_bundle_certificates)
      return fail(Errc::exhausted, "more than 1024 certificates in one file");
    certificates.push_back(std::move(*certificate));
  }
  if (certificates.empty()) return fail(Errc::malformed, "no PEM certificate in it");
  return certificates;
}

}  // namespace

std::string wall_time_text(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02u %02d:%02d:%02d UTC", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text.data();
}

Result<Certificate> Certificate::from_der(ByteView der) {
  if (der.size() > max_certificate_len) return fail(Errc::exhausted, "certificate of more than 32 KiB");
  const std::uint8_t* end = der.data();
  std::shared_ptr<X509> x509(d2i_X509(nullptr, &end, static_cast<long>(der.size())), X509_free);
  if (!x509) return openssl_failure(Errc::malformed, "not an X.509 certificate");
  if (end != der.data() + der.size()) return fail(Errc::malformed, "bytes behind the certificate");

  const long version = X509_get_version(x509.get());
  if (version < X509_VERSION_1 || version > X509_VERSION_3)
    return fail(Errc::malformed, "certificate of no known version");

  auto parsed = std::make_shared<Parsed>();
  const auto not_before = wall_time(X509_get0_notBefore(x509.get()));
  const auto not_after = wall_time(X509_get0_notAfter(x509.get()));
  if (!not_before || !not_after) return fail(Errc::malformed, "certificate with a validity that is no time");
  auto names = alternative_names_of(x509.get());
  if (!names) return std::unexpected(names.error());
  parsed->der.assign(der.begin(), der.end());
  parsed->subject = name_bytes(X509_get_subject_name(x509.get()));
  parsed->issuer = name_bytes(X509_get_issuer_name(x509.get()));
  const ByteView serial = string_bytes(X509_get0_serialNumber(x509.get()));
  parsed->serial.assign(serial.begin(), serial.end());
  parsed->not_before = *not_before;
  parsed->not_after = *not_after;
  // This also makes OpenSSL read the extensions now, and not in whichever thread verifies first.
  parsed->is_ca = X509_check_ca(x509.get()) == 1;
  if (const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(x509.get())) {
    const ByteView bytes = string_bytes(id);
    parsed->subject_key_id.assign(bytes.begin(), bytes.end());
  }
  parsed->alternative_names = std::move(*names);
  const Bytes spki = encode(X509_get_X509_PUBKEY(x509.get()), i2d_X509_PUBKEY);
  parsed->spki_sha1 = sha1({spki});
  parsed->public_key = public_key_of(x509.get(), spki);
  parsed->x509 = std::move(x509);
  ERR_clear_error();
  return Certificate(std::move(parsed));
}

Result<std::vector<Certificate>> Certificate::from_file_content(ByteView content) {
  if (content.size() > max_bundle_certificates * max_certificate_len)
    return fail(Errc::exhausted, "certificate file of more than 32 MiB");
  if (as_text(content).find("-----BEGIN") != std::string_view::npos) return read_pem(as_text(content));
  auto certificate = from_der(content);
  if (!certificate) return std::unexpected(certificate.error());
  return std::vector{std::move(*certificate)};
}

const Bytes& Certificate::der() const noexcept {
  return parsed_->der;
}

std::string Certificate::pem() const {
  return pem_text(PEM_STRING_X509, parsed_->der);
}

const Bytes& Certificate::subject() const noexcept {
  return parsed_->subject;
}

const Bytes& Certificate::issuer() const noexcept {
  return parsed_->issuer;
}

std::string Certificate::subject_text() const {
  return distinguished_name_text(subject());
}

std::string Certificate::issuer_text() const {
  return distinguished_name_text(issuer());
}

std::string Certificate::name() const {
  std::string text = subject_text();
  if (text.empty() && !alternative_names().empty()) text = printable(alternative_names().front().text);
  if (text.empty()) text = "serial " + serial_text();
  if (text.size() > max_shown_name) text.replace(max_shown_name - 3, std::string::npos, "...");
  return text;
}

const Bytes& Certificate::serial() const noexcept {
  return parsed_->serial;
}

std::string Certificate::serial_text() const {
  return colon_hex(ByteView(serial()).first(std::min<std::size_t>(serial().size(), 32)));
}

WallTime Certificate::not_before() const noexcept {
  return parsed_->not_before;
}

WallTime Certificate::not_after() const noexcept {
  return parsed_->not_after;
}

bool Certificate::is_ca() const noexcept {
  return parsed_->is_ca;
}

bool Certificate::is_self_issued() const noexcept {
  return X509_NAME_cmp(X509_get_subject_name(parsed_->x509.get()), X509_get_issuer_name(parsed_->x509.get())) == 0;
}

const std::vector<AlternativeName>& Certificate::alternative_names() const noexcept {
  return parsed_->alternative_names;
}

const Bytes& Certificate::subject_key_id() const noexcept {
  return parsed_->subject_key_id;
}

std::vector<std::string> Certificate::crl_urls() const {
  using PointsHandle = std::unique_ptr<CRL_DIST_POINTS, FreeWith<CRL_DIST_POINTS_free>>;
  const PointsHandle points(static_cast<CRL_DIST_POINTS*>(
      X509_get_ext_d2i(parsed_->x509.get(), NID_crl_distribution_points, nullptr, nullptr)));
  ERR_clear_error();
  std::vector<std::string> urls;
  const int count = points ? sk_DIST_POINT_num(points.get()) : 0;
  for (int i = 0; i < count; ++i) add_crl_urls(sk_DIST_POINT_value(points.get(), i), urls);
  return urls;
}

std::vector<std::string> Certificate::ocsp_urls() const {
  using UrlsHandle = std::unique_ptr<STACK_OF(OPENSSL_STRING), FreeWith<X509_email_free>>;
  const UrlsHandle found(X509_get1_ocsp(parsed_->x509.get()));
  ERR_clear_error();
  std::vector<std::string> urls;
  const int count = found ? sk_OPENSSL_STRING_num(found.get()) : 0;
  for (int i = 0; i < count && urls.size() < max_urls; ++i) {
    const char* url = sk_OPENSSL_STRING_value(found.get(), i);
    if (is_http(url)) urls.emplace_back(url);
  }
  return urls;
}

std::string Certificate::fingerprint() const {
  return colon_hex(sha256({der()}));
}

const Bytes& Certificate::spki_sha1() const noexcept {
  return parsed_->spki_sha1;
}

const Result<PublicKey>& Certificate::public_key() const noexcept {
  return parsed_->public_key;
}

bool Certificate::asserts_fqdn(std::string_view name) const {
  return std::ranges::any_of(alternative_names(), [&](const AlternativeName& mine) {
    return mine.type == AlternativeName::Type::dns && mine.text.find('*') == std::string::npos &&
           equal_ignoring_case(mine.text, name);
  });
}

bool Certificate::asserts_email(std::string_view email) const {
  return std::ranges::any_of(alternative_names(), [&](const AlternativeName& mine) {
    return mine.type == AlternativeName::Type::email && mine.text.find('*') == std::string::npos &&
           same_email(mine.text, email);
  });
}

bool Certificate::asserts_ip(const IpAddress& address) const {
  return std::ranges::any_of(alternative_names(), [&](const AlternativeName& mine) {
    return mine.type == AlternativeName::Type::ip && mine.text == address.to_string();
  });
}

bool Certificate::asserts_dn(ByteView der_name) const {
  return std::ranges::equal(der_name, subject()) || same_distinguished_name(der_name, subject());
}

bool Certificate::matches_dn(ByteView der_pattern) const {
  return matches_distinguished_name(der_pattern, subject());
}

bool Certificate::asserts_key_id(ByteView key_id) const {
  if (key_id.empty()) return false;
  if (std::ranges::equal(key_id, subject_key_id()) || std::ranges::equal(key_id, spki_sha1())) return true;
  return public_key() && std::ranges::equal(key_id, public_key()->key_bits_sha1());
}

x509_st* Certificate::library_certificate() const noexcept {
  return parsed_->x509.get();
}

}  // namespace culvert::crypto
