#include "links.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert::cli {
namespace {

std::string attribute_text(const rtattr* attribute) {
  const auto* text = static_cast<const char*>(RTA_DATA(attribute));
  return {text, strnlen(text, RTA_PAYLOAD(attribute))};
}

Link parse_link(const nlmsghdr* message) {
  const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
  Link link;
  link.index = info->ifi_index;
  auto left = static_cast<int>(IFLA_PAYLOAD(message));
  for (const rtattr* at = IFLA_RTA(info); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
    if (at->rta_type == IFLA_IFNAME) link.name = attribute_text(at);
    if (at->rta_type == IFLA_MASTER && RTA_PAYLOAD(at) >= sizeof link.master)
      std::memcpy(&link.master, RTA_DATA(at), sizeof link.master);
    if (at->rta_type != IFLA_LINKINFO) continue;
    auto nested_left = static_cast<int>(RTA_PAYLOAD(at));
    for (const auto* in = static_cast<const rtattr*>(RTA_DATA(at)); RTA_OK(in, nested_left);
         in = RTA_NEXT(in, nested_left))
      if (in->rta_type == IFLA_INFO_KIND) link.kind = attribute_text(in);
  }
  return link;
}

std::unexpected<Error> links_failed() {
  return fail(Errc::io, fmt::format("cannot list the network devices: {}", std::strerror(errno)), errno);
}

/// True: that was the last message.
Result<bool> take_messages(std::vector<char>& buffer, std::size_t len, std::vector<Link>& links) {
  auto left = static_cast<unsigned>(len);
  for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
       message = NLMSG_NEXT(message, left)) {
    if (message->nlmsg_type == NLMSG_DONE) return true;
    if (message->nlmsg_type == NLMSG_ERROR) {
      errno = EIO;
      return links_failed();
    }
    if (message->nlmsg_type == RTM_NEWLINK) links.push_back(parse_link(message));
  }
  return false;
}

}  // namespace

Result<std::vector<Link>> list_links() {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return links_failed();
  const struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  if (::send(fd, &request, sizeof request, 0) < 0) return links_failed();
  std::vector<Link> links;
  std::vector<char> buffer(1 << 16);
  for (;;) {
    const ssize_t len = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (len < 0 && errno == EINTR) continue;
    if (len <= 0) return links_failed();
    const auto done = take_messages(buffer, static_cast<std::size_t>(len), links);
    if (!done) return std::unexpected(done.error());
    if (*done) return links;
  }
}

bool is_port(const Link& link, const std::vector<Link>& all) {
  if (link.master == 0) return false;
  const auto master = std::ranges::find(all, link.master, &Link::index);
  return master == all.end() || master->kind != "vrf";
}

}  // namespace culvert::cli
