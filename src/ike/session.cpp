#include "session.h"

#include <algorithm>
#include <cassert>

#include "association.h"
#include "clients.h"
#include "peer.h"

namespace culvert::ike {

Session::Session(Core& core, Origin origin, State state, MessageId next_id)
    : core_(core), origin_(origin), state_(state), requests_(next_id), created_(core.now()) {
  if (state == State::half_open) give_up_at_ = created_ + half_open_time;
}

Session::~Session() = default;

// ---- what comes in
// -------------------------------------------------------------------------------------------------------------

void Session::on_message(const Path& path, ByteView datagram, const Message& message) {
  if (message.header.response) {
    on_response(path, datagram, message);
  } else {
    on_request(path, datagram, message);
  }
}

void Session::on_request(const Path& path, ByteView datagram, const Message& message) {
  const Header& header = message.header;
  // We are at it: neither to be answered twice nor ahead of the window.
  if (answering_ && answering_->header.message_id == header.message_id) return core_.count(DropReason::ike_replayed);
  switch (responses_.judge(header.message_id, datagram)) {
    case ResponseWindow::Verdict::repeated:
      trace_repeated(path, header);
      return send_all(path, responses_.cached());  // RFC 7296 §2.1: byte for byte, to where it came from
    case ResponseWindow::Verdict::changed:
      return on_changed_request(path, datagram, message);
    case ResponseWindow::Verdict::stale:
      return core_.count(DropReason::ike_replayed);
    case ResponseWindow::Verdict::ahead:
      return complain(datagram, message);
    case ResponseWindow::Verdict::fresh:
      break;
  }
  // Overtook the answer to our IKE_AUTH, or came after a failed one: nobody has authenticated the sender. It will
  // repeat it.
  if (!association_ && state_ != State::half_open) return core_.count(DropReason::ike_unknown_sa);
  auto opened = open(datagram, message, request_fragments_);
  if (!opened) return;
  trace_received(path, datagram.size(), message, opened->message.payloads, opened->malformed);
  confirmed_ = true;
  heard_on_ = path;
  core_.touch(*this);
  follow(path);
  if (association_) {
    association_->heard();
    confirm_children();
    resend_early();
  }
  answering_ = std::make_unique<Answering>(path, header, std::move(opened->digest));
  // §2.21.3: badly formatted behind a good ICV is fatal for the IKE SA on both sides.
  if (opened->malformed) return send_reply(invalid_syntax(opened->malformed));
  answer(std::move(opened->message));
}

/// Once when the request comes, and when that starts work on another thread, again when it is done.
void Session::answer(Message opened) {
  if (compute_for_request(opened)) return;
  send_reply(dispatch_request(opened.header.exchange, opened));
}

void Session::on_response(const Path& path, ByteView datagram, const Message& message) {
  if (state_ == State::init_sent) return on_init_response(path, datagram, message);
  if (proves_crash(message)) return on_peer_crashed();
  if (!message.encrypted || !in_) {
    core_.count(DropReason::ike_malformed);
    // §2.4, §2.21.4: an unprotected notify is a hint at most.
    if (association_ && message.first_error()) association_->on_hint();
    return;
  }
  if (state_ == State::closed || !requests_.answers(message.header)) return core_.count(DropReason::ike_replayed);
  auto opened = open(datagram, message, response_fragments_);
  if (!opened) return;
  trace_received(path, datagram.size(), message, opened->message.payloads, opened->malformed);
  confirmed_ = true;
  heard_on_ = answer_path_ = path;
  core_.touch(*this);
  // Who is asked at an address answers from it (RFC 7296 §2.11), wherever else he has gone since.
  if (std::ranges::find(asked_by_, path) == asked_by_.end()) follow(path);
  if (association_) association_->heard();
  if (opened->malformed) {
    requests_.answered();
    return fail_broken_response(opened->malformed);
  }
  take_response(std::move(opened->message));
}

/// Once when the response comes, and when that starts work on another thread, again when it is done.
void Session::take_response(Message opened) {
  if (compute_for_response(opened)) return;
  if (association_ && requests_.num_sent() == 1 && opened.header.exchange == ExchangeType::informational)
    association_->note_rtt(core_.now() - requests_.last_sent());
  requests_.answered();
  note_answer(answer_path_);
  dispatch_response(opened.header.exchange, opened);
}

MessageKind Session::kind_of(ExchangeType exchange, bool response) const {
  switch (exchange) {
    case ExchangeType::ike_sa_init:
      return response ? MessageKind::init_response : MessageKind::init_request;
    case ExchangeType::ike_auth:
      if (handshake_ && handshake_->eap) return response ? MessageKind::eap_response : MessageKind::eap_request;
      return response ? MessageKind::auth_response : MessageKind::auth_request;
    case ExchangeType::create_child_sa:
      return response ? MessageKind::create_child_response : MessageKind::create_child_request;
    case ExchangeType::informational:
    case ExchangeType::ike_session_resume:
      break;
  }
  return MessageKind::informational;
}

Session::Reply Session::dispatch_request(ExchangeType exchange, const Message& opened) {
  core_.count_received_errors(opened);
  if (const auto problem = check_payloads(kind_of(exchange, false), opened.payloads)) return reply_to_problem(*problem);
  if (!is_open()) return answer_when_closed(opened);
  const bool expects_auth = state_ == State::half_open;
  if (expects_auth != (exchange == ExchangeType::ike_auth)) return invalid_syntax("an exchange out of order");
  switch (exchange) {
    case ExchangeType::ike_auth:
      return handshake_->eap ? answer_eap(opened) : answer_auth(opened);
    case ExchangeType::create_child_sa:
      return answer_create_child(opened);
    case ExchangeType::informational:
      return answer_informational(opened);
    case ExchangeType::ike_sa_init:
    case ExchangeType::ike_session_resume:
      break;
  }
  return invalid_syntax("an exchange of unknown type");
}

void Session::dispatch_response(ExchangeType exchange, const Message& opened) {
  core_.count_received_errors(opened);
  if (const auto problem = check_payloads(kind_of(exchange, true), opened.payloads)) {
    return fail_broken_response(problem->kind == PayloadProblem::Kind::unknown_critical
                                    ? "an unknown critical payload"
                                    : "a missing or repeated payload");
  }
  Exchange about = take_exchange();
  if (std::holds_alternative<Handshaking>(about)) return on_auth_response(opened);
  if (auto* child = std::get_if<CreatingChild>(&about)) {
    if (association_->ended()) return core_.release_esp_spi(child->offer.spi);  // goes with the IKE SA
    return on_child_response(std::move(*child), opened);
  }
  if (auto* rekey = std::get_if<RekeyingIke>(&about)) return on_rekey_ike_response(std::move(*rekey), opened);
  if (auto* deletion = std::get_if<DeletingChild>(&about)) return on_delete_child_response(*deletion);
  if (std::holds_alternative<DeletingIke>(about)) return close();
  if (!association_ || association_->ended()) return;
  if (const auto* probe = std::get_if<ProbingPath>(&about)) return on_path_probe_response(*probe);
  if (std::holds_alternative<Probing>(about)) return on_probe_response(opened);
  if (auto* update = std::get_if<UpdatingAddresses>(&about)) return on_update_response(std::move(*update), opened);
  if (const auto* check = std::get_if<CheckingAddress>(&about)) return on_check_response(*check, opened);
}

/// RFC 7296 §2.25.2: a Delete that crosses ours is answered as usual; there is nothing left for other requests. Once we
/// are closed a peer that asks for more is one that never heard of it (we had given it up): an answer would be a proof
/// of life (§2.4), and it would keep what we no longer have.
Session::Reply Session::answer_when_closed(const Message& request) {
  Reply reply;
  const auto* deletion = request.find<DeletePayload>();
  reply.close = deletion && deletion->protocol == ProtocolId::ike;
  reply.gone = !reply.close && state_ == State::closed;
  if (reply.close) reply.reason = "deleted by both sides at once";
  if (reply.close || reply.gone) return reply;
  if (request.header.exchange != ExchangeType::informational) {
    return reply_with(refusal(NotifyType::temporary_failure, "the IKE SA is being deleted"));
  }
  if (association_ && !association_->ended()) {
    answer_addresses(request,
                     reply);  // of an IKE SA that a rekey has replaced: the addresses are those of its successor, too
  } else {
    echo_cookie2(request, reply);  // RFC 4555 §3.7: or the peer would have to take us for somebody else
  }
  return reply;
}

Session::Reply Session::reply_with(Refusal refused) {
  return {{std::move(refused.notify)}, false, std::move(refused.why)};
}

Session::Reply Session::invalid_syntax(std::string_view where) {
  Reply reply = reply_with(refusal(NotifyType::invalid_syntax, fmt::format("it sent a malformed message ({})", where)));
  reply.close = true;
  return reply;
}

Session::Reply Session::reply_to_problem(const PayloadProblem& problem) {
  if (problem.kind != PayloadProblem::Kind::unknown_critical) return invalid_syntax("a missing or repeated payload");
  Reply reply = reply_with(refusal(NotifyType::unsupported_critical_payload,
                                   fmt::format("it sent a critical payload of type {}", problem.type)));
  std::get<NotifyPayload>(reply.payloads.front()).data = {problem.type};  // §2.5
  return reply;
}

void Session::send_reply(Reply reply) {
  Answering request = std::move(*std::exchange(answering_, nullptr));
  if (reply.gone) return core_.answer_without_sa(request.path, request.header, !association_ || association_->ended());
  core_.count_sent_errors(reply.payloads);
  const Header response = header(request.header.exchange, true, request.header.message_id);
  Result<std::vector<Bytes>> datagrams = seal(response, build_payloads(reply.payloads));
  if (!datagrams) return close();  // the cipher refused: nothing can be said on this IKE SA any more
  responses_.answered(std::move(request.digest), std::move(*datagrams));
  send_all(request.path, responses_.cached());
  trace_sent(request.path, response, reply.payloads, responses_.cached());
  if (!reply.reason.empty()) trace_note(reply.reason);
  if (!reply.close) return;
  if (association_) {
    association_->on_session_closed(*this, reply.reason, false);
    // Of the end of all that this IKE SA had the peer has told. That it deletes what a rekey has replaced is how it
    // should be.
    if (!association_->ended())
      core_.report(log::Level::debug, about(), fmt::format("{}: replaced IKE SA closed: {}", label(), reply.reason));
  } else {
    close();
  }
}

// ---- what goes out
// -------------------------------------------------------------------------------------------------------------

Header Session::header(ExchangeType exchange, bool response, MessageId id) const {
  return {origin_.spi_i, origin_.spi_r, exchange, origin_.initiator, response, id};
}

namespace {

constexpr Duration fallback_first = std::chrono::milliseconds(500);
constexpr int fallback_tries = 2;

}  // namespace

RetransmitPolicy Session::retransmit_policy() const {
  // Where UDP is blocked nothing ever comes back: who waits for TCP does not wait long.
  if (state_ == State::init_sent && config().tcp_port != 0 && peer_ && peer_->has_next_path())
    return {std::min(config().retransmit_first, fallback_first), config().retransmit_factor, fallback_tries};
  return {config().retransmit_first, config().retransmit_factor, config().retransmit_tries};
}

void Session::send_request(ExchangeType exchange, const std::vector<Payload>& payloads, Exchange about,
                           std::vector<Path> detours) {
  Result<std::vector<Bytes>> datagrams = seal(header(exchange, false, requests_.id()), build_payloads(payloads));
  if (!datagrams) {
    core_.report(log::Level::error, this->about(),
                 fmt::format("{}: cannot protect a request: {}", label(), datagrams.error().detail));
    return on_lost();
  }
  core_.touch(*this);
  exchange_ = std::make_unique<Exchange>(std::move(about));
  response_fragments_.clear();
  requests_.sent(core_.now(), exchange, std::move(*datagrams), retransmit_policy());
  trace_sent(origin_.path, header(exchange, false, requests_.id()), payloads, requests_.datagrams());
  detours_ = std::move(detours);
  asked_by_.clear();
  went_elsewhere_ = false;
  transmit();
}

bool Session::begin(Task task) {
  assert(ready() || (task.kind == Task::Kind::update_addresses && requests_.idle()));
  switch (task.kind) {
    case Task::Kind::create_child:
    case Task::Kind::rekey_child:
      return begin_child(std::move(task));
    case Task::Kind::rekey_ike:
      return begin_rekey_ike(std::move(task));
    case Task::Kind::delete_child:
      return begin_delete_child(std::move(task));
    case Task::Kind::probe:
    case Task::Kind::complain:
      return begin_probe(task);
    case Task::Kind::probe_path:
      return begin_path_probe(task);
    case Task::Kind::redirect:
      return begin_redirect();
    case Task::Kind::announce_token:
      return begin_announce_token();
    case Task::Kind::update_addresses:
      return begin_update(std::move(task));
    case Task::Kind::announce_addresses:
      return begin_announcement();
    case Task::Kind::check_address:
      return begin_check();
    case Task::Kind::test_path:
      return begin_test();
  }
  return false;
}

/// RFC 7296 §2.3: a request beyond the window is not answered; its sender may be told, once authenticated, at most now
/// and then.
void Session::complain(ByteView datagram, const Message& message) {
  core_.count(DropReason::ike_replayed);
  const bool often = complained_at_ && core_.now() - *complained_at_ < std::chrono::seconds(30);
  if (!association_ || often || !message.encrypted || !in_) return;
  if (!in_->open_content(datagram, message)) return;
  core_.touch(*this);
  complained_at_ = core_.now();
  Task task;
  task.kind = Task::Kind::complain;
  task.message_id = message.header.message_id.value();
  association_->add_task(std::move(task));
}

// ---- state
// ---------------------------------------------------------------------------------------------------------------------

void Session::move_to(State next) {
  core_.touch(*this);
  // Our own logic; no message can ask for another order.
  switch (next) {
    case State::auth_sent:
      assert(state_ == State::init_sent);
      break;
    case State::established:
      assert(state_ == State::auth_sent || state_ == State::half_open);
      break;
    case State::superseded:
      assert(state_ == State::established);
      break;
    case State::closing:
      assert(is_open());
      break;
    case State::closed:
      break;
    case State::init_sent:
    case State::half_open:
      assert(false);
      break;
  }
  state_ = next;
}

void Session::install_keys(IkeKeys& keys) {
  const Secret& our_e = origin_.initiator ? keys.sk_ei : keys.sk_er;
  const Secret& our_a = origin_.initiator ? keys.sk_ai : keys.sk_ar;
  const Secret& peer_e = origin_.initiator ? keys.sk_er : keys.sk_ei;
  const Secret& peer_a = origin_.initiator ? keys.sk_ar : keys.sk_ai;
  Result<SkProtection> out = SkProtection::create(suite_.cipher, our_e.view(), our_a.view());
  Result<SkProtection> in = SkProtection::create(suite_.cipher, peer_e.view(), peer_a.view());
  if (out && in) {
    out_ = std::move(*out);
    in_ = std::move(*in);
  }
  sk_d_ = std::move(keys.sk_d);
  if (core_.options().debug_keys) {
    core_.emit(DebugIkeKeys{origin_.spi_i, origin_.spi_r, std::move(keys.sk_ei), std::move(keys.sk_er),
                            std::move(keys.sk_ai), std::move(keys.sk_ar), suite_.cipher, configured_peer_of(peer_),
                            origin_.path.remote.address});
  }
}

void Session::become_established(Association& association) {
  if (state_ != State::established) move_to(State::established);
  core_.touch(*this);
  association_ = &association;
  peer_ = &association.peer();
  slot_.release();
  give_up_at_.reset();
  established_at_ = core_.now();
  lifetime_ = lifetime_from(core_.now(), config().ike_lifetime, config().jitter, core_.random());
  set_nat(origin_.nat);
}

/// RFC 7296 §2.23: the end that is not behind a NAT follows the other one, on fresh authenticated messages alone; the
/// end behind the NAT does not, since a single forged packet could then cut it off. With MOBIKE neither does on IKE
/// messages (RFC 4555 §3.8), so that they can test a path.
void Session::follow(const Path& path) {
  if (path == origin_.path || (association_ && association_->mobility().supported)) return;
  const bool behind_nat = origin_.nat.remote && !origin_.nat.local;
  if (state_ != State::half_open && !behind_nat) return;
  origin_.path = path;
  if (!association_ || association_->current() != this) return;
  association_->move_children();
  association_->peer().count(PeerEvent::move);
  core_.report_limited("move " + config().name, log::Level::info, about().as(EventKind::peer_moved),
                       fmt::format("{}: now at {}", label(), path.remote.to_string()));
}

void Session::supersede() {
  move_to(State::superseded);
  give_up_at_ = core_.now() + give_up_time;
  keepalive_at_.reset();
}

void Session::mark_unwanted() {
  if (handshake_) handshake_->unwanted = true;
}

Exchange Session::take_exchange() noexcept {
  const std::unique_ptr<Exchange> taken = std::move(exchange_);
  return taken ? std::move(*taken) : Exchange();
}

/// What was under way goes back into the queue, for the IKE SA that comes after this one.
void Session::take_exchange_back() {
  Exchange about = take_exchange();
  const std::unique_ptr<Task> preparing = std::exchange(preparing_, nullptr);
  requests_.abandon();
  if (const auto* child = std::get_if<CreatingChild>(&about)) core_.release_esp_spi(child->offer.spi);
  if (!association_ || association_->ended()) return;
  if (auto* child = std::get_if<CreatingChild>(&about)) {
    association_->add_task(std::move(child->task));
  } else if (auto* deletion = std::get_if<DeletingChild>(&about)) {
    association_->add_task(std::move(deletion->task));
  } else if (auto* update = std::get_if<UpdatingAddresses>(&about)) {
    association_->add_task(std::move(update->task), true);
  } else if (std::holds_alternative<CheckingAddress>(about)) {
    association_->queue(Task::Kind::check_address);
  } else if (std::holds_alternative<Announcing>(about)) {
    association_->queue(Task::Kind::announce_addresses);
  }
  if (preparing && preparing->kind != Task::Kind::rekey_ike) association_->add_task(std::move(*preparing));
}

void Session::close_with_delete() {
  if (!is_open()) return;
  core_.touch(*this);
  close_wanted_ = true;
  hurry();
  if (requests_.idle()) send_delete();
}

void Session::close() {
  if (state_ == State::closed) return;
  move_to(State::closed);
  take_exchange_back();
  if (handshake_ && handshake_->offer) core_.release_esp_spi(handshake_->offer->spi);
  handshake_.reset();
  answering_.reset();
  sk_d_.wipe();
  request_fragments_.clear();
  response_fragments_.clear();
  peer_token_.wipe();
  give_up_at_.reset();
  keepalive_at_.reset();
  // Nobody will repeat a request if none has been answered; a stranger's is not kept for long.
  const Duration keep = responses_.cached().empty() ? Duration::zero()
                        : slot_.taken()             ? Duration(closed_time / 6)
                                                    : closed_time;
  over_at_ = core_.now() + keep;
}

bool Session::is_over() const noexcept {
  return state_ == State::closed && over_at_ && *over_at_ <= core_.now();
}

/// The answer to our request makes no sense (§2.21.3): there is no way to tell the peer but to delete the IKE SA.
void Session::fail_broken_response(std::string_view what) {
  core_.report_limited("broken " + label(), log::Level::warn, about(std::string(what)),
                       fmt::format("{}: malformed response ({}); IKE SA closed", label(), what));
  if (!association_) return fail_attempt(fmt::format("it answered with a malformed message ({})", what));
  if (state_ == State::closing) return close();
  send_last_delete();
  association_->on_session_closed(*this, fmt::format("malformed response ({})", what), true);
}

// ---- time
// ----------------------------------------------------------------------------------------------------------------------

namespace {

void earliest(std::optional<TimePoint>& so_far, std::optional<TimePoint> other) {
  if (other && (!so_far || *other < *so_far)) so_far = other;
}

}  // namespace

std::optional<TimePoint> Session::deadline() const {
  if (state_ == State::closed) return over_at_;
  std::optional<TimePoint> first = requests_.deadline();
  earliest(first, request_fragments_.deadline());
  earliest(first, response_fragments_.deadline());
  earliest(first, give_up_at_);
  earliest(first, keepalive_at_);
  if (state_ == State::established) {
    if (rekey_counts()) earliest(first, lifetime_.soft);
    earliest(first, lifetime_.hard);
  }
  return first;
}

void Session::on_deadline() {
  const TimePoint now = core_.now();
  if (state_ == State::closed) return;
  request_fragments_.expire(now);
  response_fragments_.expire(now);
  switch (requests_.on_deadline(now)) {
    case RequestWindow::Due::resend:
      if (large_probe()) {
        send_large_probe();
        break;
      }
      if (peer_) peer_->count(PeerEvent::retransmit);
      try_smaller_fragments();
      trace_again();
      transmit();
      break;
    case RequestWindow::Due::lost:
      if (!large_probe()) return on_lost();
      give_up_large_probe();
      transmit();
      break;
    case RequestWindow::Due::nothing:
      break;
  }
  if (give_up_at_ && *give_up_at_ <= now) {
    give_up_at_.reset();
    if (state_ == State::half_open) return close();
    return close_with_delete();  // superseded, and the peer forgot to delete it
  }
  if (state_ != State::established) return;
  if (keepalive_at_ && *keepalive_at_ <= now) keep_nat_open();
  if (lifetime_.hard && *lifetime_.hard <= now) return on_hard_lifetime();
  if (rekey_counts() && lifetime_.soft && *lifetime_.soft <= now) {
    soft_due_ = true;
    Task task;
    task.kind = Task::Kind::rekey_ike;
    association_->add_task(std::move(task));
  }
}

/// The soft lifetime is that of the current IKE SA; one that a collision has made waits until it is (or goes).
bool Session::rekey_counts() const {
  return !soft_due_ && association_ && association_->current() == this;
}

/// RFC 3948 §4: one byte 0xFF, no answer.
void Session::keep_nat_open() {
  keepalive_at_ = core_.now() + config().keepalive;
  core_.emit(SendDatagram{origin_.path, Bytes{0xFF}, true});
}

void Session::on_hard_lifetime() {
  lifetime_.hard.reset();
  core_.report(log::Level::warn, about(),
               fmt::format("{}: the IKE SA's lifetime is over and no rekey succeeded; deleted", label()));
  if (association_->current() != this) return close_with_delete();
  association_->close_with_delete("the IKE SA's lifetime was over and no rekey succeeded");
}

void Session::on_lost() {
  const std::string why = fmt::format("no answer from {} after {} tries{}", origin_.path.remote.address.to_string(),
                                      config().retransmit_tries, silence_means());
  if (state_ == State::closing) return association_ ? association_->on_session_closed(*this, why, true) : close();
  if (state_ == State::init_sent && handshake_->resuming) return fall_back(why);
  if (!association_) return fail_attempt(why);
  association_->on_session_closed(*this, why, true);
}

/// What silence at this point means to an operator: how far the peer has come before it. Empty for an IKE SA that was
/// up.
std::string Session::silence_means() const {
  if (association_ || !origin_.initiator) return {};
  const std::uint16_t port = origin_.path.remote.port;
  if (state_ == State::init_sent)
    return fmt::format(
        ": nothing comes back from its UDP port {}: it is down or cannot be reached, runs no IKE there, or a firewall "
        "is "
        "in the way",
        port);
  if (port == config().port)
    return ": it has answered IKE_SA_INIT, and not IKE_AUTH: something may drop large packets, or fragments, on the "
           "way";
  return fmt::format(
      ": it answers on UDP port {}, and nothing comes back from UDP port {}: a firewall drops UDP {}, in one direction "
      "or "
      "both",
      config().port, port, port);
}

std::string Session::progress() const {
  if (requests_.num_sent() < 2) return {};
  return fmt::format("no answer from {} to {} tries so far{}", origin_.path.remote.address.to_string(),
                     requests_.num_sent(), silence_means());
}

// ---- small things
// --------------------------------------------------------------------------------------------------------------

const PeerConfig& Session::config() const {
  return peer_->config();
}

std::string Session::label() const {
  return peer_ ? peer_->label() : "peer " + origin_.path.remote.address.to_string();
}

log::Subject Session::about(std::string reason) const {
  return {.peer = peer_ ? peer_->config().name : "",
          .spi = fmt::format("0x{:016x}", our_spi().value()),
          .reason = std::move(reason)};
}

ChildContext Session::child_context(EspNegotiation negotiation) const {
  return {config(), origin_.path, origin_.nat, negotiation};
}

bool Session::is_creating(const ChildConfig& config) const {
  const Task* task = child_task();
  return task && task->kind == Task::Kind::create_child && task->config == &config;
}

bool Session::is_rekeying(Spi child) const {
  const Task* task = child_task();
  return task && task->kind == Task::Kind::rekey_child && task->spi == child;
}

const Task* Session::child_task() const {
  if (preparing_) return &*preparing_;
  const auto* exchange = underway<CreatingChild>();
  return exchange ? &exchange->task : nullptr;
}

}  // namespace culvert::ike
