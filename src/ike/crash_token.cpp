// Quick crash detection, RFC 6290, as token maker and as token taker.
//
//   IKE_AUTH:  HDR, SK {…, AUTH, N(QCD_TOKEN), …}   -->    both ends say theirs
//                                                  <--     HDR, SK {…, AUTH, N(QCD_TOKEN), …}
//   one end crashes and returns:
//   HDR, SK {…}                                    -->
//                                                  <--     HDR, N(INVALID_IKE_SPI), N(QCD_TOKEN)   not protected
//
// A rekey of the IKE SA makes new SPIs, and with them new tokens: the responder says its own in CREATE_CHILD_SA, the
// initiator by an INFORMATIONAL exchange of the new IKE SA (§4.4).
#include "crash_token.h"

#include <algorithm>
#include <array>

#include "association.h"
#include "culvert/crypto/prf.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t min_token_len = 16, max_token_len = 128;  // RFC 6290 §4.1
constexpr int max_tokens = 4;                                   // of one answer: a cluster may send several (§4.5)

std::array<std::uint8_t, 8> to_bytes(IkeSpi spi) {
  std::array<std::uint8_t, 8> bytes{};
  store_be(bytes.data(), spi.value());
  return bytes;
}

}  // namespace

NotifyPayload CrashTokens::token(IkeSpi spi_i, IkeSpi spi_r) const {
  const Secret mac = crypto::prf(crypto::Prf::hmac_sha2_256, secret_->view(),
                                 {as_bytes("culvert QCD"), to_bytes(spi_i), to_bytes(spi_r)});
  const ByteView octets = mac.view();
  return make_notify(NotifyType::qcd_token, {octets.begin(), octets.end()});
}

// ---- maker
// ---------------------------------------------------------------------------------------------------------------------

void Session::add_crash_token(std::vector<Payload>& payloads) const {
  if (core_.crash_tokens().makes_tokens())
    payloads.emplace_back(core_.crash_tokens().token(origin_.spi_i, origin_.spi_r));
}

bool Session::begin_announce_token() {
  std::vector<Payload> payloads;
  add_crash_token(payloads);
  if (payloads.empty()) return false;
  send_request(ExchangeType::informational, payloads, Probing{});
  return true;
}

/// Whether we have, or are about to have, an IKE SA with one of these SPIs: its first message may overtake the answer
/// that makes it (a rekey of ours).
bool Core::may_know(const Header& header) const {
  const auto is_it = [&](const Session* session) {
    return session && (session->spi_i() == header.spi_i || session->spi_r() == header.spi_r);
  };
  if (is_it(find_session(header.spi_i)) || is_it(find_session(header.spi_r))) return true;
  return std::ranges::any_of(sessions_, [&](const auto& entry) {
    const Session& session = *entry.second;
    const auto* rekey = session.underway<RekeyingIke>();
    return rekey && (rekey->spi == header.spi_i || rekey->spi == header.spi_r);
  });
}

/// A protected message of an IKE SA that we do not know (any more). The token ends that IKE SA at the peer, so it must
/// never be given away while we have the IKE SA (RFC 6290 §9.1): also not to somebody who only turned a flag.
void Core::answer_unknown_sa(const Path& path, const Header& header) {
  const bool sensible = header.spi_i.value() != 0 && header.spi_r.value() != 0;
  answer_without_sa(path, header, sensible && !may_know(header));
}

void Core::answer_without_sa(const Path& path, const Header& header, bool with_token) {
  std::vector<Payload> payloads{make_notify(NotifyType::invalid_ike_spi)};
  if (!crash_tokens_.makes_tokens() || !with_token) return answer_stranger(path, header, std::move(payloads));
  if (!token_limit_.take(now_)) return;
  payloads.emplace_back(crash_tokens_.token(header.spi_i, header.spi_r));
  answer_stateless(path, header, std::move(payloads));
}

/// ESP that we have no SA for: after a crash its sender does not know, and may not ask before long. RFC 7296 §1.5: one
/// INFORMATIONAL message outside any IKE SA, an SPI that means nothing, message ID 0, no answer.
void Core::report_unknown_spi(const Path& path, Spi spi) {
  const IpAddress& from = path.remote.address;
  const auto is_up_from = [&](const auto& peer) {
    const Association* association = peer->preferred();
    const Session* session = association ? association->current() : nullptr;
    return session && session->path().remote.address == from;
  };
  const bool is_up = std::ranges::any_of(peers_, is_up_from);
  const bool may_be_peer = std::ranges::any_of(peers_, [&](const auto& peer) { return peer->may_come_from(from); });
  if (is_up || !may_be_peer || !may_answer_stranger()) return;
  Path back = path;
  if (back.remote.port == 0) {  // raw ESP has no ports
    back.remote.port = 500;
    back.local.port = options_.ike_port;
  }
  NotifyPayload notify = make_notify(NotifyType::invalid_spi, Bytes(4));
  store_be(notify.data.data(), spi.value());
  const Header header{new_ike_spi(), IkeSpi(0), ExchangeType::informational, true, false, MessageId(0)};
  send(back, build(header, {std::move(notify)}));
}

// ---- taker
// ---------------------------------------------------------------------------------------------------------------------

void Session::read_crash_token(const Message& message) {
  const NotifyPayload* notify = message.find_notify(NotifyType::qcd_token);
  if (!notify || notify->data.size() < min_token_len || notify->data.size() > max_token_len) return;
  peer_token_ = Secret::copy_of(notify->data);
}

/// Whether `message`, which nothing protects, holds the peer's token: it has lost this IKE SA.
bool Session::proves_crash(const Message& message) const {
  if (peer_token_.empty() || message.encrypted || !message.find_notify(NotifyType::invalid_ike_spi)) return false;
  int num = 0;
  for (const Payload& payload : message.payloads) {
    const auto* notify = std::get_if<NotifyPayload>(&payload);
    if (!notify || notify->type != NotifyType::qcd_token) continue;
    if (peer_token_.equals(notify->data)) return true;
    if (++num >= max_tokens) return false;
  }
  return false;
}

/// RFC 6290 §4.5: the IKE SA goes at once, without a word, and is made anew.
void Session::on_peer_crashed() {
  core_.touch(*this);
  const std::string why = "the peer has lost its memory (QCD_TOKEN)";
  if (association_) return association_->on_session_closed(*this, why, true);
  close();
}

/// INVALID_SPI outside any IKE SA (RFC 7296 §1.5) is a hint, and one only if it names what we send on.
bool Association::sends_on(Spi outbound) const {
  return std::ranges::any_of(children_, [&](const auto& entry) { return entry.second.outbound == outbound; });
}

}  // namespace culvert::ike
