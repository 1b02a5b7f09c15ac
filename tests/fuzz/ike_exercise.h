#pragma once
// What a session does with the payloads of a message that parsed: nothing of it may crash, hang or grow, whatever a
// peer wrote.
#include <cstdlib>
#include <string>
#include <vector>

#include "config_payload.h"
#include "culvert/ike/identity.h"
#include "message.h"
#include "proposal_select.h"
#include "traffic_selector.h"

namespace culvert::ike::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::size_t max_words = 4096;  // of one sentence for the operator

template <class T>
void require_short(const Result<T>& result) {
  if (!result) require(result.error().detail.size() < max_words);
}

inline void exercise(const SaPayload& sa) {
  static const auto ike = default_ike_proposals(), esp = default_esp_proposals();
  static const auto offered = offer_esp(esp, EspNegotiation::create_child, Spi(0x1000));
  for (const auto negotiation : {IkeNegotiation::initial, IkeNegotiation::rekey}) {
    const auto choice = choose_ike(ike, sa, negotiation);
    require_short(choice);
    // What we chose from the peer's offer, the peer could accept: one transform a type, all of them offered.
    if (choice) {
      Proposal answer = choice->answer;
      if (negotiation == IkeNegotiation::rekey) answer.spi = Bytes(8, 1);
      require(accept_ike(sa.proposals, {{answer}}, negotiation).has_value());
    }
    require_short(accept_ike(ike, sa, negotiation));
  }
  for (const auto negotiation : {EspNegotiation::ike_auth, EspNegotiation::create_child}) {
    const auto choice = choose_esp(esp, sa, negotiation);
    require_short(choice);
    if (choice) require(choice->peer_spi.value() > 255);
    require_short(accept_esp(offered, sa, negotiation));
  }
}

inline void exercise(const TsPayload& ts) {
  static const std::vector<TrafficSelector> ours{TrafficSelector::from_prefix(*IpPrefix::parse("10.0.0.0/8")),
                                                 TrafficSelector::from_prefix(*IpPrefix::parse("2001:db8::/32"), 6),
                                                 TrafficSelector::from_prefix(*IpPrefix::parse("0.0.0.0/0"), 47)};
  const auto narrowed = narrow(ts.selectors, ours);
  require(narrowed.size() <= max_selectors);
  require(covers_all(ts.selectors, narrowed) && covers_all(ours, narrowed));
  if (!ts.selectors.empty()) {
    for (const TrafficSelector& mine : ours) {
      const auto first = intersect(ts.selectors.front(), mine);
      if (first) require(covers(narrowed, *first));
    }
  }
  require(!to_string(ts.selectors).empty());
}

inline void exercise(const IdPayload& id) {
  const Identity identity{static_cast<IdType>(id.type), id.data};
  require(identity.matches(identity) || identity.type == IdType::der_asn1_dn);
  static const Identity ours = *Identity::parse("CN=gw,O=Example");
  (void)ours.matches(identity);
  (void)identity.to_string();
  require(id.body().size() == id.data.size() + 4);
}

inline void exercise(const CpPayload& cp) {
  const AddressRequest asked = read_request(cp);
  require(!asked.wish_v4 || asked.v4);
  const auto net = read_reply(cp);
  if (!net) return require(net.error().size() < max_words);
  require(net->addresses.size() <= 2 && net->dns.size() <= 8 && net->domains.size() <= 32 && net->subnets.size() <= 64);
  for (const std::string& domain : net->domains) require(is_domain(domain));
  AddressRequest all{true, true, {}, {}, true, true, true, true, true};
  const auto back = read_reply(make_reply(*net, all));
  require(back && back->addresses == net->addresses && back->dns == net->dns && back->subnets == net->subnets);
}

inline void exercise(const NotifyPayload& notify) {
  require(!notify_name(notify.type).empty());
  const auto method = wanted_ke(notify);
  if (method) require(notify.data.size() == 2);
}

template <class T>
void exercise(const T&) {}

/// And what was read can be written and read again as the same.
inline void exercise_all(const std::vector<Payload>& payloads) {
  bool writable = true;
  for (const Payload& payload : payloads) {
    std::visit([](const auto& value) { exercise(value); }, payload);
    // Selectors of unknown types are dropped; a payload of none is not legal to write.
    const auto* ts = std::get_if<TsPayload>(&payload);
    writable = writable && (ts == nullptr || !ts->selectors.empty());
  }
  if (!writable) return;
  const PayloadChain once = build_payloads(payloads);
  const auto again = parse_payloads(once.first, once.bytes);
  require(again.has_value() && again->size() == payloads.size());
  require(build_payloads(*again).bytes == once.bytes);
}

}  // namespace culvert::ike::fuzz
