// What of the I/O files needs neither root nor a network.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <vector>

#include "packet_buffers.h"
#include "raw_esp_linux.h"
#include "socket_batch.h"
#include "tun_linux.h"

using namespace culvert;
using namespace culvert::tunnel;

TEST_CASE("a device name is what the kernel takes for one certain device") {
  // linux/net/core/dev.c: dev_valid_name(): 1 to IFNAMSIZ - 1 bytes, no '/', ':' or white space, not "." or ".."
  for (const char* good : {"cv0", "cv-tokyo", "a", "fifteen-letters", "x.100", "..."}) CHECK(is_device_name(good));
  for (const char* bad : {"", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "cv%d", "sixteen-letters!", "gerät"}) {
    CHECK_FALSE(is_device_name(bad));
  }
}

TEST_CASE("an IPv4 header before raw ESP is stepped over only when it is whole") {
  Bytes packet(40);
  packet[0] = 0x45;
  CHECK(ipv4_header_len(packet) == 20);
  packet[0] = 0x4A;
  CHECK(ipv4_header_len(packet) == 40);
  packet[0] = 0x4B;  // 44 bytes of header in 40 of packet
  CHECK(ipv4_header_len(packet) == 0);
  packet[0] = 0x44;  // RFC 791 §3.1: the minimum is 5
  CHECK(ipv4_header_len(packet) == 0);
  packet[0] = 0x65;
  CHECK(ipv4_header_len(packet) == 0);
  packet[0] = 0x45;
  for (std::size_t len = 0; len < 20; ++len) CHECK(ipv4_header_len(ByteView(packet).first(len)) == 0);
}

TEST_CASE("an endpoint comes back from the kernel's form unchanged") {
  for (const auto& text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::"}) {
    const Endpoint endpoint{*IpAddress::parse(text), 4500};
    sockaddr_storage address{};
    const socklen_t len = to_sockaddr(endpoint, address);
    CHECK(len == (endpoint.address.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)));
    CHECK(from_sockaddr(address) == endpoint);
  }
}

TEST_CASE("every buffer has the headroom and tailroom that the stages count on, and none overlaps another") {
  const PacketBuffers buffers;
  const Packet packet = buffers.packet(3, 65535);
  CHECK(packet.headroom() == packet_headroom);
  CHECK(packet.tailroom() >= packet_tailroom);
  CHECK(packet.data == buffers.room(3).data());
  for (std::size_t i = 1; i < PacketBuffers::num; ++i) {
    CHECK(buffers.whole(i - 1).data() + buffers.whole(i - 1).size() == buffers.whole(i).data());
  }
}

namespace {

/// Items of these lengths to one remote, from one address, with one TOS.
struct Items {
  Bytes bytes = Bytes(65507);
  std::vector<SendItem> items;

  explicit Items(const std::vector<std::size_t>& lens) {
    for (const std::size_t len : lens) {
      items.push_back({ByteView(bytes).first(len),
                       {*IpAddress::parse("192.0.2.1"), 4500},
                       *IpAddress::parse("198.51.100.1"),
                       0,
                       false});
    }
  }
};

std::size_t run_of(const std::vector<std::size_t>& lens) {
  const Items items(lens);
  return run_length(items.items);
}

}  // namespace

TEST_CASE("a run is of equal lengths; the last may be shorter, and then it is the last (udp(7), UDP_SEGMENT)") {
  CHECK(run_of({1400}) == 1);
  CHECK(run_of({1400, 1400, 1400}) == 3);
  CHECK(run_of({1400, 1400, 100}) == 3);
  CHECK(run_of({1400, 1400, 100, 100}) == 3);
  CHECK(run_of({1400, 1400, 100, 1400}) == 3);
  CHECK(run_of({1400, 1, 1400}) == 2);
  CHECK(run_of({1400, 1401}) == 1);
  CHECK(run_of({100, 1400, 1400}) == 1);
  CHECK(run_of({1, 1, 1}) == 3);
}

TEST_CASE("a run has at most 64 datagrams (linux/udp.h: UDP_MAX_SEGMENTS) and 65,507 bytes (RFC 768, RFC 791)") {
  CHECK(run_of(std::vector<std::size_t>(63, 100)) == 63);
  CHECK(run_of(std::vector<std::size_t>(64, 100)) == 64);
  CHECK(run_of(std::vector<std::size_t>(65, 100)) == 64);
  CHECK(run_of(std::vector<std::size_t>(64, 1023)) == 64);  // 65,472 bytes
  CHECK(run_of(std::vector<std::size_t>(64, 1024)) == 63);  // 65,536
  CHECK(run_of({21835, 21835, 21837}) == 2);                // longer than the first
  CHECK(run_of({21836, 21836, 21835}) == 3);                // 65,507
  CHECK(run_of({21836, 21836, 21836}) == 2);                // 65,508
  CHECK(run_of({65507, 1}) == 1);
  CHECK(run_of({65506, 1}) == 2);
  CHECK(run_of({65506, 2}) == 1);
}

TEST_CASE("a run ends where remote address, remote port, source address or TOS differ") {
  using Change = void (*)(SendItem&);
  for (const Change change : {
           Change{[](SendItem& item) { item.remote.address = *IpAddress::parse("192.0.2.2"); }},
           Change{[](SendItem& item) { item.remote.port = 4501; }},
           Change{[](SendItem& item) { item.local = *IpAddress::parse("198.51.100.2"); }},
           Change{[](SendItem& item) { item.local = {}; }},
           Change{[](SendItem& item) { item.tos = 2; }},
       }) {
    for (std::size_t at = 1; at < 4; ++at) {
      Items items({500, 500, 500, 500});
      change(items.items[at]);
      CHECK(run_length(items.items) == at);
      CHECK(run_length(std::span(items.items).subspan(at)) == 1);  // what differs from those before and behind is alone
    }
  }
}

TEST_CASE("what was received is as many datagrams as the kernel joined") {
  ReceiveSlot slot;
  const auto count = [&](std::size_t len, std::size_t segment_len) {
    slot.len = len;
    slot.segment_len = segment_len;
    return slot.num_datagrams();
  };
  CHECK(count(0, 0) == 1);  // an empty datagram
  CHECK(count(1, 1) == 1);
  CHECK(count(1400, 1400) == 1);
  CHECK(count(1401, 1400) == 2);
  CHECK(count(65507, 1024) == 64);
  CHECK(count(64, 1) == 64);
}
