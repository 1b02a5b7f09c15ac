#include "process_usage.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace culvert::daemon {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

/// Since Linux 6.2 the size of the folder says it; before, its entries are counted.
std::optional<std::uint64_t> count_fds() {
  struct stat about {};
  if (stat("/proc/self/fd", &about) != 0) return std::nullopt;
  if (about.st_size > 0) return static_cast<std::uint64_t>(about.st_size);
  std::error_code error;
  const std::filesystem::directory_iterator entries("/proc/self/fd", error);
  if (error) return std::nullopt;
  return static_cast<std::uint64_t>(std::distance(begin(entries), end(entries)));
}

}  // namespace

ProcessUsage process_usage() {
  ProcessUsage usage;
  rusage times{};
  if (getrusage(RUSAGE_SELF, &times) == 0) usage.cpu_s = seconds(times.ru_utime) + seconds(times.ru_stime);
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t all = 0, resident = 0;
  if (std::ifstream("/proc/self/statm") >> all >> resident) {
    usage.address_space = all * page;
    usage.resident = resident * page;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.max_fds = limit.rlim_cur;
  usage.open_fds = count_fds();
  return usage;
}

}  // namespace culvert::daemon
