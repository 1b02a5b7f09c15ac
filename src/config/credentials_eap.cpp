// `auth` and `peer_auth` with `eap`.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "credentials.h"
#include "culvert/crypto/trust.h"
#include "culvert/eap/client.h"
#include "culvert/eap/mschapv2.h"
#include "culvert/eap/server.h"

namespace culvert::config {
namespace {

/// The names of one certificate, as who EAP-TLS logs in.
std::string user_of(const crypto::Certificate& certificate) {
  using Type = crypto::AlternativeName::Type;
  for (const Type type : {Type::email, Type::dns}) {
    const auto name = std::ranges::find(certificate.alternative_names(), type, &crypto::AlternativeName::type);
    if (name != certificate.alternative_names().end()) return name->text;
  }
  return certificate.subject_text();
}

}  // namespace

/// What belongs to `eap`, and to each of its methods alone.
void Credentials::check_eap_fields(const RawAuth& raw, const std::string& key) {
  const auto wrong = [&](const auto& field, std::string_view name, std::string_view why) {
    if (field.present) findings_.error(field.at, dotted(key, name), std::string(why));
  };
  if (!raw.eap.present) {
    constexpr std::string_view alone = "stands without eap = \"…\"";
    wrong(raw.user, "user", alone);
    wrong(raw.password_file, "password_file", alone);
    wrong(raw.ca, "ca", "what the peer's certificate is checked by stands in peer_auth = { ca = \"FILE\" }");
    wrong(raw.eap_only, "eap_only", alone);
    return;
  }
  wrong(raw.psk_file, "psk_file", "stands beside eap: we prove who we are in one way");
  if (raw.eap.value == eap::Type::mschapv2) {
    constexpr std::string_view of_tls = "belongs to eap = \"tls\"";
    wrong(raw.certificate, "certificate", of_tls);
    wrong(raw.key, "key", of_tls);
    wrong(raw.ca, "ca", of_tls);
    wrong(raw.eap_only, "eap_only",
          "a password that the gateway has not proved to deserve could be guessed: eap = \"tls\" alone");
    if (!raw.user.present) findings_.error(raw.at, dotted(key, "user"), "is required, and missing: who logs in");
    if (!raw.password_file.present)
      findings_.error(raw.at, dotted(key, "password_file"), "is required, and missing: the password of the user");
  } else if (raw.eap.value == eap::Type::tls) {
    wrong(raw.password_file, "password_file", "belongs to eap = \"mschapv2\"");
    if (!raw.certificate.present || !raw.key.present)
      findings_.error(raw.at, key, "eap = \"tls\" needs certificate = \"FILE\" and key = \"FILE\"");
  }
  if (raw.user.value && !eap::is_usable_identity(as_bytes(*raw.user.value)))
    findings_.error(raw.user.at, dotted(key, "user"), "expected 1 … 253 bytes without control characters");
}

std::optional<OwnCredential> Credentials::own_eap(const RawAuth& raw, const std::string& key) {
  if (raw.eap.value == eap::Type::tls) {
    // Completed by finish_eap, when it is known whom the gateway must be.
    auto credential = own_certificate(raw, key);
    if (!credential) return std::nullopt;
    const auto& own = std::get<ike::OwnCertificate>(credential->auth);
    auto client = std::make_shared<eap::ClientConfig>();
    client->method = eap::Type::tls;
    client->user = raw.user.value.value_or(user_of(*own.chain.front()));
    credential->certificate = own;
    credential->auth = ike::OwnEap{std::move(client)};
    return credential;
  }
  const std::string password_key = dotted(key, "password_file");
  const auto file = find(*raw.password_file.value, raw.password_file.at, password_key);
  if (!file) return std::nullopt;
  const auto password = read_passphrase(*file);
  auto hash = password ? eap::nt_password_hash(password->view()) : std::unexpected(password.error());
  if (!hash) {
    findings_.error(raw.password_file.at, password_key, hash.error().detail);
    return std::nullopt;
  }
  auto client = std::make_shared<eap::ClientConfig>();
  client->method = eap::Type::mschapv2;
  client->user = *raw.user.value;
  client->nt_hash = std::make_shared<const Secret>(std::move(*hash));
  OwnCredential credential;
  credential.auth = ike::OwnEap{std::move(client)};
  return credential;
}

/// EAP-TLS, when the gateway is known: its server must be the gateway itself, or have a certificate of `ca`.
bool Credentials::finish_eap(const RawAuth& raw, const std::string& key, const ike::Identity& gateway,
                             const ike::PeerAuth& theirs, OwnCredential& own) {
  if (!own.certificate) return true;
  eap::TlsOptions options;
  options.key = own.certificate->key;
  options.chain = own.certificate->chain;
  if (raw.ca.present) {
    auto anchors = certificates(raw.ca, dotted(key, "ca"));
    auto trust = anchors ? crypto::TrustStore::create(std::move(*anchors)) : fail(Errc::invalid, "");
    if (!trust && !trust.error().detail.empty()) findings_.error(raw.ca.at, dotted(key, "ca"), trust.error().detail);
    if (!trust) return false;
    options.trust = std::make_shared<const crypto::TrustStore>(std::move(*trust));
  } else if (const auto* expected = std::get_if<ike::PeerCertificate>(&theirs)) {
    options.trust = expected->trust;
    options.is_expected = [gateway](const crypto::Certificate& leaf) {
      return gateway.type == ike::IdType::der_asn1_dn ? leaf.matches_dn(gateway.data) : asserts(leaf, gateway);
    };
    watch_revocation(options, *expected);
  } else {
    findings_.error(raw.at, dotted(key, "ca"),
                    "is required where the gateway has no certificate: CAs of the server that checks users");
    return false;
  }
  auto context = eap::TlsContext::create(eap::TlsContext::Side::client, std::move(options));
  if (!context) {
    findings_.error(raw.certificate.at, dotted(key, "certificate"), context.error().detail);
    return false;
  }
  auto client = std::make_shared<eap::ClientConfig>(*std::get<ike::OwnEap>(own.auth).client);
  client->tls = std::move(*context);
  own.auth = ike::OwnEap{std::move(client)};
  return true;
}

void Credentials::watch_revocation(eap::TlsOptions& options, const ike::PeerCertificate& expected) {
  if (!expected.revocation) return;
  options.revocation = expected.revocation->policy();
  options.revoked = [feed = expected.revocation] { return feed->snapshot(); };
}

// ---- the gateway
// --------------------------------------------------------------------------------------------------------------------

std::optional<ike::PeerAuth> Credentials::peer_eap(const RawPeerAuth& raw, const std::string& key,
                                                   const std::optional<OwnCredential>& own,
                                                   const std::vector<std::string>& radius) {
  const std::size_t before = findings_.num_errors();
  const auto wrong = [&](Position at, std::string_view name, std::string why) {
    findings_.error(at, dotted(key, name), std::move(why));
  };
  bool by_radius = false;
  std::vector<eap::Type> methods;
  for (const auto& [word, at] : *raw.eap.value) {
    if (word == "radius") {
      by_radius = true;
    } else if (word == "tls" || word == "mschapv2") {
      methods.push_back(word == "tls" ? eap::Type::tls : eap::Type::mschapv2);
    } else {
      wrong(at, "eap", fmt::format("expected \"mschapv2\", \"tls\" or \"radius\", got {}", in_quotes(word)));
    }
  }
  const bool tls = std::ranges::find(methods, eap::Type::tls) != methods.end();
  if (by_radius && !methods.empty()) wrong(raw.eap.at, "eap", "\"radius\" stands alone: its servers choose the method");
  if (raw.psk_file.present || raw.public_key.present)
    wrong(raw.eap.at, "eap", "stands beside another way to authenticate");
  if (raw.ca.present && !tls) wrong(raw.ca.at, "ca", "belongs to eap = \"tls\"");
  if (tls && !raw.ca.present) wrong(raw.at, "ca", "is required for eap = \"tls\", and missing: CAs of the users");
  if (raw.radius.present && !by_radius) wrong(raw.radius.at, "radius", "belongs to eap = \"radius\"");
  if (raw.eap_only.value.value_or(false) && std::ranges::find(methods, eap::Type::mschapv2) != methods.end())
    wrong(raw.eap_only.at, "eap_only",
          "MSCHAPv2 is too weak to stand alone (RFC 5998 §4): eap = \"tls\", or \"radius\"");
  if (findings_.num_errors() != before) return std::nullopt;
  if (by_radius) return eap_by_radius(raw, key, radius);
  auto server = std::make_shared<eap::ServerConfig>();
  server->methods = std::move(methods);
  if (tls) {
    const auto* certificate = own ? std::get_if<ike::OwnCertificate>(&own->auth) : nullptr;
    if (!certificate) {
      if (own)
        wrong(raw.eap.at, "eap",
              "\"tls\" needs a certificate of ours: auth = { certificate = \"FILE\", key = \"FILE\" }");
      return std::nullopt;
    }
    const auto expected = peer_certificate(raw, key);
    if (!expected) return std::nullopt;
    const auto& users = std::get<ike::PeerCertificate>(*expected);
    eap::TlsOptions options;
    options.key = certificate->key;
    options.chain = certificate->chain;
    options.trust = users.trust;
    watch_revocation(options, users);
    auto context = eap::TlsContext::create(eap::TlsContext::Side::server, std::move(options));
    if (!context) {
      wrong(raw.eap.at, "eap", context.error().detail);
      return std::nullopt;
    }
    server->tls = std::move(*context);
  }
  return ike::PeerEap{std::move(server), {}};
}

std::optional<ike::PeerAuth> Credentials::eap_by_radius(const RawPeerAuth& raw, const std::string& key,
                                                        const std::vector<std::string>& names) {
  if (raw.radius.value) {
    if (std::ranges::find(names, *raw.radius.value) != names.end()) return ike::PeerEap{nullptr, *raw.radius.value};
    findings_.error(raw.radius.at, dotted(key, "radius"), fmt::format("there is no [radius.{}]", *raw.radius.value));
  } else if (names.size() == 1) {
    return ike::PeerEap{nullptr, names.front()};
  } else {
    findings_.error(raw.eap.at, dotted(key, "radius"),
                    names.empty() ? "there is no [radius.NAME]: servers = [\"…\"], secret_file = \"FILE\""
                                  : "is required, and missing: which [radius.NAME]");
  }
  return std::nullopt;
}

}  // namespace culvert::config
