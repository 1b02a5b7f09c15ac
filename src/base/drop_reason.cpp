#include "culvert/base/drop_reason.h"

namespace culvert {
namespace {

struct Entry {
  std::string_view name;
  std::string_view text;
};

Entry entry(DropReason reason) noexcept {
  switch (reason) {
    case DropReason::inner_malformed: return {"inner_malformed", "packet from the device is no well-formed IPv4 or IPv6"};
    case DropReason::no_policy: return {"no_policy", "packet into a tunnel whose selectors do not cover it"};
    case DropReason::no_sa: return {"no_sa", "packet into a tunnel that is down"};
    case DropReason::wait_queue_full: return {"wait_queue_full", "more packets waited for a tunnel to come up than the queue holds"};
    case DropReason::wait_expired: return {"wait_expired", "packet waited too long for a tunnel to come up"};
    case DropReason::too_big: return {"too_big", "packet larger than the tunnel's MTU; its sender was told"};
    case DropReason::sequence_exhausted: return {"sequence_exhausted", "the SA has no sequence number left"};
    case DropReason::encrypt_failed: return {"encrypt_failed", "encryption failed"};
    case DropReason::send_failed: return {"send_failed", "the kernel refused to send the datagram"};
    case DropReason::gre_recursion: return {"gre_recursion", "packet to the tunnel's own far end routed into the tunnel"};
    case DropReason::no_buffer: return {"no_buffer", "no packet buffer was free"};
    case DropReason::outer_malformed: return {"outer_malformed", "datagram too short or with lengths that do not fit"};
    case DropReason::unknown_spi: return {"unknown_spi", "ESP with an SPI that no SA has"};
    case DropReason::replay: return {"replay", "ESP sequence number seen before"};
    case DropReason::replay_too_old: return {"replay_too_old", "ESP sequence number older than the replay window"};
    case DropReason::icv_failed: return {"icv_failed", "ESP that is not authentic (ICV)"};
    case DropReason::padding_invalid: return {"padding_invalid", "ESP padding is wrong"};
    case DropReason::next_header_invalid: return {"next_header_invalid", "ESP next header that the SA does not carry"};
    case DropReason::dummy: return {"dummy", "ESP dummy packet, dropped by design"};
    case DropReason::selector_mismatch: return {"selector_mismatch", "decrypted packet outside the SA's traffic selectors"};
    case DropReason::sa_expired: return {"sa_expired", "the SA is beyond its hard lifetime"};
    case DropReason::gre_malformed: return {"gre_malformed", "GRE header malformed, or of another version"};
    case DropReason::gre_checksum: return {"gre_checksum", "GRE checksum is wrong"};
    case DropReason::gre_key_unknown: return {"gre_key_unknown", "no tunnel has this GRE key"};
    case DropReason::gre_out_of_order: return {"gre_out_of_order", "GRE sequence number older than one delivered"};
    case DropReason::gre_protocol: return {"gre_protocol", "GRE protocol type that is not carried"};
    case DropReason::tun_write_failed: return {"tun_write_failed", "the kernel refused the decrypted packet"};
    case DropReason::ecn_invalid: return {"ecn_invalid", "congestion marked outside, but the inner packet can't carry the mark"};
    case DropReason::control_queue_full: return {"control_queue_full", "more IKE datagrams than are taken"};
    case DropReason::keepalive: return {"keepalive", "NAT keepalive, consumed by design"};
    case DropReason::ike_malformed: return {"ike_malformed", "not a well-formed IKE message"};
    case DropReason::ike_unknown_sa: return {"ike_unknown_sa", "IKE message for an SA that does not exist"};
    case DropReason::ike_half_open_limit: return {"ike_half_open_limit", "too many half-open IKE SAs"};
    case DropReason::ike_source_limit: return {"ike_source_limit", "too many half-open IKE SAs from one address or prefix"};
    case DropReason::ike_source_barred: return {"ike_source_barred", "too many failed authentications from this address or prefix"};
    case DropReason::ike_stranger: return {"ike_stranger", "IKE_SA_INIT from an address that no configured peer has"};
    case DropReason::ike_cookie_demanded: return {"ike_cookie_demanded", "IKE_SA_INIT answered with COOKIE, by design"};
    case DropReason::ike_flood: return {"ike_flood", "IKE_SA_INIT in a flood of them; who asks again gets a COOKIE"};
    case DropReason::ike_replayed: return {"ike_replayed", "IKE message outside the message window"};
    case DropReason::ike_integrity: return {"ike_integrity", "IKE message that is not authentic (ICV)"};
    case DropReason::ike_guessing: return {"ike_guessing", "login by EAP for a user of whom too many have failed; treated as one with a wrong password"};
    case DropReason::ike_busy: return {"ike_busy", "IKE message that asks for more public-key work than there is room for"};
    case DropReason::ike_fragment: return {"ike_fragment", "IKE fragment that is there already, out of date, one too many, or not agreed on"};
    case DropReason::count_: break;
  }
  return {"unknown", "unknown"};
}

}  // namespace

std::string_view drop_reason_name(DropReason reason) noexcept { return entry(reason).name; }
std::string_view drop_reason_text(DropReason reason) noexcept { return entry(reason).text; }

}  // namespace culvert
