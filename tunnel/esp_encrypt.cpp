#include "esp_encrypt.h"

#include <array>

#include "culvert/wire/esp.h"
#include "esp_jobs.h"
#include "sa.h"

namespace culvert::tunnel {
namespace {

// Header, IV and trailer around the payload of packet i; false: the buffer has no room. RFC 4303 §3.3.2.
bool frame(PacketBatch& batch, std::size_t i, const OutboundSa& sa, std::uint64_t sequence, const std::uint8_t* iv,
           EspJobs& jobs) noexcept {
  Packet& packet = batch[i];
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

  crypto::AeadJob& job = jobs.add(i, sa, header, sealed_len, sequence);
  if (packet.body != nullptr) {
    job.src = packet.body;
    job.head_len = static_cast<std::uint16_t>(inner_len - packet.body_len);
    job.tail_len = static_cast<std::uint16_t>(pad_len + wire::esp_trailer_len);
  }
  return true;
}

// All packets of one SA: one reservation, one count, then a job each.
void frame_group(PacketBatch& batch, OutboundSa& sa, std::uint64_t mask, EspJobs& jobs, Metering metering) noexcept {
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
  const bool counted = metering == Metering::traffic;
  TrafficMeter::Share share = sa.meter.add(counted ? block.count : 0, counted ? bytes : 0, sa.events);
  place = 0;
  for_each_bit(mask & batch.alive_mask(), [&](std::size_t i) {
    const std::uint32_t at = place++;
    if (counted && !share.admit(batch[i].len)) {
      batch.drop(i, DropReason::sa_expired);
    } else if (!frame(batch, i, sa, block.first + at, &ivs[std::size_t{at} * sa.suite->iv_len], jobs)) {
      batch.drop(i, DropReason::no_buffer);
    }
  });
}

}  // namespace

void encrypt_batch(PacketBatch& batch, Metering metering) noexcept {
  EspJobs jobs;
  batch.for_each_group(&Packet::outbound_sa, [&](OutboundSa* sa, std::uint64_t mask) {
    if (sa == nullptr) {
      for_each_bit(mask, [&](std::size_t i) { batch.drop(i, DropReason::no_sa); });
    } else {
      frame_group(batch, *sa, mask, jobs, metering);
    }
  });
  crypto::seal_batch(jobs.all());
  jobs.drop_failed(batch, DropReason::encrypt_failed);
}

}  // namespace culvert::tunnel
