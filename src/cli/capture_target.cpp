#include "capture_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "client.h"

namespace culvert::cli {
namespace {

/// A filter in the kernel has at most 4096 instructions, one or two for each device.
constexpr std::size_t max_devices = 1000;

std::string any_link(const std::vector<int>& indexes) {
  std::vector<std::string> each;
  each.reserve(indexes.size());
  for (const int index : indexes) each.push_back(fmt::format("ifindex {}", index));
  return fmt::format("({})", fmt::join(each, " or "));
}

/// Of the devices that the tunnels have now; several tunnels may share one.
std::map<int, CapturePlace> inner_places(const CaptureWish& wish, const control::CaptureReport& report,
                                         const std::vector<Link>& links) {
  std::map<std::string, int> index_of;
  for (const Link& link : links) index_of[link.name] = link.index;
  std::map<int, CapturePlace> places;
  for (const auto& device : report.devices) {
    const auto found = index_of.find(device.device);
    if (found == index_of.end()) continue;
    const auto [place, added] = places.try_emplace(found->second);
    if (added) {
      place->second = {device.device, fmt::format("tunnel {} of peer {}", device.tunnel, device.peer), wish.expression,
                       false};
    } else {
      place->second.description = "several tunnels";
    }
  }
  return places;
}

}  // namespace

Result<CaptureTarget> make_target(const CaptureWish& wish, const control::CaptureReport& report,
                                  const std::vector<Link>& links) {
  CaptureTarget target;
  target.places = inner_places(wish, report, links);
  std::vector<int> ours, elsewhere;
  for (const auto& [index, place] : target.places) ours.push_back(index);
  for (const Link& link : links)
    if (target.places.contains(link.index) || is_port(link, links)) elsewhere.push_back(link.index);
  if (elsewhere.size() > max_devices)
    return fail(Errc::invalid, fmt::format("{} devices are too many: name a peer or a tunnel", elsewhere.size()));
  std::vector<std::string> parts;
  if (wish.inner && !ours.empty()) {
    const std::string fits = wish.expression.empty() ? "" : fmt::format(" and ({})", wish.expression);
    parts.push_back(fmt::format("({}{})", any_link(ours), fits));
  }
  if (wish.outer) {
    std::string fits = report.outer;
    if (!wish.inner && !wish.expression.empty()) fits = fmt::format("({}) and ({})", report.outer, wish.expression);
    const std::string place = elsewhere.empty() ? "" : fmt::format("not {} and ", any_link(elsewhere));
    parts.push_back(fmt::format("({}({}))", place, fits));
    target.outside = {"outer", "IKE and ESP", fits, true};
  }
  if (parts.empty()) return fail(Errc::invalid, "none of these tunnels has a device now");
  target.filter = fmt::format("{}", fmt::join(parts, " or "));
  if (!wish.inner) target.places.clear();
  return target;
}

Result<void> enter_namespace_of(const std::filesystem::path& socket) {
  const auto process = listener_of(socket);
  if (!process) return {};
  const std::string theirs = fmt::format("/proc/{}/ns/net", *process);
  struct stat ours {
  }, other{};
  if (::stat("/proc/self/ns/net", &ours) != 0 || ::stat(theirs.c_str(), &other) != 0) return {};
  if (ours.st_ino == other.st_ino && ours.st_dev == other.st_dev) return {};
  const int fd = ::open(theirs.c_str(), O_RDONLY | O_CLOEXEC);
  const bool entered = fd >= 0 && ::setns(fd, CLONE_NEWNET) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (entered) return {};
  return fail(
      Errc::io,
      fmt::format("culvertd is in another network namespace, which cannot be entered: {}", std::strerror(error)),
      error);
}

}  // namespace culvert::cli
