// The rules are those of the kernel's GRO: net/ipv4/af_inet.c:inet_gro_receive,
// net/ipv6/ip6_offload.c:ipv6_gro_receive, net/ipv4/tcp_offload.c:tcp_gro_receive,
// net/ipv4/udp_offload.c:udp_gro_receive (Linux 6.12).
//
// Each packet passes once: take → same_headers with the run of the packet before, or shape_of and find → extend, else
// start. A joined packet stands where its first member stood, so members only ever move forward, and only past packets
// of other flows. Which packets are in it is one mask; lay_out makes the parts of it at the end.
#include "coalescer.h"

#include <bit>
#include <cassert>
#include <cstring>

#include "culvert/wire/checksum.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/tcp.h"
#include "culvert/wire/udp.h"

namespace culvert::tunnel {
namespace {

constexpr std::size_t ipv4_checksum_offset = 10, tcp_data_offset = 12;

std::uint16_t u16_at(ByteView packet, std::size_t at) noexcept {
  return load_be<std::uint16_t>(packet.data() + at);
}

template <class T>
T load_native(const std::uint8_t* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

/// Where the fields are, and which bits of the headers all members of a joined packet share. TCP options come behind.
struct Coalescer::Shape {
  static constexpr std::size_t word_len = 8, max_words = 8;

  std::uint8_t protocol = 0;
  bool is_v4 = false;
  std::uint8_t ip_len = 0;       ///< IP header
  std::uint8_t fixed_len = 0;    ///< IP header and TCP header without options, or UDP header
  std::uint8_t address_at = 0;   ///< source, and right behind it the destination
  std::uint8_t address_len = 0;  ///< of both
  std::uint8_t length_at = 0;    ///< the length field of the IP header
  std::uint8_t checksum_at = 0;  ///< of TCP or UDP, from ip_len
  std::uint8_t num_words = 0;
  std::array<std::uint64_t, max_words> same{};  ///< masks of words of fixed_len, in memory order; the last may overlap

  [[nodiscard]] constexpr bool is_tcp() const noexcept { return protocol == wire::proto_tcp; }
  [[nodiscard]] constexpr std::size_t word_at(std::size_t i) const noexcept {
    return i + 1 < num_words ? i * word_len : fixed_len - word_len;
  }

  static consteval Shape make(bool v4, bool tcp) {
    Shape shape;
    shape.protocol = tcp ? wire::proto_tcp : wire::proto_udp;
    shape.is_v4 = v4;
    shape.ip_len = v4 ? wire::ipv4_min_header_len : wire::ipv6_header_len;
    shape.fixed_len = static_cast<std::uint8_t>(shape.ip_len + (tcp ? wire::tcp_min_header_len : wire::udp_header_len));
    shape.address_at = v4 ? 12 : 8;
    shape.address_len = v4 ? 8 : 32;
    shape.length_at = v4 ? 2 : 4;
    shape.checksum_at = tcp ? wire::tcp_checksum_offset : wire::udp_checksum_offset;
    std::array<std::uint8_t, 64> bytes;
    bytes.fill(0xFF);
    const auto may_differ = [&](std::size_t at, std::size_t len) {
      for (std::size_t i = at; i < at + len; ++i) bytes[i] = 0;
    };
    may_differ(shape.length_at, 2);
    if (v4) may_differ(4, 2), may_differ(ipv4_checksum_offset, 2);
    if (tcp) {
      may_differ(shape.ip_len + wire::tcp_sequence_offset, 4);
      may_differ(shape.ip_len + wire::tcp_checksum_offset, 2);
      bytes[shape.ip_len + wire::tcp_flags_offset] = static_cast<std::uint8_t>(~wire::tcp_psh);
    } else {
      may_differ(shape.ip_len + wire::udp_len_offset, 4);
    }
    shape.num_words = static_cast<std::uint8_t>((shape.fixed_len + word_len - 1) / word_len);
    for (std::size_t i = 0; i < shape.num_words; ++i) {
      std::array<std::uint8_t, word_len> word;
      for (std::size_t k = 0; k < word_len; ++k) word[k] = bytes[shape.word_at(i) + k];
      shape.same[i] = std::bit_cast<std::uint64_t>(word);
    }
    return shape;
  }

  static const Shape tcp4, udp4, tcp6, udp6;
};

constexpr Coalescer::Shape Coalescer::Shape::tcp4 = make(true, true);
constexpr Coalescer::Shape Coalescer::Shape::udp4 = make(true, false);
constexpr Coalescer::Shape Coalescer::Shape::tcp6 = make(false, true);
constexpr Coalescer::Shape Coalescer::Shape::udp6 = make(false, false);

std::span<const JoinedPacket> Coalescer::join(std::span<const MutableByteView> packets, Accepts accepts) noexcept {
  assert(packets.size() <= PacketBatch::capacity);
  num_joined_ = 0;
  num_runs_ = 0;
  next_evicted_ = 0;
  recent_ = nullptr;
  for (std::size_t i = 0; i < packets.size(); ++i) take(i, packets[i], accepts);
  lay_out(packets);
  return std::span(joined_).first(num_joined_);
}

void Coalescer::take(std::size_t i, MutableByteView packet, Accepts accepts) noexcept {
  if (recent_ && same_headers(*recent_, packet)) {
    if (!extend(*recent_, i, packet)) start(recent_, *recent_->shape, i, packet);
    return;
  }
  const Shape* shape = shape_of(packet);
  if (!shape) {
    end_runs_between_addresses_of(packet);
    return pass(i, packet);
  }
  if (!(shape->is_tcp() ? accepts.tcp : accepts.udp)) return pass(i, packet);
  Run* run = find(*shape, packet);
  if (run && same_headers(*run, packet) && extend(*run, i, packet)) {
    recent_ = run;
  } else {
    start(run, *shape, i, packet);
  }
}

/// The packet differs from the first of an open run only where members may, and is as long as its IP header says.
bool Coalescer::same_headers(const Run& run, ByteView packet) noexcept {
  if (!run.open || packet.size() < run.header_len) return false;
  const Shape& shape = *run.shape;
  if (u16_at(packet, shape.length_at) + (shape.is_v4 ? 0U : wire::ipv6_header_len) != packet.size()) return false;
  std::uint64_t difference = 0;
  for (std::size_t i = 0; i < shape.num_words; ++i) {
    const std::size_t at = shape.word_at(i);
    difference |=
        (load_native<std::uint64_t>(run.head + at) ^ load_native<std::uint64_t>(packet.data() + at)) & shape.same[i];
  }
  for (std::size_t at = shape.fixed_len; at < run.header_len; at += 4) {
    difference |= load_native<std::uint32_t>(run.head + at) ^ load_native<std::uint32_t>(packet.data() + at);
  }
  return difference == 0;
}

/// nullptr: not plain TCP or UDP: other protocols, IPv4 options, IPv6 extension headers, fragments (and what has the
/// reserved bit of RFC 791 set), and lengths that are not the packet's.
const Coalescer::Shape* Coalescer::shape_of(ByteView packet) noexcept {
  if (packet.size() < wire::ipv4_min_header_len) return nullptr;
  const Shape* shape = nullptr;
  if (packet[0] == 0x45) {
    if ((u16_at(packet, 6) & ~wire::ipv4_df) != 0 || u16_at(packet, 2) != packet.size()) return nullptr;
    if (packet[9] == wire::proto_tcp) shape = &Shape::tcp4;
    if (packet[9] == wire::proto_udp) shape = &Shape::udp4;
  } else if (packet[0] >> 4 == 6 && packet.size() >= wire::ipv6_header_len) {
    if (u16_at(packet, 4) + wire::ipv6_header_len != packet.size()) return nullptr;
    if (packet[6] == wire::proto_tcp) shape = &Shape::tcp6;
    if (packet[6] == wire::proto_udp) shape = &Shape::udp6;
  }
  return shape && packet.size() >= shape->fixed_len ? shape : nullptr;
}

Coalescer::Run* Coalescer::find(const Shape& shape, ByteView packet) noexcept {
  const auto ports = load_native<std::uint32_t>(packet.data() + shape.ip_len);
  for (Run& run : std::span(runs_).first(num_runs_)) {
    if (run.shape == &shape && run.ports == ports &&
        std::memcmp(run.head + shape.address_at, packet.data() + shape.address_at, shape.address_len) == 0) {
      return &run;
    }
  }
  return nullptr;
}

/// Joins a packet with the same headers, if its lengths, numbers and checksums say that it is the next one. The first
/// one's checksums are not looked at before there is a second: a packet alone goes as it came.
bool Coalescer::extend(Run& run, std::size_t i, ByteView packet) noexcept {
  const Shape& shape = *run.shape;
  JoinedPacket& joined = joined_[run.place];
  const std::size_t payload_len = packet.size() - run.header_len;
  if (payload_len == 0 || payload_len > run.segment_len || joined.len + payload_len > max_joined_len) return false;
  if (shape.is_tcp()) {
    if (load_be<std::uint32_t>(&packet[shape.ip_len + wire::tcp_sequence_offset]) != run.next_sequence) return false;
  } else if (u16_at(packet, shape.ip_len + wire::udp_len_offset) + shape.ip_len != packet.size() ||
             u16_at(packet, shape.ip_len + wire::udp_checksum_offset) == 0) {
    return false;
  }
  const bool is_second = joined.offload.kind == Offload::Kind::none;
  if (shape.is_v4 && !next_id_follows(run, is_second, packet)) return false;
  if (!run.head_checked && !checksums_hold(shape, {run.head, std::size_t{run.header_len} + run.segment_len})) {
    return false;
  }
  run.head_checked = true;
  if (!checksums_hold(shape, packet)) return false;

  if (is_second) {
    joined.offload = {.kind = shape.is_tcp() ? Offload::Kind::tcp : Offload::Kind::udp,
                      .needs_checksum = true,
                      .segment_len = run.segment_len,
                      .header_len = run.header_len,
                      .checksum_start = shape.ip_len,
                      .checksum_offset = shape.checksum_at};
  }
  joined.members |= std::uint64_t{1} << i;
  joined.len += static_cast<std::uint32_t>(payload_len);
  run.next_sequence += static_cast<std::uint32_t>(payload_len);
  if (shape.is_tcp() && (packet[shape.ip_len + wire::tcp_flags_offset] & wire::tcp_psh) != 0) {
    run.head[shape.ip_len + wire::tcp_flags_offset] |= wire::tcp_psh;
    run.open = false;
  }
  if (payload_len < run.segment_len) run.open = false;
  return true;
}

/// IPv4 identification: each one more than the one before, as a segmenting kernel numbers them; or all the same with
/// DF, where it means nothing (RFC 6864 §4.1). The second packet decides which.
bool Coalescer::next_id_follows(Run& run, bool is_second, ByteView packet) noexcept {
  const std::uint16_t id = u16_at(packet, 4);
  if (is_second) run.same_ids = id == run.last_id && (packet[6] & wire::ipv4_df >> 8) != 0;
  if (id != static_cast<std::uint16_t>(run.last_id + (run.same_ids ? 0 : 1))) return false;
  run.last_id = id;
  return true;
}

/// RFC 1071, RFC 9293 §3.1, RFC 768, RFC 8200 §8.1. The addresses of the pseudo header stand right before the upper
/// layer in both IP headers, so that one pass adds both.
bool Coalescer::checksums_hold(const Shape& shape, ByteView packet) noexcept {
  if (shape.is_v4 && wire::checksum(packet.first(shape.ip_len)) != 0) return false;
  const std::uint64_t lengths = shape.protocol + (packet.size() - shape.ip_len);
  return wire::checksum(packet.subspan(shape.address_at), lengths) == 0;
}

/// Puts the packet out as the first of a run, if others may follow it; else as one that ends the run of its flow, for
/// none may overtake it.
void Coalescer::start(Run* run, const Shape& shape, std::size_t i, MutableByteView packet) noexcept {
  const std::uint8_t* upper = packet.data() + shape.ip_len;
  bool may_begin = false;
  std::size_t header_len = shape.fixed_len;
  if (shape.is_tcp()) {
    header_len = shape.ip_len + std::size_t{upper[tcp_data_offset]} / 16 * 4;
    const bool reserved_clear = (upper[tcp_data_offset] & 0x0F) == 0;
    may_begin = reserved_clear && header_len >= shape.fixed_len && upper[wire::tcp_flags_offset] == wire::tcp_ack;
  } else {
    may_begin = load_be<std::uint16_t>(upper + wire::udp_len_offset) + std::size_t{shape.ip_len} == packet.size() &&
                load_be<std::uint16_t>(upper + wire::udp_checksum_offset) != 0;
  }
  if (!may_begin || packet.size() <= header_len) {
    if (run) run->open = false;
    return pass(i, packet);
  }
  if (!run) run = &free_run();
  run->shape = &shape;
  run->head = packet.data();
  run->ports = load_native<std::uint32_t>(upper);
  run->header_len = static_cast<std::uint16_t>(header_len);
  run->segment_len = static_cast<std::uint16_t>(packet.size() - header_len);
  run->next_sequence =
      load_be<std::uint32_t>(upper + wire::tcp_sequence_offset) + run->segment_len;  // UDP: not looked at
  run->last_id = u16_at(packet, 4);
  run->place = static_cast<std::uint32_t>(num_joined_);
  run->open = true;
  run->head_checked = false;
  recent_ = run;
  pass(i, packet);
}

Coalescer::Run& Coalescer::free_run() noexcept {
  if (num_runs_ < max_flows) return runs_[num_runs_++];
  return runs_[next_evicted_++ % max_flows];
}

/// A packet whose ports cannot be told, or of another protocol, may belong to any flow between its two addresses.
void Coalescer::end_runs_between_addresses_of(ByteView packet) noexcept {
  const bool is_v4 = !packet.empty() && packet[0] >> 4 == 4 && packet.size() >= wire::ipv4_min_header_len;
  const bool is_v6 = !packet.empty() && packet[0] >> 4 == 6 && packet.size() >= wire::ipv6_header_len;
  for (Run& run : std::span(runs_).first(num_runs_)) {
    const Shape& shape = *run.shape;
    const bool readable = shape.is_v4 ? is_v4 : is_v6;
    if (readable &&
        std::memcmp(run.head + shape.address_at, packet.data() + shape.address_at, shape.address_len) == 0) {
      run.open = false;
    }
  }
}

/// Puts the packet out, for now alone.
void Coalescer::pass(std::size_t i, ByteView packet) noexcept {
  JoinedPacket& joined = joined_[num_joined_++];
  joined.offload = {};
  joined.len = static_cast<std::uint32_t>(packet.size());
  joined.members = std::uint64_t{1} << i;
}

void Coalescer::lay_out(std::span<const MutableByteView> packets) noexcept {
  iovec* next = parts_.data();
  for (JoinedPacket& joined : std::span(joined_).first(num_joined_)) {
    iovec* const begin = next;
    *next++ = {};
    const MutableByteView first = packets[static_cast<std::size_t>(std::countr_zero(joined.members))];
    *next++ = {first.data(), first.size()};
    if (joined.offload.kind != Offload::Kind::none) {
      adjust_headers(first.data(), joined);
      const std::size_t header_len = joined.offload.header_len;
      for_each_bit(joined.members & (joined.members - 1), [&](std::size_t i) {
        *next++ = {packets[i].data() + header_len, packets[i].size() - header_len};
      });
    }
    joined.parts = {begin, next};
  }
}

/// Lengths, the IPv4 checksum, and the sum of the pseudo header that whoever segments expects in the checksum field.
void Coalescer::adjust_headers(std::uint8_t* head, const JoinedPacket& joined) noexcept {
  const bool is_tcp = joined.offload.kind == Offload::Kind::tcp;
  const bool is_v4 = joined.offload.checksum_start == wire::ipv4_min_header_len;
  const Shape& shape = is_v4 ? (is_tcp ? Shape::tcp4 : Shape::udp4) : (is_tcp ? Shape::tcp6 : Shape::udp6);
  const std::uint32_t upper_len = joined.len - shape.ip_len;
  std::uint8_t* upper = head + shape.ip_len;
  store_be(head + shape.length_at, static_cast<std::uint16_t>(is_v4 ? joined.len : upper_len));
  if (is_v4) {
    store_be(head + ipv4_checksum_offset, std::uint16_t{0});
    store_be(head + ipv4_checksum_offset, wire::checksum({head, shape.ip_len}));
  }
  if (!is_tcp) store_be(upper + wire::udp_len_offset, static_cast<std::uint16_t>(upper_len));
  const ByteView addresses(head + shape.address_at, shape.address_len);
  const std::uint16_t sum =
      wire::checksum_fold(wire::checksum_add(addresses, std::uint64_t{shape.protocol} + upper_len));
  store_be(upper + joined.offload.checksum_offset, sum);
}

}  // namespace culvert::tunnel
