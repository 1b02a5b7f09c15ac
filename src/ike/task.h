#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "child.h"
#include "culvert/base/ids.h"
#include "culvert/base/time.h"
#include "culvert/crypto/key_exchange.h"

namespace culvert::ike {

/// Something that an association wants to ask its peer, as soon as the one request that may be under way leaves room. A
/// value.
struct Task {
  enum class Kind : std::uint8_t {
    create_child,
    rekey_child,  ///< `spi`: inbound SPI of the old one
    rekey_ike,
    delete_child,        ///< `spi`: inbound SPI, also of one that only the peer may have
    probe,               ///< liveness check (RFC 7296 §2.4)
    probe_path,          ///< does a packet of `size` bytes reach the peer? (path_probe.cpp)
    redirect,            ///< send the peer to another gateway (RFC 5685 §5)
    announce_token,      ///< QCD_TOKEN of an IKE SA that our rekey has made (RFC 6290 §4.4)
    update_addresses,    ///< MOBIKE: the peer learns where we are now (RFC 4555 §3.5)
    announce_addresses,  ///< …by which other addresses we can be reached (§3.6)
    check_address,       ///< …can the peer be reached where it says to be? (§3.7)
    test_path,           ///< …is a path that we would prefer usable again? (§3.10)
    complain,            ///< INVALID_MESSAGE_ID (RFC 7296 §2.3) about `message_id`
  };
  Kind kind = Kind::probe;
  const ChildConfig* config = nullptr;  ///< create_child
  Spi spi;
  TimePoint not_before{};
  int attempts = 0;                                     ///< that ended in TEMPORARY_FAILURE
  int ke_retries = 0;                                   ///< that ended in INVALID_KE_PAYLOAD
  std::optional<crypto::KeMethod> ke;                   ///< what INVALID_KE_PAYLOAD asked for
  std::shared_ptr<const crypto::KeyExchange> prepared;  ///< our key pair for it, once it has been made
  std::optional<Trigger> trigger;
  std::uint32_t message_id = 0;
  std::uint16_t size = 0;  ///< probe_path: bytes of IP

  /// Two tasks that would ask for the same.
  [[nodiscard]] bool same(const Task& other) const noexcept {
    return kind == other.kind && config == other.config && spi == other.spi;
  }
};

}  // namespace culvert::ike
