#include "culvert/ike/endpoint.h"

#include <algorithm>

#include "association.h"
#include "authentication.h"
#include "clients.h"
#include "culvert/crypto/prf.h"
#include "endpoint_impl.h"
#include "payload_table.h"
#include "peer.h"
#include "session.h"
#include "trace.h"

namespace culvert::ike {

IkeEndpoint::IkeEndpoint(EndpointOptions options, std::vector<PeerConfig> peers, crypto::RandomSource& random)
    : impl_(std::make_unique<Impl>(options, std::move(peers), random)) {}
IkeEndpoint::~IkeEndpoint() = default;

Actions IkeEndpoint::start(TimePoint now) {
  impl_->core.begin(now);
  impl_->core.touch();
  for (const auto& peer : impl_->core.peers()) peer->start();
  return impl_->core.finish();
}

Actions IkeEndpoint::on_datagram(TimePoint now, const Path& path, ByteView bytes) {
  impl_->core.begin(now);  // touched by what is not dropped
  impl_->core.receive(path, bytes);
  return impl_->core.finish();
}

Actions IkeEndpoint::on_deadline(TimePoint now) {
  impl_->core.begin(now);  // touches what is due
  impl_->core.on_deadline();
  return impl_->core.finish();
}

std::optional<TimePoint> IkeEndpoint::deadline() const {
  return impl_->core.deadline();
}

Actions IkeEndpoint::on_addresses(TimePoint now, PeerId id, std::vector<Path> paths, std::string why) {
  impl_->core.begin(now);
  if (Peer* peer = impl_->core.find_peer(id)) {
    impl_->core.touch(*peer);
    peer->on_addresses(std::move(paths), std::move(why));
  }
  return impl_->core.finish();
}

Actions IkeEndpoint::on_computed(TimePoint now, std::uint64_t id, std::unique_ptr<Computed> result) {
  impl_->core.begin(now);  // touched when somebody waits for it
  impl_->core.on_computed(id, std::move(result));
  return impl_->core.finish();
}

Actions IkeEndpoint::on_revocation(TimePoint now, std::uint64_t id,
                                   std::shared_ptr<const crypto::RevocationData> known) {
  impl_->core.begin(now);
  impl_->core.on_awaited(id, std::move(known));
  return impl_->core.finish();
}

Actions IkeEndpoint::on_radius(TimePoint now, std::uint64_t id, RadiusAnswer answer) {
  impl_->core.begin(now);
  impl_->core.on_awaited(id, std::move(answer));
  return impl_->core.finish();
}

std::vector<TraceEntry> IkeEndpoint::trace(const std::string& peer) const {
  return impl_->core.trace_of(peer);
}

void IkeEndpoint::watch(bool watched) {
  impl_->core.watch(watched);
}

void IkeEndpoint::set_users(std::shared_ptr<const eap::UserTable> users) {
  impl_->core.set_users(std::move(users));
}

Actions IkeEndpoint::on_network_change(TimePoint now) {
  impl_->core.begin(now);
  impl_->core.touch();
  for (const auto& peer : impl_->core.peers()) peer->on_network_change();
  impl_->core.clients().for_each([](Peer& client) { client.on_network_change(); });
  return impl_->core.finish();
}

Actions IkeEndpoint::on_paths(TimePoint now, PeerId id, std::vector<Path> paths) {
  impl_->core.begin(now);
  if (Peer* peer = impl_->core.find_peer(id)) {
    impl_->core.touch(*peer);
    peer->on_paths(std::move(paths));
  }
  return impl_->core.finish();
}

Actions IkeEndpoint::on_esp_moved(TimePoint now, Spi inbound_spi, const Path& path) {
  impl_->core.begin(now);
  if (Association* association = impl_->core.owner_of(inbound_spi)) {
    impl_->core.touch(association->peer());
    association->on_esp_moved(path);
  }
  return impl_->core.finish();
}

Actions IkeEndpoint::on_kept_back(TimePoint now, std::size_t num_requests) {
  impl_->core.begin(now);
  impl_->core.admission().count_requests(now, num_requests);
  return impl_->core.finish();
}

std::vector<IpAddress> IkeEndpoint::peer_addresses() {
  return impl_->core.directory().addresses();
}

Actions IkeEndpoint::on_unanswered_traffic(TimePoint now, Spi inbound_spi) {
  impl_->core.begin(now);
  if (Association* association = impl_->core.owner_of(inbound_spi)) {
    impl_->core.touch(association->peer());
    association->on_unanswered_traffic();
  }
  return impl_->core.finish();
}

std::pair<bool, Actions> IkeEndpoint::probe_path(TimePoint now, PeerId id, std::uint16_t size) {
  impl_->core.begin(now);
  Peer* peer = impl_->core.find_peer(id);
  Association* association = peer ? peer->preferred() : nullptr;
  const bool begun = association && association->probe_path(size);
  return {begun, impl_->core.finish()};
}

Actions IkeEndpoint::on_acquire(TimePoint now, ChildId child, const TrafficSelector& source,
                                const TrafficSelector& destination) {
  impl_->core.begin(now);
  if (Peer* peer = impl_->core.find_peer(child)) {
    impl_->core.touch(*peer);
    for (const ChildConfig& config : peer->config().children)
      if (config.id == child) peer->on_acquire(config, {source, destination});
  }
  return impl_->core.finish();
}

Actions IkeEndpoint::on_child_event(TimePoint now, Spi inbound_spi, ChildEvent event) {
  impl_->core.begin(now);
  Association* association = impl_->core.owner_of(inbound_spi);
  ChildSa* child = association ? association->by_inbound(inbound_spi) : nullptr;
  if (child) {
    impl_->core.touch(association->peer());
    association->on_child_event(*child, event);
  }
  return impl_->core.finish();
}

void IkeEndpoint::on_inbound_traffic(TimePoint now, Spi inbound_spi) {
  impl_->core.begin(now);
  if (Association* association = impl_->core.owner_of(inbound_spi)) association->heard();
}

Actions IkeEndpoint::on_hint(TimePoint now, const Path& path) {
  impl_->core.begin(now);  // touches those who follow it up
  for (const auto& peer : impl_->core.peers()) peer->on_hint(path);
  return impl_->core.finish();
}

bool IkeEndpoint::is_taken(Spi esp) const {
  return impl_->core.is_taken(esp);
}

Actions IkeEndpoint::on_unknown_spi(TimePoint now, const Path& path, Spi spi) {
  impl_->core.begin(now);
  for (const auto& peer : impl_->core.peers()) peer->on_hint(path);
  impl_->core.report_unknown_spi(path, spi);
  return impl_->core.finish();
}

namespace {

std::unexpected<Error> unknown_peer(const Core& core, std::string_view name) {
  std::string known;
  for (const auto& peer : core.peers()) known += (known.empty() ? "" : ", ") + peer->config().name;
  return fail(Errc::not_found,
              fmt::format("no peer is called {}; there is: {}", log::sanitize(name), known.empty() ? "none" : known));
}

template <class Command>
Result<Actions> command(Core& core, TimePoint now, std::string_view name, Command run) {
  core.begin(now);
  Peer* peer = core.find_peer(name);
  if (!peer) return unknown_peer(core, name);
  core.touch(*peer);
  Result<void> done = run(*peer);
  if (!done) return std::unexpected(std::move(done.error()));
  return core.finish();
}

}  // namespace

Result<Actions> IkeEndpoint::up(TimePoint now, std::string_view peer) {
  return command(impl_->core, now, peer, [](Peer& found) { return found.up(); });
}

Result<Actions> IkeEndpoint::down(TimePoint now, std::string_view peer) {
  return command(impl_->core, now, peer, [this](Peer& found) {
    impl_->core.clients().for_each([&found](Peer& client) {
      if (client.client()->of == &found) client.kick("administratively down");
    });
    return found.down();
  });
}

Result<Actions> IkeEndpoint::rekey(TimePoint now, std::string_view peer, RekeyWhat what) {
  return command(impl_->core, now, peer, [what](Peer& found) { return found.rekey(what); });
}

Result<Actions> IkeEndpoint::reauthenticate(TimePoint now, std::string_view peer) {
  return command(impl_->core, now, peer, [](Peer& found) { return found.reauthenticate_now(); });
}

Result<Actions> IkeEndpoint::redirect(TimePoint now, const std::string& gateway) {
  if (!gateway.empty() && !IpAddress::parse(gateway) && !is_gateway_name(gateway))
    return fail(Errc::invalid, fmt::format("{} is neither an address nor a host name", log::sanitize(gateway)));
  impl_->core.begin(now);
  impl_->core.touch();
  const std::size_t num = impl_->core.redirect_to(gateway);
  impl_->core.report(log::Level::info, gateway.empty() ? "redirect: off"
                                                       : fmt::format("redirect: to {}; {} that are up and follow "
                                                                     "redirects are told so",
                                                                     gateway, num));
  return impl_->core.finish();
}

Actions IkeEndpoint::reconfigure(TimePoint now, Reconfiguration next) {
  impl_->core.begin(now);
  impl_->core.reconfigure(std::move(next));
  return impl_->core.finish();
}

Actions IkeEndpoint::shut_down(TimePoint now) {
  impl_->core.begin(now);
  impl_->core.touch();
  for (const auto& peer : impl_->core.peers()) peer->shut_down();
  impl_->core.clients().for_each([](Peer& client) { client.shut_down(); });
  return impl_->core.finish();
}

std::vector<Lease> IkeEndpoint::leases() const {
  return impl_->core.clients().leases();
}

std::vector<PeerStatus> IkeEndpoint::status(TimePoint now) const {
  impl_->core.begin(now);
  std::vector<PeerStatus> all;
  for (const auto& peer : impl_->core.peers()) all.push_back(peer->status());
  return all;
}

std::optional<PeerStatus> IkeEndpoint::status_of(TimePoint now, PeerId peer) const {
  impl_->core.begin(now);
  const Peer* found = impl_->core.find_peer(peer);
  return found ? std::optional(found->status()) : std::nullopt;
}

Measures IkeEndpoint::measures() const {
  return impl_->core.measures();
}

std::vector<PeerStatus> IkeEndpoint::clients(TimePoint now, std::optional<PeerId> after, std::size_t most) const {
  impl_->core.begin(now);
  std::vector<PeerStatus> some;
  const auto& all = impl_->core.clients().all();
  for (auto at = after ? all.upper_bound(*after) : all.begin(); at != all.end() && some.size() < most; ++at)
    if (at->second->has_association()) some.push_back(at->second->status());
  return some;
}

Result<Actions> IkeEndpoint::kick(TimePoint now, std::string_view user) {
  impl_->core.begin(now);
  std::size_t num = 0;
  for (Peer* client : impl_->core.clients().find_user(user)) {
    num += client->has_association();
    client->kick("the operator has disconnected it");
  }
  if (num == 0) return fail(Errc::not_found, fmt::format("no client {} is connected", log::sanitize(user)));
  return impl_->core.finish();
}

// ---- the way in
// ----------------------------------------------------------------------------------------------------------------

void Core::receive(const Path& path, ByteView datagram) {
  // The header alone says whether the rest is worth a look: a flood of what is not costs no allocation.
  const auto raw_header = parse_header(datagram);
  if (!raw_header) {
    const ParseError& error = raw_header.error();
    // RFC 7296 §2.5: a higher major version is answered with the one that we speak; a response never is.
    if (error.kind == ParseError::Kind::invalid_major_version && !error.header.response) {
      answer_stranger(path, error.header, {make_notify(NotifyType::invalid_major_version)});
    }
    return count(DropReason::ike_malformed);
  }
  const Header& header = *raw_header;
  const bool opens =
      header.exchange == ExchangeType::ike_sa_init || header.exchange == ExchangeType::ike_session_resume;
  if (opens && !header.response && header.spi_r.value() == 0) return admit(path, datagram, header);  // entrance.cpp

  const IkeSpi ours = header.initiator ? header.spi_r : header.spi_i;  // §3.1: the I flag is the sender's role
  Session* session = find_session(ours);
  // The other SPI must be the one that we know; before its first response we don't (§2.6).
  const bool known = session && session->initiator() != header.initiator &&
                     (session->state() == Session::State::init_sent ||
                      (session->spi_i() == header.spi_i && session->spi_r() == header.spi_r));
  if (!known && !unprotected_limit_.take(now_)) return count(DropReason::ike_unknown_sa);
  const auto message = parse(datagram);
  if (!message) return count(DropReason::ike_malformed);
  if (!known) return on_unprotected(path, *message);
  session->on_message(path, datagram, *message);
}

void Core::on_unprotected(const Path& path, const Message& message) {
  count(DropReason::ike_unknown_sa);
  count_received_errors(message);
  if (trace_->admits_stranger(now_))
    trace_stranger(TraceEntry::Kind::received, path, message.header, message.payloads, 0);
  const Header& header = message.header;
  if (header.response) {
    // §2.4, §2.21.4: what nobody authenticated is a hint, at most worth a liveness check.
    if (!message.encrypted && message.first_error()) {
      for (const auto& peer : peers_) peer->on_hint(path);
    }
    return;
  }
  if (message.encrypted) return answer_unknown_sa(path, header);
  // §2.21.4: never answered. §1.5: INVALID_SPI from outside any IKE SA.
  const NotifyPayload* notify = message.find_notify(NotifyType::invalid_spi);
  if (!notify || notify->data.size() != 4) return;
  const Spi spi(load_be<std::uint32_t>(notify->data.data()));
  for (const auto& peer : peers_) {
    if (peer->preferred() && peer->preferred()->sends_on(spi)) peer->on_hint(path);
  }
}

/// Outside any IKE SA: no state is kept, SPIs and message ID are the request's (§1.5, §2.21). For answers smaller than
/// their request.
void Core::answer_stateless(const Path& path, const Header& request, std::vector<Payload> payloads) {
  Header header = request;
  header.response = true;
  header.initiator = !request.initiator;
  count_sent_errors(payloads);
  Bytes answer = build(header, payloads);
  if (trace_->admits_stranger(now_)) trace_stranger(TraceEntry::Kind::sent, path, header, payloads, answer.size());
  send(path, std::move(answer));
}

/// The same for what anybody can cause with little: few a second.
void Core::answer_stranger(const Path& path, const Header& request, std::vector<Payload> payloads) {
  if (may_answer_stranger()) answer_stateless(path, request, std::move(payloads));
}

}  // namespace culvert::ike
