// Redirect, RFC 5685, as client and as gateway.
//
//   HDR, SAi1, KEi, Ni, N(REDIRECT_SUPPORTED)  -->
//                                             <--  HDR, N(REDIRECT: other gateway, Ni)           stateless
//   to the other one: HDR, …, N(REDIRECTED_FROM)  -->
//
//   or, authenticated: IKE_AUTH response {…, N(REDIRECT)}; INFORMATIONAL request {N(REDIRECT)}; the client then deletes
//   the IKE SA and goes to the other one.
//
// The first is protected by nothing but our nonce. Whoever can forge it can as well suppress every answer; the gateway
// that it names must prove the identity of the configuration, as any other.
#include "redirect.h"

#include <algorithm>

#include "association.h"
#include "clients.h"
#include "culvert/base/ip.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::uint8_t ident_ipv4 = 1, ident_ipv6 = 2, ident_fqdn = 3;  // RFC 5685 §9.2
constexpr Duration resolve_time = std::chrono::seconds(30);             // for the daemon to answer ResolveAddresses
constexpr std::size_t max_followed = 5;
constexpr Duration followed_within = std::chrono::seconds(300);

std::optional<IpAddress> address_from(std::uint8_t type, ByteView ident) {
  if (type == ident_ipv4 && ident.size() == 4) return IpAddress::from_bytes(ident);
  if (type == ident_ipv6 && ident.size() == 16) return IpAddress::from_bytes(ident);
  return std::nullopt;
}

}  // namespace

bool announces_redirects(const Message& message) {
  return message.find_notify(NotifyType::redirect_supported) || message.find_notify(NotifyType::redirected_from);
}

bool is_gateway_name(std::string_view text) {
  if (text.empty() || text.size() > 253 || text.front() == '.' || text.front() == '-') return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

Bytes redirect_data(std::string_view gateway, ByteView nonce) {
  Bytes data;
  if (const auto address = IpAddress::parse(gateway)) {
    data = {address->is_v4() ? ident_ipv4 : ident_ipv6, static_cast<std::uint8_t>(address->bytes().size())};
    append(data, address->bytes());
  } else {
    data = {ident_fqdn, static_cast<std::uint8_t>(gateway.size())};
    append(data, as_bytes(gateway));
  }
  append(data, nonce);
  return data;
}

std::optional<RedirectTarget> parse_redirect(ByteView data) {
  if (data.size() < 2 || data.size() < std::size_t{2} + data[1]) return std::nullopt;
  const ByteView ident = data.subspan(2, data[1]), nonce = data.subspan(std::size_t{2} + data[1]);
  RedirectTarget target;
  if (const auto address = address_from(data[0], ident)) {
    if (address->is_unspecified() || address->is_multicast()) return std::nullopt;
    target.gateway = address->to_string();
  } else if (data[0] == ident_fqdn) {
    target.gateway.assign(ident.begin(), ident.end());
    if (!is_gateway_name(target.gateway)) return std::nullopt;
  } else {
    return std::nullopt;
  }
  target.nonce.assign(nonce.begin(), nonce.end());
  return target;
}

bool RedirectLoop::allows(TimePoint now) {
  std::erase_if(followed_, [&](TimePoint at) { return now - at >= followed_within; });
  if (followed_.size() >= max_followed) return false;
  followed_.push_back(now);
  return true;
}

// ---- client
// ---------------------------------------------------------------------------------------------------------------------

/// REDIRECT_SUPPORTED, or, where a redirect has led us, REDIRECTED_FROM (RFC 5685 §3, §4).
void Session::add_redirect_support(std::vector<Payload>& payloads) const {
  // A reauthentication stays where the IKE SA is.
  if (!config().follow_redirects || peer_->has_association()) return;
  const std::optional<IpAddress> from = peer_->redirected_from();
  payloads.emplace_back(NotifyPayload{from ? NotifyType::redirected_from : NotifyType::redirect_supported,
                                      ProtocolId::none,
                                      {},
                                      from ? redirect_data(from->to_string(), {}) : Bytes{}});
}

/// The answer to our IKE_SA_INIT sends us elsewhere. True: it is followed, or ignored because it is not about ours.
bool Session::on_init_redirect(const Message& message) {
  const NotifyPayload* notify = message.find_notify(NotifyType::redirect);
  // §3: only where we have said that we follow.
  if (!notify || !config().follow_redirects || peer_->has_association()) return false;
  const auto target = parse_redirect(notify->data);
  // RFC 5685 §5: the nonce shows that it answers what we sent.
  if (!target || target->nonce != handshake_->ni) {
    core_.count(DropReason::ike_malformed);
    return true;
  }
  close();
  peer_->on_redirected(*this, target->gateway);
  return true;
}

/// The same from a peer that is authenticated, in IKE_AUTH or later.
void Session::on_redirect(const Message& message) {
  const NotifyPayload* notify = message.find_notify(NotifyType::redirect);
  if (!notify || !origin_.initiator || !association_ || association_->ended() || !config().follow_redirects) return;
  const auto target = parse_redirect(notify->data);
  if (!target) return;
  association_->close_with_delete("it sends us to " + target->gateway);
  peer_->on_redirected(*this, target->gateway);
}

void Peer::on_redirected(const Session& session, const std::string& gateway) {
  abandon_attempt();
  if (admin_down_) return;
  const IpAddress from = session.path().remote.address;
  if (!redirect_loop_.allows(core_.now()))
    return attempt_over(fmt::format("{} sends us to {}, the sixth redirect within 300 s: not followed (RFC 5685)",
                                    from.to_string(), gateway));
  core_.report(log::Level::info, about().as(EventKind::redirected),
               fmt::format("{}: {} sends us to {}", label(), from.to_string(), gateway));
  ticket_.reset();
  redirected_from_ = from;
  phase_ = Phase::resolving;
  retry_at_ = core_.now() + resolve_time;
  core_.emit(ResolveAddresses{config_.id, gateway});
}

// ---- gateway
// --------------------------------------------------------------------------------------------------------------------

/// Whether there is another gateway for who reaches us by this path.
bool Core::sends_away(const Path& path) const {
  return !redirect_.empty() && IpAddress::parse(redirect_) != path.local.address;
}

/// Whether the sender of this IKE_SA_INIT is sent elsewhere; it has been, then. Not back to where it comes from, nor to
/// where it is.
bool Core::redirects(const Path& path, const Message& message) {
  if (!sends_away(path) || !announces_redirects(message)) return false;
  const NotifyPayload* from = message.find_notify(NotifyType::redirected_from);
  const auto origin = from ? parse_redirect(from->data) : std::nullopt;
  if (origin && origin->gateway == redirect_) return false;
  const Bytes& nonce = message.find<NoncePayload>()->data;
  answer_stateless(path, message.header, {make_notify(NotifyType::redirect, redirect_data(redirect_, nonce))});
  report_limited("redirect", log::Level::info,
                 fmt::format("{}: sent to {}", path.remote.address.to_string(), redirect_));
  return true;
}

/// From now on who calls is sent to `gateway`, and who is up is told so, where they follow redirects. Empty: no more.
std::size_t Core::redirect_to(std::string gateway) {
  redirect_ = std::move(gateway);
  if (redirect_.empty()) return 0;
  std::size_t num = 0;
  const auto tell = [&num](Peer& peer) {
    for (const auto& association : peer.associations()) {
      const Session* session = association->current();
      if (association->ended() || !session || !association->follows_redirects()) continue;
      Task task;
      task.kind = Task::Kind::redirect;
      association->add_task(std::move(task));
      ++num;
    }
  };
  for (const auto& peer : peers_) tell(*peer);
  clients_->for_each(tell);
  return num;
}

/// In our IKE_AUTH response, when it became necessary after IKE_SA_INIT (RFC 5685 §6): there will be no child.
bool Session::add_redirect(std::vector<Payload>& payloads) const {
  if (!core_.sends_away(origin_.path) || !origin_.follows_redirects) return false;
  payloads.emplace_back(make_notify(NotifyType::redirect, redirect_data(core_.redirect(), {})));
  return true;
}

bool Session::begin_redirect() {
  if (!core_.sends_away(origin_.path)) return false;  // it is there already
  send_request(ExchangeType::informational, {make_notify(NotifyType::redirect, redirect_data(core_.redirect(), {}))},
               Probing{});
  return true;
}

}  // namespace culvert::ike
