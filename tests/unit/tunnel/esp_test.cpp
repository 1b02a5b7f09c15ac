#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <set>
#include <thread>

#include "culvert/wire/echo.h"
#include "esp_decrypt.h"
#include "esp_encrypt.h"
#include "packets.h"
#include "sa_table.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;
using crypto::CipherSuite;

namespace {

/// One ESP packet from another program.
struct EspVector {
  const char* what;
  CipherSuite suite;
  EspMode mode;
  bool esn;
  std::uint32_t spi;
  std::uint64_t sequence;
  Bytes payload;
  std::uint8_t next_header;
  Bytes esp;
};

// scapy 2.5, key16 = bytes(range(16)), key32 = bytes(range(32)), salt = cafebabe, mac = bytes(range(64, 96)), out4 =
// IP(src='192.0.2.1', dst='192.0.2.2'): bytes(SecurityAssociation(ESP, …).encrypt(payload, seq_num=…, iv=…))[20:], the
// arguments stand with each.
const Bytes gre_payload =
    hex("200008000000002a4500002412340000401154870a0100050a020007045708ae0010353b63756c7665727421");
const std::vector<EspVector> vectors{
    // spi=0x1001,crypt_algo='AES-GCM',crypt_key=key16+salt,tunnel_header=out4; inner4, seq_num=1, iv=1 (8 bytes)
    {"AES-GCM-16-128, tunnel", CipherSuite::aes_gcm_16_128, EspMode::tunnel, false, 0x1001, 1, inner4, 4,
     hex("00001001000000010000000000000001f70519bd584b51f4db0a959a4c7ea932d96a8147bda0402bfea52acf1498454de1f5c3dd4ef83"
         "863e74d9e8"
         "4ce2ece76a34c874addc16a37")},
    // spi=0x1002,crypt_algo='AES-GCM',crypt_key=key32+salt,tunnel_header=out4; inner6, seq_num=2, iv=2
    {"AES-GCM-16-256, tunnel, IPv6 inside", CipherSuite::aes_gcm_16_256, EspMode::tunnel, false, 0x1002, 2, inner6, 41,
     hex("000010020000000200000000000000026311062e4d2fb8d1d511ee5bc35a1cf27b67ea610dc380acd6adc62d8fd3a9c86f31656c7d82b"
         "a965cffa94"
         "7915abfab0c7884012bbcd78fb3e96c761db69a8cf92cc355e12f0caa2ae1eabcc9a45e1388fd40d4")},
    // spi=0x1003,crypt_algo='CHACHA20-POLY1305',crypt_key=key32+salt,tunnel_header=out4; inner4, seq_num=3, iv=3
    {"ChaCha20-Poly1305, tunnel", CipherSuite::chacha20_poly1305, EspMode::tunnel, false, 0x1003, 3, inner4, 4,
     hex("000010030000000300000000000000031a26a2506f634e18834024b995d097bf3aee4b62061b1ee99070ae9f9e9d275eeb63649440b77"
         "dd43c3d0cd"
         "0f8f1fe0963c7503bda39e884")},
    // spi=0x1004,crypt_algo='AES-CBC',crypt_key=key16,auth_algo='SHA2-256-128',auth_key=mac,tunnel_header=out4; inner4,
    // seq_num=4,
    // iv=bytes(range(16, 32))
    {"AES-CBC-128 + HMAC-SHA2-256-128, tunnel", CipherSuite::aes_cbc_128_sha2_256_128, EspMode::tunnel, false, 0x1004,
     4, inner4, 4,
     hex("0000100400000004101112131415161718191a1b1c1d1e1fe8d06afbdd060737d33251510559ea619188f4d5776518f321a35985480ac"
         "32f221d1"
         "4b4a0a94e6bf207d661775cc5748651018e9968e7d5365d99879b5e1c32")},
    // spi=0x1005,crypt_algo='AES-GCM',crypt_key=key32+salt; IP()/GRE(key_present=1,key=42,proto=0x800)/inner4,
    // seq_num=5, iv=5
    {"AES-GCM-16-256, transport, GRE", CipherSuite::aes_gcm_16_256, EspMode::transport, false, 0x1005, 5, gre_payload,
     47,
     hex("0000100500000005000000000000000506a9ee0cea14a3eaf6f2cbb222e03daf180b22b79ded3dd18c562cf7c644b2a38cb9b2cb30846"
         "088efd7063"
         "52e06cd96cfa3f50a7791b359d2ecc0f09d18340c")},
    // spi=0x1006, as 0x1002, esn_en=True, esn=7; inner4, seq_num=6, iv=(7 << 32) + 6
    {"AES-GCM-16-256, tunnel, ESN", CipherSuite::aes_gcm_16_256, EspMode::tunnel, true, 0x1006, (7ULL << 32) + 6,
     inner4, 4,
     hex("00001006000000060000000700000006cc8bc37aa99ed59927e77a88b494878bf58139d4c516c4a3ff58d0205e9eafeaa6b2d876c5d76"
         "b93d7ccbdc"
         "00d39b84d69250200d7232a0a")},
    // spi=0x1007,crypt_algo='AES-CBC',crypt_key=key32 without ESN, inner4, seq_num=9 gives p; scapy 2.5 leaves the high
    // half out of an
    // HMAC over ESP, so the ICV is Python's hmac.new(mac, p[:-16] + (1).to_bytes(4,'big'), sha256).digest()[:16] (RFC
    // 4303 §2.2.1)
    {"AES-CBC-256 + HMAC-SHA2-256-128, tunnel, ESN", CipherSuite::aes_cbc_256_sha2_256_128, EspMode::tunnel, true,
     0x1007, (1ULL << 32) + 9, inner4, 4,
     hex("0000100700000009101112131415161718191a1b1c1d1e1f7ada94b4ea4dcc903dbe656faf0b9dae14f384374992c03d2a54ebd3a8326"
         "ceafdfa5aa"
         "7d2899d0f1510a32566b80ed2c4a1aac484c6074e50e383aa2b3f4b8f")},
};

ChildSaKeys keys_of(const EspVector& vector) {
  ChildSaKeys keys = make_keys(vector.suite, vector.spi);
  keys.mode = vector.mode;
  keys.esn = vector.esn;
  return keys;
}

SaPair pair_of(ChildSaKeys keys) {
  auto pair = make_sa_pair(std::move(keys));
  REQUIRE(pair);
  return std::move(*pair);
}

struct Snapshot {
  std::uint64_t top, packets, bytes;
  bool first_inbound;
  bool operator==(const Snapshot&) const = default;
};
Snapshot snapshot(const InboundSa& sa) {
  return {sa.window.top(), sa.meter.packets(), sa.meter.bytes(), sa.events.was_raised(ChildEvent::first_inbound)};
}

/// Decrypts one packet alone; its drop reason, or nullopt and the payload in `out`.
std::optional<DropReason> open_one(InboundSa& sa, ByteView esp, Bytes* out = nullptr, std::uint8_t tos = 0) {
  Batch batch;
  const std::size_t i = batch.add(esp, nullptr, &sa);
  batch.packets[i].outer_tos = tos;
  decrypt_batch(batch.packets);
  if (!batch.packets.alive(i)) {
    CHECK(batch.drops[batch.packets[i].reason] == 1);
    return batch.packets[i].reason;
  }
  if (out != nullptr) *out = batch.bytes(i);
  return std::nullopt;
}

}  // namespace

TEST_CASE("ESP made by scapy is opened, to the byte and with its next header") {
  for (const EspVector& vector : vectors) {
    CAPTURE(vector.what);
    SaPair pair = pair_of(keys_of(vector));
    if (vector.esn) (void)pair.inbound->window.commit(vector.sequence - 3);  // so that the high half is known
    Batch batch;
    const std::size_t i = batch.add(vector.esp, nullptr, pair.inbound.get());
    decrypt_batch(batch.packets);
    REQUIRE(batch.packets.alive(i));
    CHECK(batch.bytes(i) == vector.payload);
    CHECK(batch.packets[i].next_header == vector.next_header);
    CHECK(pair.inbound->window.top() == vector.sequence);
    CHECK(pair.inbound->meter.packets() == 1);
    CHECK(pair.inbound->meter.bytes() == vector.payload.size());
    CHECK(open_one(*pair.inbound, vector.esp) == DropReason::replay);
  }
}

TEST_CASE("what we seal with an AEAD is what scapy seals, to the byte") {
  for (const EspVector& vector : vectors) {
    if (!crypto::info(vector.suite).is_aead) continue;
    CAPTURE(vector.what);
    const auto sa = outbound_at(keys_of(vector), vector.sequence);
    Batch batch;
    const std::size_t i = batch.add(vector.payload, sa.get(), nullptr);
    batch.packets[i].next_header = vector.next_header;
    encrypt_batch(batch.packets);
    REQUIRE(batch.packets.alive(i));
    CHECK(batch.bytes(i) == vector.esp);
  }
}

TEST_CASE(
    "every suite carries every payload length from nothing to three blocks, in both modes and with both counters") {
  for (int s = 0; s <= static_cast<int>(CipherSuite::aes_cbc_256_sha2_512_256); ++s) {
    for (const bool esn : {false, true}) {
      ChildSaKeys keys = make_keys(static_cast<CipherSuite>(s), 0x2000);
      keys.esn = esn;
      keys.mode = EspMode::transport;  // any payload goes
      SaPair pair = pair_of(std::move(keys));
      const crypto::CipherSuiteInfo& suite = *pair.outbound->suite;
      Batch batch;
      for (std::size_t len = 0; len < 48; ++len) {
        batch.packets[batch.add(iota(len), pair.outbound.get(), pair.inbound.get())].next_header = 47;
      }
      encrypt_batch(batch.packets);
      REQUIRE(batch.packets.num_alive() == 48);
      for (std::size_t len = 0; len < 48; ++len) {
        CHECK(load_be<std::uint32_t>(batch.packets[len].data + 4) == len + 1);  // in order, from 1
        CHECK((batch.packets[len].len - 8 - suite.iv_len - suite.icv_len) % suite.block_len == 0);
      }
      decrypt_batch(batch.packets);
      REQUIRE(batch.packets.num_alive() == 48);
      for (std::size_t len = 0; len < 48; ++len) CHECK(batch.bytes(len) == iota(len));
    }
  }
}

TEST_CASE("CBC initialization vectors differ from packet to packet and from SA to SA") {
  std::set<Bytes> ivs;
  for (int sa_number = 0; sa_number < 3; ++sa_number) {
    const auto sa = outbound_at(make_keys(CipherSuite::aes_cbc_128_sha2_256_128, 0x3000), 1);
    for (int round = 0; round < 3; ++round) {
      Batch batch;
      for (int i = 0; i < 64; ++i) batch.packets[batch.add(inner4, sa.get(), nullptr)].next_header = 4;
      encrypt_batch(batch.packets);
      for (std::size_t i = 0; i < 64; ++i) ivs.insert(to_bytes(batch.packets[i].view().subspan(8, 16)));
    }
  }
  CHECK(ivs.size() == 3 * 3 * 64);
}

TEST_CASE("one batch may hold packets of several SAs, of none, and packets dropped before") {
  SaPair a = pair_of(make_keys(CipherSuite::aes_gcm_16_128, 0x4001));
  SaPair b = pair_of(make_keys(CipherSuite::aes_cbc_128_sha2_256_128, 0x4002));
  Batch batch;
  for (int i = 0; i < 10; ++i) {
    const SaPair& pair = i % 3 == 0 ? b : a;
    batch.packets[batch.add(inner4, pair.outbound.get(), pair.inbound.get())].next_header = 4;
  }
  const std::size_t without = batch.add(inner4, nullptr, nullptr);
  batch.packets.drop(4, DropReason::too_big);
  encrypt_batch(batch.packets);
  CHECK(batch.packets[without].reason == DropReason::no_sa);
  CHECK(batch.packets.num_alive() == 9);
  CHECK(batch.bytes(4) == inner4);  // no stage touched it
  decrypt_batch(batch.packets);
  CHECK(batch.packets.num_alive() == 9);
  CHECK(a.inbound->window.top() == 5);  // the dropped one took no number
  CHECK(b.inbound->window.top() == 4);
  CHECK(batch.drops[DropReason::too_big] == 1);
}

TEST_CASE("a number twice inside one batch passes once") {
  const EspVector& vector = vectors[0];
  SaPair pair = pair_of(keys_of(vector));
  Batch batch;
  for (int i = 0; i < 3; ++i) batch.add(vector.esp, nullptr, pair.inbound.get());
  decrypt_batch(batch.packets);
  CHECK(batch.packets.alive_mask() == 1);
  CHECK(batch.drops[DropReason::replay] == 2);
  CHECK(pair.inbound->meter.packets() == 1);
}

TEST_CASE("workers that are given the same packets let each pass once between them") {
  SaPair pair = pair_of(keys_of(vectors[0]));
  std::vector<Bytes> packets;
  for (std::uint64_t sequence = 1; sequence <= 2000; ++sequence) {
    packets.push_back(seal_raw(*pair.inbound, pair.inbound->key(), sequence, with_trailer(inner4, 4)));
  }
  std::atomic<std::size_t> num_passed{0};
  std::barrier together(4);
  {
    std::vector<std::jthread> workers;
    for (int w = 0; w < 4; ++w) {
      workers.emplace_back([&] {
        together.arrive_and_wait();
        for (std::size_t first = 0; first < packets.size(); first += 50) {
          Batch batch;
          for (std::size_t i = 0; i < 50; ++i) batch.add(packets[first + i], nullptr, pair.inbound.get());
          decrypt_batch(batch.packets);
          num_passed += batch.packets.num_alive();
          CHECK(batch.packets.num_alive() + batch.drops[DropReason::replay] == 50);
        }
      });
    }
  }
  CHECK(num_passed == 2000);
  CHECK(pair.inbound->meter.packets() == 2000);
}

TEST_CASE("nothing of an SA changes while the ICV does not hold: any bit flipped anywhere behind the sequence number") {
  for (const EspVector& vector : {vectors[0], vectors[2], vectors[3]}) {
    CAPTURE(vector.what);
    SaPair pair = pair_of(keys_of(vector));
    const Snapshot before = snapshot(*pair.inbound);
    for (std::size_t bit = 64; bit < vector.esp.size() * 8; ++bit) {
      Bytes esp = vector.esp;
      esp[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      REQUIRE(open_one(*pair.inbound, esp) == DropReason::icv_failed);
    }
    for (std::size_t bit = 32; bit < 64; ++bit) {  // the sequence number: authenticated as well
      Bytes esp = vector.esp;
      esp[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      CHECK(open_one(*pair.inbound, esp).has_value());
    }
    CHECK(snapshot(*pair.inbound) == before);
    CHECK_FALSE(open_one(*pair.inbound, vector.esp).has_value());
  }
}

TEST_CASE("the wrong key opens nothing") {
  ChildSaKeys keys = keys_of(vectors[0]);
  keys.inbound.encryption.mutable_view()[3] ^= 1;
  SaPair pair = pair_of(std::move(keys));
  CHECK(open_one(*pair.inbound, vectors[0].esp) == DropReason::icv_failed);
}

TEST_CASE("every truncation of an ESP packet is dropped and counted") {
  for (const EspVector& vector : vectors) {
    SaPair pair = pair_of(keys_of(vector));
    if (vector.esn) (void)pair.inbound->window.commit(vector.sequence - 3);
    const Snapshot before = snapshot(*pair.inbound);
    for (std::size_t len = 0; len < vector.esp.size(); ++len) {
      const auto reason = open_one(*pair.inbound, ByteView(vector.esp).first(len));
      REQUIRE((reason == DropReason::outer_malformed || reason == DropReason::icv_failed));
    }
    CHECK(snapshot(*pair.inbound) == before);
  }
}

TEST_CASE("a packet with an SPI nobody has is counted as such") {
  Batch batch;
  batch.add(vectors[0].esp, nullptr, nullptr);
  decrypt_batch(batch.packets);
  CHECK(batch.drops[DropReason::unknown_spi] == 1);
}

TEST_CASE("left of the window is too old, and the number 0 is nobody's") {
  ChildSaKeys keys = keys_of(vectors[0]);
  keys.replay_window = 64;
  SaPair pair = pair_of(std::move(keys));
  const Bytes plaintext = with_trailer(inner4, 4);
  CHECK_FALSE(open_one(*pair.inbound, seal_raw(*pair.inbound, pair.inbound->key(), 100, plaintext)).has_value());
  CHECK_FALSE(open_one(*pair.inbound, seal_raw(*pair.inbound, pair.inbound->key(), 37, plaintext)).has_value());
  CHECK(open_one(*pair.inbound, seal_raw(*pair.inbound, pair.inbound->key(), 36, plaintext)) ==
        DropReason::replay_too_old);
  CHECK(open_one(*pair.inbound, seal_raw(*pair.inbound, pair.inbound->key(), 0, plaintext)) == DropReason::replay);
}

TEST_CASE("ESN carries on across the wrap of the low half") {
  ChildSaKeys keys = make_keys(CipherSuite::aes_gcm_16_256, 0x5000);
  keys.esn = true;
  SaPair pair = pair_of(std::move(keys));
  InboundSa& sa = *pair.inbound;
  constexpr std::uint64_t wrap = 1ULL << 32;
  const Bytes plaintext = with_trailer(inner4, 4);
  (void)sa.window.commit(wrap - 5);
  for (const std::uint64_t sequence : {wrap - 2, wrap + 3, wrap - 1, wrap, wrap + 1}) {  // also out of order around it
    CAPTURE(sequence);
    CHECK_FALSE(open_one(sa, seal_raw(sa, sa.key(), sequence, plaintext)).has_value());
    CHECK(open_one(sa, seal_raw(sa, sa.key(), sequence, plaintext)) == DropReason::replay);
  }
  CHECK(sa.window.top() == wrap + 3);
  // the same low half one turn later does not authenticate: the high half is inferred, not believed
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 2 * wrap + 10, plaintext)) == DropReason::icv_failed);
}

TEST_CASE("padding that is not 1, 2, 3 … or longer than the payload is refused") {
  SaPair pair = pair_of(keys_of(vectors[0]));
  InboundSa& sa = *pair.inbound;
  std::uint64_t sequence = 1;
  const auto open_plaintext = [&](Bytes plaintext) {
    return open_one(sa, seal_raw(sa, sa.key(), sequence++, plaintext));
  };
  Bytes good = to_bytes(inner4);  // 36 bytes: 2 of padding fill the block
  append(good, hex("01020204"));
  CHECK_FALSE(open_plaintext(good).has_value());
  Bytes zero_padding = to_bytes(inner4);
  append(zero_padding, hex("00000204"));
  CHECK(open_plaintext(zero_padding) == DropReason::padding_invalid);
  CHECK(open_plaintext(hex("01020304")) ==
        DropReason::padding_invalid);  // pad length 3, but only 2 bytes stand before it
  CHECK(open_plaintext(hex("0102ff04")) == DropReason::padding_invalid);
  Bytes longest = to_bytes(inner4);
  append(longest, iota(254, 1));  // RFC 4303 §2.4 allows 255; 254 end on a block here
  append(longest, hex("fe04"));
  CHECK_FALSE(open_plaintext(longest).has_value());
}

TEST_CASE("TFC padding behind the inner packet is cut off, dummies are dropped, other protocols refused") {
  SaPair pair = pair_of(keys_of(vectors[0]));
  InboundSa& sa = *pair.inbound;
  Bytes padded = inner4;
  padded.resize(300, 0xAA);
  Bytes out;
  CHECK_FALSE(open_one(sa, seal_raw(sa, sa.key(), 1, with_trailer(padded, 4)), &out).has_value());
  CHECK(out == inner4);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 2, with_trailer(iota(40), 59))) == DropReason::dummy);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 3, with_trailer(inner4, 6))) == DropReason::next_header_invalid);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 4, with_trailer(inner4, 47))) == DropReason::next_header_invalid);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 5, with_trailer(inner4, 41))) == DropReason::inner_malformed);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 6, with_trailer(inner6, 4))) == DropReason::inner_malformed);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 7, with_trailer({}, 4))) == DropReason::inner_malformed);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 8, with_trailer(ByteView(inner4).first(35), 4))) ==
        DropReason::inner_malformed);
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 9, with_trailer(ByteView(inner6).first(63), 41))) ==
        DropReason::inner_malformed);
}

TEST_CASE("an echo in a dummy packet is no packet that was dropped, and nobody's traffic") {
  SaPair pair = pair_of(keys_of(vectors[0]));
  InboundSa& sa = *pair.inbound;
  Bytes question(100);
  const wire::Echo echo{wire::Echo::Type::question, 7, 42, 1'000'000'007, 0, 0};
  echo.write(question.data());
  const Bytes esp = seal_raw(sa, sa.key(), 1, with_trailer(question, 59));
  Batch batch;
  const std::size_t i = batch.add(esp, nullptr, &sa);
  decrypt_batch(batch.packets);
  CHECK_FALSE(batch.packets.alive(i));
  CHECK(batch.packets.consumed_mask() == 1);
  CHECK(batch.drops[DropReason::dummy] == 0);
  CHECK(sa.meter.packets() == 0);
  CHECK(sa.window.top() == 1);  // it has its number like every other packet
  CHECK(batch.packets[i].len == 100);
  CHECK(wire::Echo::parse(batch.packets[i].view()) == echo);

  // A copy is a replay, and so is nobody's question.
  Batch again;
  const std::size_t copy = again.add(esp, nullptr, &sa);
  decrypt_batch(again.packets);
  CHECK(again.packets[copy].reason == DropReason::replay);
  CHECK(again.packets.consumed_mask() == 0);

  // One whose ICV does not hold, too.
  Bytes forged = seal_raw(sa, sa.key(), 2, with_trailer(question, 59));
  forged.back() ^= 1;
  Batch third;
  const std::size_t bad = third.add(forged, nullptr, &sa);
  decrypt_batch(third.packets);
  CHECK(third.packets[bad].reason == DropReason::icv_failed);
  CHECK(third.packets.consumed_mask() == 0);
}

TEST_CASE("an echo uses a sequence number, and counts against no limit of bytes or packets") {
  ChildSaKeys keys = keys_of(vectors[0]);
  keys.soft_packets = 1;
  keys.hard_packets = 2;
  SaPair pair = pair_of(std::move(keys));
  for (int i = 0; i < 5; ++i) {
    Batch batch;
    const std::size_t at = batch.add(iota(40), pair.outbound.get(), nullptr);
    batch.packets[at].next_header = 59;
    encrypt_batch(batch.packets, Metering::none);
    CHECK(batch.packets.alive(at));
  }
  CHECK(pair.outbound->meter.packets() == 0);
  CHECK_FALSE(pair.outbound->events.was_raised(ChildEvent::soft_limit));
  CHECK(pair.outbound->reserve(1).first == 6);
}

TEST_CASE("echoes of one SA are reported ten at once and a hundred a second at most") {
  SaPair pair = pair_of(keys_of(vectors[0]));
  TimePoint now(std::chrono::hours(1));
  int reported = 0;
  for (int i = 0; i < 1000; ++i) reported += pair.inbound->may_report_echo(now);
  CHECK(reported == 10);
  reported = 0;
  for (int i = 0; i < 10'000; ++i) reported += pair.inbound->may_report_echo(now += std::chrono::microseconds(100));
  CHECK(reported >= 99);
  CHECK(reported <= 101);
}

TEST_CASE("transport mode takes GRE alone, and only when the selectors do") {
  ChildSaKeys keys = keys_of(vectors[4]);
  keys.local = {selector("192.0.2.1/32", 47)};
  keys.remote = {selector("192.0.2.2/32", 47)};
  SaPair gre = pair_of(std::move(keys));
  CHECK_FALSE(open_one(*gre.inbound, vectors[4].esp).has_value());
  CHECK(open_one(*gre.inbound, seal_raw(*gre.inbound, gre.inbound->key(), 6, with_trailer(inner4, 4))) ==
        DropReason::next_header_invalid);
  keys = keys_of(vectors[4]);
  keys.local = {selector("192.0.2.1/32", 17)};
  SaPair udp = pair_of(std::move(keys));
  CHECK(open_one(*udp.inbound, vectors[4].esp) == DropReason::selector_mismatch);

  // In a batch one that is taken speaks for those of its own SA alone, and for GRE alone.
  Batch batch;
  std::uint64_t sequence = 100;
  const auto add = [&](InboundSa& sa, std::uint8_t next_header) {
    batch.add(seal_raw(sa, sa.key(), ++sequence, with_trailer(gre_payload, next_header)), nullptr, &sa);
  };
  add(*gre.inbound, 47);
  add(*udp.inbound, 47);
  add(*gre.inbound, 47);
  add(*gre.inbound, 4);
  add(*udp.inbound, 47);
  decrypt_batch(batch.packets);
  CHECK(batch.packets.alive_mask() == 0b00101);
  CHECK(batch.packets[1].reason == DropReason::selector_mismatch);
  CHECK(batch.packets[3].reason == DropReason::next_header_invalid);
  CHECK(batch.packets[4].reason == DropReason::selector_mismatch);
}

TEST_CASE("the selectors hold after decryption, in the direction of the packet") {
  const auto open_with = [](std::vector<TrafficSelector> local, std::vector<TrafficSelector> remote) {
    ChildSaKeys keys = keys_of(vectors[0]);
    keys.local = std::move(local);
    keys.remote = std::move(remote);
    SaPair pair = pair_of(std::move(keys));
    return open_one(*pair.inbound, vectors[0].esp);
  };
  // inner4 goes from 10.1.0.5:1111 to 10.2.0.7:2222: the remote end is its source
  CHECK_FALSE(open_with({selector("10.2.0.0/16")}, {selector("10.1.0.0/16")}).has_value());
  CHECK(open_with({selector("10.1.0.0/16")}, {selector("10.2.0.0/16")}) == DropReason::selector_mismatch);
  CHECK(open_with({selector("10.2.0.0/16")}, {selector("10.1.0.0/30")}) == DropReason::selector_mismatch);
  CHECK(open_with({selector("10.2.0.0/16", 6)}, {selector("10.1.0.0/16")}) == DropReason::selector_mismatch);
  CHECK(open_with({selector("::/0")}, {selector("::/0")}) == DropReason::selector_mismatch);
}

// The selectors take one flow alone, so that any byte of its addresses, protocol, ports or fragment field that is
// another one makes a packet that they refuse; it stands between two that they take.
TEST_CASE("the selectors hold for each packet of a batch, however like its neighbours it is") {
  for (const Bytes& inner : {inner4, inner6}) {
    const bool is_v4 = inner[0] >> 4 == 4;
    const std::uint8_t next_header = is_v4 ? 4 : 41;
    ChildSaKeys keys = keys_of(vectors[0]);
    keys.local = {selector(is_v4 ? "10.2.0.7/32" : "fd00:2::7/128", 17)};
    keys.remote = {selector(is_v4 ? "10.1.0.5/32" : "fd00:1::5/128", 17)};
    keys.local[0].start_port = keys.local[0].end_port = 2222;
    keys.remote[0].start_port = keys.remote[0].end_port = 1111;
    SaPair pair = pair_of(std::move(keys));
    InboundSa& sa = *pair.inbound;
    std::uint64_t sequence = 0;
    const auto verdict_between_good = [&](const Bytes& middle, std::uint8_t middle_header) {
      Batch batch;
      batch.add(seal_raw(sa, sa.key(), ++sequence, with_trailer(inner, next_header)), nullptr, &sa);
      batch.add(seal_raw(sa, sa.key(), ++sequence, with_trailer(middle, middle_header)), nullptr, &sa);
      batch.add(seal_raw(sa, sa.key(), ++sequence, with_trailer(inner, next_header)), nullptr, &sa);
      decrypt_batch(batch.packets);
      CHECK(batch.packets.alive(0));
      CHECK(batch.packets.alive(2));
      CHECK(batch.bytes(2) == inner);
      return batch.packets.alive(1) ? std::nullopt : std::optional{batch.packets[1].reason};
    };
    CHECK_FALSE(verdict_between_good(inner, next_header).has_value());
    const auto changed = [&](std::size_t at, std::uint8_t bits) {
      Bytes packet = inner;
      packet[at] ^= bits;
      return packet;
    };
    const std::size_t addresses_at = is_v4 ? 12 : 8, ports_end = is_v4 ? 24 : 44;
    for (std::size_t at = addresses_at; at < ports_end; ++at) {
      for (const std::uint8_t bits : {0x01, 0x80}) {
        CAPTURE(at);
        CHECK(verdict_between_good(changed(at, bits), next_header) == DropReason::selector_mismatch);
      }
    }
    CHECK(verdict_between_good(changed(is_v4 ? 9 : 6, 17 ^ 6), next_header) == DropReason::selector_mismatch);  // TCP
    CHECK(verdict_between_good(inner, is_v4 ? 41 : 4) == DropReason::inner_malformed);
    CHECK(verdict_between_good(changed(0, 0x10), next_header) == DropReason::inner_malformed);  // version 5 or 7
    CHECK(verdict_between_good(changed(is_v4 ? 2 : 4, 0x40), next_header) == DropReason::inner_malformed);  // too long
    CHECK(verdict_between_good(to_bytes(ByteView(inner).first(ports_end)), next_header) == DropReason::inner_malformed);
    if (!is_v4) continue;
    CHECK(verdict_between_good(changed(0, 0x03), next_header) ==
          DropReason::selector_mismatch);  // options: other ports
    CHECK(verdict_between_good(changed(7, 0x01), next_header) == DropReason::selector_mismatch);  // no ports to be seen
    CHECK_FALSE(verdict_between_good(changed(1, 0xB8), next_header).has_value());                 // DSCP is no selector
    CHECK_FALSE(verdict_between_good(changed(5, 0xFF), next_header).has_value());                 // nor is the id
  }
}

TEST_CASE("ECN: congestion on the outer path reaches the inner packet, or drops what cannot carry it") {
  SaPair pair = pair_of(keys_of(vectors[0]));
  InboundSa& sa = *pair.inbound;
  // scapy: IP(src='10.1.0.5',dst='10.2.0.7',ttl=64,id=0x1234,tos=…)/UDP(sport=1111,dport=2222)/b'culvert!' with tos 2
  // and 3
  const Bytes ect0 = hex("4502002412340000401154850a0100050a020007045708ae0010353b63756c7665727421");
  const Bytes ce = hex("4503002412340000401154840a0100050a020007045708ae0010353b63756c7665727421");
  Bytes out;
  CHECK_FALSE(open_one(sa, seal_raw(sa, sa.key(), 1, with_trailer(ect0, 4)), &out, 3).has_value());
  CHECK(out == ce);
  CHECK_FALSE(open_one(sa, seal_raw(sa, sa.key(), 2, with_trailer(ect0, 4)), &out, 0xB8).has_value());
  CHECK(out == ect0);  // the outer DSCP is not believed
  CHECK(open_one(sa, seal_raw(sa, sa.key(), 3, with_trailer(inner4, 4)), &out, 3) == DropReason::ecn_invalid);
}

TEST_CASE("the first packet whose ICV holds raises first_inbound, once") {
  SaPair pair = pair_of(keys_of(vectors[0]));
  Bytes forged = vectors[0].esp;
  forged.back() ^= 1;
  (void)open_one(*pair.inbound, forged);
  CHECK(pair.inbound->events.take() == 0);
  (void)open_one(*pair.inbound, vectors[0].esp);
  CHECK(pair.inbound->events.take() == EventFlags::bit(ChildEvent::first_inbound));
  (void)open_one(*pair.inbound, seal_raw(*pair.inbound, pair.inbound->key(), 2, with_trailer(inner4, 4)));
  CHECK(pair.inbound->events.take() == 0);
}

TEST_CASE("the hard limit ends an SA exactly there, in both directions") {
  ChildSaKeys keys = keys_of(vectors[0]);
  keys.soft_packets = 3;
  keys.hard_packets = 5;
  SaPair pair = pair_of(std::move(keys));
  Batch batch;
  for (int i = 0; i < 8; ++i) {
    batch.packets[batch.add(inner4, pair.outbound.get(), pair.inbound.get())].next_header = 4;
  }
  encrypt_batch(batch.packets);
  CHECK(batch.packets.alive_mask() == 0b11111);
  CHECK(batch.drops[DropReason::sa_expired] == 3);
  CHECK(pair.outbound->events.take() ==
        (EventFlags::bit(ChildEvent::soft_limit) | EventFlags::bit(ChildEvent::hard_limit)));
  Batch later;
  later.add(inner4, pair.outbound.get(), nullptr);
  encrypt_batch(later.packets);
  CHECK(later.drops[DropReason::sa_expired] == 1);
  CHECK(pair.outbound->events.take() == 0);

  decrypt_batch(batch.packets);
  CHECK(batch.packets.num_alive() == 5);
  CHECK(open_one(*pair.inbound, seal_raw(*pair.inbound, pair.inbound->key(), 99, with_trailer(inner4, 4))) ==
        DropReason::sa_expired);
  CHECK(pair.inbound->window.top() == 5);
}

TEST_CASE("without ESN the last sequence number is 2^32-1, then nothing leaves and the hard limit is raised") {
  const auto sa = outbound_at(keys_of(vectors[0]), UINT32_MAX - 1);
  Batch batch;
  for (int i = 0; i < 4; ++i) batch.packets[batch.add(inner4, sa.get(), nullptr)].next_header = 4;
  encrypt_batch(batch.packets);
  CHECK(batch.packets.alive_mask() == 0b11);
  CHECK(load_be<std::uint32_t>(batch.packets[1].data + 4) == UINT32_MAX);
  CHECK(batch.drops[DropReason::sequence_exhausted] == 2);
  CHECK((sa->events.take() & EventFlags::bit(ChildEvent::hard_limit)) != 0);
  Batch later;
  later.add(inner4, sa.get(), nullptr);
  encrypt_batch(later.packets);
  CHECK(later.drops[DropReason::sequence_exhausted] == 1);
  CHECK(later.bytes(0) == inner4);  // plaintext, and dropped: nobody sends it
}

TEST_CASE("a buffer without room drops the packet instead of writing beyond it") {
  SaPair pair = pair_of(make_keys(CipherSuite::aes_cbc_256_sha2_512_256, 0x6000));
  for (const auto& [head, tail] : {std::pair<std::size_t, std::size_t>{23, 64}, {64, 34}, {0, 0}}) {
    Bytes buffer(head + inner4.size() + tail);
    std::copy(inner4.begin(), inner4.end(), buffer.begin() + static_cast<std::ptrdiff_t>(head));
    DropCounters drops;
    PacketBatch packets(drops);
    Packet packet = Packet::in_buffer(buffer, head, inner4.size());
    packet.outbound_sa = pair.outbound.get();
    packets.add(packet);
    encrypt_batch(packets);
    CHECK(drops[DropReason::no_buffer] == 1);
  }
}

TEST_CASE("the table finds an SA by its SPI, and nothing by another") {
  CHECK(SaTable().find(Spi{0x1001}) == nullptr);
  std::vector<std::shared_ptr<InboundSa>> sas;
  for (std::uint32_t i = 0; i < 1000; ++i)
    sas.push_back(pair_of(make_keys(CipherSuite::aes_gcm_16_128, 256 + i * 0x10000)).inbound);
  const SaTable table(sas);
  CHECK(table.size() == 1000);
  for (const auto& sa : sas) CHECK(table.find(sa->spi) == sa.get());
  CHECK(table.find(Spi{0}) == nullptr);
  CHECK(table.find(Spi{257}) == nullptr);
  CHECK(*esp_spi(vectors[0].esp) == Spi{0x1001});
  CHECK_FALSE(esp_spi(ByteView(vectors[0].esp).first(3)).has_value());
}

TEST_CASE("keys of the wrong length and reserved SPIs make no SA") {
  ChildSaKeys short_key = keys_of(vectors[0]);
  short_key.inbound.encryption = Secret(19);
  CHECK_FALSE(make_sa_pair(std::move(short_key)).has_value());
  ChildSaKeys reserved = keys_of(vectors[0]);
  reserved.outbound_spi = Spi{255};
  CHECK_FALSE(make_sa_pair(std::move(reserved)).has_value());
}
