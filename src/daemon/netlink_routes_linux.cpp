// The whole routing table, for who asks what has become of our routes.
#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <sys/socket.h>

#include <map>
#include <memory>

#include "netlink_linux.h"

namespace culvert::daemon {
namespace {

struct FreeCache {
  void operator()(nl_cache* cache) const noexcept { nl_cache_free(cache); }
};

std::optional<IpPrefix> prefix_of(rtnl_route* route) {
  nl_addr* to = rtnl_route_get_dst(route);
  if (to == nullptr) return std::nullopt;
  static constexpr std::uint8_t nothing[16] = {};  // of a default route libnl gives the family alone
  const ByteView any(nothing, nl_addr_get_family(to) == AF_INET ? 4 : 16);
  const ByteView bytes(static_cast<const std::uint8_t*>(nl_addr_get_binary_addr(to)), nl_addr_get_len(to));
  const auto address = IpAddress::from_bytes(bytes.empty() ? any : bytes);
  if (!address) return std::nullopt;
  return IpPrefix{*address, static_cast<std::uint8_t>(nl_addr_get_prefixlen(to))};
}

int take_rule(nl_msg* message, void* out) {
  const nlmsghdr* header = nlmsg_hdr(message);
  if (header->nlmsg_type != RTM_NEWRULE) return NL_OK;
  nlattr* attributes[FRA_MAX + 1] = {};
  fib_rule_hdr fixed{};
  if (nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof fixed, attributes, FRA_MAX, nullptr) < 0) return NL_OK;
  fixed = *static_cast<const fib_rule_hdr*>(nlmsg_data(header));
  if (!attributes[FRA_PROTOCOL] || nla_get_u8(attributes[FRA_PROTOCOL]) != our_protocol) return NL_OK;
  RoutingRule rule;
  rule.family = fixed.family == AF_INET ? IpFamily::v4 : IpFamily::v6;
  rule.table = attributes[FRA_TABLE] ? nla_get_u32(attributes[FRA_TABLE]) : fixed.table;
  if (attributes[FRA_PRIORITY]) rule.priority = nla_get_u32(attributes[FRA_PRIORITY]);
  if (attributes[FRA_FWMARK]) rule.mark = nla_get_u32(attributes[FRA_FWMARK]);
  rule.only_specific = attributes[FRA_SUPPRESS_PREFIXLEN] != nullptr;
  if (nlattr* to = attributes[FRA_DST])
    rule.to =
        IpAddress::from_bytes({static_cast<const std::uint8_t*>(nla_data(to)), static_cast<std::size_t>(nla_len(to))});
  static_cast<std::vector<RoutingRule>*>(out)->push_back(rule);
  return NL_OK;
}

}  // namespace

Result<std::vector<KernelRoute>> Netlink::all_routes() {
  nl_cache* raw = nullptr;
  if (const int error = rtnl_route_alloc_cache(socket_.get(), AF_UNSPEC, 0, &raw); error < 0)
    return fail(Errc::io, fmt::format("routes: {}", nl_geterror(error)));
  const std::unique_ptr<nl_cache, FreeCache> cache(raw);
  std::map<int, std::string> names;
  std::vector<KernelRoute> routes;
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr; object = nl_cache_get_next(object)) {
    auto* route = reinterpret_cast<rtnl_route*>(object);
    const auto to = prefix_of(route);
    const auto table = rtnl_route_get_table(route);
    if (!to || table == RT_TABLE_LOCAL) continue;
    KernelRoute one{.to = *to,
                    .place = {table, rtnl_route_get_priority(route)},
                    .protocol = rtnl_route_get_protocol(route),
                    .unreachable = rtnl_route_get_type(route) != RTN_UNICAST,
                    .ifindex = 0,
                    .device = {}};
    if (rtnl_route_get_nnexthops(route) > 0) one.ifindex = rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, 0));
    if (one.ifindex != 0) {
      const auto [name, is_new] = names.try_emplace(one.ifindex);
      if (is_new)
        if (const auto link = link_by(one.ifindex, nullptr)) name->second = link->name;
      one.device = name->second;
    }
    routes.push_back(std::move(one));
  }
  return routes;
}

Result<std::vector<RoutingRule>> Netlink::our_rules() {
  std::vector<RoutingRule> rules;
  for (const int family : {AF_INET, AF_INET6}) {
    fib_rule_hdr header{};
    header.family = static_cast<std::uint8_t>(family);
    int error = nl_send_simple(socket_.get(), RTM_GETRULE, NLM_F_DUMP, &header, sizeof header);
    if (error >= 0) {
      const std::unique_ptr<nl_cb, void (*)(nl_cb*)> callbacks(nl_cb_alloc(NL_CB_DEFAULT), nl_cb_put);
      if (!callbacks) return fail(Errc::internal, "libnl has no memory");
      nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, take_rule, &rules);
      error = nl_recvmsgs(socket_.get(), callbacks.get());
    }
    if (error < 0) return fail(Errc::io, fmt::format("routing rules: {}", nl_geterror(error)));
  }
  return rules;
}

}  // namespace culvert::daemon
