#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace culvert::daemon {

/// A program that is to be run because a tunnel has come up or gone down.
struct HookJob {
  std::uint32_t id = 0;  ///< given by the queue
  std::string key;       ///< jobs with the same key are run one after another, in their order
  std::string tunnel;
  bool up = false;
  std::vector<std::string> argv;
  std::vector<std::string> environment;  ///< "NAME=VALUE"
};

/// What waits to be run: a few jobs at a time, of one key never two. Bounded: of a tunnel that flaps faster than its
/// programs end, an up and a down that stand behind each other are left out, the oldest first; the last stays the last.
/// Control thread.
class HookQueue {
 public:
  static constexpr std::size_t max_running = 8, max_waiting_of_key = 16, max_waiting = 8192;

  /// How many jobs were left out for it.
  std::size_t push(HookJob job);
  /// Those that are to be started now.
  [[nodiscard]] std::vector<HookJob> take();
  /// A job of `take` has ended.
  void done(std::uint32_t id);
  /// Nothing runs that has been taken any more: who ran it is gone. What waits is forgotten.
  void clear();
  [[nodiscard]] bool idle() const noexcept { return keys_.empty(); }

 private:
  struct Key {
    std::deque<HookJob> waiting;
    std::uint32_t running = 0;  ///< an id; 0: none
  };
  std::map<std::string, Key> keys_;
  std::deque<std::string> ready_;  ///< keys with something to start, in the order of its coming
  std::uint32_t last_id_ = 0;
  std::size_t num_running_ = 0, num_waiting_ = 0;
};

}  // namespace culvert::daemon
