#include "cookie.h"

#include <array>

#include "culvert/crypto/prf.h"

namespace culvert::ike {
namespace {

constexpr std::size_t secret_len = 32, mac_len = 32;

Secret mac(const Secret& secret, ByteView ni, const IpAddress& address, IkeSpi spi_i) {
  std::array<std::uint8_t, 8> spi{};
  store_be(spi.data(), spi_i.value());
  // The family in front keeps a nonce's tail and an address from being read as each other.
  const std::array<std::uint8_t, 1> family{static_cast<std::uint8_t>(address.family())};
  return crypto::prf(crypto::Prf::hmac_sha2_256, secret.view(), {family, address.bytes(), spi, ni});
}

}  // namespace

CookieJar::CookieJar(crypto::RandomSource& random, Duration rotation) : random_(random), rotation_(rotation) {}

void CookieJar::renew(TimePoint now) {
  current_.version = static_cast<std::uint8_t>(current_.version + 1);
  current_.secret = Secret(secret_len);
  random_.fill(current_.secret.mutable_view());
  made_ = now;
}

void CookieJar::rotate(TimePoint now) {
  if (current_.secret.empty()) return renew(now);
  const Duration age = now - made_;
  if (age < rotation_) return;
  if (age < 2 * rotation_) {
    previous_.version = current_.version;
    previous_.secret = std::move(current_.secret);
  } else {
    previous_.secret.wipe();
  }
  renew(now);
}

Bytes CookieJar::make(TimePoint now, ByteView ni, const IpAddress& address, IkeSpi spi_i) {
  rotate(now);
  const Secret content = mac(current_.secret, ni, address, spi_i);
  Bytes cookie{current_.version};
  append(cookie, content.view());
  return cookie;
}

bool CookieJar::check(TimePoint now, ByteView cookie, ByteView ni, const IpAddress& address, IkeSpi spi_i) {
  rotate(now);
  if (cookie.size() != 1 + mac_len) return false;
  const Key& key = cookie[0] == current_.version ? current_ : previous_;
  if (key.secret.empty() || key.version != cookie[0]) return false;
  return mac(key.secret, ni, address, spi_i).equals(cookie.subspan(1));
}

}  // namespace culvert::ike
