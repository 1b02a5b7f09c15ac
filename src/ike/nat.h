#pragma once
#include <span>
#include <vector>

#include "culvert/crypto/random.h"
#include "culvert/ike/endpoint.h"
#include "message.h"

namespace culvert::ike {

/// What NAT detection (RFC 7296 §2.23) of one IKE_SA_INIT found.
struct NatStatus {
  bool supported = false;  ///< the peer sent NAT_DETECTION payloads: it can float to 4500
  bool local = false;      ///< we are behind a NAT
  bool remote = false;     ///< the peer is, or says so
  bool announced = false;  ///< we said that we are, to get UDP encapsulation

  [[nodiscard]] bool needs_udp() const noexcept { return supported && (local || remote || announced); }
};

/// NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP for a message that leaves by `path`. `announce`: the source
/// hash is random and thus matches nothing, which makes the peer believe in a NAT on our side.
[[nodiscard]] std::vector<Payload> nat_payloads(IkeSpi spi_i, IkeSpi spi_r, const Path& path, bool announce,
                                                crypto::RandomSource& random);

/// Reads those of a message that came in by `path`; `announced` is left false.
[[nodiscard]] NatStatus read_nat(std::span<const Payload> payloads, IkeSpi spi_i, IkeSpi spi_r, const Path& path);

}  // namespace culvert::ike
