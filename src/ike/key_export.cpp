// Keys for an operator who may read what is protected: `culvert capture --keys`.
#include <algorithm>

#include "association.h"
#include "clients.h"
#include "core.h"
#include "endpoint_impl.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {

std::optional<PeerId> configured_peer_of(const Peer* peer) {
  if (!peer) return std::nullopt;
  const ClientRole* client = peer->client();
  return client && client->of ? client->of->config().id : peer->config().id;
}

std::optional<DebugIkeKeys> Session::copy_keys() const {
  if (!in_ || !out_) return std::nullopt;
  DebugIkeKeys keys;
  keys.spi_i = origin_.spi_i;
  keys.spi_r = origin_.spi_r;
  keys.sk_ei = (origin_.initiator ? *out_ : *in_).copy_of_encryption();
  keys.sk_er = (origin_.initiator ? *in_ : *out_).copy_of_encryption();
  keys.cipher = suite_.cipher;
  keys.peer = configured_peer_of(peer_);
  keys.remote = origin_.path.remote.address;
  return keys;
}

void IkeEndpoint::emit_keys(bool wanted) {
  impl_->core.emit_keys(wanted);
}

std::vector<DebugIkeKeys> IkeEndpoint::copy_keys() const {
  std::vector<DebugIkeKeys> all;
  for (const auto& [spi, session] : impl_->core.sessions())
    if (auto keys = session->copy_keys()) all.push_back(std::move(*keys));
  return all;
}

PeerId IkeEndpoint::configured_peer(PeerId id) const {
  return configured_peer_of(impl_->core.find_peer(id)).value_or(id);
}

std::vector<IpAddress> IkeEndpoint::whereabouts(PeerId id) const {
  const Peer* peer = impl_->core.find_peer(id);
  if (!peer || peer->is_template()) return {};
  std::vector<IpAddress> all = peer->known_addresses();
  if (const Association* association = peer->preferred()) all.push_back(association->current()->path().remote.address);
  std::ranges::sort(all);
  const auto repeated = std::ranges::unique(all);
  all.erase(repeated.begin(), repeated.end());
  return all;
}

}  // namespace culvert::ike
