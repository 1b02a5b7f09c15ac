// Stateless cookies: RFC 7296 §2.6.
#include "cookie.h"

#include <doctest/doctest.h>

#include "culvert/crypto/prf.h"

namespace culvert::ike {
namespace {

using std::chrono::seconds;

/// Counts up, so that a test knows the secrets.
struct Counting final : crypto::RandomSource {
  void fill(MutableByteView out) override {
    for (std::uint8_t& byte : out) byte = next++;
  }
  std::uint8_t next = 0;
};

const Bytes ni(32, 0x11);
const IpAddress address = *IpAddress::parse("192.0.2.1");
const IkeSpi spi(0x1122334455667788);
const TimePoint start{};

TEST_CASE("a cookie that was made is good, and has a legal length") {
  CookieJar jar;
  const Bytes cookie = jar.make(start, ni, address, spi);
  CHECK(cookie.size() == 33);  // 1…64
  CHECK(jar.check(start, cookie, ni, address, spi));
}

TEST_CASE("a cookie is bound to the nonce, the address and the SPI") {
  CookieJar jar;
  const Bytes cookie = jar.make(start, ni, address, spi);
  CHECK_FALSE(jar.check(start, cookie, Bytes(32, 0x12), address, spi));
  CHECK_FALSE(jar.check(start, cookie, Bytes(31, 0x11), address, spi));
  CHECK_FALSE(jar.check(start, cookie, ni, *IpAddress::parse("192.0.2.2"), spi));
  CHECK_FALSE(jar.check(start, cookie, ni, *IpAddress::parse("c000:201::"), spi));
  CHECK_FALSE(jar.check(start, cookie, ni, address, IkeSpi(1)));
}

TEST_CASE("no bit of a cookie can change, nor its length") {
  CookieJar jar;
  const Bytes cookie = jar.make(start, ni, address, spi);
  for (std::size_t bit = 0; bit < cookie.size() * 8; ++bit) {
    Bytes changed = cookie;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    CHECK_FALSE(jar.check(start, changed, ni, address, spi));
  }
  for (std::size_t len = 0; len < cookie.size(); ++len)
    CHECK_FALSE(jar.check(start, ByteView(cookie).first(len), ni, address, spi));
  Bytes longer = cookie;
  longer.push_back(0);
  CHECK_FALSE(jar.check(start, longer, ni, address, spi));
  CHECK_FALSE(jar.check(start, Bytes(33), ni, address, spi));
}

TEST_CASE("a jar that never made a cookie accepts none") {
  CookieJar jar;
  CHECK_FALSE(jar.check(start, Bytes(33), ni, address, spi));
  CHECK_FALSE(jar.check(start, {}, ni, address, spi));
}

TEST_CASE("another jar's cookie is worth nothing") {
  CookieJar one, other;
  CHECK_FALSE(other.check(start, one.make(start, ni, address, spi), ni, address, spi));
}

TEST_CASE("a cookie survives one change of the secret, and not two") {
  CookieJar jar(crypto::system_random(), seconds(60));
  const Bytes cookie = jar.make(start, ni, address, spi);
  CHECK(jar.check(start + seconds(59), cookie, ni, address, spi));
  CHECK(jar.check(start + seconds(60), cookie, ni, address, spi));
  CHECK(jar.make(start + seconds(61), ni, address, spi) != cookie);
  CHECK(jar.check(start + seconds(119), cookie, ni, address, spi));
  CHECK_FALSE(jar.check(start + seconds(121), cookie, ni, address, spi));
}

TEST_CASE("the version of a cookie of the secret before cannot change either") {
  CookieJar jar(crypto::system_random(), seconds(60));
  const Bytes cookie = jar.make(start, ni, address, spi);
  REQUIRE(jar.check(start + seconds(60), cookie, ni, address, spi));
  for (unsigned version = 0; version < 256; ++version) {
    Bytes changed = cookie;
    changed[0] = static_cast<std::uint8_t>(version);
    CHECK(jar.check(start + seconds(60), changed, ni, address, spi) == (version == cookie[0]));
  }
}

TEST_CASE("after a long silence an old cookie is worth nothing") {
  CookieJar jar(crypto::system_random(), seconds(60));
  const Bytes cookie = jar.make(start, ni, address, spi);
  CHECK_FALSE(jar.check(start + seconds(3600), cookie, ni, address, spi));
}

TEST_CASE("the version goes round after 256 secrets without making an old cookie good") {
  CookieJar jar(crypto::system_random(), seconds(60));
  const Bytes cookie = jar.make(start, ni, address, spi);
  Bytes other;
  for (int i = 1; i <= 256; ++i) other = jar.make(start + seconds(60 * i), ni, address, spi);
  CHECK(other[0] == cookie[0]);
  CHECK_FALSE(jar.check(start + seconds(60 * 256), cookie, ni, address, spi));
  CHECK(jar.check(start + seconds(60 * 256), other, ni, address, spi));
}

TEST_CASE("the content is an HMAC-SHA-256 under the secret of that version") {
  Counting random;
  CookieJar jar(random, seconds(60));
  const Bytes cookie = jar.make(start, ni, address, spi);
  Bytes secret(32);
  for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::uint8_t>(i);
  const Bytes input{4, 192, 0, 2, 1, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
  const Secret expected = crypto::prf(crypto::Prf::hmac_sha2_256, secret, {input, ni});
  CHECK(expected.equals(ByteView(cookie).subspan(1)));
}

}  // namespace
}  // namespace culvert::ike
