// NAT detection. Key derivation is held to published and to strongSwan's answers in tests/vectors/ikev2_kdf.cpp and
// ikev2_strongswan.cpp.
#include "keymat.h"

#include <doctest/doctest.h>

#include "vectors/hex.h"

namespace culvert::ike {
namespace {

using test::to_hex;

TEST_CASE("a NAT detection hash is SHA-1(SPIi | SPIr | IP | port)") {
  // printf '1122334455667788 0000000000000000 c0000201 01f4' | xxd -r -p | sha1sum, and the same with 2001:db8::1 and
  // 4500
  CHECK(to_hex(nat_detection_hash(IkeSpi(0x1122334455667788), IkeSpi(0), {*IpAddress::parse("192.0.2.1"), 500})) ==
        "77273b31d6ed8389ee69c66f0c7f2037f0a982eb");
  CHECK(to_hex(nat_detection_hash(IkeSpi(0x1122334455667788), IkeSpi(0x99aabbccddeeff00),
                                  {*IpAddress::parse("2001:db8::1"), 4500})) ==
        "140f95d36ae0c893c11f39d9eb6bb012d7d333fb");
}

}  // namespace
}  // namespace culvert::ike
