// Does a packet of this size reach the peer? RFC 8899 (datagram PLPMTUD) asked by IKE, of any peer that knows RFC 7383.
//
//   HDR, SK {N(padding)}    in one datagram of the size in question, with DF   -->
//                                                            <--  HDR, SK {}    it passed
//   or, when that stays silent a few times: the same message ID, the same content, in small fragments without DF:
//   HDR, SKF {…} SKF {…}                                                       -->
//                                                            <--  HDR, SK {}    it did not
//
// A request must be answered before the next one may be sent (RFC 7296 §2.3), and a repetition is the same octets
// (§2.1): what is too large for the path could never be answered. RFC 7383 §2.5 is the one exception: what got no
// answer whole may come again in fragments. So a probe never stands in the way for longer than it waits, tells nothing
// about whether the peer lives before it is small, and both ends have authenticated it. The padding is a status notify
// of the range for private use, which whoever does not know it skips (RFC 7296 §3.10.1).
//
// Not everybody who announces RFC 7383 takes INFORMATIONAL in fragments: strongSwan 5.9.8 ignores them. So the first
// question to a peer is that one, the other way round: a small request in two fragments, and when that stays silent,
// the same in one piece. Who answers the fragments may be asked about sizes.
#include <algorithm>

#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::uint16_t padding_notify = 40960;  // RFC 7296 §3.10.1: private use, status
constexpr int num_large = 3;                     // RFC 8899 §5.1.2: MAX_PROBES
constexpr Duration least_wait = std::chrono::milliseconds(100), most_wait = std::chrono::seconds(1),
                   unknown_wait = std::chrono::milliseconds(400);
constexpr std::size_t question_len = 96;  // bytes
constexpr std::size_t smallest_v4 = 576, smallest_v6 = 1280;

NotifyPayload padding(std::size_t len) {
  return make_notify(static_cast<NotifyType>(padding_notify), Bytes(len));
}

}  // namespace

// ---- Association
// --------------------------------------------------------------------------------------------------------------

void Association::note_rtt(Duration rtt) {
  // RFC 6298 §2.3
  if (!rtt_) {
    rtt_ = rtt;
    jitter_ = rtt / 2;
    return;
  }
  const Duration apart = rtt > *rtt_ ? rtt - *rtt_ : *rtt_ - rtt;
  jitter_ = (jitter_ * 3 + apart) / 4;
  *rtt_ = (*rtt_ * 7 + rtt) / 8;
}

bool Association::probe_path(std::uint16_t size) {
  if (ended_ || redundant_ || !current_ || !current_->can_probe_path() || takes_fragments_ == false) return false;
  Task task;
  task.kind = Task::Kind::probe_path;
  task.size = size;
  drop_tasks(Task::Kind::probe_path, {});
  add_task(std::move(task));
  return true;
}

// ---- Session
// ------------------------------------------------------------------------------------------------------------------

bool Session::can_probe_path() const noexcept {
  return origin_.fragmentation && config().fragment_size != 0;
}

/// Large probes under way; nullptr: none, or its small fragments are.
ProbingPath* Session::large_probe() noexcept {
  auto* probe = underway<ProbingPath>();
  return probe && probe->large ? probe : nullptr;
}

bool Session::begin_path_probe(const Task& task) {
  if (!can_probe_path() || !out_ || !association_) return false;
  const bool known = association_->takes_fragments().has_value();
  const Header request = header(ExchangeType::informational, false, requests_.id());
  // Block ciphers pad: the largest content that does not go beyond.
  const std::size_t around = around_message(), base = around + out_->sealed_len(build_payloads({padding(0)}));
  std::size_t fill = !known ? question_len : task.size > base ? task.size - base : 0;
  PayloadChain chain = build_payloads({padding(fill)});
  while (known && fill > 0 && around + out_->sealed_len(chain) > task.size) chain = build_payloads({padding(--fill)});
  std::vector<Bytes> datagrams;
  if (known) {
    Result<Bytes> whole = out_->seal_chain(request, chain);
    if (!whole) return false;
    datagrams.push_back(std::move(*whole));
  } else {
    auto fragments = out_->seal_fragments(request, chain, out_->sealed_len(chain) * 3 / 4);
    if (!fragments) return false;
    datagrams = std::move(*fragments);
  }
  core_.touch(*this);
  const std::size_t size = known ? around + datagrams.front().size() : 0;
  exchange_ = std::make_unique<Exchange>(ProbingPath{static_cast<std::uint16_t>(size), task.size, std::move(chain)});
  response_fragments_.clear();
  detours_.clear();
  asked_by_.clear();
  went_elsewhere_ = false;
  const auto rtt = association_->rtt();
  const Duration wait = rtt ? std::clamp(*rtt * 2 + association_->jitter(), least_wait, most_wait) : unknown_wait;
  requests_.sent(core_.now(), ExchangeType::informational, std::move(datagrams), {wait, 1.0, num_large});
  send_large_probe();
  return true;
}

void Session::send_large_probe() {
  if (std::ranges::find(asked_by_, origin_.path) == asked_by_.end()) asked_by_.push_back(origin_.path);
  const bool whole = underway<ProbingPath>()->size != 0;
  for (const Bytes& datagram : requests_.datagrams())
    core_.emit(SendDatagram{.path = origin_.path, .bytes = datagram, .keepalive = false, .dont_fragment = whole});
}

/// The path does not carry it, or something more important waits. From here on it is a request like all others.
void Session::give_up_large_probe() {
  ProbingPath& probe = *underway<ProbingPath>();
  probe.large = false;
  const std::size_t smallest = origin_.path.remote.address.is_v4() ? smallest_v4 : smallest_v6;
  const std::size_t size = std::min<std::size_t>(fragment_size(), smallest);
  const Header again = header(ExchangeType::informational, false, requests_.id());
  std::vector<Bytes> datagrams;
  if (probe.size == 0) {
    if (auto whole = out_->seal_chain(again, probe.chain)) datagrams.push_back(std::move(*whole));
  } else if (auto fragments = out_->seal_fragments(again, probe.chain, size - around_message())) {
    datagrams = std::move(*fragments);
  }
  if (datagrams.empty()) return on_lost();
  requests_.begin_again(core_.now(), std::move(datagrams), retransmit_policy());
  core_.touch(*this);
}

/// Something else is to be asked, and the window has room for one request: the answer to small fragments comes at once.
void Session::hurry() {
  if (!large_probe()) return;
  underway<ProbingPath>()->interrupted = true;
  give_up_large_probe();
  if (state_ == State::established) transmit();
}

void Session::on_path_probe_response(const ProbingPath& probe) {
  if (probe.size == 0 && !probe.interrupted) association_->set_takes_fragments(probe.large);
  if (probe.size != 0 && !probe.interrupted)
    return core_.emit(PathProbed{config().id, origin_.path, probe.size, probe.large, true});
  if (association_->takes_fragments() == false)
    return core_.emit(PathProbed{config().id, origin_.path, 0, false, false});
  if (!association_->probe_path(probe.asked)) core_.emit(PathProbed{config().id, origin_.path, 0, false, false});
}

}  // namespace culvert::ike
