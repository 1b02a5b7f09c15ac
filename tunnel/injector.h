#pragma once
#include <cstddef>

#include "culvert/base/bytes.h"
#include "culvert/base/drop_reason.h"
#include "culvert/wire/echo.h"
#include "ike_sockets.h"
#include "packet.h"
#include "port.h"
#include "sa.h"
#include "socket_batch.h"
#include "socket_set.h"

namespace culvert::tunnel {

/// Packets of the gateway's own, one by one, by the SAs that its users' packets take: the same keys, sequence numbers
/// and path. They leave by the control thread's own sockets where there are some, so that DF for one of them is none
/// for what a worker sends in the same moment. Control thread.
class Injector {
 public:
  /// All outlive it. `sockets`: any worker's.
  Injector(const IkeSockets& ike, const SocketSet& sockets, SocketBatch& io, DropCounters& drops) noexcept
      : ike_(ike), sockets_(sockets), io_(io), drops_(drops) {}

  /// An echo in a dummy packet of `len` bytes of plaintext, echo_len to max_len. False: it did not leave.
  [[nodiscard]] bool send_echo(OutboundSa& sa, const wire::Echo& echo, std::size_t len, bool whole);
  /// An inner IP packet, by the port's carrier. False: it did not leave; what dropped it has counted it.
  [[nodiscard]] bool send_inner(Port& port, OutboundSa& sa, ByteView inner, bool whole);

  static constexpr std::size_t max_len = 65000;  ///< bytes

 private:
  [[nodiscard]] Packet room_for(std::size_t len);
  [[nodiscard]] bool send(PacketBatch& batch, bool whole);
  [[nodiscard]] bool send_sealed(const Packet& packet, const OuterPath& path, bool whole);

  const IkeSockets& ike_;
  const SocketSet& sockets_;
  SocketBatch& io_;
  DropCounters& drops_;
  Bytes buffer_;  ///< of the packet that is being made
};

}  // namespace culvert::tunnel
