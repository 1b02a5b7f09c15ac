// MOBIKE, RFC 4555: IKE_AUTH, and INFORMATIONAL about addresses.
//
//   HDR, SK {…, N(MOBIKE_SUPPORTED), [N(ADDITIONAL_*_ADDRESS),]+ SA, TSi, TSr}  -->
//                        <--  HDR, SK {…, N(MOBIKE_SUPPORTED), [N(ADDITIONAL_*_ADDRESS),]+ SA, TSi, TSr}
//
//   from and to the new addresses, by the initiator alone (§3.5):
//   HDR, SK {N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION_*), N(COOKIE2)}            -->
//                        <--  HDR, SK {N(NAT_DETECTION_*), N(COOKIE2)}
//                        <--  HDR, SK {N(COOKIE2)}                  return routability, before ESP goes there (§3.7)
//   HDR, SK {N(COOKIE2)}                                                        -->
//
//   by either (§3.6):
//   HDR, SK {[N(ADDITIONAL_*_ADDRESS)]+ or N(NO_ADDITIONAL_ADDRESSES)}          -->
//                        <--  HDR, SK {}
//
// What happens to the addresses of SAs is in association_mobility.cpp.
#include <algorithm>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr int detour_tries = 3;  // sends by a detour alone; then by the IKE SA's path, or a dead detour would end it
constexpr int present_path_tries = 2;  // sends by the present path alone; then by all that there are (RFC 4555 §3.10)
constexpr Duration again_pause = std::chrono::seconds(1);
constexpr std::size_t max_asked_by = 16;
constexpr int max_update_attempts = 4;  // with UNEXPECTED_NAT_DETECTED (§3.9: several)

Bytes new_cookie2(crypto::RandomSource& random) {
  Bytes cookie(cookie2_len);
  random.fill(cookie);
  return cookie;
}

/// What NAT_DETECTION_DESTINATION_IP says: the receiver's address as the sender sees it, hashed.
Bytes seen_by_peer(const Message& message) {
  const NotifyPayload* notify = message.find_notify(NotifyType::nat_detection_destination_ip);
  return notify ? notify->data : Bytes{};
}

}  // namespace

// ---- IKE_AUTH
// ------------------------------------------------------------------------------------------------------------------

/// §3.1: in the message that has the SA payload. Of our other addresses those that the configuration names; what the
/// kernel has beside them is announced as soon as it is known (on_paths).
void Session::offer_mobike(std::vector<Payload>& payloads) const {
  if (!config().mobike) return;
  payloads.emplace_back(make_notify(NotifyType::mobike_supported));
  std::vector<IpAddress> others = config().local_addresses;
  std::erase(others, origin_.path.local.address);
  if (others.size() > max_additional_addresses) others.resize(max_additional_addresses);
  if (!others.empty()) add_address_list(payloads, others);
  // §3.9: where NAT traversal is not in use, the addresses themselves are protected.
  if (!uses_nat_traversal() && origin_.initiator) payloads.emplace_back(no_nats_allowed(origin_.path));
}

void Session::agree_on_mobike(const Message& message) {
  const AddressNotifies said = read_addresses(message);
  if (config().mobike && said.supported) association_->start_mobility(said);
}

bool Session::uses_nat_traversal() const {
  return origin_.nat.supported && config().encapsulation != EncapsulationPreference::raw;
}

void Session::add_nat_detection(std::vector<Payload>& payloads, const Path& path) {
  for (Payload& payload : nat_payloads(origin_.spi_i, origin_.spi_r, path, origin_.nat.announced, core_.random())) {
    payloads.push_back(std::move(payload));
  }
}

// ---- by which path
// -------------------------------------------------------------------------------------------------------------

void Session::send_pending(const Path& path) {
  if (std::ranges::find(asked_by_, path) == asked_by_.end() && asked_by_.size() < max_asked_by)
    asked_by_.push_back(path);
  send_all(path, requests_.datagrams());
}

/// Sends the request under way, for the first time or again. Where the answer comes from tells which path works.
void Session::transmit() {
  if (!detours_.empty() && requests_.num_sent() <= detour_tries) {
    went_elsewhere_ = true;
    for (const Path& path : detours_) send_pending(path);
    return;
  }
  send_pending(origin_.path);
  if (!association_ || !association_->leads() || requests_.num_sent() <= present_path_tries) return;
  if (state_ != State::established || association_->current() != this) return;
  for (const Path& path : association_->other_paths()) {
    went_elsewhere_ = true;
    send_pending(path);
  }
}

/// The peer is there (again), and an older request of ours waits for its answer: it need not wait for the next of ever
/// longer pauses. At most as often as for the first time; it counts as none of the tries.
void Session::resend_early() {
  if (large_probe() || !requests_.may_resend_early(core_.now())) return;
  send_pending(origin_.path);
}

void Session::note_answer(const Path& path) {
  detours_.clear();
  asked_by_ = {};
  ambiguous_ = std::exchange(went_elsewhere_, false);
  if (!ambiguous_ || path == origin_.path) return;
  if (association_ && association_->current() == this) association_->on_answer_by(path);
}

void Session::relocate(const Path& path) {
  origin_.path = path;
  if (requests_.idle() || requests_.held() || state_ == State::closed) return;
  detours_.clear();
  went_elsewhere_ = false;
  requests_.restart(core_.now());
  if (ProbingPath* probe = large_probe()) {  // of another path
    probe->interrupted = true;
    give_up_large_probe();
  }
  transmit();
}

void Session::set_nat(const NatStatus& found) {
  const bool announced = origin_.nat.announced, supported = origin_.nat.supported;
  origin_.nat = found;
  origin_.nat.announced = announced;
  origin_.nat.supported = supported;
  const bool floated = origin_.path.local.port == core_.options().nat_port;
  const bool needed = origin_.nat.local && floated && config().keepalive > Duration::zero();
  if (!needed || state_ != State::established) {
    keepalive_at_.reset();
  } else if (!keepalive_at_) {
    keepalive_at_ = core_.now() + config().keepalive;
  }
}

// ---- requests
// ------------------------------------------------------------------------------------------------------------------

bool Session::begin_update(Task task) {
  Mobility& mobility = association_->mobility();
  std::vector<Payload> payloads;
  payloads.emplace_back(make_notify(NotifyType::update_sa_addresses));
  if (uses_nat_traversal()) {
    add_nat_detection(payloads, origin_.path);
  } else {
    payloads.emplace_back(no_nats_allowed(origin_.path));
  }
  if (std::vector<IpAddress> ours = association_->own_addresses(); ours != mobility.announced) {
    add_address_list(payloads, ours);
    mobility.announced = std::move(ours);
  }
  Bytes cookie = new_cookie2(core_.random());
  payloads.emplace_back(make_notify(NotifyType::cookie2, cookie));
  send_request(ExchangeType::informational, payloads,
               UpdatingAddresses{std::move(task), mobility.moves, std::move(cookie)});
  return true;
}

void Session::on_update_response(UpdatingAddresses exchange, const Message& message) {
  Mobility& mobility = association_->mobility();
  const AddressNotifies said = read_addresses(message);
  if (!said.cookie2.empty() || (!said.unacceptable && !said.unexpected_nat)) {
    if (!cookie2_holds(exchange.cookie, said)) return;
  }
  if (exchange.moves != mobility.moves) return;  // §3.5: a newer update is on its way, or will be
  // The peer goes by the addresses of the copy that it got first, which may have been another one.
  if (ambiguous_) return association_->add_task(std::move(exchange.task), true);
  if (said.unexpected_nat) {
    if (++exchange.task.attempts < max_update_attempts) return association_->add_task(std::move(exchange.task), true);
    return association_->leave_refused_path("a NAT is on it (UNEXPECTED_NAT_DETECTED)");
  }
  if (said.unacceptable) return association_->leave_refused_path("the peer refuses it (UNACCEPTABLE_ADDRESSES)");
  if (said.nat_detection && uses_nat_traversal()) {
    mobility.pending_nat = read_nat(message.payloads, origin_.spi_i, origin_.spi_r, heard_on_);
    mobility.nat_spi = our_spi();
    mobility.nat_seen = seen_by_peer(message);
  }
  association_->verified(origin_.path);
  if (association_->current() == this) return;
  // A rekey has come in between. Who has begun to delete this IKE SA may have done nothing but answer.
  exchange.task.not_before = core_.now() + again_pause;
  association_->add_task(std::move(exchange.task));
}

bool Session::begin_announcement() {
  Mobility& mobility = association_->mobility();
  std::vector<Payload> payloads;
  mobility.announced = association_->own_addresses();
  add_address_list(payloads, mobility.announced);
  if (!uses_nat_traversal()) payloads.emplace_back(no_nats_allowed(origin_.path));
  send_request(ExchangeType::informational, payloads, Announcing{});
  return true;
}

bool Session::begin_check() {
  Mobility& mobility = association_->mobility();
  if (!mobility.check && !mobility.children_path) return false;  // settled meanwhile
  const Path path = mobility.check.value_or(origin_.path);
  std::vector<Path> detours;
  if (path != origin_.path) detours.push_back(path);
  Bytes cookie = new_cookie2(core_.random());
  const std::vector<Payload> payloads{make_notify(NotifyType::cookie2, cookie)};
  send_request(ExchangeType::informational, payloads, CheckingAddress{path, mobility.moves, std::move(cookie)},
               std::move(detours));
  return true;
}

/// §3.7: the answer is worth something only when the request went to that one address alone.
void Session::on_check_response(const CheckingAddress& exchange, const Message& message) {
  Mobility& mobility = association_->mobility();
  if (!cookie2_holds(exchange.cookie, read_addresses(message))) return;
  const bool to_it_alone = exchange.moves == mobility.moves && heard_on_.remote == exchange.path.remote;
  if (mobility.check == exchange.path) mobility.check.reset();
  if (to_it_alone) return association_->verified(exchange.path);
  if (mobility.children_path) {
    Task again;
    again.kind = Task::Kind::check_address;
    association_->add_task(std::move(again), true);
  }
}

bool Session::begin_test() {
  std::vector<Path> better = association_->better_paths();
  if (better.empty()) return false;
  send_request(ExchangeType::informational, {}, Probing{}, std::move(better));
  return true;
}

/// §3.8: the peer sees us elsewhere than before: a NAT has a new mapping, and the peer does not know that it counts.
void Session::on_probe_response(const Message& message) {
  Mobility& mobility = association_->mobility();
  Bytes seen = seen_by_peer(message);
  if (!association_->leads() || !origin_.nat.local || seen.empty()) return;
  const bool changed = mobility.nat_spi == our_spi() && mobility.nat_seen != seen;
  const bool unknown = mobility.nat_seen.empty();  // it may have changed since IKE_AUTH
  mobility.nat_spi = our_spi();                    // the hash covers the SPIs: another IKE SA, another hash
  mobility.nat_seen = std::move(seen);
  if (!changed && !unknown) return;
  Task task;
  task.kind = Task::Kind::update_addresses;
  association_->add_task(std::move(task), true);
}

/// §3.7: if the values do not match, the IKE SA MUST be closed.
bool Session::cookie2_holds(const Bytes& sent, const AddressNotifies& said) {
  if (said.cookie2 == sent) return true;
  core_.report_limited("cookie2 " + config().name, log::Level::warn, about(),
                       fmt::format("{}: COOKIE2 came back changed; IKE SA closed", label()));
  send_last_delete();
  association_->on_session_closed(*this, "COOKIE2 came back changed", true);
  return false;
}

// ---- answers
// -------------------------------------------------------------------------------------------------------------------

/// §3.7: as it is.
void Session::echo_cookie2(const Message& message, Reply& reply) {
  Bytes cookie = read_addresses(message).cookie2;
  if (!cookie.empty()) reply.payloads.emplace_back(make_notify(NotifyType::cookie2, std::move(cookie)));
}

void Session::answer_addresses(const Message& message, Reply& reply) {
  const AddressNotifies said = read_addresses(message);
  echo_cookie2(message, reply);
  if (!association_->mobility().supported) return;
  if (!no_nat_between(message, answering_->path)) {  // §3.9: and nothing else is done
    reply.payloads.emplace_back(make_notify(NotifyType::unexpected_nat_detected));
    return;
  }
  const bool accepted = !said.update || association_->leads() || answer_update(message, said);
  if (!accepted) {
    reply.payloads.emplace_back(make_notify(NotifyType::unacceptable_addresses));
  } else if (said.nat_detection && uses_nat_traversal()) {
    add_nat_detection(reply.payloads, answering_->path);  // §3.8: also when nothing is updated
  }
  if (said.listed) association_->on_peer_addresses(said, answering_->path);
}

/// The addresses are those of the IP header (§3.5). False: they are not acceptable.
bool Session::answer_update(const Message& message, const AddressNotifies& said) {
  // §3.5: one that is older than what we know changes nothing. Here: it was sent before a rekey, and came after.
  std::uint32_t& updated_on = association_->mobility().updated_on;
  if (generation_ < updated_on) return true;
  updated_on = generation_;
  const IpAddress& from = answering_->path.remote.address;
  std::optional<NatStatus> nat;
  if (said.nat_detection) nat = read_nat(message.payloads, origin_.spi_i, origin_.spi_r, answering_->path);
  std::string why;
  if (!peer_->may_come_from(from)) {
    why = "is none of its addresses (`address` of the peer)";
  } else if (nat && nat->needs_udp() && config().encapsulation == EncapsulationPreference::raw) {
    why = "is behind a NAT, and encapsulation = \"raw\" forbids UDP";
  }
  if (why.empty()) {
    association_->follow_update(answering_->path, nat);
    return true;
  }
  core_.report_limited("update " + config().name, log::Level::warn, about(why),
                       fmt::format("{}: it wants to move to {}, which {}; refused", label(), from.to_string(), why));
  return false;
}

}  // namespace culvert::ike
