// A gateway's configuration becomes what a client of it must know.
#include "client_export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "culvert/base/text.h"
#include "culvert/config/secret_file.h"
#include "culvert/crypto/certificate_export.h"
#include "culvert/crypto/trust.h"
#include "culvert/ike/auth_config.h"
#include "export_text.h"

namespace culvert::cli {
namespace {

using crypto::Certificate;
using ike::IdType;
using ike::PeerConfig;

Result<const PeerConfig*> choose_peer(const config::Config& config, const std::string& name) {
  std::vector<const PeerConfig*> callers;
  std::vector<std::string> names;
  for (const PeerConfig& peer : config.peers) {
    if (!peer.addresses.empty()) continue;
    if (peer.name == name) return &peer;
    callers.push_back(&peer);
    names.push_back(printable(peer.name));
  }
  if (!name.empty())
    return fail(Errc::not_found, fmt::format("there is no peer {} with address = \"any\"", printable(name)));
  if (callers.empty())
    return fail(Errc::not_found, "the configuration has no peer with address = \"any\": nobody may call");
  if (callers.size() > 1) return fail(Errc::invalid, fmt::format("--peer: which of {}?", fmt::join(names, ", ")));
  return callers.front();
}

Result<std::vector<Certificate>> read_certificates(const std::string& file) {
  const auto content = config::read_public_file({file});
  if (!content) return std::unexpected(content.error());
  auto certificates = Certificate::from_file_content(*content);
  if (!certificates) return fail(certificates.error().code, fmt::format("{}: {}", file, certificates.error().detail));
  return certificates;
}

/// What the gateway's chain ends at: a CA that stands in the configuration, as that of the clients often is the same.
std::vector<Certificate> find_ca(const config::Config& config, const std::vector<Certificate>& chain) {
  const Certificate& last = chain.back();
  if (last.is_self_issued()) return {last};
  for (const config::WatchedCertificate& watched : config.certificates)
    if (watched.certificate.is_ca() && watched.certificate.subject() == last.issuer()) return {watched.certificate};
  return {};
}

Result<void> add_gateway(const config::Config& config, const PeerConfig& peer, const ExportArguments& arguments,
                         ClientProfile& profile) {
  const auto* own = std::get_if<ike::OwnCertificate>(&peer.auth.ours);
  if (!own || own->chain.empty()) {
    return fail(
        Errc::unsupported,
        fmt::format("towards peer {} the gateway has no certificate, which all of these clients want: auth = {{ "
                    "certificate = \"FILE\", key = \"FILE\" }}",
                    printable(peer.name)));
  }
  std::vector<Certificate> chain;
  for (const auto& certificate : own->chain) chain.push_back(*certificate);
  profile.ca_name = crypto::issuer_common_name(chain.front());
  for (const std::string& file : arguments.ca) {
    const auto certificates = read_certificates(file);
    if (!certificates) return std::unexpected(certificates.error());
    profile.ca.insert(profile.ca.end(), certificates->begin(), certificates->end());
  }
  if (profile.ca.empty()) profile.ca = find_ca(config, chain);
  if (profile.ca.empty()) {
    return fail(Errc::not_found, fmt::format("--ca FILE: the configuration does not have the CA of our certificate, {}",
                                             printable(chain.back().issuer_text())));
  }
  profile.server_id = peer.local_id.to_string();
  profile.server = arguments.server;
  const bool is_address = peer.local_id.type == IdType::fqdn || peer.local_id.type == IdType::ipv4_addr ||
                          peer.local_id.type == IdType::ipv6_addr;
  if (profile.server.empty() && !is_address)
    return fail(Errc::invalid, fmt::format("--server HOST: our identity {} is no name that a client could look up",
                                           printable(profile.server_id)));
  if (profile.server.empty()) profile.server = profile.server_id;
  const auto as_host = ike::Identity::parse(profile.server);
  const bool is_host =
      as_host && !as_host->has_wildcard() &&
      (as_host->type == IdType::fqdn || as_host->type == IdType::ipv4_addr || as_host->type == IdType::ipv6_addr);
  if (!is_host)
    return fail(Errc::invalid,
                fmt::format("--server {}: expected a host name or an address", printable(profile.server)));
  profile.port = config.gateway.ike_port;
  profile.nat_port = config.gateway.nat_port;
  profile.tcp_port = config.gateway.tcp_port;
  for (const ike::ChildConfig& child : peer.children)
    for (const ike::SelectorSpec& selector : child.local)
      if (selector.prefix && std::ranges::find(profile.routes, *selector.prefix) == profile.routes.end())
        profile.routes.push_back(*selector.prefix);
  return {};
}

std::optional<std::string> apple_key_type(const crypto::PublicKey& key) {
  using crypto::KeyType;
  switch (key.type()) {
    case KeyType::rsa:
    case KeyType::rsa_pss:
      return "RSA";
    case KeyType::ecdsa_p256:
      return "ECDSA256";
    case KeyType::ecdsa_p384:
      return "ECDSA384";
    case KeyType::ecdsa_p521:
      return "ECDSA521";
    case KeyType::ed25519:
      return std::nullopt;
  }
  return std::nullopt;
}

Result<void> add_certificate(const ExportArguments& arguments, const Secret& passphrase, ClientProfile& profile) {
  if (arguments.certificate.empty() || arguments.key.empty())
    return fail(Errc::invalid,
                "--certificate FILE and --key FILE of the user are needed (culvert pki user makes them)");
  const auto certificates = read_certificates(arguments.certificate);
  if (!certificates) return std::unexpected(certificates.error());
  const Certificate& leaf = certificates->front();
  const auto pem = config::read_private_key({arguments.key});
  if (!pem) return std::unexpected(pem.error());
  const auto key = crypto::PrivateKey::from_pem(pem->view(), Secret());
  if (!key) return fail(key.error().code, fmt::format("{}: {}", arguments.key, key.error().detail));
  const auto type = apple_key_type(key->public_key());
  if (!type && arguments.format != "culvert" && arguments.format != "strongswan")
    return fail(Errc::unsupported,
                "phones and Windows take no certificates with Ed25519 keys: culvert pki user --type p256");
  profile.key_type = type.value_or("");
  const auto& names = leaf.alternative_names();
  using Type = crypto::AlternativeName::Type;
  for (const Type wanted : {Type::email, Type::dns}) {
    const auto name = std::ranges::find(names, wanted, &crypto::AlternativeName::type);
    if (name == names.end() || !profile.local_id.empty()) continue;
    profile.local_id = name->text;
  }
  if (profile.local_id.empty())
    return fail(Errc::invalid, fmt::format("{}: names neither an e-mail address nor a domain", arguments.certificate));
  const auto pkcs12 = crypto::make_pkcs12(*key, leaf, std::span(*certificates).subspan(1), profile.user, passphrase);
  if (!pkcs12) return std::unexpected(pkcs12.error());
  profile.pkcs12 = base64_of(pkcs12->view());
  return {};
}

/// What RADIUS servers take nobody knows here: perhaps all.
bool takes(const ike::PeerEap& peer, eap::Type method) {
  return !peer.server || std::ranges::find(peer.server->methods, method) != peer.server->methods.end();
}

Result<ClientAuth> choose_auth(const PeerConfig& peer, const ExportArguments& arguments) {
  if (peer.auth.peer_psk())
    return fail(Errc::unsupported, fmt::format("peer {} has a pre-shared key, which everybody would have to know: use "
                                               "EAP or certificates",
                                               printable(peer.name)));
  if (arguments.auth == "password") return ClientAuth::password;
  if (arguments.auth == "eap-tls") return ClientAuth::eap_tls;
  if (arguments.auth == "certificate") return ClientAuth::certificate;
  const bool has_certificate = !arguments.certificate.empty();
  const ike::PeerEap* eap = peer.auth.peer_eap();
  if (!eap) return has_certificate ? ClientAuth::certificate : ClientAuth::password;
  if (has_certificate) return ClientAuth::eap_tls;
  return takes(*eap, eap::Type::mschapv2) ? ClientAuth::password : ClientAuth::eap_tls;
}

/// The peer may get another `peer_auth` later, so this is no error.
std::string doubt_of(const PeerConfig& peer, ClientAuth auth) {
  const std::string name = printable(peer.name);
  const ike::PeerEap* eap = peer.auth.peer_eap();
  if (!eap && auth != ClientAuth::certificate && std::holds_alternative<ike::PeerCertificate>(peer.auth.theirs))
    return fmt::format(
        "peer {} wants a certificate from IKE itself, and will refuse EAP: --certificate FILE --key FILE, or "
        "another peer_auth there",
        name);
  if (eap && auth == ClientAuth::certificate)
    return fmt::format("peer {} wants EAP, and will refuse a certificate from IKE itself: --auth eap-tls", name);
  if (eap && auth == ClientAuth::password && !takes(*eap, eap::Type::mschapv2))
    return fmt::format("peer {} has no EAP-MSCHAPv2, and will refuse a password: --certificate FILE --key FILE", name);
  if (eap && auth == ClientAuth::eap_tls && !takes(*eap, eap::Type::tls))
    return fmt::format("peer {} has no EAP-TLS, and will refuse a certificate: --auth password", name);
  return {};
}

Result<void> check_texts(const ClientProfile& profile) {
  for (const auto& [what, text] :
       {std::pair{"USER", &profile.user}, std::pair{"--name", &profile.name}, std::pair{"--server", &profile.server},
        std::pair{"our identity", &profile.server_id}})
    if (auto fine = check_exportable(what, *text); !fine) return fine;
  if (profile.has_certificate())
    if (auto fine = check_exportable("the certificate's name", profile.local_id); !fine) return fine;
  return profile.ca_name.empty() ? Result<void>() : check_exportable("the CA's name", profile.ca_name);
}

}  // namespace

bool ClientProfile::is_full_tunnel() const noexcept {
  return std::ranges::any_of(routes, [](const IpPrefix& prefix) { return prefix.length == 0; });
}

std::string ClientProfile::uuid(std::string_view part) const {
  return stable_uuid(fmt::format("{}/{}/{}", part, server_id, user));
}

std::string ClientProfile::file_stem() const {
  return "culvert-" + uuid("profile").substr(0, 8);
}

Result<ClientProfile> make_client_profile(const config::Config& config, const ExportArguments& arguments,
                                          const Secret& passphrase) {
  const auto peer = choose_peer(config, arguments.peer);
  if (!peer) return std::unexpected(peer.error());
  ClientProfile profile;
  profile.user = arguments.user;
  const auto auth = choose_auth(**peer, arguments);
  if (!auth) return std::unexpected(auth.error());
  profile.auth = *auth;
  profile.doubt = doubt_of(**peer, *auth);
  if (auto added = add_gateway(config, **peer, arguments, profile); !added) return std::unexpected(added.error());
  profile.name = arguments.name.empty() ? profile.server_id : arguments.name;
  if (profile.has_certificate()) {
    if (auto added = add_certificate(arguments, passphrase, profile); !added) return std::unexpected(added.error());
  }
  if (auto fine = check_texts(profile); !fine) return std::unexpected(fine.error());
  return profile;
}

}  // namespace culvert::cli
