// Public-key work of an IKE SA, done on other threads (Compute) while the control thread goes on.
//
// What waits for it is treated as if it had been delayed on the way by as much: a request or response is looked at when
// the work is done, by the state that holds then, and a task of ours starts when its key pair is there. So no exchange
// is ever half done, and collisions are what they are without this (RFC 7296 §2.8, §2.25). When there is no room for
// the work, the message is lost on the way and comes again.
//
// Even x25519 goes there: on a Zen 5 a responder's half of it takes 62 µs, and having it done elsewhere 5 to 13 µs of
// the control thread, and about 40 µs more until the answer is there, which no network notices.
#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {

Compute::Rank Session::rank() const noexcept {
  if (association_ || origin_.initiator) return Compute::Rank::peer;
  return slot_.is_of_known() || in_ ? Compute::Rank::candidate : Compute::Rank::stranger;
}

// ---- before our request: a key pair
// ---------------------------------------------------------------------------------------------------

/// Comes back to begin(task), with task.prepared.
bool Session::prepare(Task task, crypto::KeMethod method) {
  preparing_ = std::make_unique<Task>(std::move(task));
  using Pair = std::shared_ptr<const crypto::KeyExchange>;
  core_.compute(
      *this, rank(), [method](auto) -> Result<Pair> { return crypto::KeyExchange::generate(method); },
      [](Session& session, std::optional<Result<Pair>> made) { session.on_prepared(std::move(made)); });
  return true;
}

void Session::on_prepared(std::optional<Result<std::shared_ptr<const crypto::KeyExchange>>> made) {
  if (!preparing_) return;
  Task task = std::move(*std::exchange(preparing_, nullptr));
  if (!association_ || association_->ended()) return;
  if (!made || !*made) {
    ++task.attempts;
    return association_->retry_task(std::move(task));
  }
  // A rekey or a Delete may have come between: then it is for the IKE SA that carries on.
  if (!ready() || association_->current() != this) return association_->add_task(std::move(task), true);
  task.prepared = std::move(**made);
  (void)begin(std::move(task));
}

// ---- the peer's request: our half of the key exchange
// ---------------------------------------------------------------------------------

void Session::exchange_keys(crypto::KeMethod method, const KePayload& theirs, KeysExchanged done) {
  core_.compute(
      *this, rank(),
      [method, value = theirs.data](auto) -> Result<Exchanged> {
        auto ours = crypto::KeyExchange::generate(method);
        if (!ours) return std::unexpected(ours.error());
        Result<Secret> secret = (*ours)->shared_secret(value);
        if (!secret) return std::unexpected(secret.error());
        const ByteView sent = (*ours)->public_value();
        return Exchanged{std::move(*secret),
                         KePayload{static_cast<std::uint16_t>(method), Bytes(sent.begin(), sent.end())}};
      },
      std::move(done));
}

/// The key exchange that this CREATE_CHILD_SA request needs us to do; nullopt: none, or it will be refused anyway.
std::optional<crypto::KeMethod> Session::useful_ke(const Message& request) const {
  const auto* sa = request.find<SaPayload>();
  const auto* theirs = request.find<KePayload>();
  const bool wanted = request.header.exchange == ExchangeType::create_child_sa && state_ == State::established;
  if (!wanted || close_wanted_ || !sa || !theirs || sa->proposals.empty()) return std::nullopt;
  const auto method = static_cast<crypto::KeMethod>(theirs->method);
  const bool for_ike = sa->proposals.front().protocol == ProtocolId::ike;
  const bool ours = offers_ke(for_ike ? config().ike_proposals : config().esp_proposals, method);
  return ours && ke_fit(method, theirs) == KeFit::fits ? std::optional(method) : std::nullopt;
}

/// Starts what `opened` needs, and takes it; false: nothing (any more).
bool Session::compute_for_request(Message& opened) {
  if (state_ == State::half_open && opened.header.exchange == ExchangeType::ike_auth) return compute_for_auth(opened);
  if (answering_->exchanged) return false;
  const auto method = useful_ke(opened);
  if (!method) return false;
  const KePayload theirs = *opened.find<KePayload>();
  exchange_keys(*method, theirs,
                [opened = std::move(opened)](Session& session, std::optional<Result<Exchanged>> exchanged) mutable {
                  if (!session.answering_) return;
                  if (!exchanged) return session.answering_.reset();
                  session.answering_->exchanged = std::move(exchanged);
                  session.answer(std::move(opened));
                });
  return true;
}

// ---- the response to ours: the secret
// -------------------------------------------------------------------------------------------------

bool Session::compute_for_response(Message& opened) {
  if (state_ == State::auth_sent) return compute_for_auth(opened);
  std::shared_ptr<const crypto::KeyExchange> ours;
  if (const auto* child = underway<CreatingChild>()) {
    if (!child->offer.g_ir) ours = child->offer.ke;
  } else if (const auto* rekey = underway<RekeyingIke>()) {
    if (!rekey->g_ir) ours = rekey->ke;
  }
  const auto* theirs = opened.find<KePayload>();
  if (!ours || !theirs || ke_fit(ours->method(), theirs) != KeFit::fits) return false;
  requests_.hold();
  core_.compute(
      *this, rank(), [ours, value = theirs->data](auto) { return ours->shared_secret(value); },
      [response = opened](Session& session, std::optional<Result<Secret>> g_ir) mutable {
        session.resume_response(std::move(response), std::move(g_ir));
      });
  return true;
}

void Session::resume_response(Message opened, std::optional<Result<Secret>> g_ir) {
  if (!g_ir) return requests_.release();
  if (auto* child = underway<CreatingChild>()) {
    child->offer.g_ir = std::move(g_ir);
  } else if (auto* rekey = underway<RekeyingIke>()) {
    rekey->g_ir = std::move(g_ir);
  } else {
    return requests_.release();
  }
  take_response(std::move(opened));
}

}  // namespace culvert::ike
