// The outbound half of a worker, in the order in which a packet passes: device → policy → fit → carrier → ESP → socket.
#include <algorithm>

#include "carrier.h"
#include "esp_encrypt.h"
#include "fragment.h"
#include "mss_clamp.h"
#include "packet_too_big.h"
#include "worker.h"
#include "worker_events.h"

namespace culvert::tunnel {
namespace {

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
  if (!send_waiting(at)) return;  // those before these are still leaving: the device stays readable, this comes again
  const std::size_t num_read = at.port->queue(index_).read_batch(rooms_, lens_);
  count_one(tun_read_batches_);
  for (std::size_t i = 0; i < num_read; ++i) admit(at, buffers_.packet(i, lens_[i]));
  send_queued(at);
}

/// False while another worker sends what waited for this port.
bool Worker::send_waiting(const PortView& at) {
  Port& port = *at.port;
  if (at.child->policy.empty() || port.waiting.empty()) return true;
  if (port.draining.test_and_set(std::memory_order_acquire)) return false;
  for (bool more = true; more;) {
    std::size_t num = 0;
    for (; num < PacketBuffers::num; ++num) {
      const std::size_t len = port.waiting.pop(buffers_.room(num));
      if (len == 0) break;
      admit(at, buffers_.packet(num, len));
    }
    send_queued(at);
    more = num == PacketBuffers::num;
  }
  port.draining.clear(std::memory_order_release);
  return true;
}

void Worker::admit(const PortView& at, const Packet& packet) {
  const auto flow = wire::Flow::parse(packet.view());
  if (!flow) return drops_.add(DropReason::inner_malformed);
  OutboundSa* sa = choose_sa(at, *flow, packet.view());
  if (!sa) return;
  const std::uint16_t mtu = mtu_of(*at.port);
  switch (fit(packet.view(), mtu)) {
    case Fit::fits:
      return queue_packet(at, packet, *sa);
    case Fit::fragment:
      return queue_fragments(at, packet, mtu, *sa);
    case Fit::too_big:
      return return_too_big(at, *flow, packet.view(), mtu);
    case Fit::malformed:
      return drops_.add(DropReason::inner_malformed);
  }
}

/// The SA that the packet leaves by; nullptr: it waits, or was dropped and counted. Nothing leaves without one.
OutboundSa* Worker::choose_sa(const PortView& at, const wire::Flow& flow, ByteView packet) {
  const PolicyTable& policy = at.child->policy;
  if (policy.empty()) {
    wait_for_sa(at, flow, packet);
    return nullptr;
  }
  OutboundSa* sa = at.port->config.carry == Carry::gre ? policy.newest() : policy.find(flow);
  if (!sa) drops_.add(DropReason::no_policy);
  return sa;
}

void Worker::wait_for_sa(const PortView& at, const wire::Flow& flow, ByteView packet) {
  Port& port = *at.port;
  if (!port.config.trap || wire::is_link_housekeeping(flow)) return drops_.add(DropReason::no_sa);
  const TimePoint now = Clock::now();
  if (port.waiting.push(packet, now)) {
    packets_wait_ = true;
  } else {
    drops_.add(DropReason::wait_queue_full);
  }
  if (at.child->acquire->allow(now)) post(acquire_for(port, at.child->id, flow));
}

void Worker::queue_packet(const PortView& at, const Packet& packet, OutboundSa& sa) {
  if (at.port->config.clamp_mss) clamp_mss(packet.mutable_view(), mtu_of(*at.port));
  const std::size_t i = batch_.add(packet);
  batch_[i].tunnel = at.port.get();
  batch_[i].outbound_sa = &sa;
  inner_lens_[i] = packet.len;
}

/// What is queued leaves first, so that the order holds; then the fragments, as many at a time as there are buffers.
void Worker::queue_fragments(const PortView& at, const Packet& packet, std::uint16_t mtu, OutboundSa& sa) {
  send_queued(at);
  Ipv4Fragmenter fragmenter(packet.view(), mtu);
  while (!fragmenter.done()) {
    if (batch_.full()) send_queued(at);
    const std::size_t i = batch_.size();
    const std::size_t len = fragmenter.next(fragment_buffers_.room(i));
    if (len == 0) return drops_.add(DropReason::too_big);
    queue_packet(at, fragment_buffers_.packet(i, len), sa);
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
  const ByteView answers[] = {ByteView(answer).first(len)};
  bool written[] = {false};
  at.port->queue(index_).write_batch(answers, written);
}

void Worker::send_queued(const PortView& at) {
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
  }
  batch_.clear();
}

/// Runs of packets of one SA leave in one system call, in their order.
void Worker::send_encrypted() {
  const OutboundSa* sa = nullptr;
  OuterPath path;
  std::size_t num_items = 0;
  batch_.for_each_alive([&](std::size_t i, const Packet& packet) {
    if (packet.outbound_sa != sa) {
      if (num_items != 0) send_run(*sa, path, num_items);
      num_items = 0;
      sa = packet.outbound_sa;
      path = sa->path.load();
    }
    items_[num_items] = {packet.view(), path.remote, path.local.address, packet.outer_tos, false};
    item_places_[num_items++] = i;
  });
  if (num_items != 0) send_run(*sa, path, num_items);
}

void Worker::send_run(const OutboundSa& sa, const OuterPath& path, std::size_t num_items) {
  const auto items = std::span(items_).first(num_items);
  if (sa.encapsulation == EspEncapsulation::udp) {
    if (const UdpSocket* socket = sockets_.find_nat(path.local)) socket->send_batch(io_, items);
  } else {
    if (const RawEspSocket* socket = sockets_.find_raw(path.local.address)) socket->send_batch(io_, items);
  }
  for (std::size_t n = 0; n < num_items; ++n) {
    if (!items[n].sent) batch_.drop(item_places_[n], DropReason::send_failed);
  }
}

}  // namespace culvert::tunnel
