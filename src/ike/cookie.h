#pragma once
#include <cstdint>

#include "culvert/base/bytes.h"
#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/secret.h"
#include "culvert/base/time.h"
#include "culvert/crypto/random.h"

namespace culvert::ike {

/// Stateless cookies of RFC 7296 §2.6: version of the secret | HMAC-SHA-256(secret, Ni | IPi | SPIi). The secret
/// changes each `rotation`, and the one before it still counts, so that a cookie lives for between one and two of them.
/// Owned by the endpoint, control thread; holds no state per peer.
class CookieJar {
 public:
  explicit CookieJar(crypto::RandomSource& random = crypto::system_random(),
                     Duration rotation = std::chrono::seconds(60));

  /// 33 bytes, the data of a COOKIE notify.
  [[nodiscard]] Bytes make(TimePoint now, ByteView ni, const IpAddress& address, IkeSpi spi_i);
  /// Constant time in the cookie's content.
  [[nodiscard]] bool check(TimePoint now, ByteView cookie, ByteView ni, const IpAddress& address, IkeSpi spi_i);

 private:
  struct Key {
    std::uint8_t version = 0;
    Secret secret;  ///< empty: not in use
  };
  void rotate(TimePoint now);
  void renew(TimePoint now);

  crypto::RandomSource& random_;
  Duration rotation_;
  TimePoint made_{};
  Key current_;
  Key previous_;
};

}  // namespace culvert::ike
