#pragma once
#include <chrono>
#include <optional>
#include <vector>

#include "culvert/base/bytes.h"
#include "offload.h"

namespace culvert::lab {

/// A super-packet as it crosses a TUN queue.
struct SuperPacket {
  Bytes packet;
  tunnel::Offload offload;
  bool ecn = false;  ///< VIRTIO_NET_HDR_GSO_ECN: CWR is in it and belongs to the first segment
};

/// A TUN device with IFF_VNET_HDR, of one queue.
class OffloadTun {
 public:
  /// Creates the device; TCP offloads are asked for, UDP too where the kernel knows it. Throws std::system_error.
  explicit OffloadTun(const char* name);
  ~OffloadTun();
  OffloadTun(const OffloadTun&) = delete;
  OffloadTun& operator=(const OffloadTun&) = delete;

  [[nodiscard]] bool takes_udp() const noexcept { return takes_udp_; }  ///< USO: Linux 6.2 and later
  /// What the kernel takes for having come in by the device. Throws std::system_error when it refuses.
  void write(const SuperPacket& packet) const;
  /// The next packet that the kernel sends out by the device; nullopt after the time.
  [[nodiscard]] std::optional<SuperPacket> read(std::chrono::milliseconds patience) const;

 private:
  int fd_;
  bool takes_udp_ = false;
};

/// Sees the IP packets that a device sends. On a veth: at the moment when the kernel hands them to it, in the call that
/// caused them; before they enter the queue to the other end, which all namespaces share and which waits for a kernel
/// thread when others are busy.
class DeviceTap {
 public:
  explicit DeviceTap(const char* device);  ///< throws std::system_error
  ~DeviceTap();
  DeviceTap(const DeviceTap&) = delete;
  DeviceTap& operator=(const DeviceTap&) = delete;

  [[nodiscard]] std::optional<Bytes> receive(std::chrono::milliseconds patience) const;

 private:
  int fd_;
};

/// A router of the kernel's own, in a new network namespace that the calling thread enters: what comes in by `in`
/// leaves either by a veth without any offload, cut by the kernel, or by a TUN device with all of them, in one piece.
/// The hop count drops by one. 10.0.0.0/8 and fd00::/8 are the inner networks.
class SegmentationPath {
 public:
  SegmentationPath();  ///< throws std::system_error, std::runtime_error
  enum class Exit { veth, tun };
  void route_by(Exit exit) const;
  /// The next `count` packets that leave by the veth, fewer when they do not come.
  [[nodiscard]] std::vector<Bytes> cut_by_the_kernel(std::size_t count) const;
  /// The next packet that leaves by the TUN device.
  [[nodiscard]] std::optional<SuperPacket> in_one_piece() const;

 private:
  struct EnterNamespace {
    EnterNamespace();
  } entered_;

 public:
  OffloadTun in{"sgin"};

 private:
  OffloadTun out_{"sgout"};
  std::optional<DeviceTap> veth_tap_;
};

}  // namespace culvert::lab
