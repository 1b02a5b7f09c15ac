// From datagrams to the content of protected messages and back, whole or in fragments: RFC 7383.
//
//   HDR(MID=n), SKF(NextPld=PLD1, Frag#=1, TotalFrags=m) {...}  -->
//   HDR(MID=n), SKF(NextPld=0, Frag#=2, TotalFrags=m) {...}     -->
//   ...                                                         -->
//                                  <--  HDR(MID=n), SKF(NextPld=PLD1, Frag#=1, TotalFrags=k) {...}
//                                  <--  HDR(MID=n), SKF(NextPld=0, Frag#=2, TotalFrags=k) {...}
//                                  <--  ...
#include "session.h"

namespace culvert::ike {
namespace {

// Of all contents of one message. A chain of certificates takes a few kB before anybody is authenticated.
constexpr std::size_t max_stranger_bytes = 32 * 1024, max_peer_bytes = 64 * 1024;

constexpr std::size_t default_size = 1280;
constexpr std::size_t udp_header_len = 8, non_esp_marker_len = 4;

std::size_t ip_header_len(const Path& path) {
  return path.remote.address.is_v4() ? 20 : 40;
}

/// RFC 7383 §2.5.1, §2.5.2: nothing has to carry more than these, so what is larger falls back to them one by one.
std::optional<std::size_t> smaller_size(std::size_t size, const Path& path) {
  if (size > 1280) return 1280;
  if (size > 576 && path.remote.address.is_v4()) return 576;
  return std::nullopt;
}

}  // namespace

// ---- in
// ------------------------------------------------------------------------------------------------------------------------

std::optional<Session::Opened> Session::open(ByteView datagram, const Message& message, Reassembly& fragments) {
  if (!message.encrypted || !in_) {
    core_.count(DropReason::ike_malformed);
    return std::nullopt;
  }
  if (message.encrypted->fragment) return open_fragment(datagram, message, fragments);
  auto payloads = in_->open(datagram, message);
  if (!payloads && !payloads.error().authentic) {
    core_.count(DropReason::ike_integrity);
    return std::nullopt;
  }
  fragments.clear();
  const Bytes digest = ResponseWindow::digest_of(datagram);
  if (!payloads) return Opened{{message.header, {}, {}}, digest, payloads.error().parse.where};
  return Opened{{message.header, std::move(*payloads), {}}, digest, nullptr};
}

/// RFC 7383 §2.6: the numbers, then whether it is new, then the ICV; nothing is kept that nobody authenticated. What
/// follows the last one that was missing is as for a whole message.
std::optional<Session::Opened> Session::open_fragment(ByteView datagram, const Message& message,
                                                      Reassembly& fragments) {
  const MessageId id = message.header.message_id;
  const FragmentPosition position = *message.encrypted->fragment;
  // §2.3: without both ends' consent there are none.
  if (!origin_.fragmentation || fragments.judge(core_.now(), id, position) != Reassembly::Verdict::wanted) {
    core_.count(DropReason::ike_fragment);
    return std::nullopt;
  }
  auto content = in_->open_content(datagram, message);
  if (!content) {
    core_.count(DropReason::ike_integrity);
    return std::nullopt;
  }
  core_.touch(*this);
  Bytes digest = position.number == 1 ? ResponseWindow::digest_of(datagram) : Bytes();
  const Reassembly::Added added =
      fragments.add(core_.now(), {id, position, message.encrypted->inner_first, std::move(digest), std::move(*content)},
                    association_ ? max_peer_bytes : max_stranger_bytes);
  if (added == Reassembly::Added::too_long) core_.count(DropReason::ike_fragment);
  // The peer has found the path too narrow for its larger ones (§2.5.2): ours would meet the same.
  if (added == Reassembly::Added::restarted) shrink_to(datagram.size());
  if (added != Reassembly::Added::complete) return std::nullopt;

  Reassembly::Whole whole = fragments.take();
  auto payloads = parse_payloads(whole.first, whole.content);
  if (!payloads) return Opened{{message.header, {}, {}}, std::move(whole.digest), payloads.error().where};
  return Opened{{message.header, std::move(*payloads), {}}, std::move(whole.digest), nullptr};
}

/// RFC 7383 §2.6.1: when the request that was answered last comes again in fragments, the first one alone asks for the
/// response. Cut anew, its bytes are not those that we know: it has to prove itself, and tells that the path is narrow.
void Session::on_changed_request(const Path& path, ByteView datagram, const Message& message) {
  const bool first = message.encrypted && message.encrypted->fragment && message.encrypted->fragment->number == 1;
  if (!first || !origin_.fragmentation || !in_) return core_.count(DropReason::ike_replayed);
  if (!in_->open_content(datagram, message)) return core_.count(DropReason::ike_integrity);
  shrink_to(datagram.size());
  if (auto smaller = recut(responses_.cached())) responses_.recut(std::move(*smaller));
  send_all(path, responses_.cached());
}

// ---- out
// -----------------------------------------------------------------------------------------------------------------------

/// Bytes of IP that a fragment may have; 0: this peer gets none.
std::size_t Session::fragment_size() const {
  if (!origin_.fragmentation) return 0;
  const std::size_t configured = peer_ ? config().fragment_size : default_size;
  return origin_.fragment_limit == 0 ? configured : std::min<std::size_t>(configured, origin_.fragment_limit);
}

std::size_t Session::around_message() const {
  const bool marked = origin_.path.local.port == core_.options().nat_port;
  return ip_header_len(origin_.path) + udp_header_len + (marked ? non_esp_marker_len : 0);
}

/// No message of ours is to be longer than one of the peer's that got through, `message_len` bytes of IKE.
void Session::shrink_to(std::size_t message_len) {
  const std::size_t least = origin_.path.remote.address.is_v4() ? 576 : 1280;
  const std::size_t size = std::max(least, message_len + around_message());
  if (size < fragment_size()) origin_.fragment_limit = static_cast<std::uint16_t>(size);
}

Result<std::vector<Bytes>> Session::seal(const Header& header, const PayloadChain& chain) {
  const std::size_t size = fragment_size();
  if (size == 0 || out_->sealed_len(chain) + around_message() <= size) {
    Result<Bytes> whole = out_->seal_chain(header, chain);
    if (!whole) return std::unexpected(std::move(whole.error()));
    std::vector<Bytes> datagrams;
    datagrams.push_back(std::move(*whole));
    return datagrams;
  }
  return out_->seal_fragments(header, chain, size - around_message());
}

void Session::send_all(const Path& path, const std::vector<Bytes>& datagrams) {
  for (const Bytes& datagram : datagrams) core_.send(path, datagram);
}

/// A message of ours once more, for what fragment_size() is now; nullopt: it would not come apart into more. RFC 7383
/// §2.5.2: only a larger total makes the peer begin anew. What was inside is read back from what was sent.
std::optional<std::vector<Bytes>> Session::recut(const std::vector<Bytes>& sent) {
  std::optional<Header> header;
  PayloadChain chain;
  for (const Bytes& datagram : sent) {
    const auto message = parse(datagram);
    auto content = message && message->encrypted ? out_->open_content(datagram, *message)
                                                 : std::unexpected(SkProtection::OpenError{});
    if (!content) return std::nullopt;  // IKE_SA_INIT: never in fragments
    if (!header) {
      header = message->header;
      chain.first = message->encrypted->inner_first;
    }
    append(chain.bytes, *content);
  }
  if (!header) return std::nullopt;
  auto datagrams = seal(*header, chain);
  if (!datagrams || datagrams->size() <= sent.size()) return std::nullopt;
  return std::move(*datagrams);
}

/// RFC 7383 §2.5.2: PMTU discovery. Each size gets its share of the tries; what gets through is kept for what follows.
void Session::try_smaller_fragments() {
  const std::size_t size = fragment_size();
  const auto next = size == 0 ? std::nullopt : smaller_size(size, origin_.path);
  if (!next || !out_) return;
  const int num_sizes = config().fragment_size > 1280 && origin_.path.remote.address.is_v4() ? 3 : 2;
  const int share = std::max(1, config().retransmit_tries / num_sizes);
  if ((requests_.num_sent() - 1) % share != 0) return;
  const std::uint16_t before = std::exchange(origin_.fragment_limit, static_cast<std::uint16_t>(*next));
  if (auto smaller = recut(requests_.datagrams())) {
    requests_.recut(std::move(*smaller));
  } else {
    origin_.fragment_limit = before;  // as small as that already: its size is not why there is no answer
  }
}

}  // namespace culvert::ike
