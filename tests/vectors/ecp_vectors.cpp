// ECP groups: RFC 5903 section 8, and NIST CAVP "ECC CDH Primitive" (CAVS 11.0, in Debian's
// python3-cryptography-vectors), whose files also hold public keys that are not on the curve.
#include <doctest/doctest.h>

#include "culvert/crypto/key_exchange.h"
#include "vectors/hex.h"
#include "vectors/vector_file.h"

using namespace culvert;
using namespace culvert::test;
using crypto::KeMethod;
using crypto::KeyExchange;

namespace {

struct Rfc5903 {
  KeMethod method;
  std::string_view i, gi, r, gr, girx;  // gi and gr are x | y
};

void check(const Rfc5903& answer) {
  const auto initiator = KeyExchange::from_private(answer.method, hex(answer.i));
  const auto responder = KeyExchange::from_private(answer.method, hex(answer.r));
  REQUIRE(initiator);
  REQUIRE(responder);
  CHECK((*initiator)->public_value().size() == crypto::public_value_len(answer.method));
  CHECK(to_hex((*initiator)->public_value()) == to_hex(hex(answer.gi)));
  CHECK(to_hex((*responder)->public_value()) == to_hex(hex(answer.gr)));
  CHECK(to_hex((*initiator)->shared_secret(hex(answer.gr))->view()) == to_hex(hex(answer.girx)));
  CHECK(to_hex((*responder)->shared_secret(hex(answer.gi))->view()) == to_hex(hex(answer.girx)));
}

// The files write numbers without leading zeros.
Bytes field_element(const VectorCase& vector, const std::string& name, std::size_t len) {
  std::string text = vector.text(name);
  if (text.size() % 2 != 0) text.insert(text.begin(), '0');
  Bytes value = hex(text);
  while (value.size() > len && value.front() == 0) value.erase(value.begin());
  value.insert(value.begin(), len - std::min(len, value.size()), 0);
  return value;
}

struct CavpCounts {
  int num_agreed = 0, num_refused = 0, num_other = 0;
};

CavpCounts run_cavp(const std::string& role, const std::string& section, KeMethod method) {
  CavpCounts counts;
  const std::size_t len = crypto::public_value_len(method) / 2;
  for (const VectorCase& vector :
       read_vectors("asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_" + role + ".fax", "count")) {
    if (!vector.section.contains(section)) continue;
    CAPTURE(vector.line);
    const std::string& result = vector.text("result");
    const bool bad_peer = result.find("CAVS's Static public key") != std::string::npos;
    if (!result.starts_with("P") && !bad_peer) {
      ++counts.num_other;  // their own key or secret was changed: nothing that we could see
      continue;
    }
    const auto own = KeyExchange::from_private(method, field_element(vector, "dsiut", len));
    REQUIRE(own);
    Bytes peer = field_element(vector, "qscavsx", len);
    append(peer, field_element(vector, "qscavsy", len));
    const Result<Secret> shared =
        peer.size() == 2 * len ? (*own)->shared_secret(peer) : fail(Errc::invalid, "x or y too long");
    if (bad_peer) {
      REQUIRE(!shared);
      CHECK(shared.error().code == Errc::invalid);
      ++counts.num_refused;
    } else {
      REQUIRE(shared);
      CHECK(to_hex(shared->view()) == to_hex(field_element(vector, "z", len)));
      ++counts.num_agreed;
    }
  }
  return counts;
}

void run_cavp(const std::string& section, KeMethod method) {
  for (const std::string role : {"init", "resp"}) {
    const CavpCounts counts = run_cavp(role, section, method);
    CHECK(counts.num_agreed + counts.num_refused + counts.num_other == 30);
    CHECK(counts.num_agreed >= 15);
    CHECK(counts.num_refused >= 3);
  }
}

}  // namespace

TEST_CASE("ECP256 agrees with RFC 5903 section 8.1") {
  check({KeMethod::ecp256, "C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433",
         "DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180"
         "5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3",
         "C6EF9C5D 78AE012A 011164AC B397CE20 88685D8F 06BF9BE0 B283AB46 476BEE53",
         "D12DFB52 89C8D4F8 1208B702 70398C34 2296970A 0BCCB74C 736FC755 4494BF63"
         "56FBF3CA 366CC23E 8157854C 13C58D6A AC23F046 ADA30F83 53E74F33 039872AB",
         "D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE"});
}

TEST_CASE("ECP384 agrees with RFC 5903 section 8.2") {
  check(
      {KeMethod::ecp384,
       "099F3C70 34D4A2C6 99884D73 A375A67F 7624EF7C 6B3C0F16 0647B674 14DCE655 E35B5380 41E649EE 3FAEF896 783AB194",
       "667842D7 D180AC2C DE6F74F3 7551F557 55C7645C 20EF73E3 1634FE72 B4C55EE6 DE3AC808 ACB4BDB4 C88732AE E95F41AA"
       "9482ED1F C0EEB9CA FC498462 5CCFC23F 65032149 E0E144AD A0241815 35A0F38E EB9FCFF3 C2C947DA E69B4C63 4573A81C",
       "41CB0779 B4BDB85D 47846725 FBEC3C94 30FAB46C C8DC5060 855CC9BD A0AA2942 E0308312 916B8ED2 960E4BD5 5A7448FC",
       "E558DBEF 53EECDE3 D3FCCFC1 AEA08A89 A987475D 12FD950D 83CFA417 32BC509D 0D1AC43A 0336DEF9 6FDA41D0 774A3571"
       "DCFBEC7A ACF31964 72169E83 8430367F 66EEBE3C 6E70C416 DD5F0C68 759DD1FF F83FA401 42209DFF 5EAAD96D B9E6386C",
       "11187331 C279962D 93D60424 3FD592CB 9D0A926F 422E4718 7521287E 7156C5C4 D6031355 69B9E9D0 9CF5D4A2 70F59746"});
}

TEST_CASE("ECP521 agrees with RFC 5903 section 8.3") {
  check({KeMethod::ecp521,
         "0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A095AA85A30FE1C2952C6771D937BA9777F5957B2639BAB"
         "072462F68C27A57"
         "382D4A52",
         "0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBEE1E3BF42E00B8E380AEAE57C2D107564941885942AF5A"
         "7F4601723C4195D"
         "176CED3E"
         "017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10AD8A788015AC405D7799DC75E7B7D5B6CF2261A6A7F150"
         "7438BF01BEB6CA3"
         "926F9582",
         "0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA"
         "4A4EFFC311F5CB1"
         "51685EB9",
         "00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A219B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D04"
         "33CED2B61716400"
         "12D9460F"
         "015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87220B6536C5C408A1D2AEBB8E86D678AE49CB57091F473"
         "2296579AB44FCD1"
         "7F0FC56A",
         "01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3"
         "151F2BEE417996D"
         "19F3DDEA"});
}

TEST_CASE("ECP256 agrees with NIST's key agreements and refuses its bad public keys") {
  run_cavp("EC - SHA256", KeMethod::ecp256);
}
TEST_CASE("ECP384 agrees with NIST's key agreements and refuses its bad public keys") {
  run_cavp("ED - SHA384", KeMethod::ecp384);
}
TEST_CASE("ECP521 agrees with NIST's key agreements and refuses its bad public keys") {
  run_cavp("EE - SHA512", KeMethod::ecp521);
}
