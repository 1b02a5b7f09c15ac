#pragma once
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "super_packet.h"

namespace culvert::lab {

/// Puts the test process into a network namespace of its own, once: loopback is up and has 127.0.0.0/8, ::1, fd00::1,
/// fd00::2. False when we are not root; a test then says "skipped: not root" and returns.
[[nodiscard]] bool enter_namespace();

/// Brings a device up without the IPv6 chatter of its own that would mix with a test's packets.
void set_up(const std::string& device);
[[nodiscard]] bool device_exists(const std::string& device);
/// Removes a device behind its owner's back.
void delete_device(const std::string& device);

/// The kernel's side of a TUN device, by AF_PACKET: what is sent here the data plane reads, what it writes is received
/// here.
class DeviceEnd {
 public:
  explicit DeviceEnd(const std::string& device);  ///< throws std::system_error
  ~DeviceEnd();
  DeviceEnd(const DeviceEnd&) = delete;
  DeviceEnd& operator=(const DeviceEnd&) = delete;

  void send(ByteView ip_packet) const;
  /// A super-packet, or one whose checksum is left to the device. Throws std::system_error: EINVAL when the kernel does
  /// not believe what `offload` says.
  void send(const OffloadedPacket& packet) const;
  /// The next packet that came out of the tunnel; nullopt after the time.
  [[nodiscard]] std::optional<Bytes> receive(
      std::chrono::milliseconds patience = std::chrono::milliseconds(5000)) const;
  /// The same, with what the data plane told the kernel of it.
  [[nodiscard]] std::optional<OffloadedPacket> receive_offloaded(
      std::chrono::milliseconds patience = std::chrono::milliseconds(5000)) const;
  /// What came out, super-packets cut by the book, until there are `num` packets or nothing came for the time.
  [[nodiscard]] std::vector<Bytes> receive_cut(
      std::size_t num, std::chrono::milliseconds patience = std::chrono::milliseconds(5000)) const;

 private:
  void send(KernelOffload offload, ByteView ip_packet) const;

  int fd_;
  int index_;
};

/// A plain UDP socket: a peer, or a wire, that the test plays itself.
class UdpEnd {
 public:
  explicit UdpEnd(const Endpoint& local);  ///< throws std::system_error
  ~UdpEnd();
  UdpEnd(const UdpEnd&) = delete;
  UdpEnd& operator=(const UdpEnd&) = delete;

  /// `tos` is that of the IPv4 header.
  void send(const Endpoint& remote, ByteView bytes, std::uint8_t tos = 0) const;
  /// Several datagrams that the kernel cuts out of one message (UDP_SEGMENT): all as long as the first but the last,
  /// which may be shorter. On loopback a receiver that takes joined datagrams gets them in one piece.
  void send_joined(const Endpoint& remote, const std::vector<Bytes>& datagrams) const;
  struct Received {
    Endpoint remote;
    Bytes bytes;
    std::uint8_t tos = 0;  ///< IPv4
  };
  [[nodiscard]] std::optional<Received> receive(
      std::chrono::milliseconds patience = std::chrono::milliseconds(5000)) const;

 private:
  int fd_;
};

/// Looks again and again until the condition holds; false when it does not within the time.
[[nodiscard]] inline bool eventually(const std::function<bool()>& condition,
                                     std::chrono::milliseconds patience = std::chrono::milliseconds(5000)) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Inner packets: UDP with a payload of `len` bytes that `number` begins and that differ from packet to packet.
[[nodiscard]] Bytes udp_packet(const IpAddress& source, const IpAddress& destination, std::uint32_t number,
                               std::size_t len, bool dont_fragment = true);
/// The same IPv4 packet with another TOS byte.
[[nodiscard]] Bytes with_tos(Bytes ipv4_packet, std::uint8_t tos);
/// The same UDP packet, of either family, between other ports; its checksum stays 0.
[[nodiscard]] Bytes with_ports(Bytes packet, std::uint16_t source, std::uint16_t destination);
/// The number that udp_packet put into it.
[[nodiscard]] std::uint32_t number_of(ByteView ip_packet);

}  // namespace culvert::lab

/// The first line of a test that needs enter_namespace(); doctest's MESSAGE is the test's.
#define NEEDS_ROOT()                      \
  if (!culvert::lab::enter_namespace()) { \
    MESSAGE("skipped: not root");         \
    return;                               \
  }
