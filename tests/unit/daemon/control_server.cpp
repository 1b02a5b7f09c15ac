#include "control_server.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "culvert/base/log.h"
#include "temp_dir.h"

using namespace culvert;
using daemon::ControlServer;
using daemon::ControlServerOptions;
using namespace std::chrono_literals;

namespace {

class Client {
 public:
  explicit Client(const std::filesystem::path& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool send_text(const std::string& text) const {
    return send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  /// Up to and without the newline; empty at the end of the connection (or after 20 s, so that a hang fails).
  [[nodiscard]] std::string line() const {
    std::string text;
    for (char byte = 0; next(byte);) {
      if (byte == '\n') return text;
      text += byte;
    }
    return "";
  }
  [[nodiscard]] bool closed() const {
    char byte = 0;
    return !next(byte);
  }

 private:
  bool next(char& byte) const {
    pollfd readable{fd_, POLLIN, 0};
    if (poll(&readable, 1, 20000) != 1) FAIL("the server neither answers nor closes");
    return recv(fd_, &byte, 1, 0) == 1;
  }
  int fd_;
  bool connected_ = false;
};

/// A server on a thread of its own; the test is its client.
class Served {
 public:
  explicit Served(std::chrono::milliseconds timeout = 20s, std::string big = "") : big_(std::move(big)) {
    log::set_sink([](log::Level, std::string_view) {});
    options_.path = dir_.path() / "run" / "control.sock";
    options_.timeout = timeout;
    auto server = ControlServer::open(io_, options_, [this](const control::Request& request) {
      control::Response response;
      response.ok = true;
      response.message = "did " + request.command + big_;
      return response;
    });
    REQUIRE(server.has_value());
    server_ = std::move(*server);
    server_->stream_by([](const control::Request& request, ControlServer::Protocol::socket socket) {
      const std::string line = "stream of " + request.peer + "\n";
      (void)!::send(socket.native_handle(), line.data(), line.size(), MSG_NOSIGNAL);
    });
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Served() {
    work_.reset();
    boost::asio::post(io_, [this] { server_.reset(); });
    thread_.join();
    log::set_sink({});
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return options_.path; }

 private:
  test::TempDir dir_;
  std::string big_;
  ControlServerOptions options_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::unique_ptr<ControlServer> server_;
  std::thread thread_;
};

std::string status_request() {
  control::Request request;
  request.command = "status";
  return control::to_json(request) + "\n";
}

}  // namespace

TEST_CASE("one connection may send several requests, also in pieces, and gets one line for each") {
  const Served served;
  const Client client(served.path());
  REQUIRE(client.send_text(status_request()));
  CHECK(control::parse_response(client.line()).value().message == "did status");
  const std::string request = status_request();
  for (const char byte : request) REQUIRE(client.send_text(std::string(1, byte)));
  CHECK(control::parse_response(client.line()).value().message == "did status");
  REQUIRE(client.send_text(request + request));
  CHECK(control::parse_response(client.line()).value().ok);
  CHECK(control::parse_response(client.line()).value().ok);
}

TEST_CASE("a request for a stream is answered, and its connection then belongs to the stream") {
  const Served served;
  const Client client(served.path());
  REQUIRE(client.send_text("{\"command\":\"monitor\",\"peer\":\"b\"}\n"));
  CHECK(control::parse_response(client.line()).value().ok);
  CHECK(client.line() == "stream of b");
  CHECK(client.closed());
}

TEST_CASE("what is no request is answered as malformed, and the connection goes on") {
  const Served served;
  const Client client(served.path());
  for (const char* text : {"\n", "{}\n", "hello\n", "{\"command\":\"explode\"}\n", "[[[[[[[[\n"}) {
    REQUIRE(client.send_text(text));
    const auto response = control::parse_response(client.line());
    REQUIRE(response.has_value());
    CHECK_FALSE(response->ok);
    CHECK(response->code == "malformed");
  }
}

TEST_CASE("a line longer than allowed is refused and the connection closed, with or without its end") {
  const Served served;
  for (const char* end : {"", "\n"}) {
    const Client client(served.path());
    (void)client.send_text(std::string(control::max_request_len + 1, 'x') + end);
    CHECK(control::parse_response(client.line()).value().code == "malformed");
    CHECK(client.closed());
  }
}

TEST_CASE("a client that sends nothing, or trickles, is closed when its time is over; others are served meanwhile") {
  const Served served(200ms);
  const Client silent(served.path());
  const Client half(served.path());
  REQUIRE(half.send_text("{\"comm"));
  const Client quick(served.path());
  REQUIRE(quick.send_text(status_request()));
  CHECK(control::parse_response(quick.line()).value().ok);
  CHECK(silent.closed());
  CHECK(half.closed());
}

TEST_CASE("a client that does not take its response is closed, and nobody waits for it") {
  const Served served(200ms, std::string(8 << 20, 'x'));  // more than a socket buffer holds
  const Client deaf(served.path());
  REQUIRE(deaf.send_text(status_request()));
  std::this_thread::sleep_for(600ms);
  std::size_t len = 0;
  while (!deaf.closed()) ++len;
  CHECK(len < (8u << 20));
}

TEST_CASE("clients beyond the sixteenth are told that the daemon is busy, until one goes") {
  const Served served;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(std::make_unique<Client>(served.path()));
    REQUIRE(clients.back()->send_text(status_request()));
    CHECK(control::parse_response(clients.back()->line()).value().ok);
  }
  const Client refused(served.path());
  CHECK(control::parse_response(refused.line()).value().code == "busy");
  CHECK(refused.closed());
  clients.pop_back();
  for (int attempt = 0;; ++attempt) {  // the server has to notice first
    const Client next(served.path());
    (void)next.send_text(status_request());
    if (control::parse_response(next.line()).value().ok) break;
    REQUIRE(attempt < 1000);
    std::this_thread::sleep_for(1ms);
  }
}

TEST_CASE("the socket is for root and the group alone, and goes with the server") {
  const test::TempDir dir;
  boost::asio::io_context io;
  ControlServerOptions options;
  options.path = dir.path() / "deep" / "er" / "control.sock";
  const auto mode_of = [](const std::filesystem::path& path) {
    struct stat status {};
    REQUIRE(lstat(path.c_str(), &status) == 0);
    return status;
  };
  {
    const auto server = ControlServer::open(io, options, {});
    REQUIRE(server.has_value());
    CHECK((mode_of(options.path).st_mode & 0777) == 0600);
    CHECK((mode_of(dir.path() / "deep").st_mode & 0777) == 0755);
  }
  CHECK_FALSE(std::filesystem::exists(options.path));
  options.group = "no-such-group-here";
  { REQUIRE(ControlServer::open(io, options, {}).has_value()); }
  const group* daemon_group = getgrnam("daemon");  // in base-passwd of every Debian
  if (geteuid() != 0 || daemon_group == nullptr) {
    MESSAGE("skipped: the group's part needs root");
    return;
  }
  options.group = "daemon";
  const auto server = ControlServer::open(io, options, {});
  REQUIRE(server.has_value());
  CHECK((mode_of(options.path).st_mode & 0777) == 0660);
  CHECK(mode_of(options.path).st_gid == daemon_group->gr_gid);
}

TEST_CASE("somebody who is neither root nor in the group is refused even where the file's mode lets everybody in") {
  if (geteuid() != 0) {
    MESSAGE("skipped: not root");
    return;
  }
  const Served served;
  REQUIRE(chmod(served.path().parent_path().parent_path().c_str(), 0755) == 0);
  REQUIRE(chmod(served.path().c_str(), 0666) == 0);
  const pid_t child = fork();
  if (child == 0) {
    // No doctest here: the exit status speaks.
    if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const Client client(served.path());
    const std::string line = client.connected() ? client.line() : "";
    _exit(line.find("only root and the control group") != std::string::npos ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a socket that a crashed daemon left is replaced; one in use, or something else of that name, is not") {
  const test::TempDir dir;
  boost::asio::io_context io;
  ControlServerOptions options;
  options.path = dir.path() / "control.sock";
  {  // bound, never removed: as after kill -9
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, options.path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    close(fd);
  }
  {
    const auto server = ControlServer::open(io, options, {});
    REQUIRE(server.has_value());
    const auto second = ControlServer::open(io, options, {});
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().detail.find("another culvertd") != std::string::npos);
    CHECK(std::filesystem::exists(options.path));  // the loser did not take it away
  }
  std::ofstream(options.path) << "precious";
  CHECK_FALSE(ControlServer::open(io, options, {}).has_value());
  CHECK(std::filesystem::file_size(options.path) == 8);
  options.path = dir.path() / std::string(200, 'x');
  CHECK_FALSE(ControlServer::open(io, options, {}).has_value());
}
