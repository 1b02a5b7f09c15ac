// The daemon's side of the process that runs hooks.
#include "hook_helper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "hook_process.h"

namespace culvert::daemon {
namespace {

constexpr timeval patience{5, 0};
constexpr std::size_t max_escaped_len = 512;

bool is_plain(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("._:@=,/+-").find(c) != std::string_view::npos;
}

/// Closes what it has when something fails on the way.
struct Pair {
  int ends[2] = {-1, -1};
  ~Pair() {
    for (const int end : ends)
      if (end >= 0) ::close(end);
  }
  [[nodiscard]] bool open() { return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0; }
  [[nodiscard]] int release_first() { return std::exchange(ends[0], -1); }
};

}  // namespace

bool is_safe_value(std::string_view value) noexcept {
  for (const char c : value)
    if (!is_plain(c) && c != ' ' && c != '%') return false;
  return true;
}

std::string escape_value(std::string_view text) {
  std::string safe;
  for (const char c : text.substr(0, max_escaped_len)) {
    if (is_plain(c) && !(c == '-' && safe.empty())) {
      safe += c;
    } else {
      safe += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return safe;
}

Result<std::unique_ptr<HookHelper>> HookHelper::start(const Limits& limits) {
  Pair control, jobs;
  if (!control.open() || !jobs.open())
    return fail(Errc::io, fmt::format("helper for hooks: {}", std::strerror(errno)), errno);
  const pid_t child = ::fork();
  if (child < 0) return fail(Errc::io, fmt::format("helper for hooks: {}", std::strerror(errno)), errno);
  if (child == 0) {
    if (::fork() != 0) ::_exit(0);  // nobody has to wait for the helper when it ends; without it we hear that it is gone
    constexpr int first = STDERR_FILENO + 1;
    const int kept_control = ::fcntl(control.ends[1], F_DUPFD, 64), kept_jobs = ::fcntl(jobs.ends[1], F_DUPFD, 64);
    ::dup2(kept_control, first);  // all others go: a device lives as long as somebody has it open
    ::dup2(kept_jobs, first + 1);
    ::syscall(SYS_close_range, first + 2, ~0U, 0);
    serve_hooks(first, first + 1, limits);
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  ::setsockopt(control.ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return std::unique_ptr<HookHelper>(new HookHelper(control.release_first(), jobs.release_first()));
}

HookHelper::~HookHelper() {
  ::close(control_);
  ::close(jobs_);
}

Result<void> HookHelper::load(const std::filesystem::path& config) {
  const std::string path = std::filesystem::absolute(config).lexically_normal().string();
  std::array<char, 4096> answer;
  if (path.size() >= hook_message::max_len || ::send(control_, path.data(), path.size(), MSG_NOSIGNAL) < 0)
    return fail(Errc::io, "helper for hooks: it has ended; restart culvertd");
  const ssize_t len = ::recv(control_, answer.data(), answer.size(), 0);
  if (len <= 0) {
    ::shutdown(control_, SHUT_RDWR);  // an answer that comes late would be taken for the next one's
    return fail(Errc::io, "helper for hooks: it does not answer; restart culvertd");
  }
  if (answer[0] == '\0') return {};
  return fail(Errc::invalid, std::string(answer.data(), static_cast<std::size_t>(len)));
}

bool HookHelper::run(const HookJob& job) {
  std::string message;
  const auto add = [&](std::string_view field) {
    message += field;
    message += '\0';
  };
  add(std::to_string(job.id));
  add(job.tunnel);
  add(job.up ? "up" : "down");
  add(std::to_string(job.argv.size()));
  for (const std::string& argument : job.argv) add(argument);
  for (const std::string& variable : job.environment) add(variable);
  return message.size() <= hook_message::max_len &&
         ::send(jobs_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

void HookHelper::hear(const Listener& listener) {
  std::array<char, 4096> message;
  for (int turns = 0; turns < 256; ++turns) {
    const ssize_t len = ::recv(jobs_, message.data(), message.size(), MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (len <= 0) return listener.gone();
    const std::string_view text(message.data(), static_cast<std::size_t>(len));
    std::uint32_t id = 0;
    const auto end = text.find('\0');
    if (end == std::string_view::npos) continue;
    std::from_chars(text.data() + 1, text.data() + end, id);
    (text[0] == hook_message::done ? listener.ended : listener.printed)(id, text.substr(end + 1));
  }
}

}  // namespace culvert::daemon
