#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "culvert/base/drop_reason.h"
#include "culvert/base/result.h"
#include "culvert/tunnel/data_plane.h"
#include "demux.h"
#include "file_descriptor.h"
#include "socket_batch.h"
#include "stranger_filter_linux.h"
#include "udp_linux.h"

namespace culvert::tunnel {

/// The control thread's own sockets: IKE, which the kernel keeps away from ESP, and what asks for a new IKE SA, which
/// it keeps away from IKE. A flood of that fills one queue of the kernel's, and takes the time that is left. Control
/// thread; what they send may be sent from any.
class IkeSockets {
 public:
  enum class Lane : std::uint8_t {
    sessions,   ///< of IKE SAs
    strangers,  ///< asks for a new one
  };
  IkeSockets();

  /// `group`: the sockets of one address and port, sessions first; with strangers or without.
  void add(std::vector<UdpSocket> group, PortKind kind);
  /// Makes `epoll` report them, level-triggered, from now on. Errc::io.
  [[nodiscard]] Result<void> watch(int epoll);
  /// At most socket_batch_size datagrams of each lane, sessions before strangers, behind what is in `events`.
  void receive(std::vector<Event>& events, DropCounters& drops);
  /// The socket to send from `local` by; nullptr: none has that address and port.
  [[nodiscard]] const UdpSocket* find(const Endpoint& local) const noexcept;
  /// Whose requests for an IKE SA come to us even in a flood.
  void expect(std::span<const IpAddress> addresses) noexcept { filter_.expect(addresses); }
  /// In the order in which they were added.
  template <class Function>
  void for_each(Function function) const {
    for (const Item& item : items_) function(item.socket);
  }
  /// Datagrams that found the kernel's queue full.
  [[nodiscard]] std::uint64_t num_overflowed() const noexcept;

 private:
  struct Item {
    UdpSocket socket;
    PortKind kind;
    Lane lane;
  };
  [[nodiscard]] std::size_t receive_lane(Lane lane, std::vector<Event>& events, DropCounters& drops);
  void look_at_strangers(TimePoint now, std::vector<Event>& events, DropCounters& drops);
  void take(const Item& item, const ReceiveSlot& slot, std::vector<Event>& events, DropCounters& drops) const;

  static constexpr std::size_t slot_len = 65536;  ///< of memory that is used only as far as datagrams are long
  std::vector<Item> items_;
  std::unique_ptr<std::uint8_t[]> room_;
  std::vector<ReceiveSlot> slots_;
  SocketBatch io_;
  std::size_t turn_ = 0;  ///< which socket of a lane comes first
  StrangerFilter filter_;
  // In a flood strangers are looked at once in a while, many at a time, and not each as it comes.
  void rest(bool on) noexcept;
  int epoll_ = -1;
  FileDescriptor timer_;
  bool resting_ = false;
  TimePoint rest_until_{};
};

}  // namespace culvert::tunnel
