// Whether two configurations name the same credentials: by content, since each load makes objects of its own.
#include <algorithm>

#include "culvert/config/reload.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/private_key.h"
#include "culvert/crypto/public_key.h"
#include "culvert/crypto/trust.h"
#include "culvert/eap/client.h"
#include "culvert/eap/server.h"
#include "culvert/eap/tls.h"

namespace culvert::config {
namespace {

/// Both null, or both there and the same.
template <class T, class Same>
bool same_pointed(const std::shared_ptr<const T>& a, const std::shared_ptr<const T>& b, Same same) {
  return a == b || (a && b && same(*a, *b));
}

bool same_secret(const std::shared_ptr<const Secret>& a, const std::shared_ptr<const Secret>& b) {
  return same_pointed(a, b, [](const Secret& x, const Secret& y) { return x.equals(y.view()); });
}

bool same_key(const std::shared_ptr<const crypto::PrivateKey>& a, const std::shared_ptr<const crypto::PrivateKey>& b) {
  return same_pointed(a, b, [](const crypto::PrivateKey& x, const crypto::PrivateKey& y) {
    return x.public_key().spki() == y.public_key().spki();
  });
}

using Chain = std::vector<std::shared_ptr<const crypto::Certificate>>;
bool same_chain(const Chain& a, const Chain& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return same_pointed(x, y, std::equal_to<>()); });
}

bool same_trust(const std::shared_ptr<const crypto::TrustStore>& a,
                const std::shared_ptr<const crypto::TrustStore>& b) {
  return same_pointed(a, b, [](const crypto::TrustStore& x, const crypto::TrustStore& y) {
    return x.anchors() == y.anchors() && x.intermediates() == y.intermediates();
  });
}

bool same_tls(const std::shared_ptr<const eap::TlsContext>& a, const std::shared_ptr<const eap::TlsContext>& b) {
  return same_pointed(a, b, [](const eap::TlsContext& x, const eap::TlsContext& y) {
    const eap::TlsOptions &one = x.options(), &other = y.options();
    return same_key(one.key, other.key) && same_chain(one.chain, other.chain) && same_trust(one.trust, other.trust);
  });
}

bool same_way(const ike::PreSharedKey& a, const ike::PreSharedKey& b) {
  return same_secret(a.key, b.key);
}
bool same_way(const ike::OwnCertificate& a, const ike::OwnCertificate& b) {
  return same_key(a.key, b.key) && same_chain(a.chain, b.chain);
}
bool same_way(const ike::OwnRawKey& a, const ike::OwnRawKey& b) {
  return same_key(a.key, b.key);
}
bool same_way(const ike::OwnEap& a, const ike::OwnEap& b) {
  return same_pointed(a.client, b.client, [](const eap::ClientConfig& x, const eap::ClientConfig& y) {
    return x.method == y.method && x.user == y.user && same_secret(x.nt_hash, y.nt_hash) && same_tls(x.tls, y.tls);
  });
}
/// Revocation is no part of it: what is known of it counts from its next look on.
bool same_way(const ike::PeerCertificate& a, const ike::PeerCertificate& b) {
  return same_trust(a.trust, b.trust) && same_chain(a.known, b.known);
}
bool same_way(const ike::PeerRawKey& a, const ike::PeerRawKey& b) {
  return std::ranges::equal(a.keys, b.keys, [](const auto& x, const auto& y) { return x->spki() == y->spki(); });
}
bool same_way(const ike::PeerEap& a, const ike::PeerEap& b) {
  return a.radius == b.radius &&
         same_pointed(a.server, b.server, [](const eap::ServerConfig& x, const eap::ServerConfig& y) {
           return x.methods == y.methods && same_tls(x.tls, y.tls);
         });
}

template <class Way>
bool same(const Way& a, const Way& b) {
  if (a.index() != b.index()) return false;
  return std::visit([&](const auto& one) { return same_way(one, std::get<std::decay_t<decltype(one)>>(b)); }, a);
}

}  // namespace

bool same_credentials(const ike::AuthConfig& a, const ike::AuthConfig& b) {
  return same(a.ours, b.ours) && same(a.theirs, b.theirs);
}

}  // namespace culvert::config
