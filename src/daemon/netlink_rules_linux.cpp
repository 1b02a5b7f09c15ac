// Routing rules (ip rule) by rtnetlink: libnl-route knows neither suppress_prefixlength nor the protocol of a rule.
#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include "netlink_linux.h"

namespace culvert::daemon {
namespace {

std::unexpected<Error> rule_error(const char* what, const RoutingRule& rule, int error) {
  const Errc code = error == -NLE_OBJ_NOTFOUND ? Errc::not_found : Errc::io;
  return fail(code, fmt::format("{} the routing rule {}{}: {}", what, rule.priority,
                                rule.to ? " to " + rule.to->to_string() : "", nl_geterror(error)));
}

/// nullptr: out of memory. nl_send_sync frees it.
nl_msg* message_of(int type, int flags, const RoutingRule& rule, bool by_priority_alone,
                   std::uint8_t protocol = our_protocol) {
  nl_msg* const message = nlmsg_alloc_simple(type, flags);
  if (!message) return nullptr;
  fib_rule_hdr header{};
  header.family = rule.family == IpFamily::v4 ? AF_INET : AF_INET6;
  header.action = by_priority_alone ? FR_ACT_UNSPEC : FR_ACT_TO_TBL;
  if (rule.to) header.dst_len = static_cast<std::uint8_t>(rule.to->bits());
  bool fine = nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO) >= 0 &&
              nla_put_u32(message, FRA_PRIORITY, rule.priority) >= 0 &&
              nla_put_u8(message, FRA_PROTOCOL, protocol) >= 0;
  if (!by_priority_alone) fine = fine && nla_put_u32(message, FRA_TABLE, rule.table) >= 0;
  if (rule.to)
    fine = fine && nla_put(message, FRA_DST, static_cast<int>(rule.to->size()), rule.to->bytes().data()) >= 0;
  if (rule.mark != 0) fine = fine && nla_put_u32(message, FRA_FWMARK, rule.mark) >= 0;
  if (rule.only_specific) fine = fine && nla_put_u32(message, FRA_SUPPRESS_PREFIXLEN, 0) >= 0;
  if (fine) return message;
  nlmsg_free(message);
  return nullptr;
}

}  // namespace

Result<void> Netlink::add_rule(const RoutingRule& rule) {
  nl_msg* const message = message_of(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule, false);
  if (!message) return fail(Errc::io, "out of memory");
  const int error = nl_send_sync(socket_.get(), message);
  if (error < 0 && error != -NLE_EXIST) return rule_error("add", rule, error);
  return {};
}

Result<void> Netlink::remove_rule(const RoutingRule& rule) {
  nl_msg* const message = message_of(RTM_DELRULE, 0, rule, false);
  if (!message) return fail(Errc::io, "out of memory");
  if (const int error = nl_send_sync(socket_.get(), message); error < 0) return rule_error("remove", rule, error);
  return {};
}

bool Netlink::remove_rules(IpFamily family, std::uint32_t priority) {
  for (const std::uint8_t protocol : {our_protocol, former_protocol}) {
    nl_msg* const message = message_of(RTM_DELRULE, 0, {family, priority, 0, std::nullopt, false}, true, protocol);
    if (message && nl_send_sync(socket_.get(), message) >= 0) return true;
  }
  return false;
}

}  // namespace culvert::daemon
