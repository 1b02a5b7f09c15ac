#include "stranger_filter_linux.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>

#include "culvert/base/bytes.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace std::chrono_literals;

namespace {

constexpr std::uint8_t sa_payload = 33, notify_payload = 41, ike_sa_init = 34, ike_auth = 35;  // RFC 7296 §3.1, §3.2

/// One datagram after another over loopback, through the filter of the socket that gets them.
class Line {
 public:
  Line(StrangerFilter& filter, PortKind kind, int family) : kind_(kind) {
    receiver_ = FileDescriptor(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    sender_ = FileDescriptor(::socket(family, SOCK_DGRAM, 0));
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* to = family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
    REQUIRE(::bind(receiver_.get(), to, family == AF_INET ? sizeof v4 : sizeof v6) == 0);
    sockaddr_storage bound{};
    socklen_t len = sizeof bound;
    REQUIRE(::getsockname(receiver_.get(), reinterpret_cast<sockaddr*>(&bound), &len) == 0);
    REQUIRE(::connect(sender_.get(), reinterpret_cast<sockaddr*>(&bound), len) == 0);
    REQUIRE(filter.attach(receiver_.get(), kind));
  }

  /// How many of `count` come through, their SPIs from `first_spi` on.
  int pass(int count, std::uint64_t first_spi, std::uint8_t payload = sa_payload, std::uint8_t exchange = ike_sa_init) {
    int num_passed = 0;
    for (int i = 0; i < count; ++i) {
      std::array<std::uint8_t, 64> datagram{};
      std::uint8_t* header = datagram.data() + (kind_ == PortKind::nat ? 4 : 0);
      store_be(header, first_spi + static_cast<std::uint64_t>(i));
      header[16] = payload;
      header[17] = 0x20;
      header[18] = exchange;
      header[19] = 0x08;
      num_passed += passes(datagram);
    }
    return num_passed;
  }
  bool passes(ByteView datagram) {
    REQUIRE(::send(sender_.get(), datagram.data(), datagram.size(), 0) == static_cast<ssize_t>(datagram.size()));
    std::array<std::uint8_t, 128> buffer{};
    const ssize_t len = ::recv(receiver_.get(), buffer.data(), buffer.size(), 0);
    if (len < 0) return false;
    CHECK(static_cast<std::size_t>(len) == datagram.size());
    return true;
  }

 private:
  PortKind kind_;
  FileDescriptor receiver_, sender_;
};

/// eBPF wants CAP_BPF.
bool may_load_programs() {
  if (::geteuid() == 0) return true;
  MESSAGE("skipped: not root");
  return false;
}

}  // namespace

TEST_CASE("in a flood the kernel keeps back requests for an IKE SA that come for the first time") {
  if (!may_load_programs()) return;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const PortKind kind : {PortKind::ike, PortKind::nat}) {
      CAPTURE(family);
      CAPTURE(static_cast<int>(kind));
      StrangerFilter filter;
      Line line(filter, kind, family);
      CHECK(line.pass(100, 1) == 100);  // no flood
      filter.turn(true);
      const int at_random = line.pass(2000, 1000);  // 16 are to be expected
      CHECK(at_random >= 1);
      CHECK(at_random < 60);
      CHECK(filter.num_kept_back() == static_cast<std::uint64_t>(2000 - at_random));
      CHECK(line.pass(2000, 1000) > 1950);  // again: but for those whose mark another has overwritten
      CHECK(line.pass(100, 5000, notify_payload) == 100);
      CHECK(line.pass(100, 6000, sa_payload, ike_auth) == 100);
      const std::array<std::uint8_t, 20> too_short{};
      CHECK(line.passes(too_short));
      filter.turn(false);
      CHECK(line.pass(100, 10000) == 100);
    }
  }
}

TEST_CASE("requests from an address that is expected come through in a flood, and no longer when it is not") {
  if (!may_load_programs()) return;
  for (const int family : {AF_INET, AF_INET6}) {
    StrangerFilter filter;
    Line line(filter, PortKind::ike, family);
    filter.turn(true);
    const IpAddress home = *IpAddress::parse(family == AF_INET ? "127.0.0.1" : "::1");
    filter.expect(std::array{*IpAddress::parse("192.0.2.1"), home});
    CHECK(line.pass(500, 1) == 500);
    filter.expect(std::array{*IpAddress::parse("192.0.2.1")});
    CHECK(line.pass(500, 1000) < 30);
  }
}

TEST_CASE(
    "the kernel keeps back from 20,000 requests a second on that go on, and stops two seconds after they became half "
    "as many") {
  if (!may_load_programs()) return;
  StrangerFilter filter;
  TimePoint now = TimePoint{} + 1h;
  const auto feed = [&](std::size_t each_10ms, Duration time) {
    for (const TimePoint end = now + time; now < end; now += 10ms) CHECK(filter.observe(now, each_10ms) == 0);
  };
  feed(190, 1s);
  CHECK_FALSE(filter.is_on());
  for (int burst = 0; burst < 5; ++burst) {  // of honest ones, each once
    feed(2500, 20ms);
    feed(0, 500ms);
  }
  CHECK_FALSE(filter.is_on());
  feed(220, 410ms);
  CHECK(filter.is_on());
  feed(120, 5s);
  CHECK(filter.is_on());
  feed(90, 1s);
  CHECK(filter.is_on());
  feed(90, 2s);
  CHECK_FALSE(filter.is_on());
}

TEST_CASE("a request that brings a COOKIE is told by its first payload, and one that is cut short is not one") {
  Bytes request(40);
  request[16] = 41;  // RFC 7296 §3.1, §3.2: Notify
  CHECK(StrangerFilter::brings_cookie(request));
  request[16] = 33;  // SA
  CHECK_FALSE(StrangerFilter::brings_cookie(request));
  CHECK_FALSE(StrangerFilter::brings_cookie(Bytes(27, 41)));
}
