#include "simulation.h"

#include <fmt/format.h>

#include <algorithm>

namespace culvert::ike::test {
namespace {

Endpoint endpoint(const char* address, std::uint16_t port) {
  return {*IpAddress::parse(address), port};
}

Proposal ike_proposal(const char* text) {
  return *parse_ike_proposal(text);
}
Proposal esp_proposal(const char* text) {
  return *parse_esp_proposal(text);
}

/// RFC 7296 §3.1, as far as anybody can see it.
std::string header_text(ByteView bytes) {
  if (bytes.size() < 28) return "short";
  const char* exchange = bytes[18] == 34   ? "IKE_SA_INIT"
                         : bytes[18] == 35 ? "IKE_AUTH"
                         : bytes[18] == 38 ? "IKE_SESSION_RESUME"
                         : bytes[18] == 36 ? "CREATE_CHILD_SA"
                                           : "INFORMATIONAL";
  return fmt::format("{} {} {} of {:04x}_{:04x}, {} bytes", exchange, bytes[19] & 0x20 ? "response" : "request",
                     load_be<std::uint32_t>(&bytes[20]), load_be<std::uint16_t>(&bytes[0]),
                     load_be<std::uint16_t>(&bytes[8]), bytes.size());
}

}  // namespace

PeerConfig make_config(Side side) {
  PeerConfig config;
  config.id = PeerId(0);
  config.name = side == a ? "tokyo" : "paris";
  config.local_id = *Identity::parse(side == a ? "paris.example.net" : "tokyo.example.net");
  config.remote_id = *Identity::parse(side == a ? "tokyo.example.net" : "paris.example.net");
  config.auth =
      AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("correct horse battery staple"))));
  config.addresses = {side == a ? "192.0.2.2" : "192.0.2.1"};
  config.encapsulation = EncapsulationPreference::automatic;
  config.mobike = false;  // what stands without it; mobike.cpp and the seeds have it
  config.ike_proposals = {ike_proposal("aes128gcm16-prfsha256-x25519")};
  config.esp_proposals = {esp_proposal("aes128gcm16-x25519-esn")};
  ChildConfig child;
  child.id = ChildId(7);
  child.name = "gre";
  child.mode = ModePreference::prefer_transport;
  child.local = {SelectorSpec{std::nullopt, 47}};
  child.remote = {SelectorSpec{std::nullopt, 47}};
  config.children = {child};
  return config;
}

void make_messages_long(Simulation& simulation, int num_selectors) {
  for (const Side side : {a, b}) {
    ChildConfig& child = simulation.config(side).children.front();
    child.mode = ModePreference::tunnel;
    child.local.clear();
    child.remote.clear();
    for (int i = 0; i < num_selectors; ++i) {
      const auto prefix = [&](char net) { return *IpPrefix::parse(fmt::format("fd0{}:0:0:{}::/64", net, i * 2)); };
      child.local.push_back({prefix(side == a ? 'a' : 'b'), 0});
      child.remote.push_back({prefix(side == a ? 'b' : 'a'), 0});
    }
  }
}

Simulation::Simulation(std::uint64_t seed) : random_(seed * 2 + 1), now_(TimePoint{} + 1h) {
  for (const Side side : {a, b}) {
    Node& node = nodes_[side];
    node.address = node.inner = endpoint(side == a ? "192.0.2.1" : "192.0.2.2", 500);
    node.configs = {make_config(side)};
    node.random = std::make_unique<SeededRandom>(seed * 1000003 + static_cast<std::uint64_t>(side));
  }
}

void Simulation::start(Side side) {
  Node& node = nodes_[side];
  node.ike = std::make_unique<IkeEndpoint>(node.options, node.configs, *node.random);
  ++node.incarnation;
  tell(side, "starts");
  perform(side, node.ike->start(now_));
}

void Simulation::kill(Side side) {
  tell(side, "is killed");
  Node& node = nodes_[side];
  node.ike.reset();
  node.plane.clear();
  node.sending.clear();
  node.computing.clear();
}

void Simulation::put_behind_nat(const Endpoint& public_500, const Endpoint& public_4500) {
  nat_ = true;
  nat_500_ = public_500;
  nat_4500_ = public_4500;
  nodes_[a].address = public_500;
}

// ---- time
// ----------------------------------------------------------------------------------------------------------------------

std::optional<TimePoint> Simulation::next_event() const {
  std::optional<TimePoint> first;
  const auto earliest = [&](std::optional<TimePoint> at) {
    if (at && (!first || *at < *first)) first = at;
  };
  if (!events_.empty()) earliest(events_.top().at);
  for (const Node& node : nodes_) {
    if (node.ike) earliest(node.ike->deadline());
  }
  if (traffic_ > Duration::zero()) earliest(next_traffic_);
  return first;
}

void Simulation::run_until(TimePoint end) {
  for (;;) {
    const auto at = next_event();
    if (!at || *at > end || !fault_.empty()) break;
    now_ = std::max(now_, *at);
    step();
  }
  now_ = std::max(now_, end);
}

bool Simulation::run_until(const std::function<bool()>& done, Duration limit) {
  const TimePoint end = now_ + limit;
  while (!done()) {
    const auto at = next_event();
    if (!at || *at > end || !fault_.empty()) {
      now_ = std::max(now_, end);
      return done();
    }
    now_ = std::max(now_, *at);
    step();
  }
  return true;
}

void Simulation::step() {
  if (!events_.empty() && events_.top().at <= now_) {
    const Event event = events_.top();
    events_.pop();
    return receive(event);
  }
  for (const Side side : {a, b}) {
    Node& node = nodes_[side];
    if (!node.ike) continue;
    const auto at = node.ike->deadline();
    if (!at || *at > now_) continue;
    perform(side, node.ike->on_deadline(now_));
    const auto again = node.ike->deadline();
    expect(!again || *again > now_, "a deadline that has passed stays: the daemon would spin");
  }
  if (traffic_ > Duration::zero() && next_traffic_ <= now_) {
    next_traffic_ = now_ + traffic_;
    send_data(a);
    send_data(b);
  }
}

// ---- the wire
// ------------------------------------------------------------------------------------------------------------------

void Simulation::send(Side from, const Path& path, Bytes bytes) {
  const Datagram datagram{from, path, std::move(bytes), false};
  if (trace) tell(from, "sends " + header_text(datagram.bytes));
  if (captured_) return captured_->push_back(datagram);
  if (record_wire) wire.push_back(datagram);
  if (filter && !filter(datagram)) return;
  if (random_.chance(conditions_.loss)) return;
  const int copies = random_.chance(conditions_.duplicate) ? 2 : 1;
  const auto seen = seen_by_receiver(from, path);
  if (!seen) return;
  for (int i = 0; i < copies; ++i) enqueue({now_, 0, other(from), *seen, datagram.bytes, {}, {}, 0});
}

void Simulation::enqueue(Event event) {
  const auto range = static_cast<std::uint64_t>((conditions_.max_delay - conditions_.min_delay).count());
  event.at += conditions_.min_delay + Duration(range == 0 ? 0 : static_cast<Duration::rep>(random_.next() % range));
  event.order = order_++;
  events_.push(std::move(event));
}

/// nullopt: it does not arrive.
std::optional<Path> Simulation::seen_by_receiver(Side from, const Path& path) const {
  const auto has = [](const Node& node, const IpAddress& address) {
    return node.homes.empty() || address == node.elsewhere ||
           std::ranges::find(node.homes, address) != node.homes.end();
  };
  if (broken && broken(path.local.address, path.remote.address)) return std::nullopt;
  if (!has(nodes_[from], path.local.address)) return std::nullopt;
  Path seen{path.remote, path.local};
  if (nat_ && from == a) {
    seen.remote = path.local.port == 500 ? nat_500_ : nat_4500_;
  } else if (nat_) {
    if (path.remote != nat_500_ && path.remote != nat_4500_) return std::nullopt;  // a mapping that is gone
    seen.local = {nodes_[a].inner.address, path.remote == nat_500_ ? std::uint16_t{500} : std::uint16_t{4500}};
  }
  if (!has(nodes_[other(from)], seen.local.address)) return std::nullopt;
  return seen;
}

std::vector<Path> Simulation::find_paths(Side side, const std::vector<IpAddress>& remotes) const {
  const Node& node = nodes_[side];
  std::vector<IpAddress> ours = node.homes.empty() ? std::vector{node.inner.address} : node.homes;
  if (node.elsewhere && status(side).path.local.address == *node.elsewhere) ours.push_back(*node.elsewhere);
  std::vector<Path> chosen, others;
  for (const IpAddress& remote : remotes) {
    bool first = true;
    for (const IpAddress& local : ours) {
      if (local.family() != remote.family()) continue;
      (std::exchange(first, false) ? chosen : others).push_back({{local, 500}, {remote, 500}});
    }
  }
  chosen.insert(chosen.end(), others.begin(), others.end());
  return chosen;
}

void Simulation::rehome(Side side, std::vector<IpAddress> homes) {
  Node& node = nodes_[side];
  node.homes = std::move(homes);
  if (!node.homes.empty()) {
    node.inner.address = node.homes.front();
    if (!(nat_ && side == a)) node.address.address = node.homes.front();
    if (trace) tell(side, "is at " + node.homes.front().to_string());
  }
  if (node.ike) perform(side, node.ike->on_network_change(now_));
}

namespace {

Result<SkProtection> protection(const DebugIkeKeys& keys, bool initiator) {
  return SkProtection::create(keys.cipher, initiator ? keys.sk_ei.view() : keys.sk_er.view(),
                              initiator ? keys.sk_ai.view() : keys.sk_ar.view());
}

}  // namespace

Message parsed(ByteView bytes) {
  auto message = parse(bytes);
  return message ? std::move(*message) : Message{};
}

NotifyPayload notify(NotifyType type, Bytes data) {
  return {type, ProtocolId::none, {}, std::move(data)};
}

std::optional<Message> Simulation::open(const Datagram& datagram) const {
  auto message = parse(datagram.bytes);
  if (!message) return std::nullopt;
  if (!message->encrypted) return std::move(*message);
  const auto keys = keys_.find({message->header.spi_i, message->header.spi_r});
  if (keys == keys_.end()) return std::nullopt;
  auto sk = protection(keys->second, message->header.initiator);
  auto payloads = sk ? sk->open(datagram.bytes, *message) : std::unexpected(SkProtection::OpenError{});
  if (!payloads) return std::nullopt;
  return Message{message->header, std::move(*payloads), std::nullopt};
}

std::vector<Message> Simulation::messages(std::optional<Side> from) const {
  std::vector<Message> all;
  for (const Datagram& datagram : wire) {
    if (from && datagram.from != *from) continue;
    if (auto message = open(datagram)) all.push_back(std::move(*message));
  }
  return all;
}

Datagram Simulation::forge(Side from, ExchangeType exchange, bool response, std::uint32_t message_id,
                           const std::vector<Payload>& payloads) const {
  const PeerStatus peer = status(from);
  const auto keys = keys_.find({peer.spi_i, peer.spi_r});
  if (keys == keys_.end()) return {};
  auto sk = protection(keys->second, peer.initiator);
  const Header header{peer.spi_i, peer.spi_r, exchange, peer.initiator, response, MessageId(message_id)};
  return {from, peer.path, sk ? sk->seal(header, payloads).value_or(Bytes{}) : Bytes{}, false};
}

std::vector<Datagram> Simulation::forge_fragments(Side from, ExchangeType exchange, bool response,
                                                  std::uint32_t message_id, const std::vector<Payload>& payloads,
                                                  std::size_t max_len) const {
  const PeerStatus peer = status(from);
  const auto keys = keys_.find({peer.spi_i, peer.spi_r});
  if (keys == keys_.end()) return {};
  auto sk = protection(keys->second, peer.initiator);
  const Header header{peer.spi_i, peer.spi_r, exchange, peer.initiator, response, MessageId(message_id)};
  auto fragments = sk->seal_fragments(header, build_payloads(payloads), max_len);
  std::vector<Datagram> datagrams;
  for (Bytes& fragment : *fragments) datagrams.push_back({from, peer.path, std::move(fragment), false});
  return datagrams;
}

Datagram Simulation::rewritten(const Datagram& datagram, const std::vector<Payload>& payloads) const {
  const Header header = parsed(datagram.bytes).header;
  if (header.exchange == ExchangeType::ike_sa_init)
    return {datagram.from, datagram.path, build(header, payloads), false};
  const auto keys = keys_.find({header.spi_i, header.spi_r});
  if (keys == keys_.end()) return {};
  auto sk = protection(keys->second, header.initiator);
  return {datagram.from, datagram.path, sk ? sk->seal(header, payloads).value_or(Bytes{}) : Bytes{}, false};
}

std::vector<Datagram> Simulation::inject(const Datagram& datagram) {
  std::vector<Datagram> answers;
  captured_ = &answers;
  deliver(datagram);
  captured_ = nullptr;
  return answers;
}

void Simulation::deliver(const Datagram& datagram) {
  const auto seen = seen_by_receiver(datagram.from, datagram.path);
  if (seen) receive({now_, 0, other(datagram.from), *seen, datagram.bytes, {}, {}, 0});
}

void Simulation::receive(const Event& event) {
  Node& node = nodes_[event.to];
  if (!node.ike) return;
  if (event.compute) {
    if (event.incarnation == node.incarnation) compute(event.to, *event.compute);
    return;
  }
  if (event.esp) return receive_esp(event);
  const IpAddress& to_address = event.path.local.address;
  const bool stale_mapping =
      nat_ && event.to == b && to_address != nodes_[b].address.address && to_address != nodes_[b].elsewhere;
  if (stale_mapping) return;
  if (trace) tell(event.to, "  gets " + header_text(event.bytes));
  perform(event.to, node.ike->on_datagram(now_, event.path, event.bytes));
}

// ---- data
// ----------------------------------------------------------------------------------------------------------------------

void Simulation::send_data(Side from) {
  Node& node = nodes_[from];
  if (!node.ike) return;
  const auto& children = node.configs.front().children;
  const auto sending = node.sending.find(std::next(children.begin(), static_cast<std::ptrdiff_t>(random_.next() % children.size()))->id);
  if (sending == node.sending.end()) {
    ++node.unsent;
    return;
  }
  ++node.sent;
  PlaneSa& sa = node.plane.at(sending->second);
  const auto seen = seen_by_receiver(from, {sa.keys.local_endpoint, sa.keys.remote_endpoint});
  const std::uint64_t sequence = sa.next_sequence++;
  const bool silence = sa.unanswered && now_ - *sa.unanswered >= 500ms;
  if (silence || !sa.unanswered) sa.unanswered = now_;
  if (!random_.chance(conditions_.loss) && seen)
    enqueue({now_, 0, other(from), *seen, {}, sa.keys.outbound_spi, {}, 0, sequence});
  if (silence) perform(from, node.ike->on_unanswered_traffic(now_, sending->second));
}

void Simulation::receive_esp(const Event& event) {
  const Side to = event.to;
  const Spi spi = *event.esp;
  Node& node = nodes_[to];
  const auto found = node.plane.find(spi);
  if (found == node.plane.end()) {
    ++node.lost;
    if (trace) tell(to, fmt::format("gets a packet for {:08x}, which it does not have", spi.value()));
    return perform(to, node.ike->on_unknown_spi(now_, event.path, spi));
  }
  ++node.received;
  PlaneSa& sa = found->second;
  ++sa.received;
  const bool newest = event.sequence > sa.top_sequence;
  if (newest) sa.top_sequence = event.sequence;
  sa.unanswered.reset();
  const bool elsewhere = sa.keys.encapsulation == EspEncapsulation::udp && sa.keys.remote_endpoint != event.path.remote;
  const bool first = !std::exchange(sa.heard, true);
  node.ike->on_inbound_traffic(now_, spi);
  if (newest && elsewhere && esp_moves) perform(to, node.ike->on_esp_moved(now_, spi, event.path));
  if (first) perform(to, node.ike->on_child_event(now_, spi, ChildEvent::first_inbound));
}

// ---- calls
// ---------------------------------------------------------------------------------------------------------------------

void Simulation::tell(Side side, const std::string& what) {
  if (!trace) return;
  const double at = std::chrono::duration<double>(now_ - (TimePoint{} + 1h)).count();
  story.push_back(fmt::format("{:9.3f} {}: {}", at, side == a ? 'a' : 'b', what));
}

void Simulation::perform(Side side, Actions actions) {
  for (Action& action : actions) act(side, action);
  Node& node = nodes_[side];
  while (!node.computing.empty()) {
    const std::shared_ptr<Compute> work = node.computing.front();
    node.computing.pop_front();
    if (node.ike) compute(side, *work);
  }
  // As the daemon does: every action of a call before the next call.
  if (std::exchange(answering_, true)) return;
  while (!questions_.empty()) {
    const auto [asker, find] = std::move(questions_.front());
    questions_.pop_front();
    if (nodes_[asker].ike)
      perform(asker, nodes_[asker].ike->on_paths(now_, find.peer, find_paths(asker, find.remotes)));
  }
  answering_ = false;
}

/// What a pool of threads does in the daemon.
void Simulation::compute(Side side, Compute& work) {
  const bool no_room = conditions_.no_room > 0 && random_.chance(conditions_.no_room);
  if (trace) tell(side, fmt::format("  computed #{}{}", work.id, no_room ? ": no room" : ""));
  Node& node = nodes_[side];
  ++node.computed;
  std::unique_ptr<Computed> result = no_room ? nullptr : work.work(wall_clock);
  perform(side, node.ike->on_computed(now_, work.id, std::move(result)));
}

void Simulation::act(Side side, Action& action) {
  Node& node = nodes_[side];
  if (auto* send_action = std::get_if<SendDatagram>(&action)) {
    if (send_action->keepalive) {
      ++node.keepalives;
    } else {
      send(side, send_action->path, std::move(send_action->bytes));
    }
  } else if (auto* probed = std::get_if<PathProbed>(&action)) {
    node.probed.push_back(*probed);
  } else if (auto* install = std::get_if<InstallChild>(&action)) {
    node.echoes = install->echoes;
    const Spi spi = install->keys.inbound_spi;
    ++node.installs;
    if (trace) tell(side, fmt::format("installs {:08x}, sends on it: {}", spi.value(), install->use_outbound));
    expect(!node.plane.contains(spi), "an inbound SPI is installed twice");
    if (install->use_outbound) node.sending[install->keys.child] = spi;
    node.plane[spi].keys = std::move(install->keys);
  } else if (auto* activate = std::get_if<ActivateOutbound>(&action)) {
    if (trace) tell(side, fmt::format("activates {:08x}", activate->inbound_spi.value()));
    expect(node.plane.contains(activate->inbound_spi), "an SA is activated that is not there");
    node.sending[node.plane[activate->inbound_spi].keys.child] = activate->inbound_spi;
  } else if (auto* remove = std::get_if<RemoveChild>(&action)) {
    ++node.removes;
    if (trace) tell(side, fmt::format("removes {:08x}", remove->inbound_spi.value()));
    expect(node.plane.contains(remove->inbound_spi), "an SA is removed that is not there");
    node.plane.erase(remove->inbound_spi);
    std::erase_if(node.sending, [&](const auto& entry) { return entry.second == remove->inbound_spi; });
  } else if (auto* move = std::get_if<MoveChild>(&action)) {
    ++node.moves;
    if (trace)
      tell(side, fmt::format("moves {:08x}: {} to {}, {}", move->inbound_spi.value(), move->local_endpoint.to_string(),
                             move->remote_endpoint.to_string(),
                             move->encapsulation == EspEncapsulation::udp ? "UDP" : "raw ESP"));
    expect(node.plane.contains(move->inbound_spi), "an SA is moved that is not there");
    node.plane[move->inbound_spi].keys.local_endpoint = move->local_endpoint;
    node.plane[move->inbound_spi].keys.remote_endpoint = move->remote_endpoint;
    node.plane[move->inbound_spi].keys.encapsulation = move->encapsulation;
  } else if (auto* find = std::get_if<FindPaths>(&action)) {
    questions_.emplace_back(side, std::move(*find));
  } else if (auto* resolve = std::get_if<ResolveAddresses>(&action)) {
    ++node.resolves;
    std::vector<Path> paths =
        node.resolved ? *node.resolved : std::vector{Path{node.inner, nodes_[other(side)].address}};
    if (const auto elsewhere = IpAddress::parse(resolve->instead)) paths = {Path{node.inner, {*elsewhere, 500}}};
    perform(side, node.ike->on_addresses(now_, resolve->peer, std::move(paths), {}));
  } else if (auto* work = std::get_if<Compute>(&action)) {
    auto kept = std::make_shared<Compute>(std::move(*work));
    if (conditions_.max_compute == Duration::zero()) return node.computing.push_back(std::move(kept));
    const auto range = static_cast<std::uint64_t>(conditions_.max_compute.count());
    Event done{now_ + Duration(static_cast<Duration::rep>(random_.next() % range)),
               order_++,
               side,
               {},
               {},
               {},
               std::move(kept),
               node.incarnation};
    events_.push(std::move(done));
  } else if (auto* check = std::get_if<CheckRevocation>(&action)) {
    node.checked.push_back(check->chain);
    auto known = node.responders ? node.responders(*check) : nullptr;
    perform(side, node.ike->on_revocation(now_, check->id, std::move(known)));
  } else if (auto* login = std::get_if<UserSession>(&action)) {
    node.logins.push_back(std::move(*login));
  } else if (auto* logout = std::get_if<UserSessionEnd>(&action)) {
    node.logouts.push_back(*logout);
  } else if (auto* ask = std::get_if<AskRadius>(&action)) {
    node.asked.push_back(*ask);
    RadiusAnswer answer;
    answer.why = "no RADIUS server answers";
    if (node.radius) answer = node.radius(*ask);
    perform(side, node.ike->on_radius(now_, ask->id, std::move(answer)));
  } else if (auto* report = std::get_if<Report>(&action)) {
    if (trace) tell(side, "\"" + report->text + "\"");
    node.reports.push_back(std::move(*report));
  } else if (auto* kept = std::get_if<KeepTicketKeys>(&action)) {
    node.options.ticket_keys = std::make_shared<const Secret>(std::move(kept->keys));
  } else if (auto* lease = std::get_if<KeepLease>(&action)) {
    node.options.leases.push_back(std::move(lease->lease));
  } else if (auto* use = std::get_if<UseVirtualNet>(&action)) {
    node.virtual_net = std::move(use->net);
    ++node.virtual_nets;
  } else if (auto* keys = std::get_if<DebugIkeKeys>(&action)) {
    keys_.insert_or_assign({keys->spi_i, keys->spi_r}, std::move(*keys));
  } else if (auto* drop = std::get_if<CountDrop>(&action)) {
    ++node.drops[drop->reason];
    if (trace) tell(side, "drops: " + std::string(drop_reason_name(drop->reason)));
  }
}

void Simulation::command(Side side, Result<Actions> result) {
  if (!result) return expect(false, "a command was refused: " + result.error().detail);
  perform(side, std::move(*result));
}

PeerStatus Simulation::status(Side side) const {
  PeerStatus configured = nodes_[side].ike->status(now_).front();
  if (configured.clients == 0) return configured;
  return nodes_[side].ike->clients(now_, std::nullopt, configured.clients).back();  // who came last
}

bool Simulation::established(Side side) const {
  return nodes_[side].ike && status(side).state == PeerStatus::State::established;
}

bool Simulation::up(Side side) const {
  if (!established(side)) return false;
  const PeerStatus peer = status(side);
  return std::ranges::all_of(peer.children, [](const ChildStatus& child) { return child.up; });
}

bool Simulation::both_gone() const {
  return !established(a) && !established(b) && nodes_[a].plane.empty() && nodes_[b].plane.empty();
}

void Simulation::expect(bool holds, const std::string& what) {
  if (!holds && fault_.empty()) fault_ = what;
}

std::optional<std::string> Simulation::disagreement() const {
  if (!fault_.empty()) return fault_;
  if (!nodes_[a].ike || !nodes_[b].ike) return "one side is not running";
  const PeerStatus here = status(a), there = status(b);
  if (!established(a) || !established(b)) return "not both have an IKE SA: a: " + here.reason + "; b: " + there.reason;
  if (here.spi_i != there.spi_i || here.spi_r != there.spi_r) return "they keep different IKE SAs";
  if (here.initiator == there.initiator) return "both think they have the same role";
  for (std::size_t i = 0; i < here.children.size(); ++i) {
    if (!here.children[i].up || !there.children[i].up) {
      return "not both have a child: " + here.children[i].reason + "; " + there.children[i].reason;
    }
  }
  for (const Side side : {a, b}) {
    const Node& node = nodes_[side];
    const std::size_t num_children = node.configs.front().children.size();
    if (node.plane.size() != num_children) {
      return std::string(side == a ? "a" : "b") + " has " + std::to_string(node.plane.size()) + " SA pairs";
    }
    if (node.sending.size() != num_children) return "a side does not send";
  }
  for (const auto& [spi, sa] : nodes_[a].plane) {
    const auto pair = nodes_[b].plane.find(sa.keys.outbound_spi);
    if (pair == nodes_[b].plane.end()) return "the SPIs do not match crosswise";
    if (const auto wrong = mismatch(sa.keys, pair->second.keys)) return wrong;
  }
  return std::nullopt;
}

std::optional<std::string> Simulation::misplaced() const {
  for (const Side side : {a, b}) {
    const Path path = status(side).path;
    const auto seen = seen_by_receiver(side, path);
    if (!seen) return fmt::format("{} sends where nobody is: {}", side == a ? "a" : "b", path.remote.to_string());
    const Path there = status(other(side)).path;
    if (*seen != there)
      return fmt::format("{} sends from {} to {}, the other side thinks it is at {}", side == a ? "a" : "b",
                         path.local.to_string(), path.remote.to_string(), there.remote.to_string());
    for (const auto& [spi, sa] : nodes_[side].plane) {
      if (sa.keys.local_endpoint != path.local || sa.keys.remote_endpoint != path.remote)
        return fmt::format("ESP of {} goes to {}, IKE to {}", side == a ? "a" : "b",
                           sa.keys.remote_endpoint.to_string(), path.remote.to_string());
    }
  }
  return std::nullopt;
}

std::optional<std::string> Simulation::mismatch(const ChildSaKeys& mine, const ChildSaKeys& theirs) const {
  if (mine.inbound_spi != theirs.outbound_spi || mine.child != theirs.child) return "the SPIs do not match crosswise";
  if (!mine.inbound.encryption.equals(theirs.outbound.encryption.view()) ||
      !mine.outbound.encryption.equals(theirs.inbound.encryption.view())) {
    return "the keys do not match crosswise";
  }
  if (mine.esn != theirs.esn || mine.mode != theirs.mode || mine.encapsulation != theirs.encapsulation) {
    return "the SAs differ in kind";
  }
  // Transport mode puts in the address that an end sees (RFC 7296 §2.23.1): where one moves, it may be an earlier one.
  const bool as_seen = mine.mode == EspMode::transport && !nodes_[a].homes.empty();
  if (mine.local != theirs.remote && !nat_ && !as_seen) return "the selectors differ";
  return std::nullopt;
}

bool Simulation::reported(Side side, std::string_view text, log::Level at_least) const {
  return std::ranges::any_of(nodes_[side].reports,
                             [&](const Report& line) { return line.level >= at_least && line.text.contains(text); });
}

}  // namespace culvert::ike::test
