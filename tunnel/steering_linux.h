#pragma once

namespace culvert::tunnel {

/// Which worker gets what, decided in the kernel by a few instructions of BPF. Without them (no CAP_BPF, an old kernel)
/// the kernel decides by itself, and all that follows still holds but for the spread: one flow stays with one worker,
/// and in order.

/// Inner packets of a TUN device go to its queues by a hash of addresses and, but for fragments, ports (Linux 4.16).
/// The kernel's own choice would be the queue that the answers were written to, which is one for all flows of a peer.
/// `fd`: any queue of the device. false: left to the kernel.
[[nodiscard]] bool steer_by_flow(int fd) noexcept;

/// Datagrams of a group of sockets (SO_REUSEPORT) go to them by their first four bytes, which are the SPI of ESP: SAs
/// of one peer are spread over the workers, and each stays with one. Whoever has no SPI, IKE, goes to the first. `fd`:
/// any socket of the group of `count`. false: left to the kernel.
[[nodiscard]] bool steer_by_spi(int fd, unsigned count) noexcept;

}  // namespace culvert::tunnel
