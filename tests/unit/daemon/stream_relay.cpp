#include "stream_relay.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "stream_framing.h"

namespace culvert::daemon {
namespace {

using namespace std::chrono_literals;

sockaddr_in loopback(std::uint32_t address, std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(address);
  to.sin_port = htons(port);
  return to;
}

/// The data plane's end: UDP on 127.0.0.1.
class FakeDataPlane {
 public:
  explicit FakeDataPlane(std::uint16_t port = 0) {
    const int one = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    const sockaddr_in at = loopback(INADDR_LOOPBACK, port);
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
  }
  ~FakeDataPlane() { ::close(fd_); }

  Endpoint endpoint() const {
    sockaddr_in at{};
    socklen_t len = sizeof at;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &len);
    return {IpAddress::v4(INADDR_LOOPBACK), ntohs(at.sin_port)};
  }
  void send(const IpAddress& to, const std::string& text) {
    const sockaddr_in address = loopback(load_be<std::uint32_t>(to.bytes().data()), endpoint().port);
    ::sendto(fd_, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  /// Empty: nothing came.
  std::string receive(std::chrono::milliseconds patience = 2000ms) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return {};
    std::string text(65536, '\0');
    sockaddr_in from{};
    socklen_t len = sizeof from;
    const ssize_t got = ::recvfrom(fd_, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from), &len);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    from_ = IpAddress::v4(ntohl(from.sin_addr.s_addr));
    return text;
  }
  const IpAddress& from() const { return from_; }

 private:
  int fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  IpAddress from_;
};

class TcpClient {
 public:
  explicit TcpClient(std::uint16_t port) {
    const sockaddr_in to = loopback(INADDR_LOOPBACK, port);
    REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  }
  ~TcpClient() { ::close(fd_); }
  void send(std::string_view text) { REQUIRE(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == std::ssize(text)); }
  std::string receive(std::size_t len) {
    std::string text(len, '\0');
    const ssize_t got = ::recv(fd_, text.data(), len, MSG_WAITALL);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }
  bool is_closed() {
    pollfd waiting{fd_, POLLIN, 0};
    char byte = 0;
    return ::poll(&waiting, 1, 2000) == 1 && ::recv(fd_, &byte, 1, 0) <= 0;
  }

 private:
  int fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

// Ranges of addresses that no other test uses.
StreamRelayOptions gateway_options(const FakeDataPlane& plane) {
  return {.daemon = plane.endpoint(), .first_accepted = 0x7fe00000, .first_target = 0x7fd00001};
}
StreamRelayOptions client_options(const FakeDataPlane& plane) {
  return {.daemon = plane.endpoint(), .first_accepted = 0x7fc00000, .first_target = 0x7fb00001};
}

const Endpoint any_port{IpAddress::v4(INADDR_LOOPBACK), 0};

// RFC 9329 §3 and §4: the prefix, then lengths that count themselves.
TEST_CASE("frames in a TCP stream are datagrams for the data plane, and back") {
  FakeDataPlane plane;
  auto relay = StreamRelay::create(gateway_options(plane)).value();
  TcpClient client(relay->listen(any_port).value());
  client.send(
      std::string("IKETCP\0\x09\0\0\0\0IKE\0\x05"
                  "ESP",
                  20));
  CHECK(plane.receive() == std::string("\0\0\0\0IKE", 7));
  const IpAddress address = plane.from();
  CHECK(address.is_loopback());
  CHECK(plane.receive() == "ESP");
  REQUIRE(relay->other_end(address));
  CHECK(relay->other_end(address)->address == IpAddress::v4(INADDR_LOOPBACK));
  plane.send(address, "answer");
  CHECK(client.receive(8) == std::string("\0\x08", 2) + "answer");
}

TEST_CASE("frames that come in pieces, and keepalives between them, are put together or left out") {
  FakeDataPlane plane;
  auto relay = StreamRelay::create(gateway_options(plane)).value();
  TcpClient client(relay->listen(any_port).value());
  for (const char byte : std::string("IKETCP\0\x03\xff\0\x04ok\0\x02\0\x03!", 19)) {
    client.send({&byte, 1});
    std::this_thread::sleep_for(1ms);
  }
  CHECK(plane.receive() == "ok");
  CHECK(plane.receive() == "!");
  CHECK(plane.receive(50ms).empty());
}

TEST_CASE("a stream that is none of IKE, or has a length that cannot be, is closed") {
  FakeDataPlane plane;
  auto relay = StreamRelay::create(gateway_options(plane)).value();
  const std::uint16_t port = relay->listen(any_port).value();
  TcpClient web(port), zero(port), one(port);
  web.send("GET / HTTP/1.1\r\n\r\n");
  zero.send(std::string("IKETCP\0\0", 8));
  one.send(std::string("IKETCP\0\1", 8));
  CHECK(web.is_closed());
  CHECK(zero.is_closed());
  CHECK(one.is_closed());
  CHECK(plane.receive(50ms).empty());
}

TEST_CASE("one source gets so many connections and no more") {
  FakeDataPlane plane;
  auto options = gateway_options(plane);
  options.max_per_source = 2;
  auto relay = StreamRelay::create(options).value();
  const std::uint16_t port = relay->listen(any_port).value();
  TcpClient first(port), second(port);
  first.send(
      std::string("IKETCP\0\x04"
                  "a1",
                  10));
  CHECK(plane.receive() == "a1");
  second.send(
      std::string("IKETCP\0\x04"
                  "b1",
                  10));
  CHECK(plane.receive() == "b1");
  TcpClient third(port);
  CHECK(third.is_closed());
}

TEST_CASE("two gateways speak through a connection that is made when there is something to say") {
  FakeDataPlane here, there;
  auto gateway = StreamRelay::create(gateway_options(there)).value();
  const std::uint16_t port = gateway->listen(any_port).value();
  auto client = StreamRelay::create(client_options(here)).value();
  const IpAddress stands_for = client->add_target(here.endpoint().port).value();
  here.send(stands_for, "nobody knows where to");
  client->set_target(stands_for, Endpoint{any_port.address, port});
  std::string got;
  for (int tries = 0; got != "hello" && tries < 20; ++tries) {
    here.send(stands_for, "hello");
    got = there.receive(200ms);
  }
  CHECK(got == "hello");
  while (!there.receive(300ms).empty()) {  // of the tries before
  }
  const IpAddress known_as = there.from();
  const std::string large(60'000, 'x');
  there.send(known_as, large);
  CHECK(here.receive() == large);
  CHECK(here.from() == stands_for);
  CHECK(client->other_end(stands_for) == Endpoint{any_port.address, port});

  SUBCASE("and is made anew when our addresses have changed") {
    client->reconnect();
    for (int tries = 0; got != "again" && tries < 20; ++tries) {
      here.send(stands_for, "again");
      got = there.receive(200ms);
    }
    CHECK(got == "again");
    CHECK(there.from() != known_as);
  }
  SUBCASE("many datagrams at once keep their order and their borders") {
    for (int i = 0; i < 60; ++i) here.send(stands_for, std::to_string(i) + std::string(1300, 'y'));
    for (int i = 0; i < 60; ++i) {
      const bool same = there.receive() == std::to_string(i) + std::string(1300, 'y');
      CHECK_MESSAGE(same, "datagram ", i);
    }
  }
}

}  // namespace
}  // namespace culvert::daemon
