// No implementation touches a byte that the job does not name: every buffer of a packet ends right before a page that
// cannot be accessed, or begins right behind one.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "culvert/crypto/aead.h"
#include "vectors/aead_vectors.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

// Room for `len` bytes between two forbidden pages, at its end or at its beginning.
class Fenced {
 public:
  Fenced(std::size_t len, bool at_end) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    const std::size_t room = (len / page_ + 1) * page_;
    mapped_ = room + 2 * page_;
    void* memory = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    begin_ = static_cast<std::uint8_t*>(memory);
    REQUIRE(mprotect(begin_ + page_, room, PROT_READ | PROT_WRITE) == 0);
    data_ = begin_ + page_ + (at_end ? room - len : 0);
  }
  ~Fenced() { munmap(begin_, mapped_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  [[nodiscard]] std::uint8_t* data() const { return data_; }

 private:
  std::size_t page_, mapped_ = 0;
  std::uint8_t* begin_ = nullptr;
  std::uint8_t* data_ = nullptr;
};

struct FencedPacket {
  std::size_t len;
  Fenced aad, iv, icv, src, dst;

  FencedPacket(std::size_t text_len, std::size_t aad_len, bool at_end)
      : len(text_len),
        aad(aad_len, at_end),
        iv(8, at_end),
        icv(16, at_end),
        src(text_len, at_end),
        dst(text_len, at_end) {
    for (std::size_t i = 0; i < len; ++i) src.data()[i] = static_cast<std::uint8_t>(3 * i + 1);
  }
  AeadJob job(const AeadKey& key, std::size_t aad_len) {
    return {.key = &key,
            .aad = aad.data(),
            .iv = iv.data(),
            .src = src.data(),
            .dst = dst.data(),
            .icv = icv.data(),
            .aad_len = static_cast<std::uint32_t>(aad_len),
            .len = static_cast<std::uint32_t>(len)};
  }
};

/// So many packets alike in one batch; an ICV of the last one is wrong in the end.
void seal_and_open(const AeadKey& key, std::size_t num, std::size_t len, std::size_t aad_len, bool at_end) {
  CAPTURE(num);
  CAPTURE(len);
  CAPTURE(aad_len);
  CAPTURE(at_end);
  std::vector<std::unique_ptr<FencedPacket>> packets;
  std::vector<AeadJob> jobs;
  for (std::size_t i = 0; i < num; ++i) {
    packets.push_back(std::make_unique<FencedPacket>(len, aad_len, at_end));
    jobs.push_back(packets.back()->job(key, aad_len));
  }
  const auto is_ok = [](const AeadJob& job) { return job.ok; };
  seal_batch(jobs);
  REQUIRE(std::all_of(jobs.begin(), jobs.end(), is_ok));
  for (std::size_t i = 0; i < num; ++i) {
    jobs[i].src = packets[i]->dst.data();
    jobs[i].dst = packets[i]->src.data();
    std::memset(packets[i]->src.data(), 0xee, len);
  }
  open_batch(jobs);
  REQUIRE(std::all_of(jobs.begin(), jobs.end(), is_ok));
  bool right = true;
  for (const auto& packet : packets) {
    for (std::size_t i = 0; i < len; ++i) right &= packet->src.data()[i] == static_cast<std::uint8_t>(3 * i + 1);
  }
  CHECK(right);
  packets.back()->icv.data()[7] ^= 4;
  open_batch(jobs);
  CHECK(std::count_if(jobs.begin(), jobs.end(), is_ok) == static_cast<std::ptrdiff_t>(num) - 1);
  CHECK(!jobs.back().ok);
}

std::unique_ptr<AeadKey> make_key(CipherSuite suite) {
  auto key = AeadKey::create(suite, Bytes(std::size_t{info(suite).key_len} + info(suite).salt_len, 0x5a), {},
                             AadLayout::prefix);
  REQUIRE(key);
  return std::move(*key);
}

}  // namespace

TEST_CASE("no implementation reads or writes beyond the buffers of a packet, at either end") {
  for_each_aead_implementation([] {
    const auto key = make_key(CipherSuite::aes_gcm_16_256);
    for (const bool at_end : {false, true}) {
      for (const std::size_t num : {1, 2}) {  // a short packet alone goes a way of its own
        for (std::size_t len = 0; len <= 700; ++len) seal_and_open(*key, num, len, len % 2 == 0 ? 8 : 12, at_end);
        for (std::size_t aad_len = 0; aad_len <= 70; ++aad_len) seal_and_open(*key, num, 100, aad_len, at_end);
      }
      for (std::size_t len = 1370; len <= 1520; len += 3) seal_and_open(*key, 1, len, 8, at_end);
      for (const std::size_t len : {2047, 2048, 2049, 2063, 4095, 4096, 4111, 8999, 9000})
        seal_and_open(*key, 1, len, 12, at_end);
    }
  });
}

TEST_CASE("no implementation reads or writes beyond the buffers of many packets of all sizes at once") {
  for_each_aead_implementation([] {
    const auto first = make_key(CipherSuite::aes_gcm_16_128), second = make_key(CipherSuite::aes_gcm_16_256);
    std::mt19937_64 random(4);
    for (int round = 0; round < 20; ++round) {
      std::vector<std::unique_ptr<FencedPacket>> packets;
      std::vector<AeadJob> jobs;
      for (std::size_t i = 0; i < 40; ++i) {
        packets.push_back(std::make_unique<FencedPacket>(random() % 600, 8, random() % 2 == 0));
        jobs.push_back(packets.back()->job(round % 2 == 0 && i % 3 == 0 ? *first : *second, 8));
      }
      seal_batch(jobs);
      CHECK(std::all_of(jobs.begin(), jobs.end(), [](const AeadJob& job) { return job.ok; }));
      for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].src = jobs[i].dst;
      open_batch(jobs);
      CHECK(std::all_of(jobs.begin(), jobs.end(), [](const AeadJob& job) { return job.ok; }));
    }
  });
}

// A body between fences, its head and tail at dst: joined, the packet is what the same implementation seals in one
// piece.
TEST_CASE("no implementation reads beyond a body that comes from elsewhere") {
  for_each_aead_implementation([] {
    const auto key = make_key(CipherSuite::aes_gcm_16_256);
    for (const bool at_end : {false, true}) {
      for (const std::size_t body_len : {0, 1, 15, 16, 33, 64, 100, 256, 500, 1300, 1400, 2500}) {
        for (const std::size_t head_len : {0, 1, 28, 64, 80, 101}) {
          const std::size_t tail_len = 2 + head_len % 15, len = head_len + body_len + tail_len;
          FencedPacket packet(len, 8, at_end), whole(len, 8, at_end);
          const Fenced body(body_len, at_end);
          std::copy_n(packet.src.data() + head_len, body_len, body.data());
          std::memset(packet.dst.data(), 0xee, len);
          std::copy_n(packet.src.data(), head_len, packet.dst.data());
          std::copy_n(packet.src.data() + len - tail_len, tail_len, packet.dst.data() + len - tail_len);
          AeadJob joined = packet.job(*key, 8), plain = whole.job(*key, 8);
          joined.src = body.data();
          joined.head_len = static_cast<std::uint16_t>(head_len);
          joined.tail_len = static_cast<std::uint16_t>(tail_len);
          seal_batch({&joined, 1});
          seal_batch({&plain, 1});
          REQUIRE(joined.ok);
          REQUIRE(plain.ok);
          CHECK(std::equal(packet.dst.data(), packet.dst.data() + len, whole.dst.data()));
          CHECK(std::equal(packet.icv.data(), packet.icv.data() + 16, whole.icv.data()));
        }
      }
    }
  });
}
