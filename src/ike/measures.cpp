// What the gateway does in numbers, for those who watch it.
#include "culvert/ike/measures.h"

#include <algorithm>

#include "association.h"
#include "clients.h"
#include "core.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {

std::vector<ErrorCounters::Entry> ErrorCounters::entries() const {
  std::vector<Entry> named;
  Entry other{"other", 0};
  for (std::size_t type = 0; type < counts_.size(); ++type) {
    const std::string_view name = notify_name(static_cast<NotifyType>(type));
    if (name == notify_name(static_cast<NotifyType>(0))) {
      other.count += counts_[type];
    } else {
      named.push_back({name, counts_[type]});
    }
  }
  named.push_back(other);
  return named;
}

void Core::count_sent_errors(const std::vector<Payload>& payloads) {
  for (const Payload& payload : payloads) {
    const auto* notify = std::get_if<NotifyPayload>(&payload);
    if (notify && is_error(notify->type)) errors_sent_.add(static_cast<std::uint16_t>(notify->type));
  }
}

void Core::count_received_errors(const Message& message) {
  if (const NotifyPayload* error = message.first_error()) errors_received_.add(static_cast<std::uint16_t>(error->type));
}

Measures Core::measures() const {
  Measures all;
  all.peers.reserve(peers_.size());
  std::map<PeerId, std::size_t> place_of_template;
  for (const auto& peer : peers_) {
    if (peer->is_template()) place_of_template.emplace(peer->config().id, all.peers.size());
    all.peers.push_back(peer->measure(all.children_up));
  }
  std::vector<ChildId> not_configured;  // a client's children are copies of its peer's
  for (const auto& [id, client] : clients_->all()) {
    const auto place = place_of_template.find(client->client()->of->config().id);
    const PeerMeasure measure = client->measure(not_configured);
    not_configured.clear();
    all.ike_sas += measure.ike_sas;
    all.child_sas += measure.child_sas;
    if (place == place_of_template.end()) continue;
    PeerMeasure& of = all.peers[place->second];
    of.ike_sas += measure.ike_sas;
    of.child_sas += measure.child_sas;
  }
  for (const PeerMeasure& peer : all.peers) {
    if (place_of_template.contains(peer.peer)) continue;
    all.ike_sas += peer.ike_sas;
    all.child_sas += peer.child_sas;
  }
  all.pools = clients_->measure_pools();
  all.errors_sent = errors_sent_;
  all.errors_received = errors_received_;
  all.half_open = admission_.num_half_open();
  all.barred_sources = admission_.num_failing();
  all.flood = admission_.wants_cookies();
  return all;
}

PeerMeasure Peer::measure(std::vector<ChildId>& children_up) const {
  PeerMeasure measure;
  measure.peer = config_.id;
  measure.expected = config_.start == StartMode::always && !any_address_ && !admin_down_;
  measure.counters = tally_->counters;
  measure.last_handshake = tally_->last_handshake;
  const Association* association = preferred();
  const Session* session = association ? association->current() : nullptr;
  measure.up = association != nullptr;
  if (session) {
    measure.established = session->established_at();
    measure.nat_local = session->nat().local;
    measure.nat_remote = session->nat().remote;
  }
  for (const auto& each : associations_) {
    measure.ike_sas += each->num_open_sessions();
    measure.child_sas += each->children().size();
  }
  if (is_template()) measure.clients = core_.clients().num_of(*this);
  for (const ChildNeed& need : needs_)
    if (association && association->live_child(*need.config)) children_up.push_back(need.config->id);
  return measure;
}

void Peer::note_handshake(PeerEvent event) noexcept {
  count(event);
  tally_->last_handshake = core_.now();
}

std::vector<PoolMeasure> Clients::measure_pools() const {
  std::vector<PoolMeasure> all;
  for (const auto& pool : pools_)
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6})
      if (pool->has(family)) all.push_back(pool->measure(family));
  return all;
}

}  // namespace culvert::ike
