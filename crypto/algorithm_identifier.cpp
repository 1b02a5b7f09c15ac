#include "algorithm_identifier.h"

#include <algorithm>
#include <array>

#include "der_reader.h"

namespace culvert::crypto {
namespace {

struct SignatureOid {
  std::string_view oid;
  SignatureScheme scheme;
};

struct HashOid {
  std::string_view oid;
  HashAlgorithm hash;
};

using namespace std::string_view_literals;

// RFC 8017 appendix A.2.4: 1.2.840.113549.1.1.{11,12,13}; RFC 5758 §3.2: 1.2.840.10045.4.3.{2,3,4}; RFC 8410
// §3: 1.3.101.112.
constexpr std::array<SignatureOid, 7> signature_oids{{
    {"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"sv, {SignatureAlgorithm::rsa_pkcs1, HashAlgorithm::sha2_256}},
    {"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"sv, {SignatureAlgorithm::rsa_pkcs1, HashAlgorithm::sha2_384}},
    {"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"sv, {SignatureAlgorithm::rsa_pkcs1, HashAlgorithm::sha2_512}},
    {"\x2a\x86\x48\xce\x3d\x04\x03\x02"sv, {SignatureAlgorithm::ecdsa, HashAlgorithm::sha2_256}},
    {"\x2a\x86\x48\xce\x3d\x04\x03\x03"sv, {SignatureAlgorithm::ecdsa, HashAlgorithm::sha2_384}},
    {"\x2a\x86\x48\xce\x3d\x04\x03\x04"sv, {SignatureAlgorithm::ecdsa, HashAlgorithm::sha2_512}},
    {"\x2b\x65\x70"sv, {SignatureAlgorithm::ed25519, HashAlgorithm::identity}},
}};

constexpr std::string_view pss_oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"sv;   // RFC 4055 §3.1
constexpr std::string_view mgf1_oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"sv;  // RFC 4055 §2.2

// RFC 4055 §2.1: 2.16.840.1.101.3.4.2.{1,2,3}
constexpr std::array<HashOid, 3> hash_oids{{
    {"\x60\x86\x48\x01\x65\x03\x04\x02\x01"sv, HashAlgorithm::sha2_256},
    {"\x60\x86\x48\x01\x65\x03\x04\x02\x02"sv, HashAlgorithm::sha2_384},
    {"\x60\x86\x48\x01\x65\x03\x04\x02\x03"sv, HashAlgorithm::sha2_512},
}};

constexpr int default_salt_len = 20;  // RFC 4055 §3.1
constexpr int max_salt_len = 512;

Bytes element(std::uint8_t tag, std::initializer_list<ByteView> contents) {
  Bytes der{tag, 0};
  for (const ByteView content : contents) append(der, content);
  der[1] = static_cast<std::uint8_t>(der.size() - 2);  // all that is built here is shorter than 128 bytes
  return der;
}

Bytes algorithm(std::string_view oid, ByteView parameters) {
  const Bytes oid_element = element(DerReader::object_identifier, {as_bytes(oid)});
  return element(DerReader::sequence, {oid_element, parameters});
}

const Bytes null_element{DerReader::null, 0};

// RSASSA-PSS-params ::= SEQUENCE {
//   hashAlgorithm [0] HashAlgorithm DEFAULT sha1, maskGenAlgorithm [1] MaskGenAlgorithm DEFAULT mgf1SHA1,
//   saltLength [2] INTEGER DEFAULT 20, trailerField [3] INTEGER DEFAULT 1 }
Bytes encode_pss_parameters(HashAlgorithm hash) {
  const auto row = std::ranges::find(hash_oids, hash, &HashOid::hash);
  if (row == hash_oids.end()) return {};
  const Bytes hash_id = algorithm(row->oid, null_element);
  const Bytes salt = element(DerReader::integer, {Bytes{static_cast<std::uint8_t>(hash_len(hash))}});
  return element(DerReader::sequence, {element(DerReader::context(0), {hash_id}),
                                       element(DerReader::context(1), {algorithm(mgf1_oid, hash_id)}),
                                       element(DerReader::context(2), {salt})});
}

struct Algorithm {
  std::string_view oid;
  ByteView parameters;
};

/// The inside of an AlgorithmIdentifier.
std::optional<Algorithm> split(ByteView content) {
  DerReader reader(content);
  const auto oid = reader.take(DerReader::object_identifier);
  if (!oid) return std::nullopt;
  return Algorithm{as_text(*oid), reader.rest()};
}

bool is_null_or_absent(ByteView parameters) {
  return parameters.empty() || std::ranges::equal(parameters, null_element);
}

std::unexpected<Error> malformed(std::string why) {
  return fail(Errc::malformed, "signature algorithm: " + std::move(why));
}

std::unexpected<Error> unsupported(std::string why) {
  return fail(Errc::unsupported, "signature algorithm: " + std::move(why));
}

Result<HashAlgorithm> parse_hash(ByteView content) {
  const auto hash = split(content);
  if (!hash) return malformed("RSA-PSS hash is no AlgorithmIdentifier");
  const auto row = std::ranges::find(hash_oids, hash->oid, &HashOid::oid);
  if (row == hash_oids.end()) return unsupported("RSA-PSS with a hash other than SHA2-256, -384 or -512");
  // RFC 4055 §2.1: NULL and absent both have to be accepted.
  if (!is_null_or_absent(hash->parameters)) return malformed("RSA-PSS hash with parameters");
  return row->hash;
}

/// The one element of [n] EXPLICIT, a SEQUENCE. nullopt inside: [n] is absent.
Result<std::optional<ByteView>> take_explicit_sequence(DerReader& reader, unsigned n) {
  const auto outer = reader.take(DerReader::context(n));
  if (!outer) return std::nullopt;
  DerReader inner(*outer);
  const auto content = inner.take(DerReader::sequence);
  if (!content || !inner.empty()) return malformed("RSA-PSS parameter " + std::to_string(n));
  return content;
}

/// [n] EXPLICIT INTEGER of 0 to max_salt_len; `absent` when it is not there.
Result<int> take_explicit_integer(DerReader& reader, unsigned n, int absent) {
  const auto outer = reader.take(DerReader::context(n));
  if (!outer) return absent;
  DerReader inner(*outer);
  const auto content = inner.take(DerReader::integer);
  const bool shortest = content && !content->empty() && ((*content)[0] & 0x80) == 0 &&
                        !(content->size() > 1 && (*content)[0] == 0 && ((*content)[1] & 0x80) == 0);
  if (!shortest || !inner.empty() || content->size() > 2) return malformed("RSA-PSS parameter " + std::to_string(n));
  int value = 0;
  for (const std::uint8_t byte : *content) value = value << 8 | byte;
  if (value > max_salt_len) return malformed("RSA-PSS salt length " + std::to_string(value));
  return value;
}

Result<HashAlgorithm> parse_mask_generation(ByteView content) {
  const auto mgf = split(content);
  if (!mgf || mgf->oid != mgf1_oid) return unsupported("RSA-PSS mask generation function other than MGF1");
  DerReader parameters(mgf->parameters);
  const auto hash = parameters.take(DerReader::sequence);
  if (!hash || !parameters.empty()) return malformed("RSA-PSS MGF1 without its hash");
  return parse_hash(*hash);
}

Result<SignatureParameters> parse_pss(ByteView parameters) {
  // RFC 8247 §4.2: empty and default parameters mean SHA-1, which MUST NOT be used.
  if (parameters.empty()) return unsupported("RSA-PSS with empty parameters (SHA-1)");
  DerReader outer(parameters);
  const auto content = outer.take(DerReader::sequence);
  if (!content || !outer.empty()) return malformed("RSA-PSS parameters");
  DerReader reader(*content);
  const auto hash_content = take_explicit_sequence(reader, 0);
  if (!hash_content) return std::unexpected(hash_content.error());
  const auto mgf_content = take_explicit_sequence(reader, 1);
  if (!mgf_content) return std::unexpected(mgf_content.error());
  const auto salt_len = take_explicit_integer(reader, 2, default_salt_len);
  if (!salt_len) return std::unexpected(salt_len.error());
  // Its default may be left out or, as RFC 7427 appendix A.4.3 has it, written.
  const auto trailer = take_explicit_integer(reader, 3, 1);
  if (!trailer) return std::unexpected(trailer.error());
  if (*trailer != 1 || !reader.empty()) return malformed("RSA-PSS trailer field");

  if (!*hash_content || !*mgf_content) return unsupported("RSA-PSS with the default hash (SHA-1)");
  const auto hash = parse_hash(**hash_content);
  if (!hash) return std::unexpected(hash.error());
  const auto mgf_hash = parse_mask_generation(**mgf_content);
  if (!mgf_hash) return std::unexpected(mgf_hash.error());
  if (*hash != *mgf_hash) return unsupported("RSA-PSS with one hash and MGF1 with another");
  return SignatureParameters{{SignatureAlgorithm::rsa_pss, *hash}, *salt_len};
}

}  // namespace

int hash_len(HashAlgorithm hash) noexcept {
  switch (hash) {
    case HashAlgorithm::sha1:
      return 20;
    case HashAlgorithm::sha2_256:
      return 32;
    case HashAlgorithm::sha2_384:
      return 48;
    case HashAlgorithm::sha2_512:
      return 64;
    case HashAlgorithm::identity:
      return 0;
  }
  return 0;
}

Bytes encode_algorithm_identifier(SignatureScheme scheme) {
  if (scheme.algorithm == SignatureAlgorithm::rsa_pss) {
    const Bytes parameters = encode_pss_parameters(scheme.hash);
    return parameters.empty() ? Bytes() : algorithm(pss_oid, parameters);
  }
  const auto row = std::ranges::find(signature_oids, scheme, &SignatureOid::scheme);
  if (row == signature_oids.end()) return {};
  return algorithm(row->oid, scheme.algorithm == SignatureAlgorithm::rsa_pkcs1 ? ByteView(null_element) : ByteView());
}

Result<SignatureParameters> parse_algorithm_identifier(ByteView der) {
  DerReader outer(der);
  const auto content = outer.take(DerReader::sequence);
  if (!content || !outer.empty()) return malformed("not an AlgorithmIdentifier in DER");
  const auto parts = split(*content);
  if (!parts) return malformed("no object identifier");
  if (parts->oid == pss_oid) return parse_pss(parts->parameters);
  const auto row = std::ranges::find(signature_oids, parts->oid, &SignatureOid::oid);
  if (row == signature_oids.end()) return unsupported("not one of RSA, ECDSA and Ed25519 with SHA2");
  // RFC 4055 §5: NULL, and absent has to be accepted too. RFC 5758 §3.2, RFC 8410 §3: absent.
  const bool may_be_null = row->scheme.algorithm == SignatureAlgorithm::rsa_pkcs1;
  if (may_be_null ? !is_null_or_absent(parts->parameters) : !parts->parameters.empty())
    return malformed("parameters where there are none");
  return SignatureParameters{row->scheme, 0};
}

}  // namespace culvert::crypto
