#include <sodium.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "aead_implementation.h"
#include "aead_openssl.h"
#include "culvert/crypto/aead.h"

namespace culvert::crypto {
namespace {

/// A published answer; all fields in hex. AEAD: `encryption` is key | salt and `iv` the 8 bytes behind the salt.
struct KnownAnswer {
  CipherSuite suite;
  std::string_view encryption, integrity, iv, aad, plaintext, ciphertext, icv;
};

constexpr std::string_view gcm_plaintext =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba"
    "637b39";
constexpr std::string_view sp800_38a_plaintext =
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad"
    "2b417be66c3710";
constexpr std::string_view sp800_38a_key_128 = "2b7e151628aed2a6abf7158809cf4f3c";
constexpr std::string_view sp800_38a_key_256 = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
constexpr std::string_view sp800_38a_cbc_128 =
    "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac0912"
    "0eca307586e1a7";
constexpr std::string_view sp800_38a_cbc_256 =
    "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda"
    "6c19078c6a9d1b";
constexpr std::string_view hmac_key_256 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::string_view hmac_key_384 =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f";
constexpr std::string_view hmac_key_512 =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738"
    "393a3b3c3d3e3f";
constexpr std::string_view counting_iv = "000102030405060708090a0b0c0d0e0f";
constexpr std::string_view esp_aad = "0000123400000001";

// GCM: McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4 and 16. ChaCha20-Poly1305: RFC 8439
// §2.8.2. CBC: SP 800-38A F.2.1 and F.2.5; nobody publishes an answer for CBC and HMAC put together as ESP does it, so
// those ICVs are the ones that Python's hmac module gives for AAD | IV | that ciphertext.
constexpr std::array<KnownAnswer, 9> answers{{
    {CipherSuite::aes_gcm_16_128, "feffe9928665731c6d6a8f9467308308cafebabe", "", "facedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2", gcm_plaintext,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973"
     "d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {CipherSuite::aes_gcm_16_256, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308cafebabe", "",
     "facedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", gcm_plaintext,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
     "cc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {CipherSuite::chacha20_poly1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f07000000", "",
     "4041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f66666"
     "57220796f75206f"
     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b290"
     "5d6a5b67ecd3b36"
     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
    {CipherSuite::aes_cbc_128_sha2_256_128, sp800_38a_key_128, hmac_key_256, counting_iv, esp_aad, sp800_38a_plaintext,
     sp800_38a_cbc_128, "959542b945daff6315775789f98fb123"},
    {CipherSuite::aes_cbc_128_sha2_384_192, sp800_38a_key_128, hmac_key_384, counting_iv, esp_aad, sp800_38a_plaintext,
     sp800_38a_cbc_128, "3d6aab44a56ab03e70f9bb36b03dc94254b7143079f9afb2"},
    {CipherSuite::aes_cbc_128_sha2_512_256, sp800_38a_key_128, hmac_key_512, counting_iv, esp_aad, sp800_38a_plaintext,
     sp800_38a_cbc_128, "cb29f44a8634033d8ef5c8bcac0dc9fdf157fc429c12e230b85c93e7f5d9bd5e"},
    {CipherSuite::aes_cbc_256_sha2_256_128, sp800_38a_key_256, hmac_key_256, counting_iv, esp_aad, sp800_38a_plaintext,
     sp800_38a_cbc_256, "24ffb21af8566729b534edb738c4a860"},
    {CipherSuite::aes_cbc_256_sha2_384_192, sp800_38a_key_256, hmac_key_384, counting_iv, esp_aad, sp800_38a_plaintext,
     sp800_38a_cbc_256, "82743efcb8485e2effc268c4a3b16a3876c169b169968356"},
    {CipherSuite::aes_cbc_256_sha2_512_256, sp800_38a_key_256, hmac_key_512, counting_iv, esp_aad, sp800_38a_plaintext,
     sp800_38a_cbc_256, "39167fa9c1e177f6f88f2863a563b8aad403d5cda080bc19e7d4b4e48eed642c"},
}};

Bytes from_hex(std::string_view hex) {
  Bytes bytes(hex.size() / 2);
  if (bytes.empty()) return bytes;
  sodium_hex2bin(bytes.data(), bytes.size(), hex.data(), hex.size(), nullptr, nullptr, nullptr);
  return bytes;
}

Error wrong(const AeadImplementation& implementation, CipherSuite suite, std::string_view what) {
  return {Errc::internal, "self-test of AEAD implementation '" + std::string(implementation.name) + "', " +
                              std::string(info(suite).name) + ": " + std::string(what)};
}

// The packet alone, and several copies at once, so that kernels which work across packets are really tested.
constexpr std::size_t batch_len = 17;

Result<void> test(const AeadImplementation& implementation, const KnownAnswer& answer, std::size_t num_copies) {
  auto key =
      implementation.make_key(answer.suite, from_hex(answer.encryption), from_hex(answer.integrity), AadLayout::prefix);
  if (!key) return std::unexpected(key.error());
  const Bytes iv = from_hex(answer.iv), aad = from_hex(answer.aad), plaintext = from_hex(answer.plaintext);
  const Bytes ciphertext = from_hex(answer.ciphertext), icv = from_hex(answer.icv);

  std::vector<Bytes> texts(num_copies), icvs(num_copies);
  std::vector<AeadJob> jobs(num_copies);
  for (std::size_t i = 0; i < num_copies; ++i) {
    texts[i] = plaintext;
    icvs[i].resize(icv.size());
    jobs[i] = {.key = key->get(),
               .aad = aad.data(),
               .iv = iv.data(),
               .src = texts[i].data(),
               .dst = texts[i].data(),
               .icv = icvs[i].data(),
               .aad_len = static_cast<std::uint32_t>(aad.size()),
               .len = static_cast<std::uint32_t>(plaintext.size())};
  }
  implementation.seal(jobs);
  for (std::size_t i = 0; i < num_copies; ++i) {
    if (!jobs[i].ok || texts[i] != ciphertext || icvs[i] != icv)
      return std::unexpected(wrong(implementation, answer.suite, "seal is wrong"));
  }
  implementation.open(jobs);
  for (std::size_t i = 0; i < num_copies; ++i) {
    if (!jobs[i].ok || texts[i] != plaintext)
      return std::unexpected(wrong(implementation, answer.suite, "open is wrong"));
  }
  implementation.seal(jobs);
  icvs.back().front() ^= 1;
  implementation.open(jobs);
  const Bytes& refused = texts.back();
  if (jobs.back().ok || std::any_of(refused.begin(), refused.end(), [](std::uint8_t byte) { return byte != 0; })) {
    return std::unexpected(wrong(implementation, answer.suite, "open accepts a wrong ICV"));
  }
  return {};
}

// The published packets are short. Packets of all sizes, in one batch and from pieces, are held to OpenSSL's row.
constexpr std::array<std::uint32_t, 24> mixed_lens{0,   1,   15,  16,  17,  48,  63,  64,   65,   100,  128,  191,
                                                   200, 256, 257, 400, 576, 700, 999, 1400, 1500, 2048, 2049, 9000};
constexpr std::uint16_t head_len = 37, tail_len = 6;

struct MixedPacket {
  Bytes plaintext, text, icv;
  std::array<std::uint8_t, 12> aad;
  std::array<std::uint8_t, 8> iv;
};

MixedPacket mixed_packet(std::size_t index) {
  MixedPacket packet{.plaintext = Bytes(mixed_lens[index]), .text = {}, .icv = Bytes(16), .aad = {}, .iv = {}};
  std::uint8_t byte = static_cast<std::uint8_t>(index);
  for (auto& each : packet.plaintext) each = byte += 29;
  for (auto& each : packet.aad) each = byte += 29;
  for (auto& each : packet.iv) each = byte += 29;
  packet.text = packet.plaintext;
  return packet;
}

std::vector<MixedPacket> seal_mixed(const AeadImplementation& implementation, const AeadKey& key) {
  std::vector<MixedPacket> packets;
  std::vector<AeadJob> jobs;
  for (std::size_t i = 0; i < mixed_lens.size(); ++i) packets.push_back(mixed_packet(i));
  for (MixedPacket& packet : packets) {
    const bool in_pieces = packet.text.size() >= 400;
    jobs.push_back({.key = &key,
                    .aad = packet.aad.data(),
                    .iv = packet.iv.data(),
                    .src = packet.plaintext.data() + (in_pieces ? head_len : 0),
                    .dst = packet.text.data(),
                    .icv = packet.icv.data(),
                    .aad_len = jobs.size() % 2 == 0 ? 8U : 12U,
                    .len = mixed_lens[jobs.size()],
                    .head_len = in_pieces ? head_len : std::uint16_t{0},
                    .tail_len = in_pieces ? tail_len : std::uint16_t{0}});
  }
  implementation.seal(jobs);
  return packets;
}

// All but one, which is damaged.
bool opens_mixed(const AeadImplementation& implementation, const AeadKey& key, std::vector<MixedPacket>& packets) {
  constexpr std::size_t damaged = 20;
  std::vector<AeadJob> jobs;
  packets[damaged].text[700] ^= 1;
  for (MixedPacket& packet : packets) {
    jobs.push_back({.key = &key,
                    .aad = packet.aad.data(),
                    .iv = packet.iv.data(),
                    .src = packet.text.data(),
                    .dst = packet.text.data(),
                    .icv = packet.icv.data(),
                    .aad_len = jobs.size() % 2 == 0 ? 8U : 12U,
                    .len = mixed_lens[jobs.size()]});
  }
  implementation.open(jobs);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const Bytes& expected = i == damaged ? Bytes(mixed_lens[i]) : packets[i].plaintext;
    if (jobs[i].ok != (i != damaged) || packets[i].text != expected) return false;
  }
  return true;
}

Result<void> compare_with_openssl(const AeadImplementation& implementation, CipherSuite suite) {
  const Bytes encryption(std::size_t{info(suite).key_len} + info(suite).salt_len, 0x3c);
  auto ours = implementation.make_key(suite, encryption, {}, AadLayout::prefix);
  auto theirs = openssl_aead.make_key(suite, encryption, {}, AadLayout::prefix);
  if (!ours) return std::unexpected(ours.error());
  if (!theirs) return std::unexpected(theirs.error());
  std::vector<MixedPacket> packets = seal_mixed(implementation, **ours);
  const std::vector<MixedPacket> expected = seal_mixed(openssl_aead, **theirs);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (packets[i].text != expected[i].text || packets[i].icv != expected[i].icv)
      return std::unexpected(wrong(implementation, suite, "seals otherwise than OpenSSL"));
  }
  if (!opens_mixed(implementation, **ours, packets))
    return std::unexpected(wrong(implementation, suite, "open is wrong"));
  return {};
}

}  // namespace

Result<void> aead_self_test() {
  for (const AeadImplementation* implementation : all_aead_implementations()) {
    if (!implementation->runs_here()) continue;
    for (const KnownAnswer& answer : answers) {
      if (!implementation->supports(answer.suite)) continue;
      for (const std::size_t num_copies : {std::size_t{1}, batch_len}) {
        if (Result<void> result = test(*implementation, answer, num_copies); !result) return result;
      }
    }
    for (const CipherSuite suite : {CipherSuite::aes_gcm_16_128, CipherSuite::aes_gcm_16_256}) {
      if (Result<void> result = compare_with_openssl(*implementation, suite); !result) return result;
    }
  }
  return {};
}

}  // namespace culvert::crypto
