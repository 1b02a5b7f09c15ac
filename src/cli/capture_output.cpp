#include "capture_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <map>
#include <vector>

#include "packet_line.h"

namespace culvert::cli {
namespace {

std::uint64_t wall_clock_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

/// How much of `bytes` could be written; errno says why not all.
std::size_t write_whole(int fd, ByteView bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    done += static_cast<std::size_t>(written);
  }
  return done;
}

class PcapngOutput final : public CaptureOutput {
 public:
  PcapngOutput(int fd, std::string name, bool is_file, std::uint32_t snaplen)
      : fd_(fd), name_(std::move(name)), is_file_(is_file), snaplen_(snaplen) {
    write_section(pending_, "culvert " CULVERT_VERSION);
  }
  ~PcapngOutput() override {
    if (is_file_) ::close(fd_);
  }

  Result<void> write(const CapturePlace& place, const SeenPacket& packet) override {
    const std::uint32_t id = interface_of(place);
    const ByteView bytes = packet.bytes.first(std::min<std::size_t>(packet.bytes.size(), snaplen_));
    write_packet(pending_, {id, packet.time_ns, bytes, packet.original_len, packet.direction, {}});
    ++written_[id];
    count(place, bytes.size());
    return pending_.size() < max_pending ? Result<void>{} : flush();
  }

  Result<void> flush() override {
    const std::size_t done = write_whole(fd_, pending_);
    const int error = errno;
    const bool whole = done == pending_.size();
    // Half a block at the end would be a file that some programs refuse to open.
    if (!whole && is_file_ && ::ftruncate(fd_, static_cast<off_t>(file_len_)) != 0) {
    }
    if (whole) file_len_ += done;
    pending_.clear();
    if (whole) return {};
    return fail(Errc::io, fmt::format("cannot write {}: {}", name_, std::strerror(error)), error);
  }

  Result<void> finish(std::uint64_t dropped) override {
    for (std::uint32_t id = 0; id < written_.size(); ++id) {
      PcapngStatistics statistics{id, wall_clock_ns(), start_, wall_clock_ns(), written_[id], {}, {}};
      if (id == 0) {
        statistics.dropped = dropped;
        statistics.comment = "the packets dropped by the kernel are those of all interfaces together";
      }
      write_statistics(pending_, statistics);
    }
    return flush();
  }

 private:
  static constexpr std::size_t max_pending = 1 << 20;

  std::uint32_t interface_of(const CapturePlace& place) {
    const auto [found, added] = ids_.try_emplace(place.name, static_cast<std::uint32_t>(ids_.size()));
    if (added) {
      write_interface(pending_, {place.name, place.description, place.filter, snaplen_});
      written_.push_back(0);
    }
    return found->second;
  }

  int fd_;
  std::string name_;
  bool is_file_;
  std::uint32_t snaplen_;
  std::uint64_t start_ = wall_clock_ns();
  std::uint64_t file_len_ = 0;  ///< bytes that are in the file, whole blocks
  Bytes pending_;               ///< whole blocks
  std::map<std::string, std::uint32_t> ids_;
  std::vector<std::uint64_t> written_;  ///< packets by interface
};

class LineOutput final : public CaptureOutput {
 public:
  explicit LineOutput(std::uint32_t snaplen) : snaplen_(snaplen) {}

  Result<void> write(const CapturePlace& place, const SeenPacket& packet) override {
    const ByteView bytes = packet.bytes.first(std::min<std::size_t>(packet.bytes.size(), snaplen_));
    const auto seconds = static_cast<std::time_t>(packet.time_ns / 1'000'000'000);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    pending_ += fmt::format("{:02}:{:02}:{:02}.{:06} {} {} {}\n", local.tm_hour, local.tm_min, local.tm_sec,
                            packet.time_ns / 1000 % 1'000'000, place.name,
                            packet.direction == PacketDirection::outbound ? "out" : "in",
                            packet_line(bytes, packet.original_len, place.outer));
    count(place, bytes.size());
    return pending_.size() < max_pending ? Result<void>{} : flush();
  }
  Result<void> flush() override {
    const bool whole = write_whole(STDOUT_FILENO, as_bytes(pending_)) == pending_.size();
    const int error = errno;
    pending_.clear();
    if (whole) return {};
    return fail(Errc::io, fmt::format("cannot write: {}", std::strerror(error)), error);
  }
  Result<void> finish(std::uint64_t) override { return flush(); }

 private:
  static constexpr std::size_t max_pending = 1 << 16;
  std::uint32_t snaplen_;
  std::string pending_;
};

}  // namespace

Result<std::unique_ptr<CaptureOutput>> open_pcapng(const std::filesystem::path& file, bool replace,
                                                   std::uint32_t snaplen) {
  if (file == "-") return std::make_unique<PcapngOutput>(STDOUT_FILENO, "standard output", false, snaplen);
  struct stat facts {};
  if (replace && ::lstat(file.c_str(), &facts) == 0) {
    // A link is replaced itself, not what it leads to; a device or a pipe is somebody's.
    if (!S_ISREG(facts.st_mode) && !S_ISLNK(facts.st_mode))
      return fail(Errc::invalid, fmt::format("{} is no regular file", file.string()));
    if (::unlink(file.c_str()) != 0)
      return fail(Errc::io, fmt::format("{}: {}", file.string(), std::strerror(errno)), errno);
  }
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno == EEXIST)
    return fail(Errc::invalid, fmt::format("{} exists already: choose another name, or say --force", file.string()));
  if (fd < 0) return fail(Errc::io, fmt::format("{}: {}", file.string(), std::strerror(errno)), errno);
  return std::make_unique<PcapngOutput>(fd, file.string(), true, snaplen);
}

std::unique_ptr<CaptureOutput> open_lines(std::uint32_t snaplen) {
  return std::make_unique<LineOutput>(snaplen);
}

}  // namespace culvert::cli
