#include "hook_queue.h"

#include <algorithm>
#include <utility>

namespace culvert::daemon {

std::size_t HookQueue::push(HookJob job) {
  const auto known = keys_.find(job.key);
  if (known == keys_.end() && num_waiting_ >= max_waiting) return 1;
  const std::string name = job.key;
  Key& key = keys_[name];
  std::size_t left_out = 0;
  if (key.waiting.size() >= max_waiting_of_key || num_waiting_ >= max_waiting) {
    left_out = std::min<std::size_t>(key.waiting.size(), 2);
    key.waiting.erase(key.waiting.begin(), key.waiting.begin() + static_cast<std::ptrdiff_t>(left_out));
    num_waiting_ -= left_out;
  }
  const bool was_waiting = !key.waiting.empty() || left_out > 0;
  key.waiting.push_back(std::move(job));
  ++num_waiting_;
  if (key.running == 0 && !was_waiting) ready_.push_back(name);
  return left_out;
}

std::vector<HookJob> HookQueue::take() {
  std::vector<HookJob> jobs;
  while (num_running_ < max_running && !ready_.empty()) {
    Key& key = keys_[ready_.front()];
    ready_.pop_front();
    HookJob job = std::move(key.waiting.front());
    key.waiting.pop_front();
    job.id = ++last_id_ == 0 ? ++last_id_ : last_id_;
    key.running = job.id;
    ++num_running_;
    --num_waiting_;
    jobs.push_back(std::move(job));
  }
  return jobs;
}

void HookQueue::done(std::uint32_t id) {
  const auto found = std::ranges::find_if(keys_, [&](const auto& entry) { return entry.second.running == id; });
  if (id == 0 || found == keys_.end()) return;
  --num_running_;
  found->second.running = 0;
  if (found->second.waiting.empty()) {
    keys_.erase(found);
  } else {
    ready_.push_back(found->first);
  }
}

void HookQueue::clear() {
  keys_.clear();
  ready_.clear();
  num_running_ = num_waiting_ = 0;
}

}  // namespace culvert::daemon
