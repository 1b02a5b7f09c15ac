#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/child_sa.h"
#include "culvert/crypto/aead.h"

namespace culvert::lab {

/// The whole of a ping: an echo request or reply (RFC 792, RFC 4443 §4) between two addresses.
struct Echo {
  IpAddress source, destination;
  bool is_reply = false;
  std::uint16_t id = 0;

  [[nodiscard]] Bytes packet() const;  ///< an IPv4 or IPv6 packet
  /// nullopt: something else.
  [[nodiscard]] static std::optional<Echo> parse(ByteView packet);
};

/// A pair of ESP SAs as RFC 4303 and RFC 4106 describe it: one packet at a time, no window, no limits. AES-GCM without
/// ESN only.
class EspPair {
 public:
  explicit EspPair(const ChildSaKeys& keys);

  [[nodiscard]] Spi inbound_spi() const noexcept { return inbound_spi_; }
  [[nodiscard]] Bytes seal(ByteView packet);
  /// The packet inside; nullopt: the ICV does not hold, or what is in it is broken.
  [[nodiscard]] std::optional<Bytes> open(ByteView esp) const;

 private:
  Spi inbound_spi_, outbound_spi_;
  std::unique_ptr<crypto::AeadKey> inbound_, outbound_;
  std::uint32_t sequence_ = 0;
};

}  // namespace culvert::lab
