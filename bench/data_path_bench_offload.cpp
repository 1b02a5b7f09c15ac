// Joining and cutting of packets of 1,400 bytes. Joined: beside the checksums alone, which must be looked at anyway
// (the ratio says how much of the time they are), and beside a join that copies. Cut: beside one pass to copy and one
// to add up.
#include <cstring>
#include <memory>
#include <vector>

#include "coalescer.h"
#include "culvert/wire/checksum.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/protocol.h"
#include "culvert/wire/tcp.h"
#include "culvert/wire/udp.h"
#include "data_path_bench.h"
#include "segmenter.h"

namespace culvert::bench {
namespace {

using namespace tunnel;

constexpr std::size_t ip_len = wire::ipv4_min_header_len, packet_len = 1400;

struct Transport {
  std::uint8_t protocol;
  std::size_t header_len;
  std::size_t checksum_offset;
  [[nodiscard]] std::size_t headers() const noexcept { return ip_len + header_len; }
  [[nodiscard]] bool is_tcp() const noexcept { return protocol == wire::proto_tcp; }
};
constexpr Transport tcp{wire::proto_tcp, wire::tcp_min_header_len, wire::tcp_checksum_offset};
constexpr Transport udp{wire::proto_udp, wire::udp_header_len, wire::udp_checksum_offset};

/// Over the addresses, which stand right before TCP or UDP, and all that follows; 0: it holds.
std::uint16_t upper_checksum(ByteView packet, const Transport& transport) noexcept {
  return wire::checksum(packet.subspan(12), transport.protocol + packet.size() - ip_len);
}

/// A packet, or a super-packet, whose payload is at byte `offset` of its stream.
Bytes make_packet(const Transport& transport, std::uint16_t port, std::uint16_t id, std::uint32_t offset,
                  std::size_t len) {
  Bytes packet(len);
  wire::Ipv4Header header;
  header.total_len = static_cast<std::uint16_t>(len);
  header.id = id;
  header.fragment_field = wire::ipv4_df;
  header.protocol = transport.protocol;
  header.source = IpAddress::v4(0x0A010005);
  header.destination = IpAddress::v4(0x0A020007);
  header.write(packet.data());
  std::uint8_t* upper = packet.data() + ip_len;
  const wire::UdpHeader ports{443, port, static_cast<std::uint16_t>(len - ip_len), 0};
  ports.write(upper);
  if (transport.is_tcp()) {
    store_be(upper + wire::tcp_sequence_offset, offset);
    upper[12] = wire::tcp_min_header_len / 4 << 4;
    upper[wire::tcp_flags_offset] = wire::tcp_ack;
    store_be(upper + 14, std::uint16_t{502});
  }
  for (std::size_t i = transport.headers(); i < len; ++i) {
    packet[i] = static_cast<std::uint8_t>((offset + i - transport.headers()) * 5);
  }
  store_be(upper + transport.checksum_offset, upper_checksum(packet, transport));
  return packet;
}

/// Batches of 64 packets that came out of one receive, of several flows in turns.
class JoinBench {
 public:
  static constexpr std::size_t num_batches = 4, batch_size = PacketBatch::capacity;

  JoinBench(const Transport& transport, std::size_t num_flows) : transport_(transport), num_flows_(num_flows) {
    const std::size_t payload_len = packet_len - transport.headers();
    for (std::size_t i = 0; i < num_batches * batch_size; ++i) {
      const std::size_t number = i / num_flows;
      const auto port = static_cast<std::uint16_t>(50000 + i % num_flows);
      originals_.push_back(make_packet(transport, port, static_cast<std::uint16_t>(number),
                                       static_cast<std::uint32_t>(number * payload_len), packet_len));
    }
    packets_ = originals_;
    copies_.resize(num_flows, Bytes(batch_size * packet_len));
    views_.assign(packets_.begin(), packets_.end());
    check_agreement();
  }

  // Joining changes the headers of the first of several.
  void prepare() {
    for (std::size_t i = 0; i < packets_.size(); ++i) {
      std::memcpy(packets_[i].data(), originals_[i].data(), transport_.headers());
    }
  }

  void run_ours() noexcept {
    for (std::size_t first = 0; first < views_.size(); first += batch_size) keep(join(first).data());
  }
  void run_checksums() const noexcept {
    for (const MutableByteView packet : views_) keep(holds(packet));
  }
  void run_copies() noexcept {
    for (std::size_t first = 0; first < views_.size(); first += batch_size) copy_batch(first);
  }

 private:
  std::span<const JoinedPacket> join(std::size_t first) noexcept {
    return coalescer_.join(std::span(views_).subspan(first, batch_size), {.tcp = true, .udp = true});
  }

  [[nodiscard]] bool holds(ByteView packet) const noexcept {
    return wire::checksum(packet.first(ip_len)) == 0 && upper_checksum(packet, transport_) == 0;
  }

  /// Without a look at whether the packets belong together.
  void copy_batch(std::size_t first) noexcept {
    const std::size_t headers = transport_.headers();
    for (std::size_t i = 0; i < batch_size; ++i) {
      const ByteView packet = views_[first + i];
      if (!holds(packet)) continue;
      const std::size_t place = i / num_flows_;
      const std::size_t skipped = place == 0 ? 0 : headers;
      std::uint8_t* to = copies_[i % num_flows_].data() + place * (packet_len - headers) + skipped;
      std::memcpy(to, packet.data() + skipped, packet_len - skipped);
    }
  }

  // Every packet is joined, up to the 65,535 bytes that fit; what is joined is what the copies hold.
  void check_agreement() {
    for (const Bytes& packet : packets_) {
      if (!holds(packet)) give_up("coalesce: a checksum is wrong");
    }
    copy_batch(0);
    const auto joined = join(0);
    const bool is_cut = num_flows_ == 1;  // 64 packets of one flow are too long for one
    if (joined.size() != num_flows_ + is_cut) give_up("coalesce: packets were not joined");
    for (std::size_t flow = 0; flow < num_flows_; ++flow) {
      const iovec& last = joined[flow].parts.back();
      const std::uint8_t* copy = copies_[flow].data() + joined[flow].len - last.iov_len;
      if (std::memcmp(last.iov_base, copy, last.iov_len) != 0) give_up("coalesce: the two ways do not agree");
    }
  }

  const Transport& transport_;
  std::size_t num_flows_;
  std::vector<Bytes> originals_, packets_, copies_;
  std::vector<MutableByteView> views_;
  Coalescer coalescer_;
};

void add_join(const std::string& name, const Transport& transport, std::size_t num_flows) {
  const auto make = [&transport, num_flows](bool copies) {
    const auto bench = std::make_shared<JoinBench>(transport, num_flows);
    const auto prepare = [bench] { bench->prepare(); };
    Comparison comparison{.num_packets = JoinBench::num_batches * JoinBench::batch_size,
                          .ours = {prepare, [bench] { bench->run_ours(); }},
                          .plain = {prepare, [bench] { bench->run_checksums(); }}};
    if (copies) comparison.plain.run = [bench] { bench->run_copies(); };
    return comparison;
  };
  add_case(name + "/checksum", "its checksums alone: the least there is to do", [=] { return make(false); });
  add_case(name + "/copy", "checksums, then copied behind each other", [=] { return make(true); });
}

/// Super-packets of 46 segments.
class CutBench {
 public:
  static constexpr std::size_t num_super = 4, num_segments = 46;

  explicit CutBench(const Transport& transport)
      : transport_(transport), payload_len_(packet_len - transport.headers()) {
    for (std::size_t i = 0; i < num_super; ++i) {
      Bytes packet = make_packet(transport, 50000, 7, 1000, transport.headers() + num_segments * payload_len_);
      const ByteView addresses = ByteView(packet).subspan(12, 8);
      const std::size_t upper_len = packet.size() - ip_len;
      store_be(&packet[ip_len + transport.checksum_offset],
               wire::checksum_fold(wire::checksum_add(addresses, transport.protocol + upper_len)));
      super_packets_.push_back(std::move(packet));
    }
    offload_ = {.kind = transport.is_tcp() ? Offload::Kind::tcp : Offload::Kind::udp,
                .needs_checksum = true,
                .segment_len = static_cast<std::uint16_t>(payload_len_),
                .header_len = static_cast<std::uint16_t>(transport.headers()),
                .checksum_start = ip_len,
                .checksum_offset = static_cast<std::uint16_t>(transport.checksum_offset)};
    out_.resize(num_segments * packet_len);
    check_agreement();
  }

  // The headers go where the packet will stand, the payload stays: whoever encrypts reads it from the super-packet.
  void run_ours() noexcept {
    for (const Bytes& packet : super_packets_) {
      auto segmenter = Segmenter::start(packet, offload_);
      for (std::uint8_t* at = out_.data(); segmenter && !segmenter->done(); at += packet_len) {
        keep(segmenter->next(at).body.data());
      }
    }
  }
  void run_plain() noexcept {
    for (const Bytes& packet : super_packets_) cut_by_copying(packet);
  }

 private:
  void cut_by_copying(const Bytes& packet) noexcept {
    const std::size_t headers = transport_.headers();
    for (std::size_t i = 0; i < num_segments; ++i) {
      const MutableByteView segment = MutableByteView(out_).subspan(i * packet_len, packet_len);
      std::uint8_t* upper = segment.data() + ip_len;
      std::memcpy(segment.data(), packet.data(), headers);
      std::memcpy(segment.data() + headers, packet.data() + headers + i * payload_len_, payload_len_);
      store_be(&segment[2], static_cast<std::uint16_t>(packet_len));
      store_be(&segment[4], static_cast<std::uint16_t>(load_be<std::uint16_t>(&packet[4]) + i));
      store_be(&segment[10], std::uint16_t{0});
      store_be(&segment[10], wire::checksum(segment.first(ip_len)));
      if (transport_.is_tcp()) {
        const auto first = load_be<std::uint32_t>(&packet[ip_len + wire::tcp_sequence_offset]);
        store_be(upper + wire::tcp_sequence_offset, static_cast<std::uint32_t>(first + i * payload_len_));
      } else {
        store_be(upper + wire::udp_len_offset, static_cast<std::uint16_t>(packet_len - ip_len));
      }
      store_be(upper + transport_.checksum_offset, std::uint16_t{0});
      store_be(upper + transport_.checksum_offset, upper_checksum(segment, transport_));
    }
  }

  void check_agreement() {
    cut_by_copying(super_packets_[0]);
    auto segmenter = Segmenter::start(super_packets_[0], offload_);
    Bytes ours;
    while (segmenter && !segmenter->done()) {
      std::array<std::uint8_t, Segmenter::max_header_len> header;
      const Segmenter::Segment segment = segmenter->next(header.data());
      append(ours, ByteView(header).first(segment.header_len));
      append(ours, segment.body);
    }
    if (ours != out_) give_up("segment: the two ways do not agree");
  }

  const Transport& transport_;
  std::size_t payload_len_;
  std::vector<Bytes> super_packets_;
  Offload offload_;
  Bytes out_;
};

void add_cut(const std::string& name, const Transport& transport) {
  add_case(name, "headers and payload copied, checksums over the copy", [&transport] {
    const auto bench = std::make_shared<CutBench>(transport);
    return Comparison{.num_packets = CutBench::num_super * CutBench::num_segments,
                      .ours = {[] {}, [bench] { bench->run_ours(); }},
                      .plain = {[] {}, [bench] { bench->run_plain(); }}};
  });
}

}  // namespace

void add_offload_cases() {
  add_join("coalesce/tcp_1_flow", tcp, 1);
  add_join("coalesce/tcp_8_flows", tcp, 8);
  add_join("coalesce/udp_1_flow", udp, 1);
  add_cut("segment/tcp", tcp);
  add_cut("segment/udp", udp);
}

}  // namespace culvert::bench
