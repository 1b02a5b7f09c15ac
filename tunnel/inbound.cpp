// The inbound half of a worker, in the order in which a packet passes: socket → demux → ESP → carrier → device.
#include <algorithm>
#include <cstring>
#include <utility>

#include "carrier.h"
#include "demux.h"
#include "esp_decrypt.h"
#include "fixed_list.h"
#include "mss_clamp.h"
#include "worker.h"
#include "worker_events.h"

namespace culvert::tunnel {
namespace {

constexpr std::size_t bytes_per_round = std::size_t{128} * 1024;
constexpr Duration early_pause = std::chrono::milliseconds(10);  // between looks at what is held that nobody asked for

}  // namespace

// The tables are looked at only once the packets are here. The other way round, a packet that came just after install()
// had returned could be read by a worker that still held the tables of before, and its SPI would be unknown.

void Worker::forward_inbound(const SocketSet::Udp& from) {
  if (!early_.empty()) receive_early();  // what came first goes first
  const auto slots = prepare_slots();
  const auto received = slots.first(from.socket.receive_batch(io_, slots));
  source_port_ = from.socket.local().port;
  count_one(udp_receive_batches_);
  note_received(received);
  const PublishedTables::Reading tables(tables_, index_);
  for (const ReceiveSlot& slot : received) {
    source_tag_ = endpoint_tag(slot.remote);
    // Datagrams that came together go through together, so that what was one super-packet becomes one again.
    if (batch_.size() + slot.num_datagrams() > PacketBatch::capacity) open_and_deliver();
    for (MutableByteView rest = slot.buffer.first(slot.len);;) {
      const MutableByteView datagram = rest.first(std::min(rest.size(), slot.segment_len));
      if (batch_.full()) open_and_deliver();
      demux(*tables, from, slot, datagram);
      rest = rest.subspan(datagram.size());
      if (rest.empty()) break;
    }
  }
  open_and_deliver();
}

void Worker::forward_inbound_raw(const RawEspSocket& from) {
  if (!early_.empty()) receive_early();
  const auto slots = prepare_slots();
  const auto received = slots.first(from.receive_batch(io_, slots));
  count_one(udp_receive_batches_);
  const PublishedTables::Reading tables(tables_, index_);
  for (const ReceiveSlot& slot : received) {
    if (slot.len < esp_header_len) {
      drops_.add(DropReason::outer_malformed);
    } else {
      queue_esp(*tables, slot, slot.buffer.first(slot.len), 0);
    }
  }
  open_and_deliver();
}

std::span<ReceiveSlot> Worker::prepare_slots() noexcept {
  const std::size_t num = lone_ ? 1 : num_slots_;
  for (std::size_t i = 0; i < num; ++i) slots_[i].buffer = buffers_.room(i);
  return std::span(slots_).first(num);
}

/// Single datagrams are received many at a time, to save system calls; joined ones a few at a time: they are enough
/// work for a round, and more would have left the cache before their turn comes.
void Worker::note_received(std::span<const ReceiveSlot> received) noexcept {
  std::size_t num_bytes = 0;
  for (const ReceiveSlot& slot : received) num_bytes += slot.len;
  if (num_bytes >= bytes_per_round) {
    num_slots_ = few_slots;
  } else if (received.size() == num_slots_) {
    num_slots_ = PacketBatch::capacity;
  }
}

void Worker::demux(const Tables& tables, const SocketSet::Udp& from, const ReceiveSlot& slot, MutableByteView bytes) {
  const ClassifiedDatagram datagram = classify(from.kind, bytes);
  const std::uint16_t local_port = from.socket.local().port;
  switch (datagram.kind) {
    case DatagramKind::esp:
      return queue_esp(tables, slot, bytes, local_port);
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
void Worker::queue_esp(const Tables& tables, const ReceiveSlot& slot, MutableByteView bytes, std::uint16_t local_port) {
  const Spi spi{load_be<std::uint32_t>(bytes.data())};
  // Neighbours mostly belong to one SA: it and its child are looked up once for a run of them.
  const Packet* before = batch_.empty() ? nullptr : &batch_[batch_.size() - 1];
  const bool as_before = before != nullptr && before->inbound_sa->spi == spi;
  InboundSa* sa = as_before ? before->inbound_sa : tables.inbound.find(spi);
  if (!sa) return hold_early(slot, bytes, local_port, spi);
  Packet packet = Packet::in_buffer(bytes, 0, bytes.size());
  packet.outer_tos = slot.tos;
  packet.inbound_sa = sa;
  if (local_port != 0 && sa->remote_tag.load(std::memory_order_relaxed) != source_tag_) {
    packet.elsewhere = heard_elsewhere_ = true;
    packet.slot = static_cast<std::uint8_t>(&slot - slots_.data());
  }
  packet.child = as_before ? before->child : &tables.child(sa->child)->tunnels;
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
  const InboundSa* heard = nullptr;
  batch_.for_each_alive([&](std::size_t, const Packet& packet) {
    if (packet.inbound_sa != heard) packet.inbound_sa->events.silence.heard(woke());
    heard = packet.inbound_sa;
  });
  if (batch_.consumed_mask() != 0) report_echoes();
  if (std::exchange(heard_elsewhere_, false)) report_moves();
  batch_.clear();
}

/// The control thread answers; what is too much for it is lost, as anything on the way may be.
void Worker::report_echoes() {
  for_each_bit(batch_.consumed_mask(), [&](std::size_t i) {
    const Packet& packet = batch_[i];
    const auto echo = wire::Echo::parse(packet.view());
    if (!echo || !packet.inbound_sa->may_report_echo(woke())) return;
    post(EchoEvent{packet.inbound_sa->inbound_spi, *echo, packet.len, woke()});
  });
}

/// RFC 7296 §2.23: a NAT may have a new mapping. Only what is newer than all before it says so: a copy from elsewhere,
/// or a packet that was late, does not. What it means is for the control plane to decide.
void Worker::report_moves() {
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    const Packet& packet = batch_[i];
    if (!packet.elsewhere || !packet.newest || !packet.inbound_sa->may_report_move(woke())) continue;
    const ReceiveSlot& slot = slots_[packet.slot];
    post(PathEvent{packet.inbound_sa->inbound_spi, {slot.local, source_port_}, slot.remote});
  }
}

void Worker::deliver(Port& port, std::uint64_t mask) {
  FixedList<MutableByteView, PacketBatch::capacity> packets;
  FixedList<std::size_t, PacketBatch::capacity> places;
  const std::uint16_t mtu = port.mtu.load(std::memory_order_relaxed);
  for_each_bit(mask, [&](std::size_t i) {
    if (port.clamp_mss.load(std::memory_order_relaxed) && mtu != 0)
      clamp_mss(batch_[i].mutable_view(), mtu, port.max_mss.load(std::memory_order_relaxed));
    packets.add() = batch_[i].mutable_view();
    places.add() = i;
  });
  const TunQueue& queue = port.queue(index_);
  std::uint64_t num_delivered = 0, bytes = 0;
  for (const JoinedPacket& joined : coalescer_.join(packets.items(), {queue.features().tcp, queue.features().udp})) {
    const bool written = queue.write(joined.parts, joined.offload);
    for_each_bit(joined.members, [&](std::size_t n) {
      if (!written) return batch_.drop(places[n], DropReason::tun_write_failed);
      ++num_delivered;
      bytes += packets[n].size();
    });
  }
  port.counters(index_).add_inbound(num_delivered, bytes);
  if (port.steering && port.steering->home() != index_ && port.is_calm(woke())) {
    port.moving_home.store(true, std::memory_order_seq_cst);
    port.steering->send_home(index_);
  }
}

/// It counts as dropped when its time is over; who sends it is reported at once.
void Worker::hold_early(const ReceiveSlot& slot, ByteView bytes, std::uint16_t local_port, Spi spi) {
  if (!early_.hold(slot, local_port, bytes, woke())) drops_.add(DropReason::unknown_spi);
  if (!unknown_spi_limit_.allow(slot.remote, Clock::now())) return;
  post(UnknownSpiEvent{{slot.local, local_port}, slot.remote, spi});
}

/// As if they came now: those whose SA has been installed meanwhile.
void Worker::receive_early() {
  const PublishedTables::Reading tables(tables_, index_);
  // Where the tables are as they were, a flood of junk costs a look now and then, not one a batch.
  if (std::exchange(early_tables_, &*tables) == &*tables && woke() - early_looked_ < early_pause) return;
  early_looked_ = woke();
  static_assert(EarlyPackets::max_packets <= PacketBatch::capacity);
  std::size_t num = 0;
  early_.release_if([&](const EarlyPackets::Entry& entry, ByteView bytes) {
    if (!tables->inbound.find(Spi{load_be<std::uint32_t>(bytes.data())})) {
      const bool over = woke() - entry.since >= EarlyPackets::patience;
      if (over) drops_.add(DropReason::unknown_spi);
      return over;
    }
    ReceiveSlot& slot = slots_[num];
    slot.buffer = buffers_.room(num++);
    std::memcpy(slot.buffer.data(), bytes.data(), bytes.size());
    slot.remote = entry.remote;
    slot.local = entry.local.address;
    slot.tos = entry.tos;
    source_tag_ = endpoint_tag(slot.remote);
    if (entry.local.port != 0) source_port_ = entry.local.port;
    queue_esp(*tables, slot, slot.buffer.first(bytes.size()), entry.local.port);
    return true;
  });
  open_and_deliver();
}

}  // namespace culvert::tunnel
