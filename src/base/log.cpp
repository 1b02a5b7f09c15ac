#include "culvert/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <mutex>

#include "culvert/base/time.h"

namespace culvert::log {
namespace {

constexpr std::size_t lines_per_second = 9;

/// At most so many lines in any second: a line passes when the last but eight is a second old.
class Limiter {
 public:
  bool admit(TimePoint now) {
    TimePoint& oldest = last_[next_];
    if (now - oldest < std::chrono::seconds(1)) return false;
    oldest = now;
    next_ = (next_ + 1) % last_.size();
    return true;
  }

 private:
  std::array<TimePoint, lines_per_second> last_ = [] {
    std::array<TimePoint, lines_per_second> long_ago;
    long_ago.fill(Clock::now() - std::chrono::seconds(1));
    return long_ago;
  }();
  std::size_t next_ = 0;
};

struct State {
  std::mutex mutex;
  Limiter limiter;
  std::uint64_t left_out = 0;
  std::function<void(const Record&)> output;
  std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("culvert", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_level(spdlog::level::trace);
    made->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%-5l%$ %v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
};

State& state() {
  static State instance;
  return instance;
}

std::atomic<Level> threshold{Level::info};
std::atomic<std::uint64_t> suppressed{0};

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: break;
  }
  return spdlog::level::err;
}

void emit(State& s, const Record& record) {
  if (s.output) {
    s.output(record);
  } else {
    s.logger->log(spdlog_level(record.level), "{}", record.message);
  }
}

}  // namespace

void write(Level level, std::string_view message, const Subject& about) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const TimePoint now = Clock::now();
  if (s.left_out != 0 && s.limiter.admit(now)) {
    const std::string text =
        fmt::format("log: {} lines left out (limit: {} a second)", std::exchange(s.left_out, 0), lines_per_second);
    emit(s, {Level::warn, text, {}});
  }
  if (!s.limiter.admit(now)) {
    ++s.left_out;
    suppressed.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  emit(s, {level, message, about});
}

void alarm(std::string_view message) {
  if (!enabled(Level::warn)) return;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  emit(s, {Level::warn, message, {}});
}

void set_level(Level level) noexcept { threshold.store(level, std::memory_order_relaxed); }
bool enabled(Level level) noexcept { return level >= threshold.load(std::memory_order_relaxed); }
std::uint64_t num_suppressed() noexcept { return suppressed.load(std::memory_order_relaxed); }

void set_output(std::function<void(const Record&)> output) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.output = std::move(output);
}

void set_sink(std::function<void(Level, std::string_view)> sink) {
  if (!sink) return set_output({});
  set_output([sink = std::move(sink)](const Record& record) { sink(record.level, record.message); });
}

std::string sanitize(std::string_view text) {
  constexpr std::size_t max_len = 256;
  std::string clean;
  for (const char character : text.substr(0, max_len)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte < 0x7f && byte != '\\') {
      clean.push_back(character);
    } else {
      clean += fmt::format("\\x{:02x}", byte);
    }
  }
  if (text.size() > max_len) clean += "...";
  return clean;
}

}  // namespace culvert::log
