#include "coalescing_streams.h"

#include <algorithm>
#include <set>
#include <utility>

#include "super_packet.h"

namespace culvert::lab {
namespace {

bool is_v4(ByteView packet) {
  return packet[0] >> 4 == 4;
}
std::size_t ip_len(ByteView packet) {
  return is_v4(packet) ? 20 : 40;  // of what `build` makes
}

bool header_checksum_holds(ByteView packet) {
  return !is_v4(packet) || internet_checksum(packet.first(std::size_t{packet[0]} % 16 * 4)) == 0;
}

void fix_header_checksum(Bytes& packet) {
  if (!is_v4(packet)) return;
  store_be(&packet[10], std::uint16_t{0});
  store_be(&packet[10], internet_checksum(ByteView(packet).first(std::size_t{packet[0]} % 16 * 4)));
}

/// Of a packet without IP options.
void fix_checksums(Bytes& packet) {
  fix_header_checksum(packet);
  const std::uint8_t protocol = packet[is_v4(packet) ? 9 : 6];
  const std::size_t upper = ip_len(packet), at = upper + (protocol == 6 ? 16 : 6);
  store_be(&packet[at], std::uint16_t{0});
  const auto sum = internet_checksum(ByteView(packet).subspan(is_v4(packet) ? 12 : 8),
                                     protocol + static_cast<std::uint32_t>(packet.size() - upper));
  store_be(&packet[at], sum == 0 && protocol == 17 ? std::uint16_t{0xFFFF} : sum);
}

void add_to_len(Bytes& packet, std::size_t more) {
  std::uint8_t* len = &packet[is_v4(packet) ? 2 : 4];
  store_be(len, static_cast<std::uint16_t>(load_be<std::uint16_t>(len) + more));
}

void insert_behind_ip(Bytes& packet, const Bytes& more) {
  add_to_len(packet, more.size());
  packet.insert(packet.begin() + static_cast<std::ptrdiff_t>(ip_len(packet)), more.begin(), more.end());
}

void make_fragment(Bytes& packet, unsigned kind) {
  const std::uint16_t offset_and_more = kind == 0 ? 0x0001 : kind == 1 ? 0x00B9 : 0x00B8;  // RFC 8200 §4.5
  if (is_v4(packet)) {
    store_be(&packet[6], static_cast<std::uint16_t>((offset_and_more & 1) << 13 | offset_and_more >> 3));
    return fix_header_checksum(packet);
  }
  Bytes header{packet[6], 0, 0, static_cast<std::uint8_t>(offset_and_more), 1, 2, 3, 4};
  packet[6] = 44;
  insert_behind_ip(packet, header);
}

void add_ip_options(Bytes& packet) {
  if (is_v4(packet)) {
    insert_behind_ip(packet, {1, 1, 1, 1});
    ++packet[0];
    return fix_header_checksum(packet);
  }
  const std::uint8_t next_header = std::exchange(packet[6], std::uint8_t{60});
  insert_behind_ip(packet, {next_header, 0, 1, 4, 0, 0, 0, 0});
}

void make_echo_request(Bytes& packet) {
  const bool v4 = is_v4(packet);
  packet.resize(ip_len(packet) + 16);
  store_be(&packet[v4 ? 2 : 4], static_cast<std::uint16_t>(v4 ? packet.size() : 16));
  packet[v4 ? 9 : 6] = v4 ? 1 : 58;
  packet[ip_len(packet)] = v4 ? 8 : 128;  // its checksum is nobody's business on the way
  fix_header_checksum(packet);
}

using Key = std::pair<Bytes, Bytes>;  // version and addresses; protocol and ports, or nothing when they cannot be told

Key key_of(ByteView packet) {
  const bool v4 = is_v4(packet);
  const ByteView addresses = packet.subspan(v4 ? 12 : 8, v4 ? 8 : 32);
  Key key{{packet.front()}, {}};
  key.first[0] >>= 4;
  append(key.first, addresses);
  const std::uint8_t protocol = packet[v4 ? 9 : 6];
  const bool plain = !v4 || (packet[0] == 0x45 && (load_be<std::uint16_t>(&packet[6]) & 0x3FFF) == 0);
  if (!plain || (protocol != 6 && protocol != 17)) return key;
  key.second.push_back(protocol);
  append(key.second, packet.subspan(ip_len(packet), 4));
  return key;
}

Bytes without_free_id(Bytes packet) {
  if (is_v4(packet) && (packet[6] & 0x40) != 0 && header_checksum_holds(packet)) {
    store_be(&packet[4], std::uint16_t{0});
    fix_header_checksum(packet);
  }
  return packet;
}

std::vector<Bytes> of_flow(const std::vector<Bytes>& packets, const Key& flow) {
  std::vector<Bytes> some;
  for (const Bytes& packet : packets) {
    const Key key = key_of(packet);
    if (key == flow || (key.first == flow.first && key.second.empty())) some.push_back(without_free_id(packet));
  }
  return some;
}

std::string text_of(ByteView bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes.first(std::min<std::size_t>(bytes.size(), 80))) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text + " (" + std::to_string(bytes.size()) + " bytes)";
}

}  // namespace

Streams::Streams(std::uint32_t seed, const Shape& shape) : random_(seed), shape_(shape) {
  for (std::size_t i = 0; i < shape_.num_flows; ++i) flows_.push_back(new_flow());
}

Streams::Flow Streams::new_flow() {
  Flow flow;
  flow.v6 = below(2) == 0;
  flow.tcp = below(2) == 0;
  flow.host = static_cast<std::uint8_t>(1 + below(2));
  flow.port = static_cast<std::uint16_t>(1024 + flows_.size());
  flow.ids = static_cast<Ids>(below(8) == 0 ? 3 : below(3));
  flow.id = static_cast<std::uint16_t>(random_());
  flow.tos = static_cast<std::uint8_t>(below(4) == 0 ? random_() : 0);
  flow.ttl = static_cast<std::uint8_t>(2 + below(254));
  flow.sequence = random_();
  flow.ack = random_();
  flow.timestamps = below(2) == 0;
  flow.payload_len = 1 + below(static_cast<unsigned>(shape_.max_payload_len));
  return flow;
}

std::vector<Bytes> Streams::next_batch() {
  std::vector<Bytes> batch(below(4) == 0 ? 1 + below(64) : 64);
  for (Bytes& packet : batch) {
    if (below(1000) < shape_.switch_per_mille) current_ = below(static_cast<unsigned>(flows_.size()));
    Flow& flow = flows_[current_];
    packet = below(1000) < shape_.trouble_per_mille ? troubled(flow) : build(flow, 0x10, flow.payload_len);
  }
  return batch;
}

/// The next packet of the flow, and moves the flow on.
Bytes Streams::build(Flow& flow, std::uint8_t flags, std::size_t payload_len) {
  Bytes packet;
  Writer writer(packet);
  const std::size_t header_len = !flow.tcp ? 8 : flow.timestamps ? 32 : 20;
  const auto upper_len = static_cast<std::uint16_t>(header_len + payload_len);
  const std::uint8_t protocol = flow.tcp ? 6 : 17;
  if (flow.v6) {
    writer.u32(std::uint32_t{6} << 28 | std::uint32_t{flow.tos} << 20 | flow.port);
    writer.u16(upper_len);
    writer.u8(protocol);
    writer.u8(flow.ttl);
    for (const std::uint8_t side : {1, 2})
      writer.bytes(Bytes{0xFD, 0, 0, side, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flow.host});
  } else {
    writer.u8(0x45);
    writer.u8(flow.tos);
    writer.u16(static_cast<std::uint16_t>(20 + upper_len));
    writer.u16(flow.id);
    writer.u16(flow.ids == Ids::counting_df || flow.ids == Ids::same_df ? 0x4000 : 0);
    writer.u8(flow.ttl);
    writer.u8(protocol);
    writer.u16(0);
    for (const std::uint8_t side : {1, 2}) writer.bytes(Bytes{10, side, 0, flow.host});
  }
  writer.u16(flow.port);
  writer.u16(443);
  if (flow.tcp) {
    writer.u32(flow.sequence);
    writer.u32(flow.ack);
    writer.u8(static_cast<std::uint8_t>(header_len << 2));
    writer.u8(flags);
    writer.u16(flow.window);
    writer.u32(0);
    if (flow.timestamps) writer.u64(0x0101080A00000000 | flow.timestamp), writer.u32(7);
  } else {
    writer.u16(upper_len);
    writer.u16(0);
  }
  for (std::size_t i = 0; i < payload_len; ++i) writer.u8(static_cast<std::uint8_t>(random_()));
  fix_checksums(packet);
  flow.sequence += static_cast<std::uint32_t>(payload_len);
  if (flow.ids != Ids::same_df) flow.id = static_cast<std::uint16_t>(flow.ids == Ids::random ? random_() : flow.id + 1);
  return packet;
}

Bytes Streams::troubled(Flow& flow) {
  const auto some_len = below(static_cast<unsigned>(shape_.max_payload_len) + 1);
  switch (below(17)) {
    case 0:
      return build(flow, 0x18, flow.payload_len);
    case 1:
      return build(flow, 0x18, std::min<std::size_t>(some_len, flow.payload_len));
    case 2:
      return build(flow, 0x10, some_len);
    case 3:
      return build(flow, 0x10, 0);  // pure ACK, empty datagram
    case 4:
      return build(flow, static_cast<std::uint8_t>(random_()), flow.payload_len);
    case 5:
      flow.sequence += random_() % 3 - 1;
      break;
    case 6:
      flow.id = static_cast<std::uint16_t>(flow.id + random_() % 3 - 1);
      break;
    case 7:
      ++flow.window;
      break;
    case 8:
      ++flow.ack;
      break;
    case 9:
      ++flow.timestamp;
      break;
    case 10:
      flow.tos ^= 3;
      break;
    case 11:
      flow.ttl ^= 4, flow.ttl |= 2;
      break;
    default:
      break;
  }
  Bytes packet = build(flow, 0x10, flow.payload_len);
  switch (below(12)) {
    case 0:
      packet[packet.size() - 1] ^= 1;
      break;  // wrong checksum
    case 1:
      if (!flow.v6) packet[11] ^= 1;
      break;  // wrong header checksum
    case 2:
      if (!flow.tcp) store_be(&packet[ip_len(packet) + 6], std::uint16_t{0});
      break;
    case 3:
      make_fragment(packet, below(3));
      break;
    case 4:
      add_ip_options(packet);
      break;
    case 5:
      make_echo_request(packet);
      break;
    case 6:
      if (flow.tcp) packet[ip_len(packet) + 19] = 5, fix_checksums(packet);
      break;  // urgent pointer, no flag
    case 7:
      add_to_len(packet, 1);  // longer than it is
      fix_checksums(packet);
      break;
    default:
      break;
  }
  return packet;
}

bool router_forwards(ByteView packet) {
  return header_checksum_holds(packet) &&
         load_be<std::uint16_t>(&packet[is_v4(packet) ? 2 : 4]) + (is_v4(packet) ? 0U : 40U) <= packet.size();
}

Bytes one_hop_further(Bytes packet) {
  --packet[is_v4(packet) ? 8 : 7];
  fix_header_checksum(packet);
  return packet;
}

std::string compare_by_flow(const std::vector<Bytes>& before, const std::vector<Bytes>& after) {
  std::set<Key> flows;
  for (const Bytes& packet : before) flows.insert(key_of(packet));
  for (const Key& flow : flows) {
    const std::vector<Bytes> in = of_flow(before, flow), out = of_flow(after, flow);
    const auto [i, o] = std::mismatch(in.begin(), in.end(), out.begin(), out.end());
    if (i == in.end() && o == out.end()) continue;
    return "packet " + std::to_string(i - in.begin()) + " of the flow: went in " +
           (i == in.end() ? "none" : text_of(*i)) + ", came out " + (o == out.end() ? "none" : text_of(*o));
  }
  if (before.size() != after.size()) return "packets of no flow that went in";
  return {};
}

}  // namespace culvert::lab
