// What peers, responders and web servers send about certificates: parsed, looked at, verified. The input is pieces of
// kind (1 byte), length (2 bytes) and content; a certificate may be signed again by our CA, so that mutations get past
// its signature.
#include <openssl/x509.h>

#include <cstdlib>
#include <memory>

#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/crypto/trust.h"
#include "openssl_x509.h"

using namespace culvert;
using namespace culvert::crypto;

namespace {

constexpr WallTime now{std::chrono::sys_days(std::chrono::year(2026) / 6 / 1)};

void require(bool holds) {
  if (!holds) std::abort();
}

struct Setting {
  PrivateKey key = PrivateKey::generate({KeyType::ed25519, 0}).value();
  Certificate ca = make_ca(key);
  TrustStore store = TrustStore::create({ca}).value();

  static Certificate make_ca(const PrivateKey& key) {
    CaRequest request;
    request.subject = encode_distinguished_name("O=Example,CN=Root").value();
    request.validity = {now - std::chrono::days(3650), now + std::chrono::days(3650)};
    request.excluded.dns = {"bad.example"};
    return issue_self_signed_ca(key, request).value();
  }
};

const Setting& setting() {
  static const Setting made;
  return made;
}

/// The certificate as our CA would have issued it; nullopt when OpenSSL does not read it.
std::optional<Certificate> sign_again(ByteView der) {
  const std::uint8_t* end = der.data();
  const X509Handle x509(d2i_X509(nullptr, &end, static_cast<long>(der.size())));
  if (!x509 || X509_set_issuer_name(x509.get(), X509_get_subject_name(setting().ca.library_certificate())) != 1 ||
      X509_sign(x509.get(), setting().key.library_key(), nullptr) <= 0) {
    ERR_clear_error();
    return std::nullopt;
  }
  auto certificate = Certificate::from_der(encode(x509.get(), i2d_X509));
  if (!certificate) return std::nullopt;
  return std::move(*certificate);
}

void look_at(const Certificate& certificate) {
  require(certificate.name().size() <= 256);
  require(certificate.alternative_names().size() <= max_alternative_names);
  require(certificate.crl_urls().size() <= 8 && certificate.ocsp_urls().size() <= 8);
  (void)certificate.issuer_text();
  (void)certificate.serial_text();
  (void)wall_time_text(certificate.not_after());
  (void)certificate.asserts_fqdn("gw.example.net");
  (void)certificate.asserts_email("a@example.net");
  (void)certificate.asserts_ip(IpAddress::v4(0xc0000201));
  (void)certificate.matches_dn(certificate.issuer());
  (void)certificate.asserts_key_id(certificate.spki_sha1());
  (void)ocsp_request(certificate, setting().ca);
  for (const AlternativeName& name : certificate.alternative_names()) {
    if (name.type == AlternativeName::Type::dns)
      require(certificate.asserts_fqdn(name.text) == (name.text.find('*') == std::string::npos));
  }
}

void look_at_key(ByteView content) {
  Reader reader(content);
  const auto key_len = reader.u16();
  const auto spki = key_len ? reader.take(*key_len) : std::nullopt;
  if (!spki) return;
  const auto key = PublicKey::from_spki(*spki);
  if (!key) return;
  require(PublicKey::from_spki(key->spki()).value() == *key);
  require(!key->verify_digital_signature(reader.rest(), as_bytes("never signed"), HashSet::ours()));
  require(!key->verify_classic(AuthMethod::rsa_signature, reader.rest(), as_bytes("never signed")));
  require(!key->verify_classic(AuthMethod::ecdsa_p256, reader.rest(), as_bytes("never signed")));
}

void verify(const std::vector<Certificate>& sent, const RevocationData& revocation, bool any_signed) {
  for (const RevocationPolicy policy : {RevocationPolicy::none, RevocationPolicy::relaxed, RevocationPolicy::strict}) {
    VerifyOptions options;
    options.now = now;
    options.revocation = policy;
    const auto verified = setting().store.verify(sent, options, &revocation);
    require(any_signed || !verified);
    if (verified) require(verified->leaf() == sent.front() && verified->public_key().bits() >= 256);
    if (!verified) require(!verified.error().detail.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader reader(ByteView(data, size));
  std::vector<Certificate> sent;
  RevocationData revocation;
  bool any_signed = false;
  while (sent.size() < 8) {
    const auto kind = reader.u8();
    const auto len = reader.u16();
    if (!kind || !len) break;
    const ByteView content = *reader.take(std::min<std::size_t>(*len, reader.remaining()));
    if (*kind % 5 == 0) {
      if (auto certificate = Certificate::from_der(content)) sent.push_back(std::move(*certificate));
    } else if (*kind % 5 == 1) {
      auto certificate = sign_again(content);
      any_signed |= certificate.has_value();
      if (certificate) sent.push_back(std::move(*certificate));
    } else if (*kind % 5 == 2) {
      if (auto crl = Crl::from_file_content(content)) revocation.crls.push_back(std::move(*crl));
    } else if (*kind % 5 == 3) {
      if (auto answer = OcspResponse::from_der(content)) revocation.ocsp.push_back(std::move(*answer));
    } else {
      look_at_key(content);
    }
  }
  for (const Certificate& certificate : sent) look_at(certificate);
  for (const Crl& crl : revocation.crls) (void)crl.issuer_text();
  if (!sent.empty()) verify(sent, revocation, any_signed);
  return 0;
}
