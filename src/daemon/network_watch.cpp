#include "network_watch.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "netlink_linux.h"

namespace culvert::daemon {
namespace {

constexpr Duration burst_time = std::chrono::milliseconds(50);  // an address and its routes come and go together
constexpr Duration short_pause = std::chrono::milliseconds(250), long_pause = std::chrono::seconds(2);
constexpr int share_of_time = 10;  // to hear of a change costs a look at each peer: no more than one part in so many

/// The device that an event is about; 0: none in particular; -1: of no interest.
int device_of(nlmsghdr* header) {
  const void* data = nlmsg_data(header);
  switch (header->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return static_cast<const ifinfomsg*>(data)->ifi_index;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return static_cast<int>(static_cast<const ifaddrmsg*>(data)->ifa_index);
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const auto* route = static_cast<const rtmsg*>(data);
      const bool of_ours =
          route->rtm_protocol == our_protocol && nlmsg_find_attr(header, sizeof(rtmsg), RTA_OIF) == nullptr;
      if (of_ours || route->rtm_table == RT_TABLE_LOCAL || (route->rtm_flags & RTM_F_CLONED) != 0) return -1;
      const nlattr* device = nlmsg_find_attr(header, sizeof(rtmsg), RTA_OIF);
      return device == nullptr ? 0 : static_cast<int>(nla_get_u32(device));
    }
    default:
      return -1;
  }
}

}  // namespace

void NetworkWatch::Close::operator()(nl_sock* socket) const noexcept {
  nl_socket_free(socket);
}

Result<std::unique_ptr<NetworkWatch>> NetworkWatch::open(boost::asio::io_context& io,
                                                         std::function<bool(int ifindex)> ignore,
                                                         std::function<void(int ifindex)> lost,
                                                         std::function<void()> changed) {
  std::unique_ptr<nl_sock, Close> socket(nl_socket_alloc());
  if (!socket) return fail(Errc::internal, "libnl has no memory");
  nl_socket_disable_seq_check(socket.get());  // nobody asked for what comes
  int error = nl_connect(socket.get(), NETLINK_ROUTE);
  if (error >= 0)
    error = nl_socket_add_memberships(socket.get(), RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                      RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0);
  if (error >= 0) error = nl_socket_set_nonblocking(socket.get());
  if (error < 0) return fail(Errc::io, std::string("netlink events: ") + nl_geterror(error));
  const int descriptor = dup(nl_socket_get_fd(socket.get()));
  if (descriptor < 0) return fail(Errc::io, "netlink events: dup", errno);
  std::unique_ptr<NetworkWatch> watch(new NetworkWatch(io, socket.release(), std::move(ignore), std::move(lost), std::move(changed)));
  watch->events_.assign(descriptor);
  watch->wait();
  return watch;
}

NetworkWatch::NetworkWatch(boost::asio::io_context& io, nl_sock* socket, std::function<bool(int ifindex)> ignore,
                           std::function<void(int ifindex)> lost, std::function<void()> changed)
    : socket_(socket),
      events_(io),
      timer_(io),
      ignore_(std::move(ignore)),
      lost_(std::move(lost)),
      changed_(std::move(changed)),
      pause_(short_pause) {
  nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, on_message, this);
}

NetworkWatch::~NetworkWatch() = default;

int NetworkWatch::on_message(nl_msg* message, void* self) {
  auto& watch = *static_cast<NetworkWatch*>(self);
  const int device = device_of(nlmsg_hdr(message));
  const bool ignored = device > 0 && watch.ignore_(device);
  if (ignored && nlmsg_hdr(message)->nlmsg_type == RTM_DELLINK) watch.gone_.push_back(device);
  if (device >= 0 && !ignored) watch.noticed_ = true;
  return NL_OK;
}

void NetworkWatch::wait() {
  events_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;  // we are going away
    read();
    wait();
  });
}

void NetworkWatch::read() {
  int error = 0;
  // Bounded: whatever comes meanwhile makes the descriptor readable again.
  for (int i = 0; i < 64 && error >= 0; ++i) error = nl_recvmsgs_default(socket_.get());
  if (error == -NLE_NOMEM) noticed_ = true;  // the kernel had more to say than the socket could hold
  for (const int device : std::exchange(gone_, {})) lost_(device);
  if (std::exchange(noticed_, false)) plan();
}

void NetworkWatch::plan() {
  if (std::exchange(planned_, true)) return;
  const TimePoint now = Clock::now();
  // Longer while events come without a pause; a link that comes and goes is not held up.
  pause_ = now - told_ > 2 * pause_ ? short_pause : std::min<Duration>(pause_ * 5 / 4, long_pause);
  timer_.expires_at(std::max({now + burst_time, told_ + pause_, told_ + cost_ * share_of_time}));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    planned_ = false;
    const TimePoint begun = Clock::now();
    changed_();
    told_ = Clock::now();
    cost_ = told_ - begun;
  });
}

}  // namespace culvert::daemon
