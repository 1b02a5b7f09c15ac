#include "kill_switch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "run_program.h"

namespace culvert::daemon {
namespace {

std::string table_of(const std::string& name) {
  return "inet culvert_" + name;
}

std::string elements(const std::vector<IpAddress>& addresses, IpFamily family) {
  std::vector<std::string> texts;
  for (const IpAddress& address : addresses)
    if (address.family() == family && texts.size() < max_gateways) texts.push_back(address.to_string());
  return texts.empty() ? "" : fmt::format("elements = {{ {} }};", fmt::join(texts, ", "));
}

Result<void> run_nft(const std::string& script) {
  const std::string nft = find_program("nft");
  if (nft.empty()) return fail(Errc::not_found, "the kill switch needs the program nft (package nftables)");
  return run_program({nft, "-f", "-"}, script);
}

}  // namespace

/// DHCP renewals go to the server by unicast, so no address is named there; both ports belong to root. ND: RFC 4861
/// §7.1 (hop limit 255: it cannot leave the link). The reports of RFC 3810 tell switches which groups of neighbour
/// solicitation we listen to.
std::string kill_switch_rules(const KillSwitchPlan& plan) {
  const std::string table = table_of(plan.name);
  std::string rules = fmt::format("table {0} {{}}\ndelete table {0}\ntable {0} {{\n", table);
  rules += fmt::format("  set gateways4 {{ type ipv4_addr; {} }}\n", elements(plan.gateways, IpFamily::v4));
  rules += fmt::format("  set gateways6 {{ type ipv6_addr; {} }}\n", elements(plan.gateways, IpFamily::v6));
  rules += "  chain out {\n    type filter hook output priority 0; policy drop;\n";
  rules += fmt::format("    oifname {{ \"lo\", \"{}\" }} accept\n", plan.device);
  rules += fmt::format(
      "    ip daddr @gateways4 udp dport {{ {0} }} accept\n    ip6 daddr @gateways6 udp dport {{ {0} }} accept\n",
      fmt::join(plan.ports, ", "));
  if (plan.tcp_port != 0)
    rules += fmt::format(
        "    ip daddr @gateways4 tcp dport {0} accept\n    ip6 daddr @gateways6 tcp dport {0} accept\n", plan.tcp_port);
  if (plan.raw_esp)
    rules += "    ip daddr @gateways4 meta l4proto esp accept\n    ip6 daddr @gateways6 meta l4proto esp accept\n";
  if (plan.lookup_mark != 0)
    rules += fmt::format("    meta mark {:#x} meta skuid 0 udp dport 53 accept\n", plan.lookup_mark);
  rules +=
      "    udp sport 68 udp dport 67 accept\n"
      "    ip6 daddr { fe80::/10, ff02::1:2 } udp sport 546 udp dport 547 accept\n"
      "    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept\n"
      "    ip6 daddr ff02::16 icmpv6 type mld2-listener-report ip6 hoplimit 1 accept\n"
      "    counter reject with icmpx admin-prohibited\n  }\n";
  rules += "  chain through {\n    type filter hook forward priority 0; policy drop;\n";
  rules += fmt::format("    oifname \"{0}\" accept\n    iifname \"{0}\" accept\n    counter\n  }}\n}}\n", plan.device);
  return rules;
}

Result<void> close_kill_switch(const KillSwitchPlan& plan) {
  return run_nft(kill_switch_rules(plan));
}

Result<void> open_kill_switch(const std::string& name) {
  // Adding it first makes the deletion of one that is not there succeed.
  return run_nft(fmt::format("table {0} {{}}\ndelete table {0}\n", table_of(name)));
}

bool kill_switch_closed(const std::string& name) {
  const std::string nft = find_program("nft");
  return !nft.empty() && run_program({nft, "list", "table", "inet", "culvert_" + name}).has_value();
}

}  // namespace culvert::daemon
