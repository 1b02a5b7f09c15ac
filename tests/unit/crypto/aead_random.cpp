// Every AEAD implementation against plain OpenSSL, packet by packet, on random batches. CULVERT_AEAD_CASES sets how
// many packets each implementation gets (default 6,000), CULVERT_AEAD_SEED the seed; a failure prints seed, batch and
// packet.
#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <random>
#include <vector>

#include "culvert/crypto/aead.h"
#include "vectors/aead_vectors.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

constexpr std::size_t max_len = 9000;
constexpr std::size_t max_batch = 64;
constexpr std::size_t num_keys = 24;
constexpr std::size_t guard_len = 64;  // bytes around each buffer that must not change
constexpr std::uint8_t guard = 0xc3;

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t bound) {
  return static_cast<std::size_t>(random() % bound);
}

Bytes random_bytes(Random& random, std::size_t len) {
  Bytes bytes(len + 8);
  for (std::size_t at = 0; at < len; at += 8) store_be<std::uint64_t>(bytes.data() + at, random());
  bytes.resize(len);
  return bytes;
}

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// ---- The reference: EVP as its manual page shows it, one context for each packet, nothing shared with the code under
// test.

struct ReferenceKey {
  CipherSuite suite{};
  AadLayout layout{};
  Bytes encryption, integrity;
};

const EVP_CIPHER* cipher_of(CipherSuite suite) {
  switch (suite) {
    case CipherSuite::aes_gcm_16_128:
      return EVP_aes_128_gcm();
    case CipherSuite::aes_gcm_16_256:
      return EVP_aes_256_gcm();
    case CipherSuite::chacha20_poly1305:
      return EVP_chacha20_poly1305();
    default:
      return info(suite).key_len == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
  }
}

const EVP_MD* digest_of(CipherSuite suite) {
  switch (info(suite).integrity_len) {
    case 32:
      return EVP_sha256();
    case 48:
      return EVP_sha384();
    default:
      return EVP_sha512();
  }
}

struct Sealed {
  Bytes text, icv;
};

Bytes reference_hmac(const ReferenceKey& key, ByteView aad, ByteView iv, ByteView ciphertext) {
  Bytes covered(aad.begin(), aad.end());
  Bytes high;
  if (key.layout == AadLayout::esn) {
    high.assign(aad.begin() + 4, aad.begin() + 8);
    covered.erase(covered.begin() + 4, covered.begin() + 8);
  }
  append(covered, iv);
  append(covered, ciphertext);
  append(covered, high);
  Bytes icv(EVP_MAX_MD_SIZE);
  HMAC(digest_of(key.suite), key.integrity.data(), static_cast<int>(key.integrity.size()), covered.data(),
       covered.size(), icv.data(), nullptr);
  icv.resize(info(key.suite).icv_len);
  return icv;
}

Sealed reference_seal(const ReferenceKey& key, ByteView aad, ByteView iv, ByteView plaintext) {
  const CipherSuiteInfo& sizes = info(key.suite);
  Bytes nonce(key.encryption.begin() + sizes.key_len, key.encryption.end());
  append(nonce, iv);
  Sealed sealed{Bytes(plaintext.size() + 16), Bytes(sizes.icv_len)};
  EVP_CIPHER_CTX* ctx = EVP_CIPHER_CTX_new();
  int written = 0, ok = EVP_EncryptInit_ex(ctx, cipher_of(key.suite), nullptr, key.encryption.data(), nonce.data());
  if (!sizes.is_aead) EVP_CIPHER_CTX_set_padding(ctx, 0);
  if (sizes.is_aead) ok &= EVP_EncryptUpdate(ctx, nullptr, &written, aad.data(), static_cast<int>(aad.size()));
  if (!plaintext.empty()) {
    ok &= EVP_EncryptUpdate(ctx, sealed.text.data(), &written, plaintext.data(), static_cast<int>(plaintext.size()));
  }
  Bytes rest(32);
  ok &= EVP_EncryptFinal_ex(ctx, rest.data(), &written);
  if (sizes.is_aead) ok &= EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, sealed.icv.data());
  EVP_CIPHER_CTX_free(ctx);
  REQUIRE(ok == 1);
  sealed.text.resize(plaintext.size());
  if (!sizes.is_aead) sealed.icv = reference_hmac(key, aad, iv, sealed.text);
  return sealed;
}

// ---- A packet with guarded buffers at random alignment.

struct Guarded {
  Bytes storage;
  std::size_t offset = 0, len = 0;

  Guarded(Random& random, std::size_t length)
      : storage(length + 2 * guard_len + 64, guard), offset(guard_len + below(random, 64)), len(length) {}
  std::uint8_t* data() { return storage.data() + offset; }
  void set(ByteView bytes) { std::copy(bytes.begin(), bytes.end(), data()); }
  [[nodiscard]] bool holds(ByteView bytes) const {
    return std::equal(bytes.begin(), bytes.end(), storage.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  [[nodiscard]] bool zero() const {
    return std::all_of(storage.begin() + static_cast<std::ptrdiff_t>(offset),
                       storage.begin() + static_cast<std::ptrdiff_t>(offset + len),
                       [](std::uint8_t byte) { return byte == 0; });
  }
  [[nodiscard]] bool guards_stand() const {
    const auto untouched = [](std::uint8_t byte) { return byte == guard; };
    return std::all_of(storage.begin(), storage.begin() + static_cast<std::ptrdiff_t>(offset), untouched) &&
           std::all_of(storage.begin() + static_cast<std::ptrdiff_t>(offset + len), storage.end(), untouched);
  }
};

std::size_t random_len(Random& random) {
  static constexpr std::array<std::size_t, 12> edges{0, 1, 15, 16, 17, 64, 127, 128, 256, 1408, 8192, max_len};
  std::size_t len = 0;
  switch (below(random, 4)) {
    case 0:
      len = below(random, 300);
      break;
    case 1:
      len = below(random, 1600);
      break;
    case 2:
      len = below(random, max_len + 1);
      break;
    default:
      len = edges[below(random, edges.size())];
      break;
  }
  return len;
}

// What the packets of a batch have in common, beside keys. Equal ones take a way of their own through the vector
// implementations, and so do those of at most 64 bytes.
struct BatchShape {
  static constexpr std::size_t small_len = 64;
  bool is_small = false;
  std::optional<std::size_t> len;
  bool in_pieces = true;  // may be

  explicit BatchShape(Random& random) : is_small(below(random, 3) == 0) {
    if (below(random, 4) != 0) return;
    len = is_small ? below(random, small_len + 1) : random_len(random);
    in_pieces = below(random, 4) == 0;
  }
  [[nodiscard]] std::size_t packet_len(Random& random, bool is_aead) const {
    const std::size_t wanted = len ? *len : is_small ? below(random, small_len + 1) : random_len(random);
    return is_aead ? wanted : wanted / 16 * 16;
  }
};

enum class Damage { none, icv, text, aad, iv };

struct Packet {
  const ReferenceKey& reference;
  const AeadKey& key;
  bool in_place;
  Bytes plaintext;
  std::size_t head_len = 0, tail_len = 0;  // sealed from pieces: these stand at dst, src has the body
  Guarded aad, iv, src, dst, icv;
  Damage damage = Damage::none;

  Packet(Random& random, const BatchShape& shape, const ReferenceKey& with, const AeadKey& made)
      : reference(with),
        key(made),
        in_place(random() % 2 == 0),
        plaintext(random_bytes(random, shape.packet_len(random, info(with.suite).is_aead))),
        aad(random, with.layout == AadLayout::esn ? 12 : 8),
        iv(random, info(with.suite).iv_len),
        src(random, plaintext.size()),
        dst(random, plaintext.size()),
        icv(random, info(with.suite).icv_len) {
    aad.set(random_bytes(random, aad.len));
    iv.set(random_bytes(random, iv.len));
    src.set(plaintext);
    if (!in_place && shape.in_pieces && below(random, 3) == 0) cut(random);
  }
  // Head and tail to dst, the body to the beginning of src.
  void cut(Random& random) {
    head_len = std::min(plaintext.size(), below(random, 140));
    tail_len = std::min(plaintext.size() - head_len, below(random, 40));
    dst.set(random_bytes(random, dst.len));
    dst.set(ByteView(plaintext).first(head_len));
    std::copy(plaintext.end() - static_cast<std::ptrdiff_t>(tail_len), plaintext.end(),
              dst.data() + dst.len - tail_len);
    src.set(random_bytes(random, src.len));
    src.set(ByteView(plaintext).subspan(head_len, plaintext.size() - head_len - tail_len));
  }
  Guarded& target() { return in_place ? src : dst; }
  AeadJob job() {
    return {.key = &key,
            .aad = aad.data(),
            .iv = iv.data(),
            .src = src.data(),
            .dst = target().data(),
            .icv = icv.data(),
            .aad_len = static_cast<std::uint32_t>(aad.len),
            .len = static_cast<std::uint32_t>(plaintext.size()),
            .head_len = static_cast<std::uint16_t>(head_len),
            .tail_len = static_cast<std::uint16_t>(tail_len)};
  }
  [[nodiscard]] bool guards_stand() const {
    return aad.guards_stand() && iv.guards_stand() && src.guards_stand() && dst.guards_stand() && icv.guards_stand();
  }
};

bool sealed_right(Packet& packet, const AeadJob& job) {
  const Sealed expected = reference_seal(packet.reference, {packet.aad.data(), packet.aad.len},
                                         {packet.iv.data(), packet.iv.len}, packet.plaintext);
  return job.ok && packet.target().holds(expected.text) && packet.icv.holds(expected.icv) && packet.guards_stand() &&
         (packet.in_place || packet.head_len + packet.tail_len > 0 || packet.src.holds(packet.plaintext));
}

// The sealed packet becomes what is opened; one in four is damaged by one bit somewhere.
void prepare_open(Packet& packet, Random& random) {
  packet.head_len = packet.tail_len = 0;
  if (!packet.in_place) {
    std::swap(packet.src, packet.dst);
    packet.dst.set(random_bytes(random, packet.dst.len));
  }
  const auto flip = [&random](Guarded& where) {
    where.data()[below(random, where.len)] ^= static_cast<std::uint8_t>(1U << below(random, 8));
  };
  packet.damage = below(random, 4) == 0 ? static_cast<Damage>(1 + below(random, 4)) : Damage::none;
  if (packet.damage == Damage::text && packet.plaintext.empty()) packet.damage = Damage::icv;
  switch (packet.damage) {
    case Damage::none:
      break;
    case Damage::icv:
      flip(packet.icv);
      break;
    case Damage::text:
      flip(packet.src);
      break;
    case Damage::aad:
      flip(packet.aad);
      break;
    case Damage::iv:
      flip(packet.iv);
      break;
  }
}

bool opened_right(Packet& packet, const AeadJob& job) {
  if (!packet.guards_stand()) return false;
  if (packet.damage != Damage::none) return !job.ok && packet.target().zero();
  return job.ok && packet.target().holds(packet.plaintext);
}

struct Keys {
  std::vector<ReferenceKey> references;
  std::vector<std::unique_ptr<AeadKey>> made;
};

Keys random_keys(Random& random) {
  Keys keys;
  for (std::size_t i = 0; i < num_keys; ++i) {
    // Half of them GCM: that is what the vector implementations are for.
    const auto suite = static_cast<CipherSuite>(random() % 2 == 0 ? below(random, 2) : below(random, 9));
    const CipherSuiteInfo& sizes = info(suite);
    keys.references.push_back({suite, random() % 2 == 0 ? AadLayout::prefix : AadLayout::esn,
                               random_bytes(random, std::size_t{sizes.key_len} + sizes.salt_len),
                               random_bytes(random, sizes.integrity_len)});
    const ReferenceKey& reference = keys.references.back();
    auto key = AeadKey::create(suite, reference.encryption, reference.integrity, reference.layout);
    REQUIRE(key);
    keys.made.push_back(std::move(*key));
  }
  return keys;
}

std::string describe(const Packet& packet, std::size_t index) {
  return "packet " + std::to_string(index) + ", " + std::string(info(packet.reference.suite).name) + ", " +
         std::to_string(packet.plaintext.size()) + " bytes, " + (packet.in_place ? "in place" : "out of place") +
         ", head " + std::to_string(packet.head_len) + ", tail " + std::to_string(packet.tail_len) + ", damage " +
         std::to_string(static_cast<int>(packet.damage));
}

// One batch, sealed and opened. Few keys make stretches of one key, many a mixture.
std::size_t run_batch(Random& random, const Keys& keys) {
  const std::size_t num = below(random, 4) == 0 ? 1 : 1 + below(random, max_batch);  // alone: a way of its own, too
  const std::size_t keys_in_use = random() % 2 == 0 ? 1 : 1 + below(random, num_keys);
  const std::size_t first_key = below(random, num_keys);
  const BatchShape shape(random);
  std::vector<Packet> packets;
  packets.reserve(num);
  for (std::size_t i = 0; i < num; ++i) {
    const std::size_t which = (first_key + below(random, keys_in_use)) % num_keys;
    packets.emplace_back(random, shape, keys.references[which], *keys.made[which]);
  }
  std::vector<AeadJob> jobs;
  for (Packet& packet : packets) jobs.push_back(packet.job());
  seal_batch(jobs);
  for (std::size_t i = 0; i < num; ++i)
    REQUIRE_MESSAGE(sealed_right(packets[i], jobs[i]), "seal: " << describe(packets[i], i));

  for (Packet& packet : packets) prepare_open(packet, random);
  jobs.clear();
  for (Packet& packet : packets) jobs.push_back(packet.job());
  open_batch(jobs);
  for (std::size_t i = 0; i < num; ++i)
    REQUIRE_MESSAGE(opened_right(packets[i], jobs[i]), "open: " << describe(packets[i], i));
  return num;
}

}  // namespace

TEST_CASE(
    "every AEAD implementation agrees with plain OpenSSL bit for bit on random batches and refuses every damaged "
    "packet") {
  const std::uint64_t num_cases = setting("CULVERT_AEAD_CASES", 6000);
  const std::uint64_t seed = setting("CULVERT_AEAD_SEED", 20240517);
  CAPTURE(seed);
  for_each_aead_implementation([&] {
    Random random(seed);
    Keys keys = random_keys(random);
    std::size_t batch = 0;
    for (std::uint64_t done = 0; done < num_cases; ++batch) {
      CAPTURE(batch);
      if (batch % 50 == 49) keys = random_keys(random);
      done += run_batch(random, keys);
    }
  });
}
