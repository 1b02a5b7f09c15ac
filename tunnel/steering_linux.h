#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "file_descriptor.h"

namespace culvert::tunnel {

// Which worker gets what, decided in the kernel by a few instructions of BPF. Where it does not take them (no CAP_BPF,
// an old kernel) it decides by itself: one flow stays with one worker, and all that suffers is speed.

/// Which queue of a TUN device the kernel puts a packet into. At home: all into one queue, that of the worker which
/// writes what the peer sends: an answer finds it awake, or about to look. Lent, for when that worker is busy with what
/// comes in and little leaves: all into the queue of one other, for each that is woken for little costs more than the
/// little. Spread, for when one worker is not enough: by a hash of addresses and, but for fragments, ports, over the
/// queues of all but the one that was home. The kernel's own choice would be the queue that a flow's answers were
/// written to, however busy its worker is. Any thread.
class FlowSteering {
 public:
  FlowSteering() noexcept = default;  ///< left to the kernel
  /// Begins spread over all queues. `fd`: any of the device's `num_queues` ≥ 2 (Linux 5.5).
  FlowSteering(int fd, unsigned num_queues) noexcept;
  FlowSteering(const FlowSteering&) = delete;
  FlowSteering& operator=(const FlowSteering&) = delete;
  ~FlowSteering();

  /// Steers another device, or this one when it was made anew. false: the kernel refuses.
  [[nodiscard]] bool attach(int fd) const noexcept;
  [[nodiscard]] bool is_ours() const noexcept { return choice_ != nullptr; }
  /// The queue that gets all, at home or lent; nullopt: spread, or left to the kernel.
  [[nodiscard]] std::optional<unsigned> home() const noexcept;
  void send_home(unsigned queue) noexcept;
  void lend() noexcept;  ///< from home
  /// Over all queues but the one that is home, or was when it was lent: its worker has enough to do with what comes in.
  void spread() noexcept;

 private:
  /// What the program reads.
  struct Choice {
    std::uint32_t home;        ///< the queue that gets all, and one; 0: spread
    std::uint32_t left_out;    ///< spread: the queue that gets nothing when `num_others` is not 0
    std::uint32_t num_others;  ///< queues but that one; not 0 also when lent
    std::uint32_t unused;
  };
  void leave_out(std::uint32_t queue) noexcept;

  FileDescriptor program_;
  Choice* choice_ = nullptr;  ///< shared with the kernel
  unsigned num_queues_ = 0;
};

/// The NAT port's: ESP as below over the first `num_workers` sockets; IKE, behind its marker, to the one after them,
/// and what asks for a new IKE SA (no SPI of ours, no response) to the last, so that a flood of that fills no queue but
/// its own. `fd`: any of the group of `num_workers` + 2. false: not possible, and the kernel mixes all of them.
[[nodiscard]] bool steer_nat_port(int fd, unsigned num_workers) noexcept;
/// The IKE port's: the first of two sockets gets IKE, the second what asks for a new IKE SA. false: the kernel mixes
/// them.
[[nodiscard]] bool steer_ike_port(int fd) noexcept;

/// Datagrams of a group of sockets (SO_REUSEPORT) go to them by their first four bytes, which are the SPI of ESP: SAs
/// of one peer are spread over the workers, and each stays with one. Whoever has no SPI, IKE, goes to the first. `fd`:
/// any socket of the group of `count`. false: left to the kernel.
[[nodiscard]] bool steer_by_spi(int fd, unsigned count) noexcept;

}  // namespace culvert::tunnel
