#include "authentication.h"

#include <sodium.h>

#include <algorithm>

#include "culvert/base/ip.h"
#include "culvert/base/log.h"
#include "culvert/crypto/private_key.h"
#include "culvert/crypto/public_key.h"
#include "culvert/crypto/trust.h"
#include "culvert/eap/client.h"

namespace culvert::ike {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

/// What a peer says may be long.
std::string short_text(const Identity& identity) {
  return log::sanitize(identity.to_string()).substr(0, 128);
}

const crypto::PrivateKey* signing_key(const OwnAuth& ours) {
  if (const auto* own = std::get_if<OwnCertificate>(&ours)) return own->key.get();
  if (const auto* own = std::get_if<OwnRawKey>(&ours)) return own->key.get();
  return nullptr;
}

}  // namespace

// ---- by a pre-shared key
// --------------------------------------------------------------------------------------------------------------

std::optional<AuthenticatedPeer> verify_psk(const PeerConfig* claimed, ByteView decoy_psk, crypto::Prf prf,
                                            ByteView first_message, ByteView nonce, ByteView sk_p, const IdPayload& id,
                                            const AuthPayload* auth) {
  const Secret* key = claimed ? claimed->auth.peer_psk() : nullptr;
  const bool has_key = key && !key->empty();
  const ByteView psk = has_key ? key->view() : decoy_psk;
  const Bytes expected = psk_auth(prf, psk, first_message, nonce, sk_p, id.body());
  if (!auth || auth->method != auth_method_shared_key || auth->data.size() != expected.size()) return std::nullopt;
  const bool holds = sodium_memcmp(auth->data.data(), expected.data(), expected.size()) == 0;
  const auto identity = identity_from(id);
  if (!holds || !has_key || !identity) return std::nullopt;
  return AuthenticatedPeer(*claimed, *identity, "pre-shared key");
}

std::optional<AuthenticatedPeer> verify_resumed(const PeerConfig* ticket_peer, crypto::Prf prf, ByteView message,
                                                ByteView sk_p, const IdPayload& id, const AuthPayload* auth) {
  const Bytes expected = resumed_auth(prf, sk_p, message);
  if (!auth || auth->method != auth_method_shared_key || auth->data.size() != expected.size()) return std::nullopt;
  const bool holds = sodium_memcmp(auth->data.data(), expected.data(), expected.size()) == 0;
  const auto identity = identity_from(id);
  if (!holds || !ticket_peer || !identity) return std::nullopt;
  return AuthenticatedPeer(*ticket_peer, *identity, "ticket of an earlier IKE SA");
}

std::optional<AuthenticatedPeer> verify_eap(const PeerConfig& claimed, const EapLogin& login, crypto::Prf prf,
                                            ByteView first_message, ByteView nonce, ByteView sk_p, const IdPayload& id,
                                            const AuthPayload* auth) {
  // RFC 7296 §2.16 lets methods without a key use SK_p instead; anybody in the middle of such a method could do that.
  if (login.msk.empty()) return std::nullopt;
  const Bytes expected = psk_auth(prf, login.msk.view(), first_message, nonce, sk_p, id.body());
  if (!auth || auth->method != auth_method_shared_key || auth->data.size() != expected.size()) return std::nullopt;
  if (sodium_memcmp(auth->data.data(), expected.data(), expected.size()) != 0) return std::nullopt;
  return AuthenticatedPeer(claimed, login.identity, login.how, login.until);
}

Identity identity_of_user(std::string_view name) {
  auto id = Identity::parse(name);
  const bool named = id && (id->type == IdType::fqdn || id->type == IdType::rfc822_addr);
  if (named && !id->has_wildcard()) return std::move(*id);
  return {IdType::key_id, Bytes(name.begin(), name.end())};
}

// ---- what the peer sends
// --------------------------------------------------------------------------------------------------------------

std::expected<ShownCertificates, std::string> read_certificates(const Message& message) {
  ShownCertificates shown;
  std::size_t num = 0, len = 0;
  for (const Payload& payload : message.payloads) {
    const auto* cert = std::get_if<CertPayload>(&payload);
    if (!cert) continue;
    ++num;
    len += cert->data.size();
    if (cert->encoding == cert_x509) {
      shown.x509.push_back(cert->data);
    } else if (cert->encoding == cert_raw_key && !shown.raw_key) {
      shown.raw_key = cert->data;
    } else {
      shown.ignored = cert->encoding;
    }
  }
  if (num > max_certificates)
    return std::unexpected(
        fmt::format("it sends {} certificates, more than the {} that are taken", num, max_certificates));
  if (len > max_certificates_len)
    return std::unexpected(
        fmt::format("it sends {} bytes of certificates, more than the {} that are taken", len, max_certificates_len));
  return shown;
}

// ---- verification (on other threads)
// --------------------------------------------------------------------------------------------------

namespace {

/// What a claim came to, before it is known whom it proves.
struct Held {
  std::string how;
  std::optional<crypto::WallTime> until;
  std::vector<crypto::Certificate> chain;
};
using Outcome = std::expected<Held, std::string>;

bool is_classic(std::uint8_t method) {
  return method == 1 || (method >= 9 && method <= 11);
}

/// The AUTH payload was made by the private part of `key`. The reason does not say whose key it is.
std::expected<std::string, std::string> check_signature(const crypto::PublicKey& key, const SignatureClaim& claim) {
  const std::uint8_t method = claim.auth.method;
  const auto used = method == 14 ? key.verify_digital_signature(claim.auth.data, claim.octets, claim.announced)
                    : is_classic(method)
                        ? key.verify_classic(static_cast<crypto::AuthMethod>(method), claim.auth.data, claim.octets)
                        : Result<crypto::SignatureScheme>(fail(
                              Errc::unsupported, fmt::format("authentication method {} is not spoken here", method)));
  if (used) return used->name();
  if (used.error().code == Errc::authentication)
    return std::unexpected(
        "the signature in its AUTH does not hold: it has another key than the one it shows, or "
        "IKE_SA_INIT was tampered with");
  return std::unexpected("its AUTH is not acceptable: " + used.error().detail);
}

/// RFC 7296 §4, RFC 4945 §3.1: the identity in the ID payload must stand in the certificate.
bool asserts(const crypto::Certificate& certificate, const Identity& identity) {
  switch (identity.type) {
    case IdType::fqdn:
      return certificate.asserts_fqdn(as_text(identity.data));
    case IdType::rfc822_addr:
      return certificate.asserts_email(as_text(identity.data));
    case IdType::ipv4_addr:
    case IdType::ipv6_addr: {
      const auto address = IpAddress::from_bytes(identity.data);
      return address && certificate.asserts_ip(*address);
    }
    case IdType::der_asn1_dn:
      return certificate.asserts_dn(identity.data);
    case IdType::key_id:
      return certificate.asserts_key_id(identity.data);
    case IdType::any:
      break;  // a pattern; nobody is that
  }
  return false;
}

/// What the peer sent, in the order of the wire; or, when it sent nothing, a certificate of the configuration that has
/// its identity.
std::expected<std::vector<crypto::Certificate>, std::string> shown_chain(const PeerCertificate& expected,
                                                                         const SignatureClaim& claim) {
  std::vector<crypto::Certificate> chain;
  for (const Bytes& der : claim.certificates) {
    auto certificate = crypto::Certificate::from_der(der);
    // What stands behind the first is help that we may not need.
    if (!certificate && chain.empty())
      return std::unexpected("its certificate is malformed: " + certificate.error().detail);
    if (certificate) chain.push_back(std::move(*certificate));
  }
  if (!chain.empty()) return chain;
  for (const auto& known : expected.known) {
    if (asserts(*known, claim.identity)) return std::vector{*known};
  }
  return std::unexpected(claim.raw_key ? "it shows a raw public key, where a certificate is expected"
                                       : "it sends no certificate, and the configuration has none of it");
}

std::string refused(const crypto::TrustFailure& failure, crypto::WallTime now) {
  using enum crypto::TrustError;
  const bool by_date = failure.reason == expired || failure.reason == not_yet_valid;
  return fmt::format("its certificate is refused ({}): {}{}", crypto::trust_error_name(failure.reason), failure.detail,
                     by_date ? "; our clock says " + crypto::wall_time_text(now) : "");
}

Outcome check(const PeerCertificate& expected, const SignatureClaim& claim, crypto::WallTime now) {
  const auto shown = shown_chain(expected, claim);
  if (!shown) return std::unexpected(shown.error());
  if (!expected.trust) return std::unexpected("no CA is configured");
  crypto::VerifyOptions options;
  options.now = now;
  // When responders are to be asked, all is checked again with what they say. Nobody is asked for a stranger.
  const bool later = !expected.revocation || expected.revocation->asks_ocsp();
  options.revocation = later ? crypto::RevocationPolicy::none : expected.revocation->policy();
  const auto known = later ? nullptr : expected.revocation->snapshot();
  const auto verified = expected.trust->verify(*shown, options, known.get());
  if (!verified) return std::unexpected(refused(verified.error(), now));
  const crypto::Certificate& leaf = verified->leaf();
  if (!asserts(leaf, claim.identity)) {
    return std::unexpected(
        fmt::format("its certificate ({}) does not say that it is {}: neither its subject nor its "
                    "alternative names do",
                    leaf.name(), short_text(claim.identity)));
  }
  auto scheme = check_signature(verified->public_key(), claim);
  if (!scheme) return std::unexpected(scheme.error());
  return Held{fmt::format("certificate {} of {}, {}", leaf.name(), leaf.issuer_text(), *scheme), verified->not_after(),
              verified->chain()};
}

Outcome check(const PeerRawKey& expected, const SignatureClaim& claim, crypto::WallTime) {
  if (claim.raw_key) {
    const auto shown = crypto::PublicKey::from_spki(*claim.raw_key);
    if (!shown) return std::unexpected("the raw public key that it shows is no good: " + shown.error().detail);
    const bool known = std::ranges::any_of(expected.keys, [&](const auto& key) { return *key == *shown; });
    if (!known)
      return std::unexpected(fmt::format("it shows the {} key {}, which is not the one that is configured",
                                         shown->description(), shown->fingerprint()));
  }
  std::string why = "no public key is configured";
  for (const auto& key : expected.keys) {
    auto scheme = check_signature(*key, claim);
    if (scheme) return Held{fmt::format("raw key {}, {}", key->fingerprint(), *scheme), std::nullopt, {}};
    why = scheme.error();
  }
  return std::unexpected(why);
}

Outcome check(const PeerEap&, const SignatureClaim&, crypto::WallTime) {
  return std::unexpected("it signs, where EAP is expected");
}

Outcome check(const PreSharedKey&, const SignatureClaim&, crypto::WallTime) {
  return std::unexpected("it signs, where a pre-shared key is expected");
}

}  // namespace

std::expected<VerifiedPeer, std::string> verify_signature(const SignatureClaim& claim, crypto::WallTime now) {
  Outcome outcome = std::visit([&](const auto& expected) { return check(expected, claim, now); }, claim.expected);
  if (!outcome) return std::unexpected(std::move(outcome.error()));
  if (!claim.config) return std::unexpected("no configured peer has this identity");
  return VerifiedPeer{AuthenticatedPeer(*claim.config, claim.identity, std::move(outcome->how), outcome->until),
                      std::move(outcome->chain)};
}

std::string recheck_revocation(const PeerCertificate& expected, const std::vector<crypto::Certificate>& chain,
                               const crypto::RevocationData* known, crypto::WallTime now) {
  crypto::VerifyOptions options;
  options.now = now;
  options.revocation = expected.revocation->policy();
  const auto verified = expected.trust->verify(chain, options, known);
  return verified ? std::string() : refused(verified.error(), now);
}

// ---- ours
// ------------------------------------------------------------------------------------------------------------------------

std::expected<AuthPayload, std::string> sign(const AuthConfig& config, std::optional<crypto::HashSet> announced,
                                             ByteView octets) {
  const crypto::PrivateKey* key = signing_key(config.ours);
  if (!key) return std::unexpected("no key to sign with is configured");
  const crypto::PublicKey& ours = key->public_key();
  const auto padding = config.rsa_pss ? crypto::RsaPadding::pss : crypto::RsaPadding::pkcs1;
  if (announced && config.digital_signatures) {
    // RFC 7427 §4: with a hash that the peer knows; §3: else by what all know, if there is one for this key.
    const auto scheme = crypto::choose_scheme(ours.type(), ours.bits(), *announced, padding);
    if (scheme) {
      auto data = key->sign_digital_signature(*scheme, octets);
      if (!data) return std::unexpected("our key does not sign: " + data.error().detail);
      return AuthPayload{static_cast<std::uint8_t>(crypto::AuthMethod::digital_signature), std::move(*data)};
    }
  }
  const auto method = crypto::classic_method(ours.type());
  if (!method) {
    return std::unexpected(fmt::format("the peer {}, without which our {} key cannot sign",
                                       announced ? "does not know the hash" : "does not know RFC 7427",
                                       ours.description()));
  }
  auto data = key->sign_classic(octets);
  if (!data) return std::unexpected("our key does not sign: " + data.error().detail);
  return AuthPayload{static_cast<std::uint8_t>(*method), std::move(*data)};
}

bool announces_hashes(const AuthConfig& config) {
  if (!config.digital_signatures) return false;
  return !std::holds_alternative<PreSharedKey>(config.ours) || !std::holds_alternative<PreSharedKey>(config.theirs);
}

NotifyPayload hashes_payload() {
  return make_notify(NotifyType::signature_hash_algorithms, crypto::HashSet::ours().notify_data());
}

std::optional<crypto::HashSet> announced_hashes(const Message& message) {
  const NotifyPayload* notify = message.find_notify(NotifyType::signature_hash_algorithms);
  if (!notify) return std::nullopt;
  return crypto::HashSet::from_notify(notify->data);
}

std::vector<Payload> cert_payloads(const OwnAuth& ours) {
  std::vector<Payload> payloads;
  if (const auto* own = std::get_if<OwnCertificate>(&ours)) {
    for (const auto& certificate : own->chain) payloads.emplace_back(CertPayload{cert_x509, certificate->der()});
  } else if (const auto* raw = std::get_if<OwnRawKey>(&ours)) {
    payloads.emplace_back(CertPayload{cert_raw_key, raw->key->public_key().spki()});
  }
  return payloads;
}

std::vector<Payload> certreq_payloads(const std::vector<const PeerAuth*>& expected) {
  constexpr std::size_t hash_len = 20;
  constexpr std::size_t max_authorities =
      20;  // in clear text and unasked for: an answer shall not be much longer than its request
  Bytes authorities;
  bool x509 = false, raw = false;
  for (const PeerAuth* auth : expected) {
    raw = raw || std::holds_alternative<PeerRawKey>(*auth);
    const auto* certificate = std::get_if<PeerCertificate>(auth);
    if (!certificate || !certificate->trust) continue;
    x509 = true;
    const Bytes more = certificate->trust->certification_authorities();
    for (std::size_t at = 0; at + hash_len <= more.size(); at += hash_len) {
      const ByteView hash = ByteView(more).subspan(at, hash_len);
      bool known = authorities.size() >= max_authorities * hash_len;
      for (std::size_t i = 0; i < authorities.size() && !known; i += hash_len)
        known = std::ranges::equal(ByteView(authorities).subspan(i, hash_len), hash);
      if (!known) append(authorities, hash);
    }
  }
  std::vector<Payload> payloads;
  if (x509) payloads.emplace_back(CertReqPayload{cert_x509, std::move(authorities)});
  if (raw) payloads.emplace_back(CertReqPayload{cert_raw_key, {}});  // RFC 7670 §3: it names no CA
  return payloads;
}

// ---- words and identities
// --------------------------------------------------------------------------------------------------------------

std::string eap_text(eap::Type method) {
  switch (method) {
    case eap::Type::tls:
      return "EAP-TLS";
    case eap::Type::mschapv2:
      return "EAP-MSCHAPv2";
    default:
      return "EAP";
  }
}

std::string own_auth_text(const OwnAuth& ours) {
  return std::visit(Overloaded{[](const PreSharedKey&) { return std::string("pre-shared key"); },
                               [](const OwnCertificate& own) {
                                 return fmt::format("certificate {} ({})",
                                                    own.chain.empty() ? "?" : own.chain.front()->name(),
                                                    own.key->public_key().description());
                               },
                               [](const OwnRawKey& own) {
                                 return fmt::format("raw key {} ({})", own.key->public_key().fingerprint(),
                                                    own.key->public_key().description());
                               },
                               [](const OwnEap& own) {
                                 return fmt::format("{} as {}", eap_text(own.client->method), own.client->user);
                               }},
                    ours);
}

std::string_view expected_auth_text(const PeerAuth& theirs) {
  return std::visit(Overloaded{[](const PreSharedKey&) { return "a pre-shared key"; },
                               [](const PeerCertificate&) { return "a certificate"; },
                               [](const PeerRawKey&) { return "a raw public key"; },
                               [](const PeerEap&) { return "EAP"; }},
                    theirs);
}

std::string auth_method_text(std::uint8_t method) {
  if (method == auth_method_shared_key) return "a pre-shared key";
  if (method == 14 || is_classic(method)) return "a signature";
  return fmt::format("authentication method {}", method);
}

IdPayload id_payload(const Identity& identity, bool initiator) {
  IdPayload payload;
  payload.initiator = initiator;
  payload.type = static_cast<std::uint8_t>(identity.type);
  payload.data = identity.data;
  return payload;
}

std::optional<Identity> identity_from(const IdPayload& payload) {
  switch (static_cast<IdType>(payload.type)) {
    case IdType::ipv4_addr:
    case IdType::fqdn:
    case IdType::rfc822_addr:
    case IdType::ipv6_addr:
    case IdType::der_asn1_dn:
    case IdType::key_id:
      return Identity{static_cast<IdType>(payload.type), payload.data};
    case IdType::any:
      break;
  }
  return std::nullopt;
}

std::string identity_text(const IdPayload& payload) {
  const std::optional<Identity> identity = identity_from(payload);
  if (!identity) return fmt::format("an identity of unknown type {}", payload.type);
  return short_text(*identity);
}

bool may_be(const PeerConfig& config, const Identity& id) {
  if (config.remote_id.matches(id)) return true;
  // Of a user of EAP it says nothing but which of our peers is meant: the EAP identity is what is proved.
  if (config.auth.peer_eap()) return config.remote_id.data.empty() || config.remote_id.covers(id);
  return std::holds_alternative<PeerCertificate>(config.auth.theirs) && config.remote_id.covers(id);
}

}  // namespace culvert::ike
