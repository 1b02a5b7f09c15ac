#include "netlink_linux.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/route.h>
#include <netlink/route/tc.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <utility>

namespace culvert::daemon {
namespace {

template <class T, void (*put)(T*)>
struct Release {
  void operator()(T* object) const noexcept { put(object); }
};
using LinkPtr = std::unique_ptr<rtnl_link, Release<rtnl_link, rtnl_link_put>>;
using AddrPtr = std::unique_ptr<rtnl_addr, Release<rtnl_addr, rtnl_addr_put>>;
using RoutePtr = std::unique_ptr<rtnl_route, Release<rtnl_route, rtnl_route_put>>;
using QdiscPtr = std::unique_ptr<rtnl_qdisc, Release<rtnl_qdisc, rtnl_qdisc_put>>;
using NlAddrPtr = std::unique_ptr<nl_addr, Release<nl_addr, nl_addr_put>>;
using CachePtr = std::unique_ptr<nl_cache, Release<nl_cache, nl_cache_free>>;
using MessagePtr = std::unique_ptr<nl_msg, Release<nl_msg, nlmsg_free>>;

int family_of(const IpAddress& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

NlAddrPtr to_nl(const IpAddress& address, int prefix_length) {
  NlAddrPtr result(nl_addr_build(family_of(address), address.bytes().data(), address.size()));
  if (result) nl_addr_set_prefixlen(result.get(), prefix_length);
  return result;
}

/// nullopt: no address, or none of IP.
std::optional<IpPrefix> to_prefix(nl_addr* address, int length) {
  if (address == nullptr) return std::nullopt;
  const ByteView bytes(static_cast<const std::uint8_t*>(nl_addr_get_binary_addr(address)), nl_addr_get_len(address));
  static constexpr std::uint8_t nothing[16] = {};  // of a default route libnl gives the family alone
  const ByteView any(nothing, nl_addr_get_family(address) == AF_INET ? 4 : 16);
  const auto ip = IpAddress::from_bytes(bytes.empty() ? any : bytes);
  return ip ? std::optional<IpPrefix>({*ip, static_cast<std::uint8_t>(length)}) : std::nullopt;
}

std::unexpected<Error> netlink_error(std::string what, int nl_code) {
  const int code = nl_code < 0 ? -nl_code : nl_code;
  std::string detail = fmt::format("{}: {}", what, nl_geterror(nl_code));
  if (code == NLE_PERM) detail += " (CAP_NET_ADMIN is needed: run as root)";
  return fail(code == NLE_NODEV || code == NLE_OBJ_NOTFOUND ? Errc::not_found : Errc::io, std::move(detail));
}

struct KernelAddress {
  IpPrefix prefix;
  int ifindex = 0, scope = 0;
  unsigned flags = 0;
};

Result<std::vector<KernelAddress>> all_addresses(nl_sock* socket) {
  nl_cache* cache_raw = nullptr;
  if (const int error = rtnl_addr_alloc_cache(socket, &cache_raw); error < 0) return netlink_error("addresses", error);
  const CachePtr cache(cache_raw);
  std::vector<KernelAddress> result;
  for (nl_object* object = nl_cache_get_first(cache_raw); object != nullptr; object = nl_cache_get_next(object)) {
    auto* address = reinterpret_cast<rtnl_addr*>(object);
    const auto prefix = to_prefix(rtnl_addr_get_local(address), rtnl_addr_get_prefixlen(address));
    if (!prefix) continue;
    result.push_back(
        {*prefix, rtnl_addr_get_ifindex(address), rtnl_addr_get_scope(address), rtnl_addr_get_flags(address)});
  }
  return result;
}

std::unexpected<Error> out_of_memory() {
  return fail(Errc::internal, "libnl has no memory");
}

constexpr std::uint32_t guard_metric = 4'000'000'000;  ///< worse than what anybody takes for a route that is used

RoutePtr make_guard(const IpPrefix& to, std::uint32_t table, std::uint8_t protocol) {
  RoutePtr route(rtnl_route_alloc());
  const NlAddrPtr destination = to_nl(to.network(), to.length);
  if (!route || !destination) return nullptr;
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(family_of(to.address)));
  rtnl_route_set_table(route.get(), table);
  rtnl_route_set_protocol(route.get(), protocol);
  rtnl_route_set_type(route.get(), RTN_UNREACHABLE);
  rtnl_route_set_scope(route.get(), RT_SCOPE_UNIVERSE);
  rtnl_route_set_priority(route.get(), guard_metric);
  rtnl_route_set_dst(route.get(), destination.get());
  return route;
}

/// A route of this prefix by this device, without flags or source.
Result<RoutePtr> make_route(int ifindex, const IpPrefix& to, const RoutePlace& place, std::uint8_t protocol) {
  RoutePtr route(rtnl_route_alloc());
  const NlAddrPtr destination = to_nl(to.network(), to.length);
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  if (!route || !destination || hop == nullptr) {
    if (hop != nullptr) rtnl_route_nh_free(hop);
    return out_of_memory();
  }
  rtnl_route_nh_set_ifindex(hop, ifindex);
  rtnl_route_add_nexthop(route.get(), hop);
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(family_of(to.address)));
  rtnl_route_set_table(route.get(), place.table);
  rtnl_route_set_protocol(route.get(), protocol);
  rtnl_route_set_priority(route.get(), as_kernel_has_it(to, place).metric);  // a delete without one would take any
  rtnl_route_set_type(route.get(), RTN_UNICAST);
  rtnl_route_set_scope(route.get(), to.address.is_v4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  rtnl_route_set_dst(route.get(), destination.get());
  return route;
}

std::string describe(rtnl_route* route) {
  std::string text;
  for (int i = 0; i < rtnl_route_get_nnexthops(route); ++i) {
    rtnl_nexthop* hop = rtnl_route_nexthop_n(route, i);
    char gateway_text[64] = "";
    if (nl_addr* gateway = rtnl_route_nh_get_gateway(hop)) nl_addr2str(gateway, gateway_text, sizeof gateway_text);
    char device[IF_NAMESIZE] = "";
    if (if_indextoname(static_cast<unsigned>(rtnl_route_nh_get_ifindex(hop)), device) == nullptr) device[0] = '\0';
    if (!text.empty()) text += " and ";
    if (gateway_text[0] != '\0') text += fmt::format("via {} ", gateway_text);
    text += fmt::format("dev {}", device[0] != '\0' ? device : "?");
  }
  return text.empty() ? "without a device (blackhole or unreachable)" : text;
}

}  // namespace

void Netlink::Close::operator()(nl_sock* socket) const noexcept {
  nl_socket_free(socket);
}

Result<Netlink> Netlink::open() {
  nl_sock* socket = nl_socket_alloc();
  if (socket == nullptr) return out_of_memory();
  Netlink netlink(socket);
  if (const int error = nl_connect(socket, NETLINK_ROUTE); error < 0) return netlink_error("netlink socket", error);
  const timeval limit{2, 0};
  if (setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
    return fail(Errc::io, "netlink socket: SO_RCVTIMEO", errno);
  return netlink;
}

Result<LinkInfo> Netlink::find_link(const std::string& name) {
  return link_by(0, name.c_str());
}

Result<LinkInfo> Netlink::link_by(int ifindex, const char* name) {
  rtnl_link* found = nullptr;
  const int error = rtnl_link_get_kernel(socket_.get(), ifindex, name, &found);
  if (error < 0)
    return netlink_error(name != nullptr ? fmt::format("device {}", name) : fmt::format("device {}", ifindex), error);
  const LinkPtr link(found);
  return LinkInfo{rtnl_link_get_ifindex(found), rtnl_link_get_name(found), rtnl_link_get_mtu(found),
                  (rtnl_link_get_flags(found) & IFF_UP) != 0};
}

Result<void> Netlink::change_link(int ifindex, const LinkChange& change) {
  const LinkPtr old(rtnl_link_alloc());
  const LinkPtr wanted(rtnl_link_alloc());
  if (!old || !wanted) return out_of_memory();
  rtnl_link_set_ifindex(old.get(), ifindex);
  rtnl_link_set_ifindex(wanted.get(), ifindex);
  std::string what = fmt::format("device with index {}:", ifindex);
  if (change.mtu) {
    rtnl_link_set_mtu(wanted.get(), *change.mtu);
    what += fmt::format(" mtu {}", *change.mtu);
  }
  if (change.bring_up) {
    rtnl_link_set_flags(wanted.get(), IFF_UP);
    what += " up";
  }
  if (const int error = rtnl_link_change(socket_.get(), old.get(), wanted.get(), 0); error < 0)
    return netlink_error(what, error);
  return {};
}

Result<void> Netlink::keep_v6_addresses_away(int ifindex) {
  const LinkPtr old(rtnl_link_alloc());
  const LinkPtr wanted(rtnl_link_alloc());
  if (!old || !wanted) return out_of_memory();
  rtnl_link_set_ifindex(old.get(), ifindex);
  rtnl_link_set_ifindex(wanted.get(), ifindex);
  int error = rtnl_link_inet6_set_addr_gen_mode(wanted.get(), IN6_ADDR_GEN_MODE_NONE);
  if (error >= 0) error = rtnl_link_change(socket_.get(), old.get(), wanted.get(), 0);
  if (error < 0) return netlink_error(fmt::format("device with index {}: addrgenmode none", ifindex), error);
  return {};
}

Result<void> Netlink::set_no_queue(int ifindex) {
  const QdiscPtr qdisc(rtnl_qdisc_alloc());
  if (!qdisc) return out_of_memory();
  rtnl_tc_set_ifindex(TC_CAST(qdisc.get()), ifindex);
  rtnl_tc_set_parent(TC_CAST(qdisc.get()), TC_H_ROOT);
  int error = rtnl_tc_set_kind(TC_CAST(qdisc.get()), "noqueue");
  if (error >= 0) error = rtnl_qdisc_add(socket_.get(), qdisc.get(), NLM_F_CREATE | NLM_F_REPLACE);
  if (error < 0) return netlink_error(fmt::format("device with index {}: qdisc noqueue", ifindex), error);
  return {};
}

Result<void> Netlink::remove_link(int ifindex) {
  const LinkPtr link(rtnl_link_alloc());
  if (!link) return out_of_memory();
  rtnl_link_set_ifindex(link.get(), ifindex);
  if (const int error = rtnl_link_delete(socket_.get(), link.get()); error < 0)
    return netlink_error(fmt::format("remove device with index {}", ifindex), error);
  return {};
}

Result<void> Netlink::remove_links(std::span<const int> ifindexes) {
  if (ifindexes.empty()) return {};
  const std::uint32_t group = 0x4000'0000U | static_cast<std::uint32_t>(::getpid());
  for (const int ifindex : ifindexes) {
    const LinkPtr old(rtnl_link_alloc());
    const LinkPtr wanted(rtnl_link_alloc());
    if (!old || !wanted) return out_of_memory();
    rtnl_link_set_ifindex(old.get(), ifindex);
    rtnl_link_set_ifindex(wanted.get(), ifindex);
    rtnl_link_set_group(wanted.get(), group);
    const int error = rtnl_link_change(socket_.get(), old.get(), wanted.get(), 0);
    if (error < 0 && error != -NLE_NODEV && error != -NLE_OBJ_NOTFOUND)
      return netlink_error(fmt::format("device with index {}: group", ifindex), error);
  }
  nl_msg* const message = nlmsg_alloc_simple(RTM_DELLINK, 0);
  if (!message) return out_of_memory();
  ifinfomsg header{};
  int error = nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO);
  if (error >= 0) error = nla_put_u32(message, IFLA_GROUP, group);
  if (error < 0) {
    nlmsg_free(message);
    return out_of_memory();
  }
  error = nl_send_sync(socket_.get(), message);  // which frees the message
  if (error < 0 && error != -NLE_NODEV && error != -NLE_OBJ_NOTFOUND) return netlink_error("remove the devices", error);
  return {};
}

Result<void> Netlink::add_address(int ifindex, const IpPrefix& prefix) {
  const AddrPtr address(rtnl_addr_alloc());
  const NlAddrPtr local = to_nl(prefix.address, prefix.length);
  if (!address || !local) return out_of_memory();
  rtnl_addr_set_ifindex(address.get(), ifindex);
  rtnl_addr_set_family(address.get(), family_of(prefix.address));
  const std::string what = fmt::format("address {}", prefix.to_string());
  if (const int error = rtnl_addr_set_local(address.get(), local.get()); error < 0) return netlink_error(what, error);
  rtnl_addr_set_prefixlen(address.get(), prefix.length);
  if (!prefix.address.is_v4()) rtnl_addr_set_flags(address.get(), IFA_F_NODAD);
  const int error = rtnl_addr_add(socket_.get(), address.get(), NLM_F_CREATE | NLM_F_EXCL);
  if (error == -NLE_EXIST) return {};
  if (error < 0) return netlink_error(what, error);
  return {};
}

Result<void> Netlink::remove_address(int ifindex, const IpPrefix& prefix) {
  const AddrPtr address(rtnl_addr_alloc());
  const NlAddrPtr local = to_nl(prefix.address, prefix.length);
  if (!address || !local) return out_of_memory();
  rtnl_addr_set_ifindex(address.get(), ifindex);
  rtnl_addr_set_family(address.get(), family_of(prefix.address));
  int error = rtnl_addr_set_local(address.get(), local.get());
  rtnl_addr_set_prefixlen(address.get(), prefix.length);
  if (error >= 0) error = rtnl_addr_delete(socket_.get(), address.get(), 0);
  if (error < 0) return netlink_error(fmt::format("remove address {}", prefix.to_string()), error);
  return {};
}

Result<std::vector<IpPrefix>> Netlink::addresses() {
  const auto all = all_addresses(socket_.get());
  if (!all) return std::unexpected(all.error());
  std::vector<IpPrefix> result;
  for (const KernelAddress& address : *all) result.push_back(address.prefix);
  return result;
}

Result<std::vector<IpPrefix>> Netlink::addresses_of(int ifindex) {
  const auto all = all_addresses(socket_.get());
  if (!all) return std::unexpected(all.error());
  std::vector<IpPrefix> result;
  for (const KernelAddress& address : *all)
    if (address.ifindex == ifindex && address.scope == RT_SCOPE_UNIVERSE) result.push_back(address.prefix);
  return result;
}

Result<std::vector<DeviceRoute>> Netlink::routes_of(int ifindex) {
  nl_cache* cache_raw = nullptr;
  if (const int error = rtnl_route_alloc_cache(socket_.get(), AF_UNSPEC, 0, &cache_raw); error < 0)
    return netlink_error("routes", error);
  const CachePtr cache(cache_raw);
  std::vector<DeviceRoute> result;
  for (nl_object* object = nl_cache_get_first(cache_raw); object != nullptr; object = nl_cache_get_next(object)) {
    auto* route = reinterpret_cast<rtnl_route*>(object);
    const std::uint8_t protocol = rtnl_route_get_protocol(route);
    const RoutePlace place{rtnl_route_get_table(route), rtnl_route_get_priority(route)};
    // As static routes of the main table we made them up to version 0.1.
    if (protocol != our_protocol && (protocol != RTPROT_STATIC || place.table != main_table)) continue;
    if (rtnl_route_get_nnexthops(route) != 1) continue;
    if (rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, 0)) != ifindex) continue;
    nl_addr* to = rtnl_route_get_dst(route);
    const auto prefix = to_prefix(to, to == nullptr ? 0 : static_cast<int>(nl_addr_get_prefixlen(to)));
    if (prefix) result.push_back({*prefix, place, protocol});
  }
  return result;
}

Result<std::vector<LocalAddress>> Netlink::local_addresses() {
  constexpr unsigned not_now = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
  const auto all = all_addresses(socket_.get());
  if (!all) return std::unexpected(all.error());
  std::vector<LocalAddress> result;
  for (const KernelAddress& address : *all)
    if (address.scope == RT_SCOPE_UNIVERSE && (address.flags & not_now) == 0)
      result.push_back({address.prefix.address, address.ifindex});
  return result;
}

Result<void> Netlink::add_route(int ifindex, const IpPrefix& to, const std::optional<IpAddress>& source,
                                const RoutePlace& place) {
  auto route = make_route(ifindex, to, place, our_protocol);
  if (!route) return std::unexpected(route.error());
  if (source) {
    const NlAddrPtr preferred = to_nl(*source, source->bits());
    if (!preferred) return out_of_memory();
    rtnl_route_set_pref_src(route->get(), preferred.get());
  }
  int error = rtnl_route_add(socket_.get(), route->get(), NLM_F_CREATE | NLM_F_EXCL);
  if (error == -NLE_EXIST) {
    bool same_device = false;
    const std::string existing = describe_routes(to, place, ifindex, same_device);
    if (!same_device)
      return fail(Errc::invalid,
                  fmt::format("route {} exists already, {}: remove that route, take the prefix out of `routes`, or set "
                              "another `metric`",
                              to.to_string(), existing));
    error = rtnl_route_add(socket_.get(), route->get(), NLM_F_CREATE | NLM_F_REPLACE);
  }
  if (error < 0) return netlink_error(fmt::format("route {}", to.to_string()), error);
  return {};
}

Result<void> Netlink::remove_route(int ifindex, const IpPrefix& to, const RoutePlace& place, std::uint8_t protocol) {
  auto route = make_route(ifindex, to, place, protocol);
  if (!route) return std::unexpected(route.error());
  if (const int error = rtnl_route_delete(socket_.get(), route->get(), 0); error < 0)
    return netlink_error(fmt::format("remove route {}", to.to_string()), error);
  return {};
}

Result<void> Netlink::add_guard(const IpPrefix& to, std::uint32_t table) {
  const RoutePtr guard = make_guard(to, table, our_protocol);
  if (!guard) return out_of_memory();
  const int error = rtnl_route_add(socket_.get(), guard.get(), NLM_F_CREATE | NLM_F_REPLACE);
  if (error < 0) return netlink_error(fmt::format("unreachable route {}", to.to_string()), error);
  return {};
}

Result<void> Netlink::remove_guard(const IpPrefix& to, std::uint32_t table, std::uint8_t protocol) {
  const RoutePtr guard = make_guard(to, table, protocol);
  if (!guard) return out_of_memory();
  if (const int error = rtnl_route_delete(socket_.get(), guard.get(), 0); error < 0)
    return netlink_error(fmt::format("remove unreachable route {}", to.to_string()), error);
  return {};
}

std::string Netlink::describe_routes(const IpPrefix& to, const RoutePlace& place, int ifindex, bool& same_device) {
  same_device = false;
  nl_cache* cache_raw = nullptr;
  if (rtnl_route_alloc_cache(socket_.get(), family_of(to.address), 0, &cache_raw) < 0) return "but could not be read";
  const CachePtr cache(cache_raw);
  const NlAddrPtr destination = to_nl(to.network(), to.length);
  std::string text;
  for (nl_object* object = nl_cache_get_first(cache_raw); object != nullptr; object = nl_cache_get_next(object)) {
    auto* route = reinterpret_cast<rtnl_route*>(object);
    if (RoutePlace{rtnl_route_get_table(route), rtnl_route_get_priority(route)} != as_kernel_has_it(to, place))
      continue;
    nl_addr* dst = rtnl_route_get_dst(route);
    if (dst == nullptr || !destination || nl_addr_cmp(dst, destination.get()) != 0) continue;
    for (int i = 0; i < rtnl_route_get_nnexthops(route); ++i)
      if (rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, i)) == ifindex) same_device = true;
    if (!text.empty()) text += "; ";
    text += describe(route);
  }
  return text.empty() ? "but is gone again" : text;
}

int Netlink::take_route(nl_msg* message, void* out) {
  rtnl_route* raw = nullptr;
  if (rtnl_route_parse(nlmsg_hdr(message), &raw) < 0) return NL_SKIP;
  const RoutePtr route(raw);
  auto& answer = *static_cast<RouteAnswer*>(out);
  if (rtnl_route_get_nnexthops(raw) > 0) answer.ifindex = rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(raw, 0));
  std::uint32_t mtu = 0;
  if (rtnl_route_get_metric(raw, RTAX_MTU, &mtu) == 0) answer.mtu = mtu;
  return NL_STOP;
}

Result<Netlink::RouteAnswer> Netlink::ask_route(const IpAddress& to, const IpAddress* from) {
  const std::string what = fmt::format("route to {}", to.to_string());
  const MessagePtr request(nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST));
  if (!request) return out_of_memory();
  rtmsg header{};
  header.rtm_family = static_cast<unsigned char>(family_of(to));
  header.rtm_dst_len = static_cast<unsigned char>(to.bits());
  if (from != nullptr) header.rtm_src_len = static_cast<unsigned char>(from->bits());
  header.rtm_flags = RTM_F_FIB_MATCH;
  if (nlmsg_append(request.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0 ||
      (mark_ != 0 && nla_put_u32(request.get(), RTA_MARK, mark_) < 0) ||
      nla_put(request.get(), RTA_DST, static_cast<int>(to.size()), to.bytes().data()) < 0 ||
      (from != nullptr && nla_put(request.get(), RTA_SRC, static_cast<int>(from->size()), from->bytes().data()) < 0))
    return out_of_memory();
  if (const int error = nl_send_auto(socket_.get(), request.get()); error < 0) return netlink_error(what, error);

  RouteAnswer answer;
  nl_cb* callbacks = nl_cb_alloc(NL_CB_DEFAULT);
  if (callbacks == nullptr) return out_of_memory();
  nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, take_route, &answer);
  const int error = nl_recvmsgs(socket_.get(), callbacks);
  nl_cb_put(callbacks);
  if (error < 0) return netlink_error(what, error);
  // nl_send_auto asked for an acknowledgement behind the answer.
  (void)nl_wait_for_ack(socket_.get());
  if (answer.ifindex == 0) return fail(Errc::not_found, what + ": none");
  return answer;
}

Result<RouteLookup> Netlink::lookup_route(const IpAddress& to) {
  const auto answer = ask_route(to, nullptr);
  if (!answer) return std::unexpected(answer.error());
  auto link = link_by(answer->ifindex, nullptr);
  if (!link) return std::unexpected(link.error());
  return RouteLookup{answer->ifindex, link->name, answer->mtu != 0 ? answer->mtu : link->mtu};
}

Result<int> Netlink::route_device(const IpAddress& to, const IpAddress& from) {
  const auto answer = ask_route(to, &from);
  if (!answer) return std::unexpected(answer.error());
  return answer->ifindex;
}

}  // namespace culvert::daemon
