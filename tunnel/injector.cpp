#include "injector.h"

#include <algorithm>

#include "carrier.h"
#include "culvert/wire/protocol.h"
#include "esp_encrypt.h"

namespace culvert::tunnel {

bool Injector::send_echo(OutboundSa& sa, const wire::Echo& echo, std::size_t len, bool whole) {
  if (len < wire::echo_len || len > max_len) return false;
  Packet packet = room_for(len);
  std::ranges::fill(packet.mutable_view(), std::uint8_t{0});
  echo.write(packet.data);
  packet.next_header = wire::proto_no_next;  // RFC 4303 §2.6
  packet.outbound_sa = &sa;
  PacketBatch batch(drops_);
  batch.add(packet);
  return send(batch, whole);
}

bool Injector::send_inner(Port& port, OutboundSa& sa, ByteView inner, bool whole) {
  if (inner.empty() || inner.size() > max_len) return false;
  Packet packet = room_for(inner.size());
  std::ranges::copy(inner, packet.data);
  packet.outbound_sa = &sa;
  packet.tunnel = &port;
  PacketBatch batch(drops_);
  batch.add(packet);
  push_batch(batch);
  return send(batch, whole);
}

Packet Injector::room_for(std::size_t len) {
  buffer_.resize(packet_headroom + len + packet_tailroom);
  return Packet::in_buffer(buffer_, packet_headroom, len);
}

bool Injector::send(PacketBatch& batch, bool whole) {
  encrypt_batch(batch, Metering::none);
  return batch.alive(0) && send_sealed(batch[0], batch[0].outbound_sa->path.load(), whole);
}

bool Injector::send_sealed(const Packet& packet, const OuterPath& path, bool whole) {
  const IpFamily family = path.local.address.family();
  int fd = -1;
  SendItem item{packet.view(), path.remote, path.local.address, packet.outer_tos, false};
  if (path.encapsulation == EspEncapsulation::udp) {
    const UdpSocket* socket = ike_.find(path.local);
    if (!socket) socket = sockets_.find_nat(path.local);
    if (socket) fd = socket->fd();
  } else if (const RawEspSocket* socket = sockets_.find_raw(path.local.address)) {
    fd = socket->fd();
    item.remote.port = 0;  // it would be the protocol number to an IPv6 raw socket
  }
  if (fd < 0) return false;
  if (whole) set_dont_fragment(fd, family, true);
  const int error = io_.send_one(fd, family, item);
  if (whole) set_dont_fragment(fd, family, false);
  return error == 0;
}

}  // namespace culvert::tunnel
