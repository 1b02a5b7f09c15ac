// CREATE_CHILD_SA for the IKE SA itself, RFC 7296 §1.3.2, §2.8, §2.18, §2.25.2.
//
//   old SA: HDR, SK {SA(SPIi'), Ni, KEi}    -->
//                                           <--  HDR, SK {SA(SPIr'), Nr, KEr}
//   old SA: HDR, SK {D}                     -->                              (the new SA, message IDs from 0, has the
//   children)
//                                           <--  HDR, SK {}
//
// Both ends at once (§2.8.2): the new IKE SA made with the lowest of the four nonces is deleted by who asked for it;
// the children go with the other one, and who asked for that deletes the old IKE SA.
#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_open_sessions = 4;  // of one association
constexpr std::size_t max_sessions = 64;      // the closed ones that still answer retransmissions included
constexpr int max_ke_retries = 2;

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

bool Session::begin_rekey_ike(Task task) {
  if (association_->current() != this || association_->redundant()) return false;
  const auto& proposals = config().ike_proposals;
  const auto method = task.ke                           ? task.ke
                      : offers_ke(proposals, suite_.ke) ? std::optional(suite_.ke)
                                                        : preferred_ke(proposals);
  if (!method) return false;
  if (!task.prepared || task.prepared->method() != *method) return prepare(std::move(task), *method);
  RekeyingIke exchange;
  exchange.ke = std::exchange(task.prepared, nullptr);
  exchange.task = std::move(task);
  exchange.spi = core_.new_ike_spi();
  exchange.nonce = core_.new_nonce();
  exchange.offered = offer_ike(proposals, IkeNegotiation::rekey, exchange.spi);
  const std::vector<Payload> payloads{SaPayload{exchange.offered}, NoncePayload{exchange.nonce},
                                      ke_payload(*exchange.ke)};
  send_request(ExchangeType::create_child_sa, payloads, std::move(exchange));
  return true;
}

void Session::on_rekey_ike_response(RekeyingIke exchange, const Message& message) {
  const NotifyPayload* error = message.first_error();
  const auto* sa = message.find<SaPayload>();
  const auto* ke = message.find<KePayload>();
  const auto* nonce = message.find<NoncePayload>();
  if (error && !sa) return on_rekey_ike_refused(std::move(exchange), *error);
  const Result<IkeChoice> choice = sa ? accept_ike(exchange.offered, *sa, IkeNegotiation::rekey)
                                      : Result<IkeChoice>(fail(Errc::no_match, "no SA payload"));
  const bool fits = choice && ke && nonce && choice->suite.ke == exchange.ke->method() && exchange.g_ir &&
                    choice->peer_spi.value() != 0;
  const Result<Secret> g_ir =
      fits ? std::move(*exchange.g_ir) : Result<Secret>(fail(Errc::no_match, "the answer does not fit"));
  if (!g_ir) {
    const std::string& why = choice ? g_ir.error().detail : choice.error().detail;
    core_.report(log::Level::warn, about(why).as(EventKind::rekey_failed),
                 fmt::format("{}: rekey of the IKE SA failed: {}", label(), why));
    return on_rekey_ike_failed(std::move(exchange), 4);
  }
  Session& made =
      make_successor(true, exchange.spi, choice->peer_spi, choice->suite, g_ir->view(), exchange.nonce, nonce->data);
  made.read_crash_token(message);
  settle_ike(exchange, made, lower(exchange.nonce, nonce->data));
}

void Session::on_rekey_ike_refused(RekeyingIke exchange, const NotifyPayload& error) {
  if (error.type == NotifyType::invalid_ke_payload && !exchange.rival) {
    const auto wanted = wanted_ke(error);
    if (wanted && exchange.task.ke_retries < max_ke_retries && offers_ke(config().ike_proposals, *wanted)) {
      exchange.task.ke = wanted;
      ++exchange.task.ke_retries;
      return association_->add_task(std::move(exchange.task), true);
    }
  }
  const bool temporary = error.type == NotifyType::temporary_failure;
  if (!temporary && !exchange.rival) {
    core_.report(log::Level::warn, about().as(EventKind::rekey_failed),
                 fmt::format("{}: rekey of the IKE SA refused: {}", label(), PeerRefusal{error.type}.to_string()));
  }
  on_rekey_ike_failed(std::move(exchange), temporary ? 1 : 4);
}

/// Ours came to nothing: the one that the peer asked for meanwhile takes over, or we try again later (§2.25: never tear
/// down).
void Session::on_rekey_ike_failed(RekeyingIke exchange, int weight) {
  Session* rival = exchange.rival ? core_.find_session(exchange.rival->spi) : nullptr;
  if (rival && rival->is_open()) {
    supersede();
    return association_->succeed_by(*rival);
  }
  exchange.task.attempts += weight;
  association_->retry_task(std::move(exchange.task));
}

void Session::settle_ike(const RekeyingIke& exchange, Session& made, const Bytes& lowest_nonce) {
  Association& association = *association_;
  if (close_wanted_) {  // `down` came meanwhile: neither of them stays
    association.add_session(made, false);
    return made.close_with_delete();
  }
  Session* rival = exchange.rival ? core_.find_session(exchange.rival->spi) : nullptr;
  const bool contested = rival && rival->state() == State::established;
  const bool loses = contested && lowest_nonce < exchange.rival->lowest_nonce;
  association.add_session(made, false);
  supersede();
  if (loses) {
    made.close_with_delete();
    return association.succeed_by(*rival);  // the peer deletes the old one
  }
  if (contested) rival->supersede();
  association.succeed_by(made);
  if (core_.crash_tokens().makes_tokens()) {
    Task task;
    task.kind = Task::Kind::announce_token;
    association.add_task(std::move(task));
  }
  close_with_delete();
}

/// §2.18: SKEYSEED by the PRF of the old SA, the keys by that of the new one.
Session& Session::make_successor(bool initiator, IkeSpi spi_i, IkeSpi spi_r, const IkeSuite& suite, ByteView g_ir,
                                 ByteView ni, ByteView nr) {
  Origin origin = origin_;  // path, NAT and what both ends can do stay
  origin.initiator = initiator;
  origin.spi_i = spi_i;
  origin.spi_r = spi_r;
  auto successor = std::make_unique<Session>(core_, origin, State::established, MessageId(0));
  successor->peer_ = peer_;
  successor->confirmed_ = initiator;
  successor->generation_ = generation_ + 1;
  successor->suite_ = suite;
  const Secret seed = skeyseed_rekey(suite_.prf, sk_d_.view(), g_ir, ni, nr);
  IkeKeys keys = derive_ike_keys(suite, seed.view(), ni, nr, spi_i, spi_r);
  successor->install_keys(keys);
  return core_.add_session(std::move(successor));
}

// ---- responder
// -----------------------------------------------------------------------------------------------------------------

Session::Reply Session::answer_rekey_ike(const Message& message) {
  const auto* mine = underway<RekeyingIke>();
  // §2.25.2 for deletion; an exchange about a child would be cut in two, so the rekey waits for that, too.
  const bool busy = state_ != State::established || close_wanted_ || association_->current() != this ||
                    association_->redundant() || underway<CreatingChild>() || underway<DeletingChild>() ||
                    (mine && mine->rival) || association_->num_open_sessions() >= max_open_sessions ||
                    association_->sessions().size() >= max_sessions;
  if (busy) return reply_with(refusal(NotifyType::temporary_failure, {}));

  const Result<IkeChoice> choice =
      choose_ike(config().ike_proposals, *message.find<SaPayload>(), IkeNegotiation::rekey);
  if (!choice) {
    core_.report_limited("proposal " + config().name, log::Level::warn,
                         about(choice.error().detail).as(EventKind::rekey_failed),
                         fmt::format("{}: rekey of the IKE SA: {}", label(), choice.error().detail));
    return reply_with(refusal(NotifyType::no_proposal_chosen, {}));
  }
  const auto* theirs = message.find<KePayload>();
  if (ke_fit(choice->suite.ke, theirs) != KeFit::fits) return reply_with({invalid_ke_payload(choice->suite.ke), {}});
  std::optional<Result<Exchanged>>& exchanged = answering_->exchanged;
  if (!exchanged || !*exchanged || choice->peer_spi.value() == 0)
    return invalid_syntax("key exchange value or SPI of an IKE rekey");

  const Bytes& ni = message.find<NoncePayload>()->data;
  const Bytes nr = core_.new_nonce();
  const IkeSpi spi = core_.new_ike_spi();
  Session& made = make_successor(false, choice->peer_spi, spi, choice->suite, (*exchanged)->secret.view(), ni, nr);
  adopt_answered(made, lower(ni, nr));

  Proposal proposal = choice->answer;
  proposal.spi.resize(8);
  store_be(proposal.spi.data(), spi.value());
  Reply reply;
  reply.payloads.emplace_back(SaPayload{{std::move(proposal)}});
  reply.payloads.emplace_back(NoncePayload{nr});
  reply.payloads.emplace_back(std::move(*(*exchanged)->ours));
  made.add_crash_token(reply.payloads);
  return reply;
}

/// The new one takes over at once, unless our own request is still under way: then its answer decides (settle_ike).
void Session::adopt_answered(Session& made, Bytes lowest_nonce) {
  if (auto* mine = underway<RekeyingIke>()) {
    mine->rival = RivalIke{made.our_spi(), std::move(lowest_nonce)};
    return association_->add_session(made, false);
  }
  association_->add_session(made, false);
  association_->succeed_by(made);
  supersede();
}

}  // namespace culvert::ike
