// The client against a server of the test's own, on a socket in a folder of its own.
#include "client.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

using namespace culvert;
using namespace culvert::cli;

namespace {

using namespace std::chrono_literals;

/// Listens; one thread takes one connection and does with it what the test says.
class Server {
 public:
  explicit Server(std::function<void(int)> serve) {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-cli-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().string().copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_, 4) == 0);
    if (!serve) return;
    thread_ = std::thread([this, serve] {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      serve(fd);
      ::close(fd);
    });
  }
  ~Server() {
    ::shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(listener_);
    std::filesystem::remove_all(folder_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "s"; }

 private:
  std::filesystem::path folder_;
  int listener_ = -1;
  std::thread thread_;
};

std::string read_request(int fd) {
  std::string line;
  for (char c = 0; ::read(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

void write_text(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string why_not(const std::filesystem::path& socket, std::chrono::milliseconds timeout = 5s) {
  const auto response = ask(socket, {"status", "", ""}, timeout);
  REQUIRE_FALSE(response.has_value());
  return response.error().detail;
}

}  // namespace

TEST_CASE("a question is answered, in as many pieces as the daemon likes") {
  std::string seen;
  const Server server([&](int fd) {
    seen = read_request(fd);
    write_text(fd, R"({"schema":1,"ok":true,)");
    std::this_thread::sleep_for(20ms);
    write_text(fd, "\"message\":\"tokyo: coming up\"}\n");
  });
  const auto response = ask(server.path(), {"up", "tokyo", ""});
  REQUIRE(response.has_value());
  CHECK(response->ok);
  CHECK(response->message == "tokyo: coming up");
  CHECK(seen == R"({"command":"up","peer":"tokyo"})");
}

TEST_CASE("an answer of several megabytes arrives whole") {
  control::Response big;
  big.ok = true;
  big.status.emplace();
  for (int i = 0; i < 20000; ++i) {
    control::PeerReport peer;
    peer.name = "peer-" + std::to_string(i);
    big.status->peers.push_back(peer);
  }
  // Not while the client's time runs: under a sanitizer it takes seconds.
  const std::string answer = control::to_json(big) + "\n";
  const Server server([&](int fd) {
    (void)read_request(fd);
    write_text(fd, answer);
  });
  const auto response = ask(server.path(), {"status", "", ""});
  REQUIRE(response.has_value());
  CHECK(response->status->peers.size() == 20000);
}

TEST_CASE("no daemon is told apart from one that does not answer") {
  const Server server(nullptr);
  CHECK(why_not(server.path().parent_path() / "none").find("culvertd is not running, or uses another socket") !=
        std::string::npos);
  CHECK(why_not(server.path(), 50ms).find("does not answer") != std::string::npos);
  CHECK(why_not(std::string(200, 'x')).find("the path of a socket") != std::string::npos);
  CHECK(why_not("").find("the path of a socket") != std::string::npos);
}

TEST_CASE("a socket whose daemon died is as good as none") {
  std::filesystem::path stale;
  std::string folder = (std::filesystem::temp_directory_path() / "culvert-cli-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  stale = std::filesystem::path(folder) / "s";
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  stale.string().copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::close(fd);
  CHECK(why_not(stale).find("culvertd is not running") != std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a daemon that goes away, or is none, is said so") {
  {
    const Server server([](int fd) {
      (void)read_request(fd);
      write_text(fd, R"({"schema":1,)");
    });
    CHECK(why_not(server.path()).find("was closed before the whole answer came") != std::string::npos);
  }
  const Server other([](int fd) {
    (void)read_request(fd);
    write_text(fd, "HTTP/1.1 400 Bad Request\n");
  });
  CHECK(why_not(other.path()).find("is no culvertd of this version") != std::string::npos);
}

TEST_CASE("lines that follow a response are handed over one by one, until there are enough or the daemon ends") {
  const auto serve = [](int fd) {
    (void)read_request(fd);
    write_text(fd, "{\"schema\":1,\"ok\":true}\none\ntwo\nthr");
    std::this_thread::sleep_for(20ms);
    write_text(fd, "ee\n");
  };
  std::vector<std::string> lines;
  {
    const Server server(serve);
    const auto end = follow(
        server.path(), {"monitor", "", ""},
        [&](const std::string& line) {
          lines.push_back(line);
          return lines.size() < 2;
        },
        -1);
    REQUIRE(end.has_value());
    CHECK(lines == std::vector<std::string>{"one", "two"});
  }
  lines.clear();
  const Server server(serve);
  const auto end = follow(
      server.path(), {"monitor", "", ""},
      [&](const std::string& line) {
        lines.push_back(line);
        return true;
      },
      -1);
  CHECK(lines == std::vector<std::string>{"one", "two", "three"});
  REQUIRE_FALSE(end.has_value());
  CHECK(end.error().code == Errc::io);
}

TEST_CASE("what is readable beside the stream ends it, and a refusal comes back as it is") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "x", 1) == 1);
  {
    const Server server([](int fd) {
      (void)read_request(fd);
      write_text(fd, "{\"schema\":1,\"ok\":true}\n");
      char c = 0;
      (void)!::read(fd, &c, 1);
    });
    const auto end = follow(
        server.path(), {"monitor", "", ""}, [](const std::string&) { return true; }, ends[0]);
    REQUIRE_FALSE(end.has_value());
    CHECK(end.error().code == Errc::cancelled);
  }
  const Server server([](int fd) {
    (void)read_request(fd);
    write_text(fd, "{\"schema\":1,\"ok\":false,\"code\":\"busy\",\"error\":\"too many\"}\n");
  });
  const auto end = follow(
      server.path(), {"monitor", "", ""}, [](const std::string&) { return true; }, -1);
  REQUIRE(end.has_value());
  CHECK(end->code == "busy");
  ::close(ends[0]);
  ::close(ends[1]);
}
