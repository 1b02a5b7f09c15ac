#pragma once
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "culvert/ike/endpoint.h"

namespace culvert::daemon {

struct ComputePoolOptions {
  unsigned threads = 0;  ///< 0: one less than there are processors, 1…4
  /// Pieces of work that may wait. A stranger's first message costs us a key exchange, so few of those; each half-open
  /// IKE SA has at most one of a candidate's, each peer and each IKE SA at most two of the others.
  std::size_t max_of_strangers = 256;
  std::size_t max_of_candidates = 1024;
  std::size_t max_of_peers = 16384;
};

/// Performs ike::Compute on threads of its own, for peers before candidates before strangers; now and then one of the
/// least, so that nobody starves. The threads are of lower priority than those that carry packets: a flood of
/// new IKE SAs takes what these leave. Owned by the control thread, which alone calls it.
class ComputePool {
 public:
  using Done = std::function<void(std::uint64_t id, std::unique_ptr<ike::Computed> result)>;

  /// Throws std::system_error when there is no thread or descriptor to be had. `done` runs on the thread of `io`.
  ComputePool(boost::asio::io_context& io, ComputePoolOptions options, Done done);
  ~ComputePool();  ///< waits for what is being computed; what waits goes unanswered
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  /// Answered once by `done`, never from within this call. False: there is no room, and no answer comes.
  [[nodiscard]] bool submit(ike::Compute compute);

 private:
  struct Answer {
    std::uint64_t id = 0;
    std::unique_ptr<ike::Computed> result;
  };
  static constexpr std::size_t num_ranks = 3;
  void work();
  [[nodiscard]] ike::Compute take_next();
  void put(Answer answer);
  void wait_for_answers();
  void take_answers();

  ComputePoolOptions options_;
  Done done_;
  boost::asio::posix::stream_descriptor wakeup_;
  int event_fd_ = -1;

  std::mutex mutex_;  ///< of what follows
  std::condition_variable wanted_;
  std::array<std::deque<ike::Compute>, num_ranks> queues_;  ///< by rank
  unsigned turn_ = 0;
  std::vector<Answer> answers_;
  bool stopping_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace culvert::daemon
