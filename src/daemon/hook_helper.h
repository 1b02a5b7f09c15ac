#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "culvert/base/result.h"
#include "culvert/base/time.h"
#include "hook_queue.h"

namespace culvert::daemon {

/// What an environment variable of a hook may hold: letters, digits, space, and . _ : @ = , / + - %.
[[nodiscard]] bool is_safe_value(std::string_view value) noexcept;
/// Text that a peer may have chosen, so that no shell finds anything in it: every byte but letters, digits and
/// . _ : @ = , / + - becomes %XX, and so does a - at the beginning. At most 512 bytes of it.
[[nodiscard]] std::string escape_value(std::string_view text);

/// A small process that stays root when the daemon does not, and runs the programs that `up` and `down` name. It reads
/// those itself, from the configuration file, and runs nothing that it has not read there (HookCommand): whoever takes
/// the daemon over can have them run, and nothing else. It holds no secrets. Ends with the daemon; programs that run
/// then go on. Control thread.
class HookHelper {
 public:
  struct Limits {
    Duration patience = std::chrono::seconds(30);  ///< a program that takes longer is ended
    Duration grace = std::chrono::seconds(2);      ///< between SIGTERM and SIGKILL
  };
  /// Forks, so: before there are threads, and before there are secrets in memory.
  [[nodiscard]] static Result<std::unique_ptr<HookHelper>> start(const Limits& limits);
  [[nodiscard]] static Result<std::unique_ptr<HookHelper>> start() { return start(Limits{}); }
  ~HookHelper();
  HookHelper(const HookHelper&) = delete;
  HookHelper& operator=(const HookHelper&) = delete;

  /// From now on it also runs what `config` names. The error says what keeps it from that. Waits for it, at most 5 s.
  [[nodiscard]] Result<void> load(const std::filesystem::path& config);
  /// Does not wait. False: it has no room, or is gone.
  [[nodiscard]] bool run(const HookJob& job);
  /// What it has to say about jobs: a line that a program has printed, or how it ended ("" is well). Does not wait.
  struct Listener {
    std::function<void(std::uint32_t id, std::string_view line)> printed;
    std::function<void(std::uint32_t id, std::string_view trouble)> ended;
    std::function<void()> gone;  ///< it has died: nothing that was running will be heard of
  };
  void hear(const Listener& listener);
  /// Readable when `hear` has something.
  [[nodiscard]] int fd() const noexcept { return jobs_; }

 private:
  HookHelper(int control, int jobs) noexcept : control_(control), jobs_(jobs) {}
  int control_, jobs_;
};

}  // namespace culvert::daemon
