// How the two ends prove who they are, and as whom.
#include <fmt/format.h>

#include <utility>

#include "rules.h"

namespace culvert::config {
namespace {

std::optional<ike::Identity> parse_id(const Field<std::string>& field, const std::string& key, Findings& findings) {
  if (!field.value) return std::nullopt;
  auto id = ike::Identity::parse(*field.value);
  if (id) return std::move(*id);
  findings.error(field.at, key, id.error().detail);
  return std::nullopt;
}

/// Our identity must stand in our certificate, or the peer refuses it (RFC 4945 §3.1).
void check_certified(const OwnCredential& own, const ike::Identity& id, Position at, const std::string& key,
                     Findings& findings) {
  const auto* certificate = std::get_if<ike::OwnCertificate>(&own.auth);
  if (!certificate || asserts(*certificate->chain.front(), id)) return;
  findings.error(at, key,
                 fmt::format("our certificate does not name {}, so peers would refuse it; it names {} (without {} the "
                             "first of these is taken)",
                             in_quotes(id.to_string()), names_in(*certificate->chain.front()), key));
}

/// The peer's own table, or that of [gateway].
struct Chosen {
  std::optional<OwnCredential> own;
  bool own_is_default = false;
  std::optional<ike::PeerAuth> theirs;
};

std::optional<OwnCredential> choose_own(const RawPeer& raw, const AuthDefaults& defaults, Credentials& credentials,
                                        Findings& findings) {
  if (raw.auth.value) return credentials.own(*raw.auth.value, raw.key("auth"));
  if (raw.auth.present || defaults.own_present) return raw.auth.present ? std::nullopt : defaults.own;
  findings.error(raw.at, raw.key("auth"),
                 "is required, and missing: how we prove who we are, here or in [gateway]: { psk_file = \"FILE\" }, { "
                 "certificate = \"FILE\", key = \"FILE\" } or { key = \"FILE\" }");
  return std::nullopt;
}

std::optional<ike::PeerAuth> choose_peer(const RawPeer& raw, const std::optional<OwnCredential>& own,
                                         const AuthDefaults& defaults, Credentials& credentials, Findings& findings) {
  if (raw.peer_auth.value && raw.peer_auth.value->eap.value)
    return credentials.peer_eap(*raw.peer_auth.value, raw.key("peer_auth"), own, defaults.radius);
  if (raw.peer_auth.value) return credentials.peer(*raw.peer_auth.value, raw.key("peer_auth"));
  if (raw.peer_auth.present) return std::nullopt;
  // A pre-shared key is between two, so it stands for both ways, whatever [gateway] says about the others.
  if (own && own->is_psk()) return std::get<ike::PreSharedKey>(own->auth);
  const bool own_is_broken = !own && (raw.auth.present || defaults.own_present);
  if (defaults.peer_present || own_is_broken) return defaults.peer;
  if (!own) return std::nullopt;
  findings.error(
      raw.at, raw.key("peer_auth"),
      "is required, and missing: how the peer must prove who it is, here or in [gateway]: { ca = \"FILE\" }, "
      "{ public_key = \"…\" } or { psk_file = \"FILE\" }");
  return std::nullopt;
}

/// A "*" that stands for nothing is not what anybody means.
bool has_stray_wildcard(const ike::Identity& id) {
  const bool name = id.type == ike::IdType::fqdn || id.type == ike::IdType::rfc822_addr;
  return name && as_text(id.data).substr(id.has_wildcard() ? 1 : 0).find('*') != std::string_view::npos;
}

void check_remote_id(const RawPeer& raw, const std::optional<ike::PeerAuth>& theirs, ike::PeerConfig& peer,
                     Findings& findings) {
  const auto* keys = theirs ? std::get_if<ike::PeerRawKey>(&*theirs) : nullptr;
  if (!raw.id.present) {
    if (theirs && std::holds_alternative<ike::PeerEap>(*theirs)) return;  // any: the EAP identity counts
    if (keys && keys->keys.size() == 1) {
      peer.remote_id = identity_of(*keys->keys.front());
    } else if (theirs || !raw.peer_auth.present) {
      findings.error(raw.at, raw.key("id"), "is required, and missing: the identity the peer must prove");
    }
    return;
  }
  auto id = parse_id(raw.id, raw.key("id"), findings);
  if (!id) return;
  if (has_stray_wildcard(*id)) {
    findings.error(raw.id.at, raw.key("id"),
                   "a * stands alone, or in front: \"*\", \"*.example.net\", \"*@example.net\", \"O=Example,CN=*\"");
    return;
  }
  if (id->has_wildcard() && theirs && !std::holds_alternative<ike::PeerCertificate>(*theirs) &&
      !std::holds_alternative<ike::PeerEap>(*theirs)) {
    findings.error(raw.id.at, raw.key("id"),
                   "a * stands for many identities, which only a CA can tell apart: it goes with peer_auth = { ca = "
                   "\"FILE\" }");
    return;
  }
  peer.remote_id = std::move(*id);
}

void check_local_id(const RawPeer& raw, const RawGateway& raw_gateway, const GatewayConfig& gateway,
                    const std::optional<OwnCredential>& own, AuthDefaults& defaults, ike::PeerConfig& peer,
                    Findings& findings) {
  const bool own_table = raw.auth.present;
  if (raw.local_id.present) {
    auto id = parse_id(raw.local_id, raw.key("local_id"), findings);
    if (!id) return;
    if (own) check_certified(*own, *id, raw.local_id.at, raw.key("local_id"), findings);
    peer.local_id = std::move(*id);
  } else if (raw_gateway.id.present) {
    peer.local_id = gateway.id;
    if (own && own_table && !gateway.id.data.empty())
      check_certified(*own, gateway.id, raw.auth.at, raw.key("local_id"), findings);
  } else if (own) {
    if (auto id = identity_of(own->auth)) peer.local_id = std::move(*id);
    defaults.needs_id = defaults.needs_id || peer.local_id.data.empty();
  }
  if (peer.local_id.has_wildcard())
    findings.error(raw.local_id.at, raw.key("local_id"), "we are one, and have no * in our identity");
}

}  // namespace

AuthDefaults check_defaults(const RawGateway& raw, GatewayConfig& gateway, Credentials& credentials,
                            Findings& findings) {
  AuthDefaults defaults;
  defaults.own_present = raw.auth.present;
  defaults.peer_present = raw.peer_auth.present;
  if (raw.auth.value && raw.auth.value->psk_file.present) {
    findings.error(raw.auth.value->psk_file.at, "gateway.auth.psk_file",
                   "a pre-shared key is between two: it stands in the auth of a [peer.NAME]");
  } else if (raw.auth.value) {
    defaults.own = credentials.own(*raw.auth.value, "gateway.auth");
  }
  if (raw.auth.value && raw.auth.value->eap.present) {
    findings.error(raw.auth.value->eap.at, "gateway.auth.eap", "a login is for one gateway: it stands in the auth of a [peer.NAME]");
  }
  if (raw.peer_auth.value && raw.peer_auth.value->eap.present) {
    findings.error(raw.peer_auth.value->eap.at, "gateway.peer_auth.eap",
                   "users are those of one peer: it stands in the peer_auth of a [peer.NAME]");
  } else if (raw.peer_auth.value && !raw.peer_auth.value->ca.present) {
    findings.error(
        raw.peer_auth.at, "gateway.peer_auth",
        "for all peers together only a CA can tell who they are: { ca = \"FILE\" }; a public_key or psk_file "
        "stands in the peer_auth of a [peer.NAME]");
  } else if (raw.peer_auth.value) {
    defaults.peer = credentials.peer(*raw.peer_auth.value, "gateway.peer_auth");
  }
  if (defaults.own && raw.id.present && !gateway.id.data.empty())
    check_certified(*defaults.own, gateway.id, raw.id.at, "gateway.id", findings);
  if (!raw.id.present && defaults.own) {
    if (auto id = identity_of(defaults.own->auth)) gateway.id = std::move(*id);
  }
  return defaults;
}

void check_authentication(const RawPeer& raw, const RawGateway& raw_gateway, const GatewayConfig& gateway,
                          AuthDefaults& defaults, ike::PeerConfig& peer, Credentials& credentials, Findings& findings) {
  auto own = choose_own(raw, defaults, credentials, findings);
  auto theirs = choose_peer(raw, own, defaults, credentials, findings);
  check_remote_id(raw, theirs, peer, findings);
  check_local_id(raw, raw_gateway, gateway, own, defaults, peer, findings);
  if (!peer.remote_id.data.empty() && !peer.local_id.data.empty() && peer.remote_id.matches(peer.local_id)) {
    findings.error(raw.id.present ? raw.id.at : raw.at, raw.key("id"),
                   fmt::format("{} is also our own identity towards this peer ({}): the two ends must differ",
                               in_quotes(raw.id.value.value_or(peer.remote_id.to_string())),
                               raw.local_id.present ? "local_id" : "gateway.id"));
  }
  if (!own || !theirs) return;
  if (own->certificate && !credentials.finish_eap(*raw.auth.value, raw.key("auth"), peer.remote_id, *theirs, *own)) return;
  if (std::holds_alternative<ike::OwnEap>(own->auth) && std::holds_alternative<ike::PeerEap>(*theirs))
    findings.error(raw.at, raw.key("peer_auth"), "one end logs in by EAP, and the other one is the gateway: not both");
  if (std::holds_alternative<ike::OwnEap>(own->auth) && raw.peer_auth.value && raw.peer_auth.value->eap_only.present)
    findings.error(raw.peer_auth.value->eap_only.at, raw.key("peer_auth.eap_only"), "a client's stands in its auth");
  peer.auth.eap_only = (raw.auth.value && raw.auth.value->eap_only.value.value_or(false)) ||
                       (raw.peer_auth.value && raw.peer_auth.value->eap_only.value.value_or(false));
  peer.auth.rsa_pss = own->signature != SignatureChoice::rsa_pkcs1;
  peer.auth.digital_signatures = own->signature != SignatureChoice::classic;
  peer.auth.ours = std::move(own->auth);
  peer.auth.theirs = std::move(*theirs);
}

void check_own_identity(const RawGateway& raw, const AuthDefaults& defaults, const std::vector<ike::PeerConfig>& peers,
                        GatewayConfig& gateway, Findings& findings) {
  if (raw.id.present || !gateway.id.data.empty()) return;
  if (defaults.needs_id || (peers.empty() && !defaults.own_present)) {
    findings.error(raw.at, "gateway.id",
                   "is required, and missing: our IKE identity, such as \"gw.example.net\" (auth = { certificate = … } "
                   "or { key = … } in [gateway] would give one)");
  } else if (!peers.empty()) {
    gateway.id = peers.front().local_id;
  }
}

}  // namespace culvert::config
