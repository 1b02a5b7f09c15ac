// The outbound half of a worker, in the order in which a packet passes: device → policy → fit → carrier → ESP → socket.
#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "carrier.h"
#include "esp_encrypt.h"
#include "fragment.h"
#include "mss_clamp.h"
#include "packet_too_big.h"
#include "segmenter.h"
#include "worker.h"
#include "worker_events.h"

namespace culvert::tunnel {
namespace {

/// What one device may bring before the sockets and other devices get their turn.
constexpr std::size_t bytes_per_turn = std::size_t{256} * 1024;

/// Turns after which others get theirs although a queue is not empty yet: more than a queue holds of small packets.
constexpr std::size_t turns_moving = 64;
/// A packet for which the kernel has chosen our queue is in it after this time, nearly always.
constexpr Duration settling = std::chrono::microseconds(100);

/// An MTU of 0 is one that is not known: then nothing is too long.
std::uint16_t mtu_of(const Port& port) noexcept {
  const std::uint16_t mtu = port.mtu.load(std::memory_order_relaxed);
  return mtu == 0 ? std::uint16_t{65535} : mtu;
}

/// The packet itself as a pair of selectors: what RFC 7296 §2.9 wants first in TSi and TSr.
AcquireEvent acquire_for(const Port& port, ChildId child, const wire::Flow& flow) {
  const auto one_end = [](std::uint8_t protocol, const IpAddress& address, bool ports_known, std::uint16_t number) {
    TrafficSelector selector{.protocol = protocol, .first = address, .last = address};
    if (ports_known) selector.start_port = selector.end_port = number;
    return selector;
  };
  if (port.config.carry == Carry::ip) {
    const std::uint8_t protocol = flow.protocol_known ? flow.protocol : std::uint8_t{0};
    return {child, one_end(protocol, flow.source, flow.ports_known, flow.source_port),
            one_end(protocol, flow.destination, flow.ports_known, flow.destination_port)};
  }
  // What ESP will see is the GRE packet, whose ends are known only when they are configured.
  const auto gre_end = [&](const std::optional<IpAddress>& address) {
    return address ? one_end(wire::proto_gre, *address, false, 0)
                   : TrafficSelector::from_prefix({IpAddress{}, 0}, wire::proto_gre);
  };
  return {child, gre_end(port.config.gre_source), gre_end(port.config.gre_destination)};
}

}  // namespace

void Worker::forward_outbound(const PortView& at) {
  Port& port = *at.port;
  // While another worker empties its queue, ours stays readable and comes again.
  if (port.moving_out.load(std::memory_order_acquire)) return;
  if (port.moving_home.load(std::memory_order_acquire) && port.steering->home() == index_) {
    if (!port.others_are_done(index_)) return;
    port.moving_home.store(false, std::memory_order_relaxed);
  }
  [[maybe_unused]] const bool more = take_turn(at);
}

/// One batch or a few from the device. False: it has nothing more.
bool Worker::take_turn(const PortView& at) {
  if (!send_waiting(at)) return true;  // those before these are still leaving: the device stays readable
  const TunQueue& queue = at.port->queue(index_);
  PortCounters& counters = at.port->counters(index_);
  counters.begin_turn();
  const std::size_t most = lone_ ? 1 : PacketBatch::capacity;
  std::size_t num_bytes = 0;
  bool more = true;
  for (std::size_t num = 0; more && num < most && num_bytes < bytes_per_turn; ++num) {
    const std::size_t slot = take_slot(at);
    Offload offload;
    const std::size_t len = queue.read(buffers_.room(slot), offload);
    more = len != 0;
    if (!more) break;
    num_bytes += len;
    admit(at, buffers_.packet(slot, len), offload);
  }
  count_one(tun_read_batches_);
  finish_slots(at);
  counters.end_turn();
  return more;
}

/// One worker is not enough any more for the devices whose packets all come to us (FlowSteering). What the kernel has
/// put into our queue leaves before the others may read theirs, so that a flow that moves stays in order.
void Worker::spread_flows() {
  const PublishedTables::Reading tables(tables_, index_);
  tables->ports.for_each([&](std::uint32_t, const PortView& at) {
    Port& port = *at.port;
    if (!port.steering || port.steering->home() != index_ || port.moving_home.load(std::memory_order_relaxed)) return;
    if (!send_waiting(at)) return;  // the next time: nothing could be read now
    port.moving_out.store(true, std::memory_order_seq_cst);
    if (port.counters(index_).sends_much()) {
      port.steering->spread();
    } else {
      port.steering->lend();
    }
    TimePoint last = Clock::now();
    for (std::size_t turns = 0; turns < turns_moving && Clock::now() - last < settling;) {
      if (!take_turn(at)) continue;
      last = Clock::now();
      ++turns;
    }
    port.moving_out.store(false, std::memory_order_release);
  });
}

/// False while another worker sends what waited for this port: what came after that stays where it is.
bool Worker::send_waiting(const PortView& at) {
  Port& port = *at.port;
  if (at.child->policy.empty()) return true;
  // Nothing waits any more, but what did may still be in the hands of the worker that took it.
  if (port.waiting.empty()) return !port.draining.test(std::memory_order_acquire);
  if (port.draining.test_and_set(std::memory_order_acquire)) return false;
  for (;;) {
    const MutableByteView whole = buffers_.whole(take_slot(at));
    const std::size_t len = port.waiting.pop(whole.subspan(packet_headroom - sizeof(Offload)));
    if (len == 0) break;
    Packet packet = Packet::in_buffer(whole, packet_headroom - sizeof(Offload), len);
    Offload offload;
    std::memcpy(&offload, packet.data, sizeof offload);
    packet.pop_front(sizeof offload);
    admit(at, packet, offload);
  }
  finish_slots(at);
  port.draining.clear(std::memory_order_release);
  return true;
}

/// A buffer that no queued packet lies in, nor a super-packet that segments were cut from: the first one, which is most
/// likely in a cache.
std::size_t Worker::take_slot(const PortView& at) {
  held_slot_ = 0;
  if (busy_slots_ == ~std::uint64_t{0}) send_queued(at);
  const auto slot = static_cast<std::size_t>(std::countr_one(busy_slots_));
  held_slot_ = std::uint64_t{1} << slot;
  busy_slots_ |= held_slot_;
  return slot;
}

void Worker::finish_slots(const PortView& at) {
  held_slot_ = 0;
  send_queued(at);
}

void Worker::admit(const PortView& at, const Packet& packet, Offload offload) {
  if (offload.kind == Offload::Kind::none) {
    // Before anything is decided by the packet's bytes: where its checksum goes is the sender's word (a guest's, behind
    // a bridge), and might be an address.
    if (!complete_checksum(packet.mutable_view(), offload)) return drops_.add(DropReason::inner_malformed);
    offload.needs_checksum = false;
  }
  const auto flow = wire::Flow::parse(packet.view());
  if (!flow) return drops_.add(DropReason::inner_malformed);
  OutboundSa* sa = choose_sa(at, *flow, packet, offload);
  if (!sa) return;
  if (offload.kind != Offload::Kind::none) return cut(at, packet, offload, *flow, *sa);
  queue_fitting(at, packet, *flow, *sa);
}

/// The SA that the packet leaves by; nullptr: it waits, or was dropped and counted. Nothing leaves without one.
OutboundSa* Worker::choose_sa(const PortView& at, const wire::Flow& flow, const Packet& packet,
                              const Offload& offload) {
  const PolicyTable& policy = at.child->policy;
  if (policy.empty()) {
    wait_for_sa(at, flow, packet, offload);
    return nullptr;
  }
  OutboundSa* sa = at.port->config.carry == Carry::gre ? policy.newest() : policy.find(flow);
  if (!sa) drops_.add(DropReason::no_policy);
  return sa;
}

/// It waits as it was read: what the kernel left to do stands before it.
void Worker::wait_for_sa(const PortView& at, const wire::Flow& flow, Packet packet, const Offload& offload) {
  Port& port = *at.port;
  if (!port.trap.load(std::memory_order_relaxed) || wire::is_link_housekeeping(flow)) return drops_.add(DropReason::no_sa);
  static_assert(std::is_trivially_copyable_v<Offload> && sizeof(Offload) <= packet_headroom);
  std::uint8_t* front = packet.push_front(sizeof offload);
  const TimePoint now = Clock::now();
  if (front != nullptr) std::memcpy(front, &offload, sizeof offload);
  if (front != nullptr && port.waiting.push(packet.view(), now)) {
    packets_wait_ = true;
  } else {
    drops_.add(DropReason::wait_queue_full);
  }
  if (at.child->acquire->allow(now)) post(acquire_for(port, at.child->id, flow));
}

void Worker::queue_fitting(const PortView& at, const Packet& packet, const wire::Flow& flow, OutboundSa& sa) {
  const std::uint16_t mtu = mtu_of(*at.port);
  switch (fit(packet.view(), mtu)) {
    case Fit::fits:
      if (at.port->clamp_mss.load(std::memory_order_relaxed))
        clamp_mss(packet.mutable_view(), mtu, at.port->max_mss.load(std::memory_order_relaxed));
      if (batch_.full()) send_queued(at);
      return queue_packet(at, packet, sa);
    case Fit::fragment:
      return queue_fragments(at, packet, mtu, sa);
    case Fit::too_big:
      return return_too_big(at, flow, packet.view(), mtu);
    case Fit::malformed:
      return drops_.add(DropReason::inner_malformed);
  }
}

void Worker::queue_packet(const PortView& at, const Packet& packet, OutboundSa& sa) {
  const std::size_t i = batch_.add(packet);
  batch_[i].tunnel = at.port.get();
  batch_[i].outbound_sa = &sa;
  inner_lens_[i] = packet.len;
}

/// A super-packet, segment by segment: headers are built in the arena, the payload stays where it was read until it is
/// encrypted. All segments go through the stages together where a batch holds them, so that the other end finds them
/// together too and makes one super-packet of them again.
void Worker::cut(const PortView& at, const Packet& packet, const Offload& offload, const wire::Flow& flow,
                 OutboundSa& sa) {
  auto segmenter = Segmenter::start(packet.view(), offload);
  if (!segmenter) return drops_.add(DropReason::inner_malformed);
  const std::size_t packet_len = segmenter->segment_packet_len();
  if (packet_len > mtu_of(*at.port)) return cut_too_long(at, *segmenter, flow, sa);
  if (batch_.size() + segmenter->num_segments() > PacketBatch::capacity) send_queued(at);
  while (!segmenter->done()) {
    if (batch_.full() || !arena_.has_room(packet_len)) send_queued(at);
    Packet segment = arena_.take(packet_len);
    const auto [header_len, body] = segmenter->next(segment.data);
    segment.body = body.data();
    segment.body_len = static_cast<std::uint32_t>(body.size());
    segment.truncate(header_len + body.size());
    queue_packet(at, segment, sa);
  }
}

/// The device's MTU keeps them away; but it may just have become smaller. Where they may not be fragmented, all are
/// dropped and the sender hears of it once, as from a kernel that forwards (linux/net/ipv4/ip_forward.c); else each
/// segment is a packet in its own right.
void Worker::cut_too_long(const PortView& at, Segmenter& segmenter, const wire::Flow& flow, OutboundSa& sa) {
  std::array<std::uint8_t, PacketBuffers::slot_len> place;
  for (std::size_t num_left = segmenter.num_segments(); !segmenter.done(); --num_left) {
    Packet segment = Packet::in_buffer(place, packet_headroom, segmenter.segment_packet_len());
    const auto [header_len, body] = segmenter.next(segment.data);
    std::memcpy(segment.data + header_len, body.data(), body.size());
    segment.truncate(header_len + body.size());
    const std::uint16_t mtu = mtu_of(*at.port);
    if (fit(segment.view(), mtu) == Fit::too_big) {
      drops_.add(DropReason::too_big, num_left - 1);
      return return_too_big(at, flow, segment.view(), mtu);
    }
    queue_fitting(at, segment, flow, sa);
    send_queued(at);  // before the place is used again
  }
}

/// What is queued leaves first, so that the order holds; then the fragments, as many at a time as there is room for.
void Worker::queue_fragments(const PortView& at, const Packet& packet, std::uint16_t mtu, OutboundSa& sa) {
  send_queued(at);
  Ipv4Fragmenter fragmenter(packet.view(), mtu);
  if (fragmenter.done()) return drops_.add(DropReason::inner_malformed);  // a fragment that would end behind 65,535
  while (!fragmenter.done()) {
    if (batch_.full() || !arena_.has_room(mtu)) send_queued(at);
    Packet fragment = arena_.take(mtu);
    const std::size_t len = fragmenter.next(fragment.mutable_view());
    if (len == 0) return drops_.add(DropReason::too_big);
    fragment.truncate(len);
    queue_packet(at, fragment, sa);
  }
  send_queued(at);
}

/// Packet Too Big goes back into the device. It comes from the packet's own destination: that is an address behind this
/// device, so the kernel takes it even with reverse path filtering, while it would refuse one of its own.
void Worker::return_too_big(const PortView& at, const wire::Flow& flow, ByteView packet, std::uint16_t mtu) {
  drops_.add(DropReason::too_big);
  if (flow.destination.is_multicast()) return;  // no address to answer from
  std::array<std::uint8_t, max_packet_too_big_len> answer;
  const std::size_t len = build_packet_too_big(packet, mtu, flow.destination, answer);
  if (len == 0) return;
  // A full queue of the kernel loses it; the next packet that is too big makes another.
  [[maybe_unused]] const bool written = at.port->queue(index_).write(ByteView(answer).first(len));
}

void Worker::send_queued(const PortView& at) {
  busy_slots_ = held_slot_;
  if (batch_.empty()) return;
  push_batch(batch_);
  encrypt_batch(batch_);
  send_encrypted();
  std::uint64_t packets = 0, bytes = 0;
  batch_.for_each_alive([&](std::size_t i, const Packet&) {
    ++packets;
    bytes += inner_lens_[i];
  });
  at.port->counters(index_).add_outbound(packets, bytes);
  OutboundSa* reported = nullptr;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    if (batch_[i].outbound_sa == reported) continue;
    reported = batch_[i].outbound_sa;
    report_events(*reported);
    if (reported->events.silence.sent(woke())) post(SilenceEvent{reported->inbound_spi});
  }
  batch_.clear();
  arena_.clear();
}

/// Runs of packets of one SA leave in one system call, in their order.
void Worker::send_encrypted() {
  const OutboundSa* sa = nullptr;
  OuterPath path;
  std::size_t num_items = 0;
  batch_.for_each_alive([&](std::size_t i, const Packet& packet) {
    if (packet.outbound_sa != sa) {
      if (num_items != 0) send_run(path, num_items);
      num_items = 0;
      sa = packet.outbound_sa;
      path = sa->path.load();
    }
    items_[num_items] = {packet.view(), path.remote, path.local.address, packet.outer_tos, false};
    item_places_[num_items++] = i;
  });
  if (num_items != 0) send_run(path, num_items);
}

void Worker::send_run(const OuterPath& path, std::size_t num_items) {
  const auto items = std::span(items_).first(num_items);
  if (path.encapsulation == EspEncapsulation::udp) {
    if (const UdpSocket* socket = sockets_.find_nat(path.local)) socket->send_batch(io_, items);
  } else {
    if (const RawEspSocket* socket = sockets_.find_raw(path.local.address)) socket->send_batch(io_, items);
  }
  for (std::size_t n = 0; n < num_items; ++n) {
    if (!items[n].sent) batch_.drop(item_places_[n], DropReason::send_failed);
  }
}

}  // namespace culvert::tunnel
