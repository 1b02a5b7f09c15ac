#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/secret.h"
#include "culvert/crypto/cipher_suite.h"

namespace culvert {

enum class EspMode : std::uint8_t { tunnel, transport };
enum class EspEncapsulation : std::uint8_t {
  udp,  ///< RFC 3948, port 4500 (or the port to which the peer's NAT maps it)
  raw,  ///< IP protocol 50
};

/// RFC 7296 §3.13.1. Addresses are of one family, first ≤ last. For ICMP, type and code ride in the ports (§3.13.1); OPAQUE is 65535–0.
struct TrafficSelector {
  std::uint8_t protocol = 0;  ///< IP protocol, 0 = any
  std::uint16_t start_port = 0;
  std::uint16_t end_port = 65535;
  IpAddress first;
  IpAddress last;

  [[nodiscard]] static TrafficSelector from_prefix(const IpPrefix& prefix, std::uint8_t protocol = 0) noexcept {
    return {protocol, 0, 65535, prefix.network(), prefix.last()};
  }
  friend bool operator==(const TrafficSelector&, const TrafficSelector&) noexcept = default;
};

/// Keys of one direction. AEAD: encryption is key | salt, integrity empty.
struct DirectionKeys {
  Secret encryption;
  Secret integrity;
};

/// The one value that crosses from ike to tunnel: all that a pair of ESP SAs needs. Made by ike, consumed (moved) by tunnel.
struct ChildSaKeys {
  PeerId peer;
  ChildId child;
  Spi inbound_spi;   ///< ours: the peer puts it on what it sends us
  Spi outbound_spi;  ///< the peer's
  crypto::CipherSuite suite{};
  DirectionKeys inbound;
  DirectionKeys outbound;
  EspMode mode = EspMode::tunnel;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
  bool esn = false;
  std::vector<TrafficSelector> local;   ///< what our side may send from
  std::vector<TrafficSelector> remote;  ///< what the peer may send from
  Endpoint local_endpoint;              ///< outer addresses and UDP ports (the ports matter for udp only)
  Endpoint remote_endpoint;
  std::uint32_t replay_window = 4096;   ///< packets, 64…65536
  std::uint64_t soft_bytes = 0;         ///< 0: no limit. Reaching a soft limit of either direction asks ike for a rekey, once
  std::uint64_t soft_packets = 0;
  std::uint64_t hard_bytes = 0;         ///< 0: no limit. Beyond it the SA passes nothing
  std::uint64_t hard_packets = 0;
};

/// What tunnel tells ike about an SA pair; carried by the daemon.
enum class ChildEvent : std::uint8_t {
  first_inbound,   ///< the first packet whose ICV holds came in: the peer uses the new SA (RFC 7296 §2.8)
  soft_limit,      ///< rekey, please
  hard_limit,      ///< dead: bytes, packets or sequence numbers are used up
};

/// Counters of an SA pair at one moment.
struct ChildTraffic {
  std::uint64_t inbound_packets = 0, inbound_bytes = 0;    ///< inner packets and bytes, ICV held
  std::uint64_t outbound_packets = 0, outbound_bytes = 0;
};

}  // namespace culvert
