#include "vectors/aead_vectors.h"

#include <algorithm>
#include <memory>

#include "vectors/hex.h"

namespace culvert::test {
namespace {

std::shared_ptr<crypto::AeadKey> make_key(const AeadAnswer& from) {
  Bytes encryption = from.key;
  encryption.insert(encryption.end(), from.nonce.begin(), from.nonce.begin() + crypto::info(from.suite).salt_len);
  auto made = crypto::AeadKey::create(from.suite, encryption, from.integrity, crypto::AadLayout::prefix);
  REQUIRE_MESSAGE(made, from.name);
  return std::move(*made);
}

// One packet with buffers of its own.
struct Packet {
  const AeadAnswer* answer = nullptr;
  std::shared_ptr<crypto::AeadKey> key;
  Bytes iv, in, out, icv;

  Packet(const AeadAnswer& from, bool seal, std::shared_ptr<crypto::AeadKey> with)
      : answer(&from), key(std::move(with)) {
    const crypto::CipherSuiteInfo& sizes = crypto::info(from.suite);
    iv.assign(from.nonce.begin() + sizes.salt_len, from.nonce.end());
    in = seal ? from.plaintext : from.ciphertext;
    out.assign(in.size(), 0xa5);
    icv = seal ? Bytes(sizes.icv_len, 0xa5) : from.icv;
  }

  crypto::AeadJob job(bool in_place) {
    return {.key = key.get(),
            .aad = answer->aad.data(),
            .iv = iv.data(),
            .src = in.data(),
            .dst = in_place ? in.data() : out.data(),
            .icv = icv.data(),
            .aad_len = static_cast<std::uint32_t>(answer->aad.size()),
            .len = static_cast<std::uint32_t>(in.size())};
  }
};

void check_sealed(const Packet& packet, const crypto::AeadJob& job, const Bytes& result) {
  CHECK_MESSAGE(job.ok, packet.answer->name);
  CHECK_MESSAGE(to_hex(result) == to_hex(packet.answer->ciphertext), packet.answer->name);
  CHECK_MESSAGE(to_hex(packet.icv) == to_hex(packet.answer->icv), packet.answer->name);
}

void check_opened(const Packet& packet, const crypto::AeadJob& job, const Bytes& result) {
  if (packet.answer->must_fail) {
    CHECK_MESSAGE(!job.ok, packet.answer->name);
    CHECK_MESSAGE(std::all_of(result.begin(), result.end(), [](std::uint8_t byte) { return byte == 0; }),
                  packet.answer->name);
    return;
  }
  CHECK_MESSAGE(job.ok, packet.answer->name);
  CHECK_MESSAGE(to_hex(result) == to_hex(packet.answer->plaintext), packet.answer->name);
}

}  // namespace

AeadRun run_answers(const std::vector<AeadAnswer>& answers, std::size_t batch_len, bool in_place,
                    std::size_t num_copies) {
  AeadRun run;
  for (std::size_t start = 0; start < answers.size(); start += batch_len) {
    const std::size_t end = std::min(answers.size(), start + batch_len);
    for (const bool seal : {true, false}) {
      std::vector<Packet> packets;
      for (std::size_t i = start; i < end; ++i) {
        if (seal && answers[i].must_fail) continue;
        const auto key = make_key(answers[i]);
        for (std::size_t copy = 0; copy < num_copies; ++copy) packets.emplace_back(answers[i], seal, key);
      }
      std::vector<crypto::AeadJob> jobs;
      for (Packet& packet : packets) jobs.push_back(packet.job(in_place));
      seal ? crypto::seal_batch(jobs) : crypto::open_batch(jobs);
      for (std::size_t i = 0; i < packets.size(); ++i) {
        const Bytes& result = in_place ? packets[i].in : packets[i].out;
        seal ? check_sealed(packets[i], jobs[i], result) : check_opened(packets[i], jobs[i], result);
        seal ? ++run.num_sealed : packets[i].answer->must_fail ? ++run.num_refused : ++run.num_opened;
      }
    }
  }
  return run;
}

}  // namespace culvert::test
