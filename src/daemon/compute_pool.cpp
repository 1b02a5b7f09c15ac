#include "compute_pool.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "culvert/base/capabilities.h"

namespace culvert::daemon {
namespace {

constexpr unsigned max_threads = 4;
constexpr int niceness = 5;  // a third of the weight of a thread that carries packets

constexpr unsigned turn_of_the_least = 8;  // each piece of work so many goes to the lowest rank that waits

unsigned default_threads() {
  const unsigned processors = std::thread::hardware_concurrency();
  return std::clamp(processors, 2U, max_threads + 1) - 1;
}

}  // namespace

ComputePool::ComputePool(boost::asio::io_context& io, ComputePoolOptions options, Done done)
    : options_(options), done_(std::move(done)), wakeup_(io), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (event_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  wakeup_.assign(event_fd_);
  const unsigned num = options_.threads == 0 ? default_threads() : options_.threads;
  for (unsigned i = 0; i < num; ++i) {
    threads_.emplace_back([this, i] {
      pthread_setname_np(pthread_self(), ("cv-compute-" + std::to_string(i)).c_str());
      (void)setpriority(PRIO_PROCESS, 0, niceness);  // on Linux: of this thread
      give_up_capabilities();
      work();
    });
  }
  wait_for_answers();
}

ComputePool::~ComputePool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool ComputePool::submit(ike::Compute compute) {
  static_assert(static_cast<std::size_t>(ike::Compute::Rank::peer) == num_ranks - 1);
  const auto rank = static_cast<std::size_t>(compute.rank);
  const std::size_t most =
      std::array{options_.max_of_strangers, options_.max_of_candidates, options_.max_of_peers}[rank];
  {
    const std::lock_guard lock(mutex_);
    if (queues_[rank].size() >= most) return false;
    queues_[rank].push_back(std::move(compute));
  }
  wanted_.notify_one();
  return true;
}

// ---- on the threads of the pool -------------------------------------------------------------------------------------

void ComputePool::work() {
  for (;;) {
    ike::Compute next;
    {
      std::unique_lock lock(mutex_);
      wanted_.wait(lock, [this] {
        return stopping_ || !std::ranges::all_of(queues_, [](const auto& queue) { return queue.empty(); });
      });
      if (stopping_) return;
      next = take_next();
    }
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    put({next.id, next.work(now)});
  }
}

/// One waits. With `mutex_` held.
ike::Compute ComputePool::take_next() {
  const auto waits = [](const auto& queue) { return !queue.empty(); };
  const bool of_the_least = ++turn_ % turn_of_the_least == 0;
  auto& queue = of_the_least ? *std::ranges::find_if(queues_, waits)
                             : *std::ranges::find_if(queues_.rbegin(), queues_.rend(), waits);
  ike::Compute next = std::move(queue.front());
  queue.pop_front();
  return next;
}

void ComputePool::put(Answer answer) {
  const std::lock_guard lock(mutex_);
  const bool first = answers_.empty();
  answers_.push_back(std::move(answer));
  if (!first) return;  // the control thread has been woken already
  const std::uint64_t one = 1;
  (void)!::write(event_fd_, &one, sizeof one);
}

// ---- on the control thread ------------------------------------------------------------------------------------------

void ComputePool::wait_for_answers() {
  wakeup_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;  // we are going away
    take_answers();
    wait_for_answers();
  });
}

void ComputePool::take_answers() {
  std::uint64_t count = 0;
  (void)!::read(event_fd_, &count, sizeof count);
  std::vector<Answer> answers;
  {
    const std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (Answer& answer : answers) done_(answer.id, std::move(answer.result));
}

}  // namespace culvert::daemon
