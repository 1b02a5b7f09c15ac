// Published signatures, as AUTH payloads carry them: NIST CAVP's ECDSA and RSA (FIPS 186-3) and the Ed25519 file of
// ed25519.cr.yp.to, which RFC 8032 §7.1 draws from; from python3-cryptography-vectors.
#include <doctest/doctest.h>

#include <array>
#include <fstream>
#include <map>

#include "algorithm_identifier.h"
#include "culvert/crypto/public_key.h"
#include "hex.h"
#include "vector_file.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

struct Curve {
  std::string_view name;
  std::string_view spki_head;  // RFC 5480 §2: algorithm, curve and the first byte of an uncompressed point
  std::size_t len;             // of a coordinate
  AuthMethod method;
  HashAlgorithm method_hash;
};

constexpr std::array<Curve, 3> curves{{
    {"p-256", "3059301306072a8648ce3d020106082a8648ce3d03010703420004", 32, AuthMethod::ecdsa_p256,
     HashAlgorithm::sha2_256},
    {"p-384", "3076301006072a8648ce3d020106052b8104002203620004", 48, AuthMethod::ecdsa_p384, HashAlgorithm::sha2_384},
    {"p-521",
     "30819b301006072a8648ce3d020106052b81040023038186"
     "0004",
     66, AuthMethod::ecdsa_p521, HashAlgorithm::sha2_512},
}};

std::optional<HashAlgorithm> hash_of(std::string_view name) {
  if (name.ends_with("256")) return HashAlgorithm::sha2_256;
  if (name.ends_with("384")) return HashAlgorithm::sha2_384;
  if (name.ends_with("512")) return HashAlgorithm::sha2_512;
  return std::nullopt;
}

/// Number as hex in exactly `len` bytes.
Bytes padded(std::string digits, std::size_t len) {
  if (digits.size() < 2 * len) digits.insert(0, 2 * len - digits.size(), '0');
  return hex(std::string_view(digits).substr(digits.size() - 2 * len));
}

Bytes joined(const Bytes& a, const Bytes& b) {
  Bytes both = a;
  append(both, b);
  return both;
}

Bytes der(std::uint8_t tag, const Bytes& content) {
  Bytes bytes{tag};
  if (content.size() >= 256) {
    bytes.insert(bytes.end(), {0x82, static_cast<std::uint8_t>(content.size() >> 8)});
  } else if (content.size() >= 128) {
    bytes.push_back(0x81);
  }
  bytes.push_back(static_cast<std::uint8_t>(content.size()));
  return joined(bytes, content);
}

Bytes der_integer(Bytes number) {
  while (number.size() > 1 && number[0] == 0 && number[1] < 0x80) number.erase(number.begin());
  if (number[0] >= 0x80) number.insert(number.begin(), 0);
  return der(0x02, number);
}

Bytes auth_data(const Bytes& algorithm, const Bytes& signature) {
  return joined(joined({static_cast<std::uint8_t>(algorithm.size())}, algorithm), signature);
}

struct RsaCase {
  std::string modulus;
  std::map<std::string, std::string> fields;
};

/// The modulus stands once for several cases, in front of them; a case ends with its Result.
std::vector<RsaCase> read_rsa(const std::string& file) {
  std::ifstream in(cryptography_vectors() / "asymmetric/RSA/FIPS_186-2" / file);
  REQUIRE(in);
  std::vector<RsaCase> cases;
  RsaCase next;
  for (std::string line; std::getline(in, line);) {
    const std::size_t equals = line.find(" = ");
    if (equals == std::string::npos || line[0] == '[' || line[0] == '#') continue;
    std::string value = line.substr(equals + 3);
    while (!value.empty() && (value.back() == '\r' || value.back() == ' ')) value.pop_back();
    const std::string name = line.substr(0, equals);
    if (name == "n") next.modulus = value;
    next.fields[name] = value;
    if (name == "Result") cases.push_back(next);
  }
  return cases;
}

struct Tally {
  int accepted = 0;
  int refused = 0;
  int weak_keys = 0;
};

/// `salt_len`: of RSA-PSS, or -1 for PKCS#1 v1.5.
Tally check_rsa(const std::string& file, int salt_len) {
  Tally tally;
  for (const RsaCase& test : read_rsa(file)) {
    const auto hash = hash_of(test.fields.at("SHAAlg"));
    if (!hash || test.fields.at("SHAAlg") == "SHA224") continue;
    const Bytes pair = joined(der_integer(hex(test.modulus)), der_integer(hex(test.fields.at("e"))));
    const Bytes bits = joined({0}, der(0x30, pair));
    const auto key = PublicKey::from_spki(der(0x30, joined(hex("300d06092a864886f70d0101010500"), der(0x03, bits))));
    if (!key) {
      CHECK(key.error().code == Errc::invalid);
      ++tally.weak_keys;
      continue;
    }
    Bytes algorithm = encode_algorithm_identifier(
        {salt_len < 0 ? SignatureAlgorithm::rsa_pkcs1 : SignatureAlgorithm::rsa_pss, *hash});
    if (salt_len >= 0) algorithm.back() = static_cast<std::uint8_t>(salt_len);
    const bool held = key->verify_digital_signature(auth_data(algorithm, hex(test.fields.at("S"))),
                                                    hex(test.fields.at("Msg")), HashSet::ours())
                          .has_value();
    CHECK(held == test.fields.at("Result").starts_with("P"));
    ++(held ? tally.accepted : tally.refused);
  }
  return tally;
}

}  // namespace

TEST_CASE("NIST's ECDSA signatures on P-256, P-384 and P-521 hold or fail as NIST says, in DER and as r | s") {
  int num_checked = 0;
  for (const VectorCase& test : read_vectors("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "msg")) {
    const std::string section = test.section.begin()->first;  // "P-256,SHA-256"
    for (const Curve& curve : curves) {
      std::string small = section;
      for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      const auto hash = hash_of(small);
      if (!small.starts_with(curve.name) || !hash) continue;
      Bytes spki = hex(curve.spki_head);
      append(spki, padded(test.text("qx"), curve.len));
      append(spki, padded(test.text("qy"), curve.len));
      const bool expected = test.text("result").starts_with("P");
      const auto key = PublicKey::from_spki(spki);
      if (!key) {
        CHECK(!expected);  // "Q changed": no point of the curve any more
        continue;
      }
      const Bytes r = padded(test.text("r"), curve.len);
      const Bytes s = padded(test.text("s"), curve.len);
      const Bytes value = der(0x30, joined(der_integer(r), der_integer(s)));
      const Bytes auth = auth_data(encode_algorithm_identifier({SignatureAlgorithm::ecdsa, *hash}), value);
      CHECK(key->verify_digital_signature(auth, test.bytes("msg"), HashSet::ours()).has_value() == expected);
      if (*hash == curve.method_hash)
        CHECK(key->verify_classic(curve.method, joined(r, s), test.bytes("msg")).has_value() == expected);
      ++num_checked;
    }
  }
  CHECK(num_checked > 100);
}

TEST_CASE("NIST's RSA signatures hold or fail as NIST says, and keys with e of 3 or 17 or too few bits are refused") {
  const Tally pkcs1 = check_rsa("SigVer15_186-3.rsp", -1);
  CHECK(pkcs1.accepted > 0);
  CHECK(pkcs1.refused > 0);
  CHECK(pkcs1.weak_keys > 0);
  const Tally pss = check_rsa("SigVerPSS_186-3.rsp", 10);
  CHECK(pss.accepted > 0);
  CHECK(pss.refused > 0);
  CHECK(pss.weak_keys > 0);
}

// secret | public : public : message : signature | message
TEST_CASE("the 1024 Ed25519 signatures of ed25519.cr.yp.to hold, and fail with a bit changed") {
  std::ifstream in(cryptography_vectors() / "asymmetric/Ed25519/sign.input");
  REQUIRE(in);
  const Bytes algorithm = encode_algorithm_identifier({SignatureAlgorithm::ed25519, HashAlgorithm::identity});
  int num_checked = 0;
  for (std::string line; std::getline(in, line); ++num_checked) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    const std::size_t third = line.find(':', second + 1);
    const Bytes message = hex(std::string_view(line).substr(second + 1, third - second - 1));
    const auto key = PublicKey::from_spki(hex("302a300506032b6570032100" + line.substr(first + 1, 64)));
    REQUIRE(key);
    Bytes auth = auth_data(algorithm, hex(std::string_view(line).substr(third + 1, 128)));
    CHECK(key->verify_digital_signature(auth, message, HashSet::ours()));
    auth.back() ^= 1;
    CHECK(!key->verify_digital_signature(auth, message, HashSet::ours()));
  }
  CHECK(num_checked == 1024);
}
