// What a session says and hears, for `culvert trace`.
#include "peer.h"
#include "session.h"
#include "trace.h"

namespace culvert::ike {

/// Of nobody known yet: few a second, so that a flood of them costs no time.
bool Session::is_traced() {
  return peer_ != nullptr || core_.trace().admits_stranger(core_.now());
}

TraceEntry Session::trace_entry(TraceEntry::Kind kind, const Path& path, const Header& header) const {
  TraceEntry entry;
  entry.kind = kind;
  entry.time = core_.now();
  if (peer_) entry.peer = config().name;
  entry.ours = our_spi();
  entry.spi_i = header.spi_i;
  entry.spi_r = header.spi_r;
  entry.local = path.local;
  entry.remote = path.remote;
  entry.exchange = static_cast<std::uint8_t>(header.exchange);
  entry.response = header.response;
  entry.message_id = header.message_id.value();
  return entry;
}

void Session::keep_trace(TraceEntry entry) {
  const bool is_small_talk = entry.exchange == static_cast<std::uint8_t>(ExchangeType::informational) &&
                             (entry.text == "nothing" || entry.text.starts_with("N(NAT_DETECTION"));
  core_.trace().add(!peer_          ? Trace::Share::strangers
                    : is_small_talk ? Trace::Share::small_talk
                                    : Trace::Share::conversations,
                    std::move(entry));
}

void Session::trace_sent(const Path& path, const Header& header, const std::vector<Payload>& payloads,
                         const std::vector<Bytes>& datagrams) {
  if (!is_traced()) return;
  TraceEntry entry = trace_entry(TraceEntry::Kind::sent, path, header);
  entry.datagrams = static_cast<std::uint16_t>(datagrams.size());
  for (const Bytes& datagram : datagrams) entry.bytes += static_cast<std::uint32_t>(datagram.size());
  entry.text = payloads.empty() ? "nothing" : describe(payloads);
  keep_trace(std::move(entry));
}

void Session::trace_received(const Path& path, std::size_t len, const Message& message,
                             const std::vector<Payload>& payloads, const char* malformed) {
  if (!is_traced()) return;
  TraceEntry entry = trace_entry(TraceEntry::Kind::received, path, message.header);
  entry.bytes = static_cast<std::uint32_t>(len);
  if (message.encrypted && message.encrypted->fragment) {
    entry.datagrams = message.encrypted->fragment->total;
    entry.bytes = 0;
  }
  entry.text = malformed ? fmt::format("malformed: {}", malformed) : payloads.empty() ? "nothing" : describe(payloads);
  keep_trace(std::move(entry));
}

void Session::trace_again() {
  if (!is_traced()) return;
  TraceEntry entry =
      trace_entry(TraceEntry::Kind::sent, origin_.path, header(requests_.exchange(), false, requests_.id()));
  entry.tries = static_cast<std::uint16_t>(requests_.num_sent());
  entry.datagrams = static_cast<std::uint16_t>(requests_.datagrams().size());
  for (const Bytes& datagram : requests_.datagrams()) entry.bytes += static_cast<std::uint32_t>(datagram.size());
  entry.text = "the same again: no answer so far";
  keep_trace(std::move(entry));
}

void Session::trace_repeated(const Path& path, const Header& header) {
  if (!is_traced()) return;
  TraceEntry entry = trace_entry(TraceEntry::Kind::received, path, header);
  entry.text = "the same again: answered again";
  keep_trace(std::move(entry));
}

/// Why it was answered so.
void Session::trace_note(const std::string& text) {
  if (!is_traced()) return;
  TraceEntry entry = trace_entry(TraceEntry::Kind::note, origin_.path, {});
  entry.text = log::sanitize(text);
  keep_trace(std::move(entry));
}

// ---- Core: whom there is no session with -------------------------------------------------------------------------

void Core::trace_stranger(TraceEntry::Kind kind, const Path& path, const Header& header,
                          const std::vector<Payload>& payloads, std::size_t len) {
  TraceEntry entry;
  entry.kind = kind;
  entry.time = now_;
  entry.spi_i = header.spi_i;
  entry.spi_r = header.spi_r;
  entry.local = path.local;
  entry.remote = path.remote;
  entry.exchange = static_cast<std::uint8_t>(header.exchange);
  entry.response = header.response;
  entry.message_id = header.message_id.value();
  entry.bytes = static_cast<std::uint32_t>(len);
  entry.text = describe(payloads);
  trace_->add(Trace::Share::strangers, std::move(entry));
}

/// What anybody on the network can cause counts as strangers' talk.
void Core::note_in_trace(const log::Subject& about, const std::string& text) {
  const bool by_anybody =
      about.peer.empty() || about.event == EventKind::refused || about.event == EventKind::auth_failed;
  if (about.peer.empty() && about.event == EventKind::none) return;
  if (by_anybody && !trace_->admits_stranger(now_)) return;
  TraceEntry entry;
  entry.time = now_;
  entry.peer = log::sanitize(about.peer);
  entry.text = log::sanitize(text);
  trace_->add(by_anybody ? Trace::Share::strangers : Trace::Share::conversations, std::move(entry));
}

std::vector<TraceEntry> Core::trace_of(const std::string& peer) const {
  const Peer* known = peer.empty() ? nullptr : find_peer(peer);
  return trace_->entries(peer, [known](const IpAddress& address) { return known && known->names_address(address); });
}

}  // namespace culvert::ike
