#include "key_export.h"

#include <fmt/format.h>
#include <sodium.h>

#include <utility>

#include "culvert/base/log.h"

namespace culvert::daemon {

Result<void> KeyExport::begin(TimePoint now, Order order) {
  on_tick(now);
  if (order_) return fail(Errc::exhausted, fmt::format("{} gets keys now: one at a time", order_->by));
  log::alarm(fmt::format(
      "KEY EXPORT: {} gets the keys of {} for {} s, and can read the traffic with them, also what was recorded before",
      order.by, order.of, order.time.count()));
  until_ = now + order.time;
  fetched_ = now;
  num_given_ = num_lost_ = 0;
  order_ = std::move(order);
  return {};
}

void KeyExport::add(std::string line) {
  if (!order_) return;
  if (waiting_.size() >= max_waiting) {
    sodium_memzero(waiting_.front().data(), waiting_.front().size());
    waiting_.pop_front();
    if (num_lost_++ == 0)
      log::alarm(fmt::format("key export: more keys than {} fetches: the oldest are not given", order_->by));
  }
  waiting_.push_back(std::move(line));
}

Result<std::vector<std::string>> KeyExport::take(TimePoint now, const std::string& by) {
  on_tick(now);
  if (!order_ || order_->by != by) return fail(Errc::not_found, "the time for which you get keys is over");
  fetched_ = now;
  std::vector<std::string> lines;
  lines.reserve(waiting_.size());
  for (std::string& line : waiting_) lines.push_back(std::move(line));
  waiting_.clear();
  num_given_ += lines.size();
  return lines;
}

void KeyExport::end(const std::string& why) {
  if (!order_) return;
  log::alarm(fmt::format("KEY EXPORT: over ({}): {} got {} keys of {}", why, order_->by, num_given_, order_->of));
  wipe();
  order_.reset();
}

void KeyExport::on_tick(TimePoint now) {
  if (!order_) return;
  if (now >= until_) return end("its time is up");
  if (now >= fetched_ + patience) end("nobody fetches them");
}

std::string KeyExport::describe(TimePoint now) const {
  if (!order_) return {};
  const auto left = std::chrono::ceil<std::chrono::seconds>(until_ - now).count();
  return fmt::format("{} gets the keys of {} for {} s more", order_->by, order_->of, left);
}

void KeyExport::wipe() noexcept {
  for (std::string& line : waiting_) sodium_memzero(line.data(), line.size());
  waiting_.clear();
}

}  // namespace culvert::daemon
