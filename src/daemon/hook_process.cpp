// The process that runs hooks: it has one thread, knows the commands that the configuration names, and believes the
// daemon nothing else.
#include "hook_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

#include "culvert/config/config.h"
#include "culvert/config/program_file.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_line_len = 500, max_lines = 20, max_variables = 32, max_value_len = 4096;
constexpr std::string_view variable_prefix = "CULVERT_";

struct Running {
  std::uint32_t id = 0;
  pid_t pid = -1;
  int ended = -1;   ///< pidfd
  int output = -1;  ///< what the program prints; -1: nobody has it open any more
  TimePoint deadline;
  bool asked = false;  ///< SIGTERM was sent
  std::string line;
  std::size_t num_lines = 0;
};

struct Request {
  std::uint32_t id = 0;
  std::string tunnel, event;
  std::vector<std::string> argv, environment;
};

/// nullopt: it is not well formed. Fields end with NUL.
std::optional<Request> parse(std::string_view text) {
  const auto take = [&]() -> std::optional<std::string> {
    const auto end = text.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    std::string field(text.substr(0, end));
    text.remove_prefix(end + 1);
    return field;
  };
  const auto number = [](const std::optional<std::string>& field) -> std::optional<std::uint32_t> {
    std::uint32_t value = 0;
    if (!field || std::from_chars(field->data(), field->data() + field->size(), value).ec != std::errc())
      return std::nullopt;
    return value;
  };
  Request request;
  const auto id = number(take());
  const auto tunnel = take(), event = take();
  const auto num = number(take());
  if (!id || !tunnel || !event || !num || *num == 0 || *num > 4096) return std::nullopt;
  request.id = *id;
  request.tunnel = *tunnel;
  request.event = *event;
  for (std::uint32_t i = 0; i < *num; ++i) {
    auto argument = take();
    if (!argument) return std::nullopt;
    request.argv.push_back(std::move(*argument));
  }
  while (!text.empty()) {
    auto variable = take();
    if (!variable) return std::nullopt;
    request.environment.push_back(std::move(*variable));
  }
  return request;
}

bool is_safe_variable(std::string_view variable) {
  const auto name = variable.substr(0, variable.find('='));
  if (name.size() == variable.size() || !name.starts_with(variable_prefix)) return false;
  const bool plain = std::ranges::all_of(name, [](char c) { return c == '_' || (c >= 'A' && c <= 'Z'); });
  const auto value = variable.substr(name.size() + 1);
  return plain && value.size() <= max_value_len && is_safe_value(value);
}

std::string command_of(const std::string& tunnel, std::string_view event, const std::vector<std::string>& argv) {
  std::string text = tunnel + '\0' + std::string(event);
  for (const std::string& argument : argv) text += '\0' + argument;
  return text;
}

/// In the child: becomes the program. Says why not where the program would have printed.
[[noreturn]] void become(const Request& request, int output) {
  ::setpgid(0, 0);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(022);
  std::vector<char*> argv, environment;
  for (const std::string& argument : request.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C.UTF-8";
  environment = {path, locale};
  for (const std::string& variable : request.environment) environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY);
  const bool ready = ::chdir("/") == 0 && nothing >= 0 && ::dup2(nothing, STDIN_FILENO) >= 0 &&
                     ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(output, STDERR_FILENO) >= 0;
  ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
  if (ready) ::execve(argv[0], argv.data(), environment.data());
  const std::string trouble = fmt::format("cannot be run: {}\n", std::strerror(errno));
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, trouble.data(), trouble.size());
  ::_exit(127);
}

class HookProcess {
 public:
  HookProcess(int control, int jobs, const HookHelper::Limits& limits)
      : control_(control), jobs_(jobs), limits_(limits) {}
  [[noreturn]] void live();

 private:
  void load();
  void take_job();
  void start(const Request& request);
  void read_output(Running& job);
  void say_line(Running& job);
  void end(Running& job, int status);
  void end_late_ones();
  void tell(char kind, std::uint32_t id, std::string_view text, int flags) const;
  [[nodiscard]] int time_left() const;

  int control_, jobs_;
  HookHelper::Limits limits_;
  std::set<std::string> allowed_;  ///< command_of
  std::vector<Running> running_;
};

void HookProcess::live() {
  while (true) {
    std::vector<pollfd> waiting = {{control_, POLLIN, 0}, {jobs_, POLLIN, 0}};
    for (const Running& job : running_) {
      waiting.push_back({job.ended, POLLIN, 0});
      waiting.push_back({job.output, POLLIN, 0});  // -1 is passed over
    }
    if (::poll(waiting.data(), waiting.size(), time_left()) < 0 && errno != EINTR) ::_exit(1);
    for (std::size_t i = 0; i < running_.size(); ++i) {
      Running& job = running_[i];
      if (waiting[3 + 2 * i].revents != 0) read_output(job);
      int status = 0;
      if (waiting[2 + 2 * i].revents != 0 && ::waitpid(job.pid, &status, WNOHANG) == job.pid) end(job, status);
    }
    std::erase_if(running_, [](const Running& job) { return job.pid < 0; });
    end_late_ones();
    if (waiting[0].revents != 0) load();
    if (waiting[1].revents != 0) take_job();
  }
}

/// Milliseconds until somebody is late; -1: nobody runs.
int HookProcess::time_left() const {
  if (running_.empty()) return -1;
  const auto first = std::ranges::min_element(running_, {}, &Running::deadline)->deadline;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void HookProcess::load() {
  static std::array<char, hook_message::max_len> request;
  const ssize_t len = ::recv(control_, request.data(), request.size(), MSG_DONTWAIT);
  if (len < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (len <= 0) ::_exit(0);
  const auto commands = config::load_hooks(std::string(request.data(), static_cast<std::size_t>(len)));
  std::string answer(1, '\0');
  if (commands) {
    for (const auto& command : *commands)
      allowed_.insert(command_of(command.tunnel, command.up ? "up" : "down", command.argv));
  } else {
    answer = commands.error().substr(0, 4000);
  }
  if (::send(control_, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) ::_exit(0);
}

void HookProcess::take_job() {
  static std::array<char, hook_message::max_len> message;
  const ssize_t len = ::recv(jobs_, message.data(), message.size(), MSG_DONTWAIT);
  if (len < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (len <= 0) ::_exit(0);
  const auto request = parse({message.data(), static_cast<std::size_t>(len)});
  if (!request) ::_exit(1);  // no daemon of ours sends that
  const auto refuse = [&](std::string_view why) { tell(hook_message::done, request->id, why, 0); };
  if (!allowed_.contains(command_of(request->tunnel, request->event, request->argv)))
    return refuse("is not what the configuration file names; reload");
  if (request->environment.size() > max_variables || !std::ranges::all_of(request->environment, is_safe_variable))
    return refuse("its environment is not safe");
  if (running_.size() >= HookQueue::max_running) return refuse("too many run already");
  if (const auto fine = config::check_program_file(request->argv[0]); !fine) return refuse(fine.error().detail);
  start(*request);
}

void HookProcess::start(const Request& request) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return tell(hook_message::done, request.id, fmt::format("pipe: {}", std::strerror(errno)), 0);
  const pid_t child = ::fork();
  if (child == 0) become(request, ends[1]);
  const int error = errno;
  ::close(ends[1]);
  const int watch = child < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  if (watch < 0) {
    ::close(ends[0]);
    if (child > 0) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    return tell(hook_message::done, request.id, fmt::format("fork: {}", std::strerror(error)), 0);
  }
  ::setpgid(child, child);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  running_.push_back({request.id, child, watch, ends[0], Clock::now() + limits_.patience, false, {}, 0});
}

void HookProcess::read_output(Running& job) {
  std::array<char, 4096> piece;
  for (int turns = 0; turns < 16 && job.output >= 0; ++turns) {
    const ssize_t len = ::read(job.output, piece.data(), piece.size());
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (len <= 0) {
      ::close(std::exchange(job.output, -1));
      return;
    }
    for (const char c : std::string_view(piece.data(), static_cast<std::size_t>(len))) {
      if (c == '\n') {
        say_line(job);
      } else if (job.line.size() < max_line_len) {
        job.line += c;
      }
    }
  }
}

void HookProcess::say_line(Running& job) {
  const std::string line = std::exchange(job.line, {});
  if (line.empty() || job.num_lines > max_lines) return;
  ++job.num_lines;
  tell(hook_message::printed, job.id, job.num_lines > max_lines ? "(it prints more than is written down)" : line,
       MSG_DONTWAIT);
}

void HookProcess::end(Running& job, int status) {
  read_output(job);
  say_line(job);
  if (job.output >= 0) ::close(job.output);  // what it has left behind in the background may go on, unheard
  ::close(job.ended);
  std::string trouble;
  if (job.asked) {
    trouble = fmt::format("took longer than {} s, and was ended",
                          std::chrono::duration_cast<std::chrono::seconds>(limits_.patience).count());
  } else if (WIFSIGNALED(status)) {
    trouble = fmt::format("ended by signal {}", WTERMSIG(status));
  } else if (WEXITSTATUS(status) != 0) {
    trouble = fmt::format("exit status {}", WEXITSTATUS(status));
  }
  tell(hook_message::done, job.id, trouble, 0);
  job.pid = -1;
}

void HookProcess::end_late_ones() {
  const TimePoint now = Clock::now();
  for (Running& job : running_) {
    if (now < job.deadline) continue;
    ::kill(-job.pid, job.asked ? SIGKILL : SIGTERM);
    job.asked = true;
    job.deadline = now + limits_.grace;
  }
}

void HookProcess::tell(char kind, std::uint32_t id, std::string_view text, int flags) const {
  const std::string message = fmt::format("{}{}{}{}", kind, id, '\0', text.substr(0, 4000));
  if (::send(jobs_, message.data(), message.size(), MSG_NOSIGNAL | flags) < 0 && errno != EAGAIN) ::_exit(0);
}

}  // namespace

void serve_hooks(int control, int jobs, const HookHelper::Limits& limits) {
  // Signals are the daemon's; without it, which the sockets tell, this one has no reason to be.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NAME, "culvertd-hooks");
  HookProcess(control, jobs, limits).live();
}

}  // namespace culvert::daemon
