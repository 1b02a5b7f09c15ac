// HTTP answers by RFC 9110 and 9112.
#include "metrics_server.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "temp_dir.h"

using namespace culvert;
using daemon::MetricsFormat;
using daemon::MetricsServer;
using daemon::MetricsServerOptions;
using namespace std::chrono_literals;

namespace {

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  explicit Client(const std::filesystem::path& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void say(const std::string& text) const { (void)!send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  /// Until the server closes.
  [[nodiscard]] std::string hear() const {
    std::string text;
    char chunk[4096];
    for (;;) {
      pollfd readable{fd_, POLLIN, 0};
      if (poll(&readable, 1, 20000) != 1) FAIL("the server neither answers nor closes");
      const ssize_t len = recv(fd_, chunk, sizeof chunk, 0);
      if (len <= 0) return text;
      text.append(chunk, static_cast<std::size_t>(len));
    }
  }
  [[nodiscard]] std::string ask(const std::string& request) const {
    say(request);
    return hear();
  }

 private:
  int fd_;
};

/// A server on a thread of its own, on a port that the kernel chooses or on a unix socket.
class Served {
 public:
  explicit Served(MetricsServerOptions options, std::string body = "x 1\n") : body_(std::move(body)) {
    if (options.address.path.empty()) options.address.endpoint = {IpAddress::parse("127.0.0.1").value(), 0};
    auto server = MetricsServer::open(io_, std::move(options), [this](MetricsFormat format) {
      ++num_made_;
      std::this_thread::sleep_for(takes_);
      return format == MetricsFormat::open_metrics ? body_ + "# EOF\n" : body_;
    });
    REQUIRE(server.has_value());
    server_ = std::move(*server);
    port_ = server_->port();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Served() {
    work_.reset();
    boost::asio::post(io_, [this] { server_.reset(); });
    thread_.join();
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int num_made() const { return num_made_; }
  [[nodiscard]] std::size_t num_clients() {
    std::promise<std::size_t> num;
    boost::asio::post(io_, [&] { num.set_value(server_->num_clients()); });
    return num.get_future().get();
  }
  std::chrono::milliseconds takes_{0};

 private:
  std::string body_;
  std::atomic<int> num_made_ = 0;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::unique_ptr<MetricsServer> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

MetricsServerOptions quick() {
  MetricsServerOptions options;
  options.timeout = 200ms;
  return options;
}

}  // namespace

TEST_CASE("GET /metrics is answered in the format that was asked for, and the connection ends") {
  Served served({});
  const std::string plain = Client(served.port()).ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(plain.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(plain.find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n") != std::string::npos);
  CHECK(plain.find("\r\nContent-Length: 4\r\n") != std::string::npos);
  CHECK(plain.ends_with("\r\n\r\nx 1\n"));
  const std::string open =
      Client(served.port()).ask("GET /metrics?x=y HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n");
  CHECK(open.find("\r\nContent-Type: application/openmetrics-text;") != std::string::npos);
  CHECK(open.ends_with("x 1\n# EOF\n"));
}

TEST_CASE("HEAD is answered without a body, and everything else is refused") {
  Served served({});
  const std::string head = Client(served.port()).ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(head.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(head.find("Content-Length: 4\r\n") != std::string::npos);
  CHECK(head.ends_with("\r\n\r\n"));
  const auto status = [&](const std::string& request) { return Client(served.port()).ask(request).substr(9, 3); };
  CHECK(status("GET / HTTP/1.1\r\nHost: x\r\n\r\n") == "404");
  CHECK(status("GET /metricsx HTTP/1.1\r\nHost: x\r\n\r\n") == "404");
  const std::string deleted = Client(served.port()).ask("DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(deleted.starts_with("HTTP/1.1 405"));
  CHECK(deleted.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);  // RFC 9110 §15.5.6
  CHECK(status("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello") == "413");
  CHECK(status("POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n") ==
        "413");
  CHECK(status("hello\r\n\r\n") == "400");
  CHECK(status("GET /metrics HTTP/9.9\r\n\r\n") == "400");
  CHECK(status(std::string("GET /\0 HTTP/1.1\r\n\r\n", 20)) == "400");
}

TEST_CASE("a request larger than allowed is refused, however it comes") {
  Served served({});
  CHECK(Client(served.port()).ask("GET /metrics HTTP/1.1\r\nX: " + std::string(20000, 'x') + "\r\n\r\n").substr(9, 3) ==
        "431");
  const Client client(served.port());
  client.say("GET /metrics HTTP/1.1\r\n");
  for (int i = 0; i < 2000; ++i) client.say("X: 12345\r\n");
  CHECK(client.hear().substr(9, 3) == "431");
}

TEST_CASE("who does not finish its request, or does not read, is cut off in time") {
  Served served(quick(), std::string(64 << 20, 'x'));
  const Client slow(served.port());
  slow.say("GET /metr");
  const Client deaf(served.port());
  deaf.say("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto begin = std::chrono::steady_clock::now();
  CHECK(slow.hear().empty());
  while (served.num_clients() > 0 && std::chrono::steady_clock::now() - begin < 20s) std::this_thread::sleep_for(10ms);
  CHECK(served.num_clients() == 0);
}

TEST_CASE("a large exposition arrives whole, in more pieces than one") {
  Served served({}, std::string(5'000'000, 'x') + "\n");
  const std::string answer = Client(served.port()).ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(answer.size() - answer.find("\r\n\r\n") - 4 == 5'000'001);
}

TEST_CASE("connections that say nothing keep nobody out, and are never more than allowed") {
  Served served({});
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 100; ++i) idle.push_back(std::make_unique<Client>(served.port()));
  CHECK(Client(served.port()).ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
  CHECK(served.num_clients() <= MetricsServerOptions{}.max_clients);
}

TEST_CASE("who asks again and again gets the last exposition: making them takes a tenth of the time at most") {
  Served served({});
  served.takes_ = 100ms;
  for (int i = 0; i < 5; ++i)
    CHECK(Client(served.port()).ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
  CHECK(served.num_made() == 1);
}

TEST_CASE("a unix socket is for root and the group alone, and goes with the server") {
  const test::TempDir dir;
  MetricsServerOptions options;
  options.address.path = dir.path() / "run" / "metrics.sock";
  {
    Served served(options);
    CHECK(Client(options.address.path).ask("GET /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
    struct stat about {};
    REQUIRE(stat(options.address.path.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0600);
  }
  CHECK_FALSE(std::filesystem::exists(options.address.path));
}

TEST_CASE("an address that is not ours, or a port that is taken, is an error that names it") {
  Served served({});
  boost::asio::io_context io;
  MetricsServerOptions options;
  options.address.endpoint = {IpAddress::parse("127.0.0.1").value(), served.port()};
  const auto taken = MetricsServer::open(io, options, {});
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().detail.find("127.0.0.1:") != std::string::npos);
  options.address.endpoint = {IpAddress::parse("192.0.2.77").value(), 0};
  CHECK_FALSE(MetricsServer::open(io, options, {}).has_value());
}
