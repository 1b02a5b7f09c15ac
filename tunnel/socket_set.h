#pragma once
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "demux.h"
#include "raw_esp_linux.h"
#include "udp_linux.h"

namespace culvert::tunnel {

/// The sockets that one worker receives from and sends by. Immutable once made; the sockets may send from any thread.
class SocketSet {
 public:
  struct Udp {
    UdpSocket socket;
    PortKind kind;
  };
  using RawSockets = std::shared_ptr<const std::vector<RawEspSocket>>;

  SocketSet(std::vector<Udp> udp, RawSockets raw) noexcept : udp_(std::move(udp)), raw_(std::move(raw)) {}

  [[nodiscard]] std::span<const Udp> udp() const noexcept { return udp_; }
  [[nodiscard]] std::span<const RawEspSocket> raw() const noexcept { return *raw_; }  ///< shared by all workers

  /// The socket to send from `local` by: bound to that address and port, else to the port alone; nullptr: we listen on
  /// neither.
  [[nodiscard]] const UdpSocket* find_udp(const Endpoint& local) const noexcept {
    const UdpSocket* found = nullptr;
    for (const auto& [socket, kind] : udp_) {
      if (socket.local() == local) return &socket;
      if (serves(socket.local().address, local.address) && socket.local().port == local.port) found = &socket;
    }
    return found;
  }
  /// The socket for UDP-encapsulated ESP: as above when `local` has the NAT port, else the address's NAT socket.
  [[nodiscard]] const UdpSocket* find_nat(const Endpoint& local) const noexcept {
    const UdpSocket* found = nullptr;
    for (const auto& [socket, kind] : udp_) {
      if (kind != PortKind::nat) continue;
      if (socket.local().address == local.address) return &socket;
      if (serves(socket.local().address, local.address)) found = &socket;
    }
    return found;
  }
  [[nodiscard]] const RawEspSocket* find_raw(const IpAddress& local) const noexcept {
    const RawEspSocket* found = nullptr;
    for (const auto& socket : *raw_) {
      if (socket.local() == local) return &socket;
      if (serves(socket.local(), local)) found = &socket;
    }
    return found;
  }

 private:
  /// A socket bound to `bound` can send from `source`. An unspecified source leaves the choice to the kernel.
  static bool serves(const IpAddress& bound, const IpAddress& source) noexcept {
    return bound.family() == source.family() && (bound == source || bound.is_unspecified() || source.is_unspecified());
  }

  std::vector<Udp> udp_;
  RawSockets raw_;
};

}  // namespace culvert::tunnel
