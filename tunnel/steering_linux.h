#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace culvert::tunnel {

// Which worker gets what, decided in the kernel by a few instructions of BPF. Where it does not take them (no CAP_BPF,
// an old kernel) it decides by itself: one flow stays with one worker, and all that suffers is speed.

/// Which queue of a TUN device the kernel puts a packet into. At home: all into one queue, that of the worker which
/// writes what the peer sends: an answer finds it awake, or about to look. Spread: by a hash of addresses and, but for
/// fragments, ports, for when one worker is not enough. The kernel's own choice would be the queue that a flow's
/// answers were written to, however busy its worker is. Any thread.
class FlowSteering {
 public:
  FlowSteering() noexcept = default;  ///< left to the kernel
  /// Begins spread. `fd`: any queue of the device (Linux 5.5).
  explicit FlowSteering(int fd) noexcept;
  FlowSteering(const FlowSteering&) = delete;
  FlowSteering& operator=(const FlowSteering&) = delete;
  ~FlowSteering();

  [[nodiscard]] bool is_ours() const noexcept { return home_ != nullptr; }
  [[nodiscard]] std::optional<unsigned> home() const noexcept;  ///< nullopt: spread, or left to the kernel
  void send_home(unsigned queue) noexcept;
  void spread() noexcept;

 private:
  std::uint32_t* home_ = nullptr;  ///< in memory that the program reads: the queue and one, 0: spread
};

/// Datagrams of a group of sockets (SO_REUSEPORT) go to them by their first four bytes, which are the SPI of ESP: SAs
/// of one peer are spread over the workers, and each stays with one. Whoever has no SPI, IKE, goes to the first. `fd`:
/// any socket of the group of `count`. false: left to the kernel.
[[nodiscard]] bool steer_by_spi(int fd, unsigned count) noexcept;

}  // namespace culvert::tunnel
