// The processes behind `culvert connect` and `culvert disconnect`.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include "client_mode.h"
#include "culvert/base/log.h"
#include "daemon.h"
#include "machine.h"
#include "run_program.h"
#include "small_file.h"
#include "state_dir.h"

namespace culvert::daemon {
namespace {

constexpr const char* profiles_folder = "/etc/culvert/clients";
constexpr std::chrono::seconds up_within{60};      ///< of --background
constexpr std::chrono::seconds time_to_leave{10};  ///< until SIGKILL

int trouble(const std::string& why) {
  std::fprintf(stderr, "culvert: %s\n", why.c_str());
  return 1;
}

/// As wg-quick does: a name without a slash is that of a profile where profiles are.
std::filesystem::path file_of(const std::string& profile) {
  const bool is_file = profile.find('/') != std::string::npos || profile.ends_with(".toml");
  return is_file ? std::filesystem::absolute(profile) : std::filesystem::path(profiles_folder) / (profile + ".toml");
}

std::optional<std::uint16_t> free_port(std::uint16_t wanted) {
  const int fd = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool v6 = fd >= 0;
  const int either = v6 ? fd : ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (either < 0) return std::nullopt;
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(wanted);
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(wanted);
  auto* address = v6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
  socklen_t len = v6 ? sizeof six : sizeof four;
  const bool bound = ::bind(either, address, len) == 0 && ::getsockname(either, address, &len) == 0;
  ::close(either);
  if (!bound) return std::nullopt;
  return ntohs(v6 ? six.sin6_port : four.sin_port);
}

/// A gateway or another client may have the ports of IKE on this machine already: RFC 7296 §2.23 lets an initiator send
/// from any.
void choose_ports(config::GatewayConfig& gateway) {
  if (free_port(gateway.ike_port) && free_port(gateway.nat_port)) return;
  const auto ike = free_port(0), nat = free_port(0);
  if (!ike || !nat || *ike == *nat) return;
  gateway.ike_port = *ike;
  gateway.nat_port = *nat;
  log::info("UDP 500 or 4500 is in use here: we call from ports {} and {}", *ike, *nat);
}

std::string messages_of(const std::vector<config::Diagnostic>& diagnostics) {
  std::string text;
  for (const auto& diagnostic : diagnostics) text += diagnostic.to_string() + "\n";
  return text;
}

void log_to_system(const std::string& name) {
  static std::string identity;
  identity = "culvert-" + name;
  openlog(identity.c_str(), LOG_PID, LOG_DAEMON);
  log::set_sink([](log::Level level, std::string_view line) {
    constexpr int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
    syslog(priorities[static_cast<std::size_t>(level)], "%.*s", static_cast<int>(line.size()), line.data());
  });
}

/// Waits for the child's one line; what it says is what we say.
int wait_in_foreground(int from_child, const std::string& name) {
  std::string line;
  pollfd waiting{from_child, POLLIN, 0};
  const int ready = ::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(up_within).count()));
  char text[2000];
  const ssize_t got = ready > 0 ? ::read(from_child, text, sizeof text) : 0;
  if (got > 0 && text[0] == '+') {
    std::printf("%.*s\n", static_cast<int>(got - 1), text + 1);
    return 0;
  }
  if (got > 0) return trouble(std::string(text + 1, static_cast<std::size_t>(got - 1)));
  if (ready > 0) return trouble("the client ended; the system's log says why");
  return trouble(
      fmt::format("not connected within {} s, and still trying: 'culvert --client {} status' says what it "
                  "waits for, 'culvert disconnect {}' ends it",
                  up_within.count(), name, name));
}

struct Background {
  bool is_parent = false;
  int fd = -1;  ///< between the two
};

/// Before any thread.
Result<Background> go_to_background() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::io, std::strerror(errno), errno);
  const pid_t pid = ::fork();
  if (pid < 0) return fail(Errc::io, std::strerror(errno), errno);
  ::close(ends[pid == 0 ? 0 : 1]);
  if (pid > 0) return Background{true, ends[0]};
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  if (::chdir("/") != 0) log::debug("chdir: {}", std::strerror(errno));
  return Background{false, ends[1]};
}

void say(int fd, char sign, const std::string& text) {
  const std::string line = sign + text;
  if (fd >= 0) (void)!::write(fd, line.data(), line.size());
}

}  // namespace

int run_client(const std::string& profile_name, const ClientOptions& options) {
  auto profile = config::load_client(file_of(profile_name));
  if (!profile) return trouble("not connected: the profile has mistakes\n" + messages_of(profile.error()));
  std::fputs(messages_of(profile->config.warnings).c_str(), stderr);
  log::set_level(profile->config.gateway.log_level);
  const ClientPlaces places = ClientPlaces::of(options.run_dir, profile->name);
  profile->config.gateway.control_socket = places.socket;
  profile->config.gateway.state_dir = places.folder;
  if (auto made = make_directories(places.folder); !made) return trouble(made.error().detail);
  int parent = -1;
  if (options.background) {
    const auto background = go_to_background();
    if (!background) return trouble(background.error().detail);
    if (background->is_parent) return wait_in_foreground(background->fd, profile->name);
    parent = background->fd;
    log_to_system(profile->name);
  }
  choose_ports(profile->config.gateway);
  ClientMode client(*profile, options.run_dir, [parent](const std::string& text) { say(parent, '+', text); });
  DaemonOptions daemon_options;
  daemon_options.client = &client;
  auto daemon = Daemon::create(profile->config, std::move(daemon_options));
  if (!daemon) {
    say(parent, '-', daemon.error().detail);
    return parent >= 0 ? 1 : trouble(daemon.error().detail);
  }
  (*daemon)->run();
  client.finish();
  return 0;
}

// ---- culvert disconnect
// ----------------------------------------------------------------------------------------------

namespace {

/// Names of clients that have state here.
std::vector<std::string> clients_in(const std::filesystem::path& run_dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(run_dir, error)) {
    const std::string file = entry.path().filename().string();
    constexpr std::string_view prefix = "client-";
    if (entry.is_directory(error) && file.starts_with(prefix) && config::is_client_name(file.substr(prefix.size())))
      names.push_back(file.substr(prefix.size()));
  }
  return names;
}

/// Who holds the lock of this folder; nullopt: nobody.
std::optional<pid_t> holder_of(const std::filesystem::path& folder) {
  const auto lock = folder / "culvertd.lock";
  const int fd = ::open(lock.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  const bool is_free = ::flock(fd, LOCK_SH | LOCK_NB) == 0;
  ::close(fd);
  const auto text = read_small_file(lock);
  pid_t pid = 0;
  if (is_free || !text || std::from_chars(text->data(), text->data() + text->size(), pid).ec != std::errc{} || pid <= 1)
    return std::nullopt;
  return pid;
}

/// False: it does not go.
bool end_process(const std::filesystem::path& folder) {
  const auto pid = holder_of(folder);
  if (!pid) return true;
  const int watch = static_cast<int>(syscall(SYS_pidfd_open, *pid, 0));
  if (watch < 0) return errno == ESRCH;
  pollfd waiting{watch, POLLIN, 0};
  bool gone = false;
  for (const int number : {SIGTERM, SIGKILL}) {
    if (gone) break;
    // By the descriptor: the number may belong to somebody else by now.
    (void)syscall(SYS_pidfd_send_signal, watch, number, nullptr, 0);
    gone = ::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(time_to_leave).count())) > 0;
  }
  ::close(watch);
  return gone;
}

/// As the next start would: a machine that nothing is configured for.
Result<void> remove_leftovers(const std::filesystem::path& folder) {
  const config::Config nothing;
  auto state = StateDir::open(folder);
  if (!state) return std::unexpected(state.error());
  auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  const auto machine = Machine::create(nothing, std::move(*netlink), std::move(*state));
  if (!machine) return std::unexpected(machine.error());
  return {};
}

}  // namespace

int disconnect_client(std::string name, const std::filesystem::path& run_dir) {
  const std::vector<std::string> clients = clients_in(run_dir);
  if (name.ends_with(".toml")) name = std::filesystem::path(name).stem().string();
  if (name.empty() && clients.size() != 1)
    return trouble(clients.empty() ? std::string("nothing is connected")
                                   : "which one? " + fmt::format("{}", fmt::join(clients, ", ")));
  if (name.empty()) name = clients.front();
  if (!config::is_client_name(name)) return trouble("that is no name of a client");
  const ClientPlaces places = ClientPlaces::of(run_dir, name);
  int code = 0;
  if (!end_process(places.folder)) code = trouble("the client does not end");
  // Each by itself: whatever fails, the rest comes back.
  const auto undo = [&](const char* what, const Result<void>& done) {
    if (!done) code = trouble(fmt::format("{}: {}", what, done.error().detail));
  };
  undo("devices and routes", remove_leftovers(places.folder));
  undo("DNS", ClientMode::undo_dns(name, run_dir));
  if (!find_program("nft").empty()) undo("kill switch", open_kill_switch(name));
  std::error_code error;
  if (code == 0) {
    std::filesystem::remove(places.socket, error);
    std::filesystem::remove_all(places.folder, error);
    std::printf("%s: disconnected, the network is as it was\n", name.c_str());
  }
  return code;
}

}  // namespace culvert::daemon
