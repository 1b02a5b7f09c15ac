// The inbound half of a worker, in the order in which a packet passes: socket → demux → ESP → carrier → device.
#include "carrier.h"
#include "demux.h"
#include "esp_decrypt.h"
#include "mss_clamp.h"
#include "worker.h"
#include "worker_events.h"

namespace culvert::tunnel {

// The tables are looked at only once the packets are here. The other way round, a packet that came just after install()
// had returned could be read by a worker that still held the tables of before, and its SPI would be unknown.

void Worker::forward_inbound(const SocketSet::Udp& from) {
  prepare_slots();
  const std::size_t num_received = from.socket.receive_batch(io_, slots_);
  count_one(udp_receive_batches_);
  const PublishedTables::Reading tables(tables_, index_);
  for (std::size_t i = 0; i < num_received; ++i) demux(*tables, from, i);
  open_and_deliver();
}

void Worker::forward_inbound_raw(const RawEspSocket& from) {
  prepare_slots();
  const std::size_t num_received = from.receive_batch(io_, slots_);
  count_one(udp_receive_batches_);
  const PublishedTables::Reading tables(tables_, index_);
  for (std::size_t i = 0; i < num_received; ++i) {
    if (slots_[i].len < esp_header_len) {
      drops_.add(DropReason::outer_malformed);
    } else {
      queue_esp(*tables, i, 0);
    }
  }
  open_and_deliver();
}

void Worker::prepare_slots() noexcept {
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i].buffer = rooms_[i];
}

void Worker::demux(const Tables& tables, const SocketSet::Udp& from, std::size_t i) {
  const ReceiveSlot& slot = slots_[i];
  const ByteView bytes = slot.buffer.first(slot.len);
  const ClassifiedDatagram datagram = classify(from.kind, bytes);
  const std::uint16_t local_port = from.socket.local().port;
  switch (datagram.kind) {
    case DatagramKind::esp:
      return queue_esp(tables, i, local_port);
    case DatagramKind::keepalive:
      return drops_.add(DropReason::keepalive);
    case DatagramKind::malformed:
      return drops_.add(DropReason::outer_malformed);
    case DatagramKind::ike:
      break;
  }
  if (control_.push_datagram({slot.local, local_port}, slot.remote, bytes.subspan(datagram.header_len))) {
    control_has_news_ = true;
  } else {
    drops_.add(DropReason::control_queue_full);
  }
}

/// Finds the SA by its SPI alone (RFC 4301 §4.1, unicast): it may come in UDP or raw, and from wherever the peer is by
/// now.
void Worker::queue_esp(const Tables& tables, std::size_t i, std::uint16_t local_port) {
  const ReceiveSlot& slot = slots_[i];
  const Spi spi{load_be<std::uint32_t>(slot.buffer.data())};
  InboundSa* sa = tables.inbound->find(spi);
  if (!sa) return report_unknown_spi(i, local_port, spi);
  Packet packet = Packet::in_buffer(buffers_.whole(i), 0, 0);
  packet.data = slot.buffer.data();
  packet.len = static_cast<std::uint32_t>(slot.len);
  packet.outer_tos = slot.tos;
  packet.inbound_sa = sa;
  // Neighbours mostly belong to one SA: the child is looked up once for a run of them.
  const bool as_before = !batch_.empty() && batch_[batch_.size() - 1].inbound_sa == sa;
  packet.child = as_before ? batch_[batch_.size() - 1].child : &tables.child(sa->child)->tunnels;
  batch_.add(packet);
}

void Worker::open_and_deliver() {
  if (batch_.empty()) return;
  decrypt_batch(batch_);
  pop_batch(batch_);
  batch_.for_each_group(&Packet::tunnel,
                        [&](Tunnel* tunnel, std::uint64_t mask) { deliver(static_cast<Port&>(*tunnel), mask); });
  InboundSa* reported = nullptr;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    if (batch_[i].inbound_sa == reported) continue;
    reported = batch_[i].inbound_sa;
    report_events(*reported);
  }
  batch_.clear();
}

void Worker::deliver(Port& port, std::uint64_t mask) {
  std::array<ByteView, PacketBatch::capacity> packets;
  std::array<bool, PacketBatch::capacity> written;
  std::array<std::size_t, PacketBatch::capacity> places;
  std::size_t num = 0;
  const std::uint16_t mtu = port.mtu.load(std::memory_order_relaxed);
  for_each_bit(mask, [&](std::size_t i) {
    if (port.config.clamp_mss && mtu != 0) clamp_mss(batch_[i].mutable_view(), mtu);
    packets[num] = batch_[i].view();
    places[num++] = i;
  });
  port.queue(index_).write_batch(std::span(packets).first(num), std::span(written).first(num));
  std::uint64_t num_delivered = 0, bytes = 0;
  for (std::size_t n = 0; n < num; ++n) {
    if (!written[n]) {
      batch_.drop(places[n], DropReason::tun_write_failed);
      continue;
    }
    ++num_delivered;
    bytes += packets[n].size();
  }
  port.counters(index_).add_inbound(num_delivered, bytes);
}

void Worker::report_unknown_spi(std::size_t i, std::uint16_t local_port, Spi spi) {
  drops_.add(DropReason::unknown_spi);
  const ReceiveSlot& slot = slots_[i];
  if (!unknown_spi_limit_.allow(slot.remote, Clock::now())) return;
  post(UnknownSpiEvent{{slot.local, local_port}, slot.remote, spi});
}

}  // namespace culvert::tunnel
