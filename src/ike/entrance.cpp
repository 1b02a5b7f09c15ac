// Chain 3 of DESIGN.md §2: who may open an IKE SA. The cheapest check comes first, and none before the next one is
// worth it: form, load, address, cookie; then payloads and proposals; public-key work last of all.
#include "authentication.h"
#include "core.h"
#include "culvert/crypto/prf.h"
#include "init_scan.h"
#include "payload_table.h"
#include "peer.h"
#include "session.h"
#include "trace.h"

namespace culvert::ike {
namespace {

/// What the candidates allow (PeerDirectory::candidates).
struct Candidates {
  std::vector<const PeerConfig*> peers;
  bool announce_nat = false;
  bool fragmentation = false;

  /// What certificates need: SIGNATURE_HASH_ALGORITHMS for who has sent its own (RFC 7427 §4), CERTREQ (RFC 7296 §1.2).
  [[nodiscard]] std::vector<Payload> payloads_for(const Message& request) const {
    std::vector<const PeerAuth*> expected;
    bool sign = false;
    for (const PeerConfig* config : peers) {
      expected.push_back(&config->auth.theirs);
      sign = sign || announces_hashes(config->auth);
    }
    std::vector<Payload> payloads;
    if (sign && request.find_notify(NotifyType::signature_hash_algorithms)) payloads.emplace_back(hashes_payload());
    for (Payload& payload : certreq_payloads(expected)) payloads.push_back(std::move(payload));
    return payloads;
  }
};

Candidates candidates_for(PeerDirectory& directory, const IpAddress& address) {
  Candidates found{.peers = directory.candidates(address)};
  if (found.peers.empty()) return found;
  found.announce_nat = found.peers.front()->encapsulation == EncapsulationPreference::udp;
  found.fragmentation = found.peers.front()->fragment_size != 0;
  return found;
}

/// Who it is shows in IKE_AUTH alone; until then the suite that the first candidate would take counts.
Result<IkeChoice> choose_for(const Candidates& candidates, const SaPayload& offered) {
  Result<IkeChoice> first = fail(Errc::no_match, "no peer");
  const std::vector<Proposal>* tried = nullptr;
  for (const PeerConfig* config : candidates.peers) {
    if (tried && *tried == config->ike_proposals) continue;
    Result<IkeChoice> choice = choose_ike(config->ike_proposals, offered, IkeNegotiation::initial);
    if (choice) return choice;
    if (!tried) first = std::move(choice);
    tried = &config->ike_proposals;
  }
  return first;
}

}  // namespace

/// IKE_SA_INIT, or IKE_SESSION_RESUME in its place. Up to the cookie nothing is copied or kept.
void Core::admit(const Path& path, ByteView datagram, const Header& header) {
  admission_.count_requests(now_, 1);
  const auto scan = scan_init(datagram);
  if (!scan || !header.initiator || header.message_id.value() != 0) return count(DropReason::ike_malformed);
  if (answers_again(path, datagram, header)) return;
  Admission::Asking asking{path.remote.address, directory_.knows(path.remote.address), false};
  if (!asking.known && !directory_.takes_strangers()) return refuse_stranger(path, header);
  asking.proved =
      !scan->cookie.empty() && cookies_.check(now_, scan->cookie, scan->nonce, path.remote.address, header.spi_i);
  switch (admission_.judge(now_, asking)) {
    case Admission::Verdict::admit:
      return open_session(path, datagram, asking);
    case Admission::Verdict::challenge:
      return demand_cookie(path, header, scan->nonce, asking.known);
    case Admission::Verdict::full:
      return count(DropReason::ike_half_open_limit);
    case Admission::Verdict::crowded:
      return count(DropReason::ike_source_limit);
    case Admission::Verdict::barred:
      return count(DropReason::ike_source_barred);
  }
}

/// RFC 7296 §2.1: the same request again gets the same response. The address belongs to it: a copy from elsewhere must
/// not make us answer there without a cookie.
bool Core::answers_again(const Path& path, ByteView datagram, const Header& header) {
  const auto same_spi = init_requests_.lower_bound({header.spi_i, {}});
  if (same_spi == init_requests_.end() || same_spi->first.first != header.spi_i) return false;
  const auto known = init_requests_.find(init_key(path, datagram, header.spi_i));
  if (known == init_requests_.end()) return false;
  Session* session = find_session(known->second);
  const auto message = parse(datagram);
  if (session && message) session->on_message(path, datagram, *message);
  return true;
}

Core::InitKey Core::init_key(const Path& path, ByteView datagram, IkeSpi spi_i) {
  return {spi_i, crypto::sha256({path.remote.address.bytes(), datagram})};
}

void Core::refuse_stranger(const Path& path, const Header& header) {
  count(DropReason::ike_stranger);
  if (!may_answer_stranger()) return;
  report_limited("stranger", log::Level::warn, log::Subject{.event = EventKind::refused},
                 fmt::format("{}: IKE_SA_INIT from an address that no configured peer has; refused",
                             path.remote.address.to_string()));
  answer_stateless(path, header, {make_notify(NotifyType::no_proposal_chosen)});
}

/// Of the peers there, those that are not up show it in their status: a hint, nobody has proved anything yet.
void Core::turn_away(const IpAddress& from, const std::string& why) {
  for (const PeerConfig* config : directory_.candidates(from)) {
    Peer* peer = find_peer(config->id);
    if (peer && peer->names_address(from)) peer->on_turned_away(why);
  }
}

/// RFC 7296 §2.6. The answer is smaller than what it answers, so nobody can use us to multiply his traffic.
void Core::demand_cookie(const Path& path, const Header& header, ByteView nonce, bool known) {
  if (!cookie_budget_.take(now_, path.remote.address, header.spi_i, cookie_budget_seed_, known))
    return count(DropReason::ike_flood);
  count(DropReason::ike_cookie_demanded);
  Bytes cookie = cookies_.make(now_, nonce, path.remote.address, header.spi_i);
  answer_stateless(path, header, {make_notify(NotifyType::cookie, std::move(cookie))});
}

void Core::open_session(const Path& path, ByteView datagram, const Admission::Asking& asking) {
  const auto message = parse(datagram);
  if (!message || message->encrypted) return count(DropReason::ike_malformed);
  const bool resumes = message->header.exchange == ExchangeType::ike_session_resume;
  const auto problem =
      check_payloads(resumes ? MessageKind::resume_request : MessageKind::init_request, message->payloads);
  if (problem) {
    if (problem->kind == PayloadProblem::Kind::unknown_critical) {
      answer_stranger(path, message->header, {make_notify(NotifyType::unsupported_critical_payload, {problem->type})});
    }
    return count(DropReason::ike_malformed);
  }
  if (resumes) return admit_resumption(path, datagram, *message, asking);  // exchange_resume.cpp
  answer_init(path, datagram, *message, asking);
}

void Core::answer_init(const Path& path, ByteView datagram, const Message& message, const Admission::Asking& asking) {
  const Header& header = message.header;
  const std::string from = path.remote.address.to_string();
  const Candidates candidates = candidates_for(directory_, path.remote.address);
  if (candidates.peers.empty()) return refuse_stranger(path, header);
  if (redirects(path, message)) return;
  const Result<IkeChoice> choice = choose_for(candidates, *message.find<SaPayload>());
  const bool fits = choice && ke_fit(choice->suite.ke, message.find<KePayload>()) == KeFit::fits;
  if (!fits && trace_->admits_stranger(now_))
    trace_stranger(TraceEntry::Kind::received, path, header, message.payloads, datagram.size());
  if (!choice) {
    report_limited(
        "proposal " + from, log::Level::warn,
        {.peer = candidates.peers.front()->name, .reason = choice.error().detail, .event = EventKind::refused},
        fmt::format("peer {} ({}): {}", candidates.peers.front()->name, from, choice.error().detail));
    turn_away(path.remote.address, fmt::format("{}: {}", from, choice.error().detail));
    return answer_stranger(path, header, {make_notify(NotifyType::no_proposal_chosen)});
  }
  if (!fits) {
    return answer_stateless(path, header, {invalid_ke_payload(choice->suite.ke)});  // §1.2
  }

  Session::Origin origin{.initiator = false,
                         .spi_i = header.spi_i,
                         .spi_r = new_ike_spi(),
                         .path = path,
                         .nat = read_nat(message.payloads, header.spi_i, IkeSpi(0), path)};
  origin.nat.announced = origin.nat.supported && candidates.announce_nat;
  origin.follows_redirects = announces_redirects(message);
  origin.announce_childless = candidates.peers.front()->childless != ChildlessPolicy::never;
  // RFC 7383 §2.3: supported when the request and the response both say so.
  origin.fragmentation =
      candidates.fragmentation && message.find_notify(NotifyType::ikev2_fragmentation_supported) != nullptr;
  Session& session = add_session(std::make_unique<Session>(*this, origin, Session::State::half_open, MessageId(0)));
  session.take_slot(admission_.enter(asking));
  remember_init_request(init_key(path, datagram, header.spi_i), session);
  session.answer_init(*choice, message, datagram, candidates.payloads_for(message));
}

}  // namespace culvert::ike
