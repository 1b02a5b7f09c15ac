#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "capture_source.h"
#include "culvert/base/result.h"

namespace culvert::cli {

/// Where a captured packet came by: a tunnel's device, or what is outside.
struct CapturePlace {
  std::string name;         ///< "cv-tokyo", "outer"
  std::string description;  ///< "tunnel tokyo-gre of peer tokyo"
  std::string filter;       ///< libpcap's expression
  bool outer = false;
};

struct CaptureCounts {
  std::uint64_t inner = 0, outer = 0, bytes = 0;  ///< bytes as captured, cut at the snaplen
};

/// What becomes of captured packets. One thread.
class CaptureOutput {
 public:
  virtual ~CaptureOutput() = default;
  /// Errc::io: it cannot be written (a full disk, a reader that has left: system_error is EPIPE).
  [[nodiscard]] virtual Result<void> write(const CapturePlace& place, const SeenPacket& packet) = 0;
  /// After every batch of packets: nothing waits longer than this.
  [[nodiscard]] virtual Result<void> flush() = 0;
  [[nodiscard]] virtual Result<void> finish(std::uint64_t dropped) = 0;
  [[nodiscard]] const CaptureCounts& counts() const noexcept { return counts_; }

 protected:
  void count(const CapturePlace& place, std::size_t bytes) noexcept {
    ++(place.outer ? counts_.outer : counts_.inner);
    counts_.bytes += bytes;
  }

 private:
  CaptureCounts counts_;
};

/// pcapng into FILE (mode 0600; `replace`: also in place of one that is there, but through no link), or to standard
/// output when that is "-". A file ends with a whole block, whatever happens but a crash of the machine.
[[nodiscard]] Result<std::unique_ptr<CaptureOutput>> open_pcapng(const std::filesystem::path& file, bool replace,
                                                                 std::uint32_t snaplen);
/// A line a packet to standard output.
[[nodiscard]] std::unique_ptr<CaptureOutput> open_lines(std::uint32_t snaplen);

}  // namespace culvert::cli
