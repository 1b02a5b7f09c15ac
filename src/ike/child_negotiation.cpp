#include "child_negotiation.h"

#include <algorithm>

#include "traffic_selector.h"

namespace culvert::ike {
namespace {

using Selectors = std::vector<TrafficSelector>;

bool is_host(const TrafficSelector& selector) {
  return selector.first == selector.last;
}

bool all_hosts(const Selectors& selectors) {
  return !selectors.empty() && std::ranges::all_of(selectors, is_host);
}

/// The packet's own selector first (RFC 7296 §2.9), when the configured ones allow it.
void put_first(Selectors& selectors, const TrafficSelector& packet) {
  if (covers(selectors, packet) && std::ranges::find(selectors, packet) == selectors.end()) {
    selectors.insert(selectors.begin(), packet);
  }
}

/// RFC 7296 §2.23.1: in transport mode under a NAT each end puts the address that it sees in place of the one that the
/// other end knows of itself.
Selectors substitute(Selectors selectors, const IpAddress& address) {
  for (TrafficSelector& selector : selectors) {
    if (is_host(selector) && selector.first.family() == address.family()) selector.first = selector.last = address;
  }
  return selectors;
}

struct Narrowed {
  const ChildConfig* config = nullptr;
  EspMode mode = EspMode::tunnel;
  Selectors local, remote;            ///< ours, with the addresses that the data plane sees
  Selectors wire_local, wire_remote;  ///< the same with the addresses that the peer used
};

/// Selectors of `specs`; behind a NAT a spec without a prefix also stands for the one address by which the peer calls
/// that end, since the two ends then disagree on the IKE address (tunnel mode; transport mode has §2.23.1).
Selectors allowed(std::span<const SelectorSpec> specs, const IpAddress& ike_address, bool nat,
                  const Selectors& offered) {
  Selectors ours = resolve(specs, ike_address);
  const auto host = std::ranges::find_if(offered, is_host);
  const bool open = std::ranges::any_of(specs, [](const SelectorSpec& spec) { return !spec.prefix; });
  if (!nat || !open || host == offered.end() || !narrow(offered, ours).empty()) return ours;
  return resolve(specs, host->first);
}

Narrowed narrow_transport(const ChildContext& context, const ChildConfig& config, const Selectors& ts_i,
                          const Selectors& ts_r) {
  Narrowed result;
  result.config = &config;
  result.mode = EspMode::transport;
  if (!all_hosts(ts_i) || !all_hosts(ts_r)) return result;
  const IpAddress& here = context.path.local.address;
  const IpAddress& there = context.path.remote.address;
  const Selectors seen_i = context.nat.remote ? substitute(ts_i, there) : ts_i;
  const Selectors seen_r = context.nat.local ? substitute(ts_r, here) : ts_r;
  result.remote = narrow(seen_i, resolve(config.remote, there));
  result.local = narrow(seen_r, resolve(config.local, here));
  result.wire_remote = context.nat.remote ? substitute(result.remote, ts_i.front().first) : result.remote;
  result.wire_local = context.nat.local ? substitute(result.local, ts_r.front().first) : result.local;
  return result;
}

Narrowed narrow_tunnel(const ChildContext& context, const ChildConfig& config, const Selectors& ts_i,
                       const Selectors& ts_r) {
  Narrowed result;
  result.config = &config;
  result.remote = narrow(ts_i, allowed(config.remote, context.path.remote.address, context.nat.remote, ts_i));
  result.local = narrow(ts_r, allowed(config.local, context.path.local.address, context.nat.local, ts_r));
  result.wire_remote = result.remote;
  result.wire_local = result.local;
  return result;
}

/// A rekey may always have what is in use (RFC 7296 §2.9.2), also when that names IKE addresses from before a move
/// (RFC 4555).
Narrowed keep_selectors(const ChildSa& old, bool transport_asked, const Selectors& ts_i, const Selectors& ts_r) {
  Narrowed result;
  if (transport_asked != (old.mode == EspMode::transport)) return result;
  result.config = old.config;
  result.mode = old.mode;
  result.remote = result.wire_remote = narrow(ts_i, old.remote);
  result.local = result.wire_local = narrow(ts_r, old.local);
  return result;
}

bool fits(const Narrowed& narrowed) {
  return !narrowed.local.empty() && !narrowed.remote.empty();
}

/// One configured child against the offer; an empty result does not fit.
Narrowed try_config(const ChildContext& context, const ChildConfig& config, bool transport_asked, const Selectors& ts_i,
                    const Selectors& ts_r) {
  if (transport_asked && config.mode != ModePreference::tunnel) {
    Narrowed transport = narrow_transport(context, config, ts_i, ts_r);
    if (fits(transport)) return transport;
  }
  if (config.mode == ModePreference::transport) return {};
  return narrow_tunnel(context, config, ts_i, ts_r);
}

/// The child whose selectors grant the offer whole, else the first that grants a part of it.
Narrowed pick_config(const ChildContext& context, bool transport_asked, const Selectors& ts_i, const Selectors& ts_r) {
  Narrowed best;
  for (const ChildConfig& config : context.peer.children) {
    Narrowed candidate = try_config(context, config, transport_asked, ts_i, ts_r);
    if (!fits(candidate)) continue;
    const bool whole = covers_all(candidate.wire_remote, ts_i) && covers_all(candidate.wire_local, ts_r);
    if (whole) return candidate;
    if (!best.config) best = std::move(candidate);
  }
  return best;
}

Refusal no_selectors(const ChildContext& context, const TsPayload& ts_i, const TsPayload& ts_r, bool transport_asked) {
  const bool only_transport =
      !transport_asked && std::ranges::any_of(context.peer.children, [](const ChildConfig& config) {
        return config.mode == ModePreference::transport;
      });
  return refusal(
      NotifyType::ts_unacceptable,
      fmt::format("it wants {} to {} in {} mode, which no tunnel of ours allows{}", to_string(ts_i.selectors),
                  to_string(ts_r.selectors), transport_asked ? "transport" : "tunnel",
                  only_transport ? " (mode = \"transport\" is configured here)" : ""));
}

}  // namespace

Refusal refusal(NotifyType type, std::string why) {
  return {make_notify(type), std::move(why)};
}

std::string PeerRefusal::to_string() const {
  const std::string_view name = notify_name(type);
  switch (type) {
    case NotifyType::no_proposal_chosen:
      return fmt::format("{}: it allows none of the algorithms that we offer; compare `ike` and `esp` of both sides",
                         name);
    case NotifyType::authentication_failed:
      return fmt::format("{}: it does not accept our identity or our pre-shared key; its log says which", name);
    case NotifyType::ts_unacceptable:
      return fmt::format("{}: it allows none of our traffic selectors; compare `local` and `remote` of both sides",
                         name);
    case NotifyType::invalid_ke_payload:
      return fmt::format("{}: it wants a key exchange that we do not allow", name);
    case NotifyType::temporary_failure:
      return fmt::format("{}: it is busy or administratively down", name);
    case NotifyType::internal_address_failure:
      return fmt::format("{}: it has no address for us; its log says why", name);
    case NotifyType::failed_cp_required:
      return fmt::format("{}: it wants us to ask for an address: virtual_address = \"any\" does that", name);
    case NotifyType::no_additional_sas:
      return fmt::format("{}: it takes no further SAs", name);
    default:
      break;
  }
  if (name == "unknown notify") return fmt::format("error notify {}", static_cast<unsigned>(type));
  return std::string(name);
}

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

ChildOffer make_offer(const ChildContext& context, const ChildConfig& config, const std::optional<Trigger>& trigger,
                      Spi spi) {
  ChildOffer offer;
  offer.config = &config;
  offer.spi = spi;
  offer.proposals = offer_esp(context.peer.esp_proposals, context.negotiation, spi);
  offer.local = resolve(config.local, context.path.local.address);
  offer.remote = resolve(config.remote, context.path.remote.address);
  // Transport mode is between hosts (RFC 4301 §4.1): asking for it with nets would be refused for a reason hard to see.
  offer.transport = config.mode != ModePreference::tunnel && all_hosts(offer.local) && all_hosts(offer.remote);
  if (trigger) {
    put_first(offer.local, trigger->source);
    put_first(offer.remote, trigger->destination);
  }
  return offer;
}

ChildOffer make_rekey_offer(const ChildContext& context, const ChildSa& old, Spi spi) {
  ChildOffer offer;
  offer.config = old.config;
  offer.spi = spi;
  offer.proposals = offer_esp(context.peer.esp_proposals, context.negotiation, spi);
  offer.local = old.local;
  offer.remote = old.remote;
  offer.transport = old.mode == EspMode::transport;
  return offer;
}

std::vector<Payload> offer_payloads(const ChildOffer& offer) {
  std::vector<Payload> payloads;
  if (offer.transport) payloads.emplace_back(make_notify(NotifyType::use_transport_mode));
  payloads.emplace_back(SaPayload{offer.proposals});
  if (!offer.nonce.empty()) payloads.emplace_back(NoncePayload{offer.nonce});
  if (offer.ke) {
    const ByteView value = offer.ke->public_value();
    payloads.emplace_back(KePayload{static_cast<std::uint16_t>(offer.ke->method()), Bytes(value.begin(), value.end())});
  }
  payloads.emplace_back(TsPayload{true, offer.local});
  payloads.emplace_back(TsPayload{false, offer.remote});
  return payloads;
}

std::expected<ChildAgreement, std::string> accept_child(const ChildContext& context, const ChildOffer& offer,
                                                        const Message& answer) {
  const auto* sa = answer.find<SaPayload>();
  const TsPayload* ts_i = answer.find_ts(true);
  const TsPayload* ts_r = answer.find_ts(false);
  if (!sa || !ts_i || !ts_r) return std::unexpected("its answer lacks an SA or TS payload");
  const Result<EspChoice> choice = accept_esp(offer.proposals, *sa, context.negotiation);
  if (!choice) return std::unexpected(choice.error().detail);
  if (choice->peer_spi.value() < 256) return std::unexpected("its answer has a reserved SPI");  // RFC 4303 §2.1

  ChildAgreement agreement{offer.config,    offer.spi,       choice->peer_spi, choice->suite,
                           EspMode::tunnel, ts_i->selectors, ts_r->selectors};
  const bool transport = answer.find_notify(NotifyType::use_transport_mode) != nullptr;
  if (transport && !offer.transport) return std::unexpected("it answers with transport mode, which we did not ask for");
  if (!transport && offer.config->mode == ModePreference::transport) {
    return std::unexpected("it insists on tunnel mode, and mode = \"transport\" is configured here");
  }
  if (transport) {
    agreement.mode = EspMode::transport;
    // RFC 7296 §2.23.1: the responder may answer with the addresses as it sees them.
    // What it left as we sent it stays: our address may be another one by now (RFC 4555).
    if (context.nat.local && !covers_all(offer.local, agreement.local))
      agreement.local = substitute(std::move(agreement.local), context.path.local.address);
    if (context.nat.remote && !covers_all(offer.remote, agreement.remote))
      agreement.remote = substitute(std::move(agreement.remote), context.path.remote.address);
  }
  // RFC 7296 §2.9: the responder may narrow, never widen.
  if (agreement.local.empty() || agreement.remote.empty() || !covers_all(offer.local, agreement.local) ||
      !covers_all(offer.remote, agreement.remote)) {
    return std::unexpected(fmt::format("it answers with the selectors {} to {}, which is more than we offered",
                                       to_string(ts_i->selectors), to_string(ts_r->selectors)));
  }
  return agreement;
}

// ---- responder
// -----------------------------------------------------------------------------------------------------------------

std::expected<ChildAnswer, Refusal> answer_child(const ChildContext& context, const Message& request,
                                                 const ChildSa* rekeyed, Spi spi) {
  const auto* sa = request.find<SaPayload>();
  const TsPayload* ts_i = request.find_ts(true);
  const TsPayload* ts_r = request.find_ts(false);
  if (!sa || !ts_i || !ts_r)
    return std::unexpected(refusal(NotifyType::invalid_syntax, "its request for a child lacks an SA or TS payload"));

  const bool transport_asked = request.find_notify(NotifyType::use_transport_mode) != nullptr;
  Narrowed narrowed;
  if (rekeyed) narrowed = keep_selectors(*rekeyed, transport_asked, ts_i->selectors, ts_r->selectors);
  if (!fits(narrowed)) {
    narrowed = rekeyed ? try_config(context, *rekeyed->config, transport_asked, ts_i->selectors, ts_r->selectors)
                       : pick_config(context, transport_asked, ts_i->selectors, ts_r->selectors);
  }
  if (!narrowed.config || !fits(narrowed)) return std::unexpected(no_selectors(context, *ts_i, *ts_r, transport_asked));

  const Result<EspChoice> choice = choose_esp(context.peer.esp_proposals, *sa, context.negotiation);
  if (!choice) return std::unexpected(refusal(NotifyType::no_proposal_chosen, choice.error().detail));
  if (choice->peer_spi.value() < 256)
    return std::unexpected(refusal(NotifyType::invalid_syntax, "it proposes a reserved SPI"));

  ChildAnswer answer;
  answer.agreement = {narrowed.config, spi, choice->peer_spi, choice->suite, narrowed.mode, narrowed.local,
                      narrowed.remote};
  if (narrowed.mode == EspMode::transport) {
    answer.head.emplace_back(make_notify(NotifyType::use_transport_mode));
  }
  Proposal proposal = choice->answer;
  proposal.spi.resize(4);
  store_be(proposal.spi.data(), spi.value());
  answer.head.emplace_back(SaPayload{{std::move(proposal)}});
  answer.tail.emplace_back(TsPayload{true, std::move(narrowed.wire_remote)});
  answer.tail.emplace_back(TsPayload{false, std::move(narrowed.wire_local)});
  return answer;
}

}  // namespace culvert::ike
