// The Segmenter beside the kernel: the same super-packets go through a router of the kernel's own, which cuts them for
// a veth without offload, and through the Segmenter; the packets must be the same, byte for byte.
#include <doctest/doctest.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <random>
#include <thread>

#include "culvert/wire/checksum.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"
#include "culvert/wire/protocol.h"
#include "culvert/wire/tcp.h"
#include "segmentation_path.h"
#include "segmenter.h"

using namespace culvert;
using namespace culvert::lab;
using tunnel::Offload;
using tunnel::Segmenter;

namespace {

/// Seeded: every run sends the same.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  /// A super-packet of at least two segments and at most `max_len` bytes behind the IPv6 header or with IPv4's: at most
  /// 1,000 segments of TCP, which a socket's buffer holds, and 64 of UDP (UDP_MAX_SEGMENTS up to Linux 6.8).
  SuperPacket super_packet(bool udp, std::size_t max_len = 65535) {
    const std::uint8_t protocol = udp ? wire::proto_udp : wire::proto_tcp;
    SuperPacket result = headers(protocol);
    const std::size_t fixed_len = result.packet[0] >> 4 == 4 ? 0 : wire::ipv6_header_len;
    const std::size_t room = max_len - (result.packet.size() - fixed_len);
    static constexpr std::size_t usual[] = {1, 2, 7, 64, 536, 1208, 1348, 1372, 1400, 1448, 1460, 8948, 9000, 32000};
    const std::size_t segment_len = chance(3) ? number(1, 9000) : usual[number(0, std::size(usual) - 1)];
    const std::size_t most = std::min(room, segment_len * (udp ? 64 : 1000));
    const std::size_t payload_len =
        chance(8) ? most : number(segment_len + 1, chance(2) ? most : std::min(most, segment_len * 8));
    result.offload.kind = udp ? Offload::Kind::udp : Offload::Kind::tcp;
    result.offload.segment_len = static_cast<std::uint16_t>(segment_len);
    result.offload.header_len = static_cast<std::uint16_t>(result.packet.size());
    result.ecn = !udp && (result.packet[result.offload.checksum_start + 13] & wire::tcp_cwr) != 0 && chance(2);
    finish(result, protocol, payload_len);
    return result;
  }

  /// One packet that lacks its checksum.
  SuperPacket packet() {
    const std::uint8_t protocol = chance(2) ? wire::proto_udp : wire::proto_tcp;
    SuperPacket result = headers(protocol);
    finish(result, protocol, number(0, chance(8) ? 60000 : 1500));
    return result;
  }

 private:
  std::size_t number(std::size_t from, std::size_t to) {
    return std::uniform_int_distribution<std::size_t>(from, to)(random_);
  }
  bool chance(std::size_t one_in) { return number(1, one_in) == 1; }
  std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }

  SuperPacket headers(std::uint8_t protocol) {
    SuperPacket result;
    if (chance(2)) {
      ipv4(result.packet, protocol);
    } else {
      ipv6(result.packet, protocol);
    }
    result.offload.needs_checksum = true;
    result.offload.checksum_start = static_cast<std::uint16_t>(result.packet.size());
    result.offload.checksum_offset = protocol == wire::proto_udp ? 6 : 16;
    Writer writer(result.packet);
    writer.u32(static_cast<std::uint32_t>(random_()));  // ports
    if (protocol == wire::proto_udp) {
      writer.u32(0);
      return result;
    }
    const std::size_t options_len = chance(3) ? 4 * number(0, 10) : 12;
    writer.u32(chance(4) ? 0xFFFFFFFF - static_cast<std::uint32_t>(number(0, 3000))
                         : static_cast<std::uint32_t>(random_()));
    writer.u32(static_cast<std::uint32_t>(random_()));
    writer.u8(static_cast<std::uint8_t>((20 + options_len) / 4 << 4));
    writer.u8(chance(2) ? wire::tcp_ack | wire::tcp_psh : byte());
    writer.u16(static_cast<std::uint16_t>(random_()));
    writer.u16(0);
    writer.u16(static_cast<std::uint16_t>(random_()));
    for (std::size_t i = 0; i < options_len; ++i) writer.u8(byte());
    return result;
  }

  void ipv4(Bytes& packet, std::uint8_t protocol) {
    Bytes options;
    if (chance(4)) {
      // NOPs and a Router Alert (RFC 2113), or a loose source route whose end the pseudo header counts (RFC 791 §3.1).
      options = chance(2) ? Bytes{1, 1, 1, 1, 148, 4, 0, 0} : Bytes{131, 7, 4, 10, 9, byte(), 9, 0};
    }
    Writer writer(packet);
    writer.u8(static_cast<std::uint8_t>(0x45 + options.size() / 4));
    writer.u8(byte());
    writer.u16(0);
    writer.u16(chance(8) ? 0xFFFE : static_cast<std::uint16_t>(random_()));
    writer.u16(chance(2) ? wire::ipv4_df : 0);
    writer.u8(static_cast<std::uint8_t>(number(2, 255)));
    writer.u8(protocol);
    writer.u16(0);
    for (int i = 0; i < 2; ++i) writer.u32(0x0A000000 | (static_cast<std::uint32_t>(random_()) & 0xFFFF) | 0x10000);
    writer.bytes(options);
    end_of_route_at_ = options.size() == 8 && options[0] == 131 ? wire::ipv4_min_header_len + 3 : 16;
  }

  void ipv6(Bytes& packet, std::uint8_t protocol) {
    // PadN in hop-by-hop and destination options; a routing header with one segment left.
    const bool hop_by_hop = chance(8), routing = chance(8), destination = chance(8);
    Bytes extensions;
    std::size_t next_at = 0;
    std::uint8_t first = protocol;
    const auto add = [&](std::uint8_t type, Bytes header) {
      (extensions.empty() ? first : extensions[next_at]) = type;
      next_at = extensions.size();
      header[0] = protocol;
      append(extensions, header);
    };
    if (hop_by_hop) add(wire::proto_hop_by_hop, {0, 0, 1, 4, 0, 0, 0, 0});
    if (routing) {
      Bytes header{0, 2, 0, 1, 0, 0, 0, 0, 0xFD, 9};
      while (header.size() < 24) header.push_back(byte());
      add(wire::proto_routing, header);
    }
    if (destination) add(wire::proto_destination_options, {0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    Writer writer(packet);
    writer.u32(0x60000000 | (static_cast<std::uint32_t>(random_()) & 0x0FFFFFFF));
    writer.u16(0);
    writer.u8(first);
    writer.u8(static_cast<std::uint8_t>(number(2, 255)));
    for (int i = 0; i < 2; ++i) {
      writer.u64(0xFD00000000000000 | (random_() & 0xFFFFFFFF));
      writer.u64(random_());
    }
    writer.bytes(extensions);
    end_of_route_at_ = routing ? wire::ipv6_header_len + (hop_by_hop ? 8 : 0) + 8 : 24;
  }

  /// Payload, lengths, the header checksum of IPv4 and the sum of the pseudo header.
  void finish(SuperPacket& result, std::uint8_t protocol, std::size_t payload_len) {
    Bytes& packet = result.packet;
    const bool v4 = packet[0] >> 4 == 4;
    const std::size_t payload_at = packet.size();
    packet.resize(payload_at + payload_len);
    // Zeros and ones now and then: sums of 0.
    if (const auto fill = number(0, 9); fill > 1) {
      for (std::size_t i = payload_at; i < packet.size(); ++i) packet[i] = byte();
    } else {
      std::fill(packet.begin() + static_cast<std::ptrdiff_t>(payload_at), packet.end(), fill == 0 ? 0x00 : 0xFF);
    }
    store_be(&packet[v4 ? 2 : 4], static_cast<std::uint16_t>(v4 ? packet.size() : packet.size() - 40));
    if (v4) store_be(&packet[10], wire::checksum(ByteView(packet).first((packet[0] & 15U) * 4)));
    const std::size_t upper_at = result.offload.checksum_start;
    const std::size_t upper_len = packet.size() - upper_at;
    if (protocol == wire::proto_udp) store_be(&packet[upper_at + 4], static_cast<std::uint16_t>(upper_len));
    std::uint64_t sum = upper_len + protocol;
    sum = wire::checksum_add(ByteView(packet).subspan(v4 ? 12 : 8, v4 ? 4 : 16), sum);
    sum = wire::checksum_add(ByteView(packet).subspan(end_of_route_at_, v4 ? 4 : 16), sum);
    store_be(&packet[upper_at + result.offload.checksum_offset], wire::checksum_fold(sum));
  }

  std::mt19937_64 random_;
  std::size_t end_of_route_at_ = 0;  ///< where the destination stands that the pseudo header counts (RFC 8200 §8.1)
};

/// A hop less, as behind a router (RFC 791 §3.2, RFC 8200 §3).
SuperPacket forwarded(SuperPacket packet) {
  Bytes& bytes = packet.packet;
  if (bytes[0] >> 4 == 4) {
    --bytes[8];
    store_be(&bytes[10], std::uint16_t{0});
    store_be(&bytes[10], wire::checksum(ByteView(bytes).first((bytes[0] & 15U) * 4)));
  } else {
    --bytes[7];
  }
  return packet;
}

std::vector<Bytes> cut_by_us(const SuperPacket& packet) {
  std::vector<Bytes> segments;
  auto segmenter = Segmenter::start(packet.packet, packet.offload);
  if (!segmenter) return segments;
  while (!segmenter->done()) {
    Bytes segment(Segmenter::max_header_len);
    const auto [header_len, body] = segmenter->next(segment.data());
    segment.resize(header_len);
    append(segment, body);
    segments.push_back(std::move(segment));
  }
  return segments;
}

/// The place of the first difference, for the message; nullopt: none.
std::optional<std::string> difference(const std::vector<Bytes>& ours, const std::vector<Bytes>& kernel) {
  if (ours.size() != kernel.size()) {
    return std::to_string(ours.size()) + " segments of ours, " + std::to_string(kernel.size()) + " of the kernel";
  }
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (ours[i] == kernel[i]) continue;
    const auto at = std::mismatch(ours[i].begin(), ours[i].end(), kernel[i].begin(), kernel[i].end());
    return "segment " + std::to_string(i) + " of " + std::to_string(ours.size()) + ", lengths " +
           std::to_string(ours[i].size()) + " and " + std::to_string(kernel[i].size()) + ", from byte " +
           std::to_string(at.first - ours[i].begin());
  }
  return std::nullopt;
}

/// In a thread of its own, which has the network namespace of the path to itself.
void with_path(const std::function<void(SegmentationPath&)>& test) {
  if (::geteuid() != 0) {
    MESSAGE("skipped: not root");
    return;
  }
  std::exception_ptr failure;
  std::thread([&] {
    try {
      SegmentationPath path;
      if (!path.in.takes_udp()) MESSAGE("UDP skipped: this kernel has no UDP segmentation offload for TUN (Linux 6.2)");
      test(path);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

TEST_CASE("the segments of 2,000 super-packets are those that the kernel sends over a veth") {
  with_path([](SegmentationPath& path) {
    path.route_by(SegmentationPath::Exit::veth);
    Generator generator(0x5E6);
    std::size_t num_segments = 0;
    for (int i = 0; i < 2000; ++i) {
      const bool udp = i % 2 == 1;
      const SuperPacket packet = generator.super_packet(udp);
      if (udp && !path.in.takes_udp()) continue;
      const auto ours = cut_by_us(forwarded(packet));
      INFO("super-packet ", i, ", ", packet.packet.size(), " bytes cut at ", packet.offload.segment_len);
      path.in.write(packet);
      if (const auto different = difference(ours, path.cut_by_the_kernel(ours.size()))) FAIL(*different);
      num_segments += ours.size();
    }
    MESSAGE(num_segments, " segments compared");
  });
}

TEST_CASE("checksums that we fill in are those that the kernel fills in") {
  with_path([](SegmentationPath& path) {
    path.route_by(SegmentationPath::Exit::veth);
    Generator generator(0xC5);
    for (int i = 0; i < 2000; ++i) {
      const SuperPacket packet = generator.packet();
      SuperPacket ours = forwarded(packet);
      REQUIRE(tunnel::complete_checksum(ours.packet, ours.offload));
      INFO("packet ", i, " of ", packet.packet.size(), " bytes");
      path.in.write(packet);
      if (const auto different = difference({ours.packet}, path.cut_by_the_kernel(1))) FAIL(*different);
    }
  });
}

TEST_CASE("super-packets that the kernel hands to a device with offload are cut in the same way") {
  with_path([](SegmentationPath& path) {
    path.route_by(SegmentationPath::Exit::tun);
    Generator generator(0x7E6);
    for (int i = 0; i < 1000; ++i) {
      const bool udp = i % 2 == 1;
      // From 65,536 bytes on the kernel cuts by itself: no device takes more without asking for it.
      const SuperPacket packet = generator.super_packet(udp, 65535 - wire::ipv6_header_len);
      if (udp && !path.in.takes_udp()) continue;
      path.in.write(packet);
      const auto arrived = path.in_one_piece();
      INFO("super-packet ", i, ", ", packet.packet.size(), " bytes cut at ", packet.offload.segment_len);
      REQUIRE(arrived);
      CHECK(arrived->packet == forwarded(packet).packet);
      CHECK(arrived->offload.kind == packet.offload.kind);
      if (const auto different = difference(cut_by_us(*arrived), cut_by_us(forwarded(packet)))) FAIL(*different);
    }
  });
}
