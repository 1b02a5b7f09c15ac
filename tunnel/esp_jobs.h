#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "culvert/crypto/aead.h"
#include "culvert/wire/esp.h"
#include "fixed_list.h"
#include "packet.h"
#include "sa.h"

namespace culvert::tunnel {

/// What is sealed or opened of one batch, at once; on the stack.
class EspJobs {
 public:
  /// A job for packet i of the batch, whose ESP header, IV, text and ICV lie in place; the text is `len` bytes. The AAD
  /// is SPI | sequence number, of 64 bits with ESN (RFC 4106 §5).
  template <class Sa>
  crypto::AeadJob& add(std::size_t i, const Sa& sa, std::uint8_t* esp_header, std::size_t len,
                       std::uint64_t sequence) noexcept {
    std::uint8_t* aad = aad_[jobs_.size()].data();
    store_be(aad, sa.spi.value());
    if (sa.esn) {
      store_be(aad + 4, sequence);
    } else {
      store_be(aad + 4, static_cast<std::uint32_t>(sequence));
    }
    packet_of_job_[jobs_.size()] = static_cast<std::uint8_t>(i);
    crypto::AeadJob& job = jobs_.add();
    job.key = &sa.key();
    job.aad = aad;
    job.aad_len = sa.esn ? 12 : 8;
    job.iv = esp_header + wire::esp_header_len;
    job.src = job.dst = esp_header + wire::esp_header_len + sa.suite->iv_len;
    job.len = static_cast<std::uint32_t>(len);
    job.icv = job.dst + len;
    return job;
  }

  [[nodiscard]] std::span<crypto::AeadJob> all() noexcept { return jobs_.items(); }

  void drop_failed(PacketBatch& batch, DropReason reason) noexcept {
    for (std::size_t j = 0; j < jobs_.size(); ++j) {
      if (!jobs_[j].ok) batch.drop(packet_of_job_[j], reason);
    }
  }

 private:
  FixedList<crypto::AeadJob, PacketBatch::capacity> jobs_;
  std::array<std::array<std::uint8_t, 12>, PacketBatch::capacity> aad_;
  std::array<std::uint8_t, PacketBatch::capacity> packet_of_job_;
};

}  // namespace culvert::tunnel
