#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "coalescer.h"
#include "culvert/base/bytes.h"

namespace culvert::lab {

/// Makes random but repeatable packets of several TCP and UDP flows, IPv4 and IPv6, between a few hosts
/// (10.1.0.0/16 → 10.2.0.0/16, fd00:1::/32 → fd00:2::/32), as they come out of a tunnel: bursts of a flow, and now and
/// then something that must not be joined.
class Streams {
 public:
  struct Shape {
    std::size_t num_flows = 4;
    unsigned trouble_per_mille = 50;  ///< how many packets are not the next one of a plain bulk transfer
    unsigned switch_per_mille = 100;  ///< how often the next packet is another flow's
    std::size_t max_payload_len = 1400;
  };
  Streams(std::uint32_t seed, const Shape& shape);

  /// 1…64 packets.
  [[nodiscard]] std::vector<Bytes> next_batch();

 private:
  enum class Ids { counting, counting_df, same_df, random };
  struct Flow {
    bool v6 = false, tcp = false;
    std::uint8_t host = 0;
    std::uint16_t port = 0;
    Ids ids = Ids::counting;
    std::uint16_t id = 0;
    std::uint8_t tos = 0, ttl = 64;
    std::uint32_t sequence = 0, ack = 0, timestamp = 0;
    std::uint16_t window = 500;
    bool timestamps = false;
    std::size_t payload_len = 0;
  };

  [[nodiscard]] unsigned below(unsigned bound) { return random_() % bound; }
  [[nodiscard]] Flow new_flow();
  [[nodiscard]] Bytes build(Flow& flow, std::uint8_t flags, std::size_t payload_len);
  [[nodiscard]] Bytes troubled(Flow& flow);

  std::mt19937 random_;
  Shape shape_;
  std::vector<Flow> flows_;
  std::size_t current_ = 0;
};

/// Whether its length and, of IPv4, its header checksum are such that a router sends it on.
[[nodiscard]] bool router_forwards(ByteView packet);
/// One hop further, as a router sends it on: the TTL or hop limit one less, the IPv4 header checksum to match.
[[nodiscard]] Bytes one_hop_further(Bytes packet);

/// "" if `after` is `before`, byte for byte but for the identification of IPv4 packets with DF (it has no meaning
/// there, RFC 6864 §4.1), with the order kept within each flow, and between a flow and all packets between its
/// addresses whose ports cannot be told at a glance (fragments, IP options and extension headers, other protocols).
/// Else what is wrong.
[[nodiscard]] std::string compare_by_flow(const std::vector<Bytes>& before, const std::vector<Bytes>& after);

}  // namespace culvert::lab
