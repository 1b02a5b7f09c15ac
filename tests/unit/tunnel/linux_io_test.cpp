// What of the I/O files needs neither root nor a network.
#include <doctest/doctest.h>
#include <sys/socket.h>

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
