#include "message_window.h"

#include <algorithm>
#include <cassert>
#include <chrono>

#include "culvert/crypto/prf.h"

namespace culvert::ike {

void RequestWindow::sent(TimePoint now, ExchangeType exchange, std::vector<Bytes> datagrams,
                         const RetransmitPolicy& policy) {
  assert(!pending_ || exchange == ExchangeType::ike_sa_init || exchange == ExchangeType::ike_session_resume);
  held_ = false;
  pending_ =
      std::make_unique<Pending>(exchange, std::move(datagrams), policy, policy.first, now + policy.first, now, 1);
}

bool RequestWindow::answers(const Header& response) const noexcept {
  return pending_ && !held_ && response.response && response.message_id == next_ &&
         response.exchange == pending_->exchange;
}

void RequestWindow::answered() noexcept {
  pending_.reset();
  held_ = false;
  next_ = MessageId(next_.value() + 1);
}

void RequestWindow::begin_again(TimePoint now, std::vector<Bytes> datagrams, const RetransmitPolicy& policy) {
  assert(pending_);
  pending_->datagrams = std::move(datagrams);
  pending_->policy = policy;
  restart(now);
}

void RequestWindow::restart(TimePoint now) noexcept {
  if (!pending_) return;
  pending_->num_sent = 1;
  pending_->last_sent = now;
  pending_->interval = pending_->policy.first;
  pending_->due = now + pending_->interval;
}

RequestWindow::Due RequestWindow::on_deadline(TimePoint now) {
  if (!pending_ || held_ || now < pending_->due) return Due::nothing;
  if (pending_->num_sent >= pending_->policy.tries) return Due::lost;
  ++pending_->num_sent;
  pending_->last_sent = now;
  const std::chrono::duration<double, Duration::period> longer(static_cast<double>(pending_->interval.count()) *
                                                               std::max(1.0, pending_->policy.factor));
  // An hour bounds what a strange configuration could ask for.
  pending_->interval = std::min<Duration>(std::chrono::duration_cast<Duration>(longer), std::chrono::hours(1));
  pending_->due = now + pending_->interval;
  return Due::resend;
}

std::optional<TimePoint> RequestWindow::deadline() const noexcept {
  if (!pending_ || held_) return std::nullopt;
  return pending_->due;
}

bool RequestWindow::may_resend_early(TimePoint now) noexcept {
  if (!pending_ || held_ || pending_->num_sent < 2 || now - pending_->last_sent < pending_->policy.first) return false;
  pending_->last_sent = now;
  return true;
}

ResponseWindow::Verdict ResponseWindow::judge(MessageId id, ByteView datagram) const {
  if (id == expected_) return Verdict::fresh;
  if (id > expected_) return Verdict::ahead;
  if (id.value() + 1 != expected_.value() || response_.empty()) return Verdict::stale;
  // A retransmission is the same bytes (RFC 7296 §2.1): the digest spares the ICV. Only one that was cut into other
  // fragments (RFC 7383 §2.5.2) is not.
  return digest_of(datagram) == request_digest_ ? Verdict::repeated : Verdict::changed;
}

Bytes ResponseWindow::digest_of(ByteView datagram) {
  return crypto::sha256({datagram});
}

void ResponseWindow::answered(Bytes request_digest, std::vector<Bytes> response) {
  request_digest_ = std::move(request_digest);
  response_ = std::move(response);
  expected_ = MessageId(expected_.value() + 1);
}

}  // namespace culvert::ike
