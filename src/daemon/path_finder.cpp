#include "path_finder.h"

#include <algorithm>

#include "culvert/base/log.h"
#include "resolver.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_paths = 32;

}  // namespace

void PathFinder::refresh(Netlink& netlink) {
  auto found = netlink.local_addresses();
  if (!found) return log::warn("our own addresses: {}", found.error().detail);
  addresses_ = std::move(*found);
  std::erase_if(addresses_, [this](const LocalAddress& own) { return !listens_on(own.address); });
}

bool PathFinder::listens_on(const IpAddress& address) const {
  return std::ranges::any_of(listen_, [&](const IpAddress& bound) {
    return bound == address || (bound.is_unspecified() && bound.family() == address.family());
  });
}

std::vector<ike::Path> PathFinder::find(Netlink& netlink, const std::vector<IpAddress>& remotes,
                                        const std::vector<IpAddress>& ours) const {
  std::vector<ike::Path> chosen, others;
  for (const IpAddress& remote : remotes) {
    const auto first =
        ours.empty() ? local_address_towards({remote, 500}, listen_, netlink.mark()) : fail(Errc::no_match, "");
    if (first) chosen.push_back({{*first, 0}, {remote, 0}});
    const auto add = [&](const LocalAddress& own) {
      if (own.address.family() != remote.family() || (first && own.address == *first)) return;
      const auto device = netlink.route_device(remote, own.address);
      if (!device || (ours.empty() && *device != own.ifindex)) return;
      const bool is_choice = !ours.empty() && (chosen.empty() || chosen.back().remote.address != remote);
      (is_choice ? chosen : others).push_back({{own.address, 0}, {remote, 0}});
    };
    if (ours.empty()) std::ranges::for_each(addresses_, add);
    for (const IpAddress& wanted : ours) {
      const auto own = std::ranges::find(addresses_, wanted, &LocalAddress::address);
      if (own != addresses_.end()) add(*own);
    }
  }
  chosen.insert(chosen.end(), others.begin(), others.end());
  if (chosen.size() > max_paths) chosen.resize(max_paths);
  return chosen;
}

}  // namespace culvert::daemon
