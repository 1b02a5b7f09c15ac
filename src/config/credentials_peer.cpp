// `peer_auth`: how a peer must prove who it is.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "credentials.h"
#include "culvert/crypto/revocation.h"
#include "culvert/crypto/trust.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_public_keys = 64;
constexpr std::size_t max_crl_sources = 64;

/// Equal for tables that mean the same CAs and the same sources.
std::string same_table(const RawPeerAuth& raw) {
  std::string text;
  for (const auto* list : {&raw.ca, &raw.intermediates, &raw.crl}) {
    if (list->value) {
      for (const auto& entry : *list->value) text += entry.value + '\n';
    }
    text += '\0';
  }
  text += raw.ocsp.value.value_or("");
  return text + std::to_string(raw.revocation.value ? static_cast<int>(*raw.revocation.value) : -1);
}

}  // namespace

std::optional<ike::PeerAuth> Credentials::peer(const RawPeerAuth& raw, const std::string& key) {
  const int num_ways = raw.psk_file.present + raw.public_key.present + raw.ca.present;
  const std::size_t before = findings_.num_errors();
  if (num_ways != 1) {
    findings_.error(raw.at, key,
                    fmt::format("{}: expected one of {{ ca = \"FILE\" }}, {{ public_key = \"…\" }} and {{ psk_file = "
                                "\"FILE\" }}",
                                num_ways == 0 ? "says no way to authenticate" : "says several ways to authenticate"));
  }
  const auto needs_ca = [&](const auto& field, std::string_view name) {
    if (field.present && !raw.ca.present)
      findings_.error(field.at, dotted(key, name), "belongs to certificates: it stands beside ca");
  };
  if (raw.radius.present || raw.eap_only.present)
    findings_.error(raw.at, key, "radius and eap_only stand beside eap = \"…\"");
  needs_ca(raw.intermediates, "intermediates");
  needs_ca(raw.crl, "crl");
  needs_ca(raw.ocsp, "ocsp");
  needs_ca(raw.revocation, "revocation");
  if (findings_.num_errors() != before) return std::nullopt;
  if (raw.psk_file.value) {
    auto secret = psk(raw.psk_file, key);
    if (!secret) return std::nullopt;
    return ike::PreSharedKey{std::move(secret)};
  }
  if (raw.public_key.value) return peer_keys(raw, key);
  const std::string same = same_table(raw);
  if (const auto known = peers_.find(same); known != peers_.end()) return known->second;
  auto made = peer_certificate(raw, key);
  if (made) peers_.emplace(same, *made);
  return made;
}

std::optional<ike::PeerAuth> Credentials::peer_keys(const RawPeerAuth& raw, const std::string& key) {
  ike::PeerRawKey peer;
  bool sound = true;
  const auto wrong = [&](Position at, const std::string& why) {
    findings_.error(at, dotted(key, "public_key"), why);
    sound = false;
  };
  if (raw.public_key.value->size() > max_public_keys)
    wrong(raw.public_key.at, fmt::format("more than {} keys", max_public_keys));
  for (const auto& [text, at] : *raw.public_key.value) {
    auto parsed = crypto::PublicKey::from_text(text);
    if (!parsed) {
      wrong(at, fmt::format("expected a public key as `culvert pubkey FILE` prints it: {}", parsed.error().detail));
    } else {
      peer.keys.push_back(std::make_shared<const crypto::PublicKey>(std::move(*parsed)));
    }
    if (peer.keys.size() >= max_public_keys) break;
  }
  if (!sound) return std::nullopt;
  return peer;
}

std::optional<ike::PeerAuth> Credentials::peer_certificate(const RawPeerAuth& raw, const std::string& key) {
  const std::string ca_key = dotted(key, "ca");
  auto anchors = certificates(raw.ca, ca_key);
  auto more = certificates(raw.intermediates, dotted(key, "intermediates"));
  if (!anchors || !more) return std::nullopt;
  for (const auto& anchor : *anchors) watch(anchor, raw.ca.at, ca_key);
  for (const auto& intermediate : *more) watch(intermediate, raw.intermediates.at, dotted(key, "intermediates"));
  auto trust = crypto::TrustStore::create(std::move(*anchors), std::move(*more));
  if (!trust) {
    findings_.error(raw.ca.at, ca_key, trust.error().detail);
    return std::nullopt;
  }
  const std::size_t before = findings_.num_errors();
  ike::PeerCertificate peer;
  peer.revocation = revocation(raw, key, *trust);
  if (findings_.num_errors() != before) return std::nullopt;
  peer.trust = std::make_shared<const crypto::TrustStore>(std::move(*trust));
  return peer;
}

/// nullptr: nobody asks about revocation, or something was wrong.
std::shared_ptr<ike::RevocationFeed> Credentials::revocation(const RawPeerAuth& raw, const std::string& key,
                                                             const crypto::TrustStore& trust) {
  using crypto::RevocationPolicy;
  const bool has_source = raw.crl.present || raw.ocsp.present;
  const auto policy = raw.revocation.value.value_or(has_source ? RevocationPolicy::relaxed : RevocationPolicy::none);
  if (policy != RevocationPolicy::none && !has_source) {
    findings_.error(raw.revocation.at, dotted(key, "revocation"),
                    "nothing says what is revoked: name a source, crl = \"FILE or http://…\" or ocsp = \"http://…\" "
                    "(what a certificate itself names is never fetched)");
    return nullptr;
  }
  if (policy == RevocationPolicy::none) {
    if (has_source)
      findings_.error(raw.revocation.at, dotted(key, "revocation"),
                      "\"none\" makes crl and ocsp useless: remove either");
    return nullptr;
  }
  RevocationSources sources{key, std::make_shared<const crypto::TrustStore>(trust), nullptr, {}, {}, std::nullopt};
  if (raw.crl.value && raw.crl.value->size() > max_crl_sources)
    findings_.error(raw.crl.at, dotted(key, "crl"), fmt::format("more than {} sources", max_crl_sources));
  bool sound = true;
  if (raw.crl.value) {
    for (const auto& source : *raw.crl.value) sound = add_crl(source, dotted(key, "crl"), sources) && sound;
  }
  if (raw.ocsp.value) {
    auto url = HttpUrl::parse(*raw.ocsp.value);
    if (!url) findings_.error(raw.ocsp.at, dotted(key, "ocsp"), url.error().detail);
    sound = sound && url.has_value();
    if (url) sources.ocsp = std::move(*url);
  }
  if (!sound) return nullptr;
  sources.feed = std::make_shared<ike::RevocationFeed>(policy, sources.ocsp.has_value());
  revocation_.push_back(sources);
  return sources.feed;
}

/// A list that is there is read now, so that a mistake shows before the gateway starts.
bool Credentials::add_crl(const Located<std::string>& source, const std::string& key, RevocationSources& into) {
  if (source.value.find("://") != std::string::npos) {
    auto url = HttpUrl::parse(source.value);
    if (url) into.crl_urls.push_back(std::move(*url));
    if (!url) findings_.error(source.at, key, url.error().detail);
    return url.has_value();
  }
  const auto file = find(source.value, source.at, key);
  if (!file) return false;
  const auto crl = read_crl(file->path);
  if (!crl) {
    findings_.error(source.at, key, crl.error().detail);
    return false;
  }
  if (!is_of(*crl, *into.trust)) {
    findings_.warn(source.at, key,
                   fmt::format("{} is a list of {}, which is no CA in `ca` or `intermediates`",
                               in_quotes(file->path.string()), crl->issuer_text()));
  }
  if (crl->next_update() && *crl->next_update() < now_) {
    findings_.warn(source.at, key,
                   fmt::format("{} is out of date since {}: it counts as unknown until a newer one is there",
                               in_quotes(file->path.string()), crypto::wall_time_text(*crl->next_update())));
  }
  into.crl_files.push_back(file->path);
  return true;
}

Result<crypto::Crl> read_crl(const std::filesystem::path& file) {
  const auto content = read_public_file(file);
  if (!content) return std::unexpected(content.error());
  auto crl = crypto::Crl::from_file_content(*content);
  if (!crl) return fail(crl.error().code, fmt::format("{}: {}", in_quotes(file.string()), crl.error().detail));
  return crl;
}

bool is_of(const crypto::Crl& crl, const crypto::TrustStore& trust) {
  const auto signs = [&](const crypto::Certificate& ca) { return crl.is_signed_by(ca); };
  return std::ranges::any_of(trust.anchors(), signs) || std::ranges::any_of(trust.intermediates(), signs);
}

}  // namespace culvert::config
