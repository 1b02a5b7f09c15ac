#include "client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "culvert/base/text.h"
#include "output.h"

namespace culvert::cli {
namespace {

using Clock = std::chrono::steady_clock;

class Connection {
 public:
  Connection(const std::filesystem::path& path, std::chrono::milliseconds timeout)
      : path_(path.string()), deadline_(Clock::now() + timeout) {}
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> send_line(std::string line);
  [[nodiscard]] Result<std::string> receive_line();
  /// From here on for as long as it takes, or until this descriptor can be read: Errc::cancelled.
  void wait_until(int interrupt) {
    deadline_.reset();
    interrupt_ = interrupt;
  }
  [[nodiscard]] std::optional<pid_t> listener() const {
    ucred credentials{};
    socklen_t len = sizeof credentials;
    if (::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0 || credentials.pid <= 0)
      return std::nullopt;
    return credentials.pid;
  }

 private:
  [[nodiscard]] int remaining_ms() const;
  [[nodiscard]] Result<void> wait_for(short events) const;
  [[nodiscard]] std::unexpected<Error> connect_failed(int error) const;
  [[nodiscard]] std::unexpected<Error> broken(std::string_view what) const {
    return fail(Errc::io, fmt::format("the connection to {} broke: {}", path_, what));
  }

  std::string path_;
  std::string received_;  ///< and not yet asked for
  std::optional<Clock::time_point> deadline_;
  int interrupt_ = -1;
  int fd_ = -1;
};

int Connection::remaining_ms() const {
  if (!deadline_) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
  return static_cast<int>(std::max<std::int64_t>(left, 0));
}

Result<void> Connection::wait_for(short events) const {
  pollfd waiting[] = {{fd_, events, 0}, {interrupt_, POLLIN, 0}};  // poll skips what is negative
  for (;;) {
    const int ready = ::poll(waiting, 2, remaining_ms());
    if (ready > 0 && waiting[1].revents != 0) return fail(Errc::cancelled, "interrupted");
    if (ready > 0) return {};
    if (ready == 0) return fail(Errc::io, fmt::format("culvertd does not answer on {}: it is busy or stopped", path_));
    if (errno != EINTR) return broken(std::strerror(errno));
  }
}

std::unexpected<Error> Connection::connect_failed(int error) const {
  if (error == ENOENT || error == ECONNREFUSED) {
    return fail(
        Errc::not_found,
        fmt::format("culvertd is not running, or uses another socket: nobody listens on {} (--socket names another)",
                    path_),
        error);
  }
  if (error == EACCES || error == EPERM) {
    return fail(Errc::io, fmt::format("permission denied on {}: run as root or join the group culvert", path_), error);
  }
  return fail(Errc::io, fmt::format("cannot connect to {}: {}", path_, std::strerror(error)), error);
}

Result<void> Connection::open() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof address.sun_path) {
    return fail(Errc::not_found,
                fmt::format("the path of a socket has 1 … {} bytes: {}", sizeof address.sun_path - 1, path_));
  }
  path_.copy(address.sun_path, path_.size());
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return connect_failed(errno);
  for (;;) {
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return {};
    if (errno == EINTR) continue;
    // EAGAIN: its queue of connections is full, and poll would not tell when it no longer is (unix(7)).
    if (errno != EAGAIN || remaining_ms() == 0) return connect_failed(errno);
    ::poll(nullptr, 0, 20);
  }
}

Result<void> Connection::send_line(std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (auto ready = wait_for(POLLOUT); !ready) return ready;
    } else if (errno != EINTR) {
      return broken(std::strerror(errno));
    }
  }
  return {};
}

Result<std::string> Connection::receive_line() {
  char chunk[16384];
  for (std::size_t searched = 0; received_.size() <= control::max_response_len;) {
    if (const std::size_t end = received_.find('\n', searched); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    searched = received_.size();
    const ssize_t got = ::recv(fd_, chunk, sizeof chunk, 0);
    if (got > 0) {
      received_.append(chunk, static_cast<std::size_t>(got));
    } else if (got == 0) {
      return broken("it was closed before the whole answer came");
    } else if (errno == EAGAIN) {
      if (auto ready = wait_for(POLLIN); !ready) return std::unexpected(ready.error());
    } else if (errno != EINTR) {
      return broken(std::strerror(errno));
    }
  }
  return fail(Errc::malformed,
              fmt::format("what answers on {} sends more than {} bytes", path_, control::max_response_len));
}

Result<control::Response> exchange(Connection& connection, const std::filesystem::path& socket,
                                   const control::Request& request) {
  if (auto opened = connection.open(); !opened) return std::unexpected(opened.error());
  if (auto sent = connection.send_line(control::to_json(request)); !sent) return std::unexpected(sent.error());
  auto line = connection.receive_line();
  if (!line) return std::unexpected(line.error());
  auto response = control::parse_response(*line);
  if (!response)
    return fail(Errc::malformed, fmt::format("what answers on {} is no culvertd of this version: {}", socket.string(),
                                             response.error().detail));
  return response;
}

}  // namespace

Result<control::Response> ask(const std::filesystem::path& socket, const control::Request& request,
                              std::chrono::milliseconds timeout) {
  Connection connection(socket, timeout);
  return exchange(connection, socket, request);
}

Result<control::Response> follow(const std::filesystem::path& socket, const control::Request& request,
                                 const LineReader& on_line, int interrupt, std::chrono::milliseconds timeout) {
  Connection connection(socket, timeout);
  auto response = exchange(connection, socket, request);
  if (!response || !response->ok) return response;
  connection.wait_until(interrupt);
  for (;;) {
    auto line = connection.receive_line();
    if (!line) return std::unexpected(line.error());
    if (!on_line(*line)) return response;
  }
}

std::optional<pid_t> listener_of(const std::filesystem::path& socket) {
  Connection connection(socket, std::chrono::seconds(1));
  if (!connection.open()) return std::nullopt;
  return connection.listener();
}

std::expected<control::Response, ExitCode> ask_for(const std::filesystem::path& socket,
                                                   const control::Request& request) {
  auto response = ask(socket, request);
  if (!response) {
    complain(response.error().detail);
    return std::unexpected(ExitCode::unreachable);
  }
  if (!response->ok) {
    complain(printable(response->error.empty() ? "culvertd refused without saying why" : response->error));
    return std::unexpected(ExitCode::failed);
  }
  return std::move(*response);
}

}  // namespace culvert::cli
