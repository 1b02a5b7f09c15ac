#include "esp_encrypt.h"

#include <array>

#include "culvert/crypto/aead.h"
#include "culvert/wire/esp.h"
#include "fixed_list.h"
#include "sa.h"

namespace culvert::tunnel {
namespace {

constexpr std::size_t max_aad_len = 12;

/// What one batch needs beside its packets; on the stack.
struct SealWork {
  FixedList<crypto::AeadJob, PacketBatch::capacity> jobs;
  std::array<std::array<std::uint8_t, max_aad_len>, PacketBatch::capacity> aad;
  std::array<std::uint8_t, PacketBatch::capacity> packet_of_job;
};

// Header, IV and trailer around the payload; false: the buffer has no room. RFC 4303 §3.3.2.
bool frame(Packet& packet, const OutboundSa& sa, std::uint64_t sequence, const std::uint8_t* iv,
           SealWork& work) noexcept {
  const crypto::CipherSuiteInfo& suite = *sa.suite;
  const std::size_t pad_len = wire::esp_pad_len(packet.len, suite.block_len);
  const std::size_t inner_len = packet.len;
  const std::size_t sealed_len = inner_len + pad_len + wire::esp_trailer_len;
  std::uint8_t* trailer = packet.push_back(pad_len + wire::esp_trailer_len + suite.icv_len);
  if (trailer == nullptr) return false;
  std::uint8_t* header = packet.push_front(wire::esp_header_len + suite.iv_len);
  if (header == nullptr) return false;

  wire::write_esp_trailer(trailer, pad_len, packet.next_header);
  wire::EspHeader{sa.spi, static_cast<std::uint32_t>(sequence)}.write(header);
  std::uint8_t* iv_field = header + wire::esp_header_len;
  if (suite.is_aead) {
    store_be(iv_field, sequence);  // RFC 4106 §3.1, RFC 7634 §2: a counter, unique under the key
  } else {
    std::memcpy(iv_field, iv, suite.iv_len);
  }

  std::uint8_t* aad = work.aad[work.jobs.size()].data();
  store_be(aad, sa.spi.value());
  if (sa.esn) {
    store_be(aad + 4, sequence);  // RFC 4106 §5: SPI | 64-bit number
  } else {
    store_be(aad + 4, static_cast<std::uint32_t>(sequence));
  }
  crypto::AeadJob& job = work.jobs.add();
  job.key = &sa.key();
  job.aad = aad;
  job.aad_len = sa.esn ? 12 : 8;
  job.iv = iv_field;
  job.src = job.dst = iv_field + suite.iv_len;
  if (packet.body != nullptr) {
    job.src = packet.body;
    job.head_len = static_cast<std::uint16_t>(inner_len - packet.body_len);
    job.tail_len = static_cast<std::uint16_t>(pad_len + wire::esp_trailer_len);
  }
  job.len = static_cast<std::uint32_t>(sealed_len);
  job.icv = job.dst + sealed_len;
  return true;
}

// All packets of one SA: one reservation, one count, then a job each.
void frame_group(PacketBatch& batch, OutboundSa& sa, std::uint64_t mask, SealWork& work) noexcept {
  if (sa.meter.exhausted()) {
    for_each_bit(mask, [&](std::size_t i) { batch.drop(i, DropReason::sa_expired); });
    return;
  }
  const OutboundSa::Block block = sa.reserve(static_cast<std::uint32_t>(std::popcount(mask)));
  std::uint32_t place = 0;
  std::uint64_t bytes = 0;
  for_each_bit(mask, [&](std::size_t i) {
    if (place++ < block.count) {
      bytes += batch[i].len;
    } else {
      batch.drop(i, DropReason::sequence_exhausted);
    }
  });
  if (block.count == 0) return;

  std::array<std::uint8_t, PacketBatch::capacity * crypto::max_iv_len> ivs;
  if (!sa.suite->is_aead) sa.fill_ivs(block.first, {ivs.data(), std::size_t{block.count} * sa.suite->iv_len});
  TrafficMeter::Share share = sa.meter.add(block.count, bytes, sa.events);
  place = 0;
  for_each_bit(mask & batch.alive_mask(), [&](std::size_t i) {
    const std::uint32_t at = place++;
    if (!share.admit(batch[i].len)) {
      batch.drop(i, DropReason::sa_expired);
    } else if (!frame(batch[i], sa, block.first + at, &ivs[std::size_t{at} * sa.suite->iv_len], work)) {
      batch.drop(i, DropReason::no_buffer);
    } else {
      work.packet_of_job[work.jobs.size() - 1] = static_cast<std::uint8_t>(i);
    }
  });
}

}  // namespace

std::size_t sealed_len(const OutboundSa& sa, std::size_t len) noexcept {
  const crypto::CipherSuiteInfo& suite = *sa.suite;
  return wire::esp_header_len + suite.iv_len + len + wire::esp_pad_len(len, suite.block_len) + wire::esp_trailer_len +
         suite.icv_len;
}

void encrypt_batch(PacketBatch& batch) noexcept {
  SealWork work;
  batch.for_each_group(&Packet::outbound_sa, [&](OutboundSa* sa, std::uint64_t mask) {
    if (sa == nullptr) {
      for_each_bit(mask, [&](std::size_t i) { batch.drop(i, DropReason::no_sa); });
    } else {
      frame_group(batch, *sa, mask, work);
    }
  });
  crypto::seal_batch(work.jobs.items());
  for (std::size_t j = 0; j < work.jobs.size(); ++j) {
    if (!work.jobs[j].ok) batch.drop(work.packet_of_job[j], DropReason::encrypt_failed);
  }
}

}  // namespace culvert::tunnel
