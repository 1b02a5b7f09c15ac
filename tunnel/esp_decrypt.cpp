#include "esp_decrypt.h"

#include <array>
#include <mutex>

#include "culvert/wire/echo.h"
#include "culvert/wire/esp.h"
#include "culvert/wire/flow.h"
#include "esp_jobs.h"
#include "sa.h"
#include "same_flow.h"
#include "tos.h"

namespace culvert::tunnel {
namespace {

/// What one batch needs beside its packets; on the stack.
struct OpenWork {
  EspJobs jobs;
  std::array<std::uint64_t, PacketBatch::capacity> sequence;  ///< by packet
};

// Stage 1 of 3: lengths, sequence number, replay precheck; a job for each packet that may be good.

std::optional<DropReason> check_lengths(const Packet& packet, const crypto::CipherSuiteInfo& suite) noexcept {
  const std::size_t around = wire::esp_header_len + suite.iv_len + suite.icv_len;
  // RFC 4303 §2.4: the ciphertext ends on a 4-byte boundary, or on the cipher's block.
  if (packet.len < around + suite.block_len || (packet.len - around) % suite.block_len != 0)
    return DropReason::outer_malformed;
  return std::nullopt;
}

std::optional<DropReason> to_drop_reason(ReplayWindow::Verdict verdict) noexcept {
  switch (verdict) {
    case ReplayWindow::Verdict::fresh:
      return std::nullopt;
    case ReplayWindow::Verdict::replay:
      return DropReason::replay;
    case ReplayWindow::Verdict::too_old:
      return DropReason::replay_too_old;
  }
  return DropReason::replay;
}

// RFC 4303 §3.4.3; the caller holds the window's lock.
std::optional<DropReason> precheck(const InboundSa& sa, std::uint32_t low, std::uint64_t& sequence) noexcept {
  sequence = low;
  if (sa.esn) {
    const auto inferred = sa.window.infer_esn(low);
    if (!inferred) return DropReason::replay_too_old;
    sequence = *inferred;
  }
  return to_drop_reason(sa.window.check(sequence));
}

void precheck_group(PacketBatch& batch, InboundSa& sa, std::uint64_t mask, OpenWork& work) noexcept {
  for_each_bit(mask, [&](std::size_t i) {
    const auto wrong = sa.meter.exhausted() ? DropReason::sa_expired : check_lengths(batch[i], *sa.suite);
    if (wrong) batch.drop(i, *wrong);
  });
  {
    const std::lock_guard hold(sa.window_lock);
    for_each_bit(mask & batch.alive_mask(), [&](std::size_t i) {
      const auto low = load_be<std::uint32_t>(batch[i].data + 4);
      if (const auto wrong = precheck(sa, low, work.sequence[i])) batch.drop(i, *wrong);
    });
  }
  for_each_bit(mask & batch.alive_mask(), [&](std::size_t i) {
    const std::size_t around = wire::esp_header_len + sa.suite->iv_len + sa.suite->icv_len;
    work.jobs.add(i, sa, batch[i].data, batch[i].len - around, work.sequence[i]);
  });
}

// Stage 2 of 3: their ICVs held. The window first (again: two of one number may be in one batch, or in two workers'
// hands), then the ESP trailer, then the lifetime.

bool strip(Packet& packet, const crypto::CipherSuiteInfo& suite) noexcept {
  packet.pop_front(wire::esp_header_len + suite.iv_len);
  packet.truncate(packet.len - suite.icv_len);
  const auto trailer = wire::EspTrailer::parse(packet.view());
  if (!trailer) return false;
  packet.truncate(trailer->payload_len);
  packet.next_header = trailer->next_header;
  return true;
}

bool is_echo(const Packet& packet) noexcept {
  return packet.next_header == wire::proto_no_next && wire::Echo::is_echo(packet.view());
}

void commit_group(PacketBatch& batch, InboundSa& sa, std::uint64_t mask, const OpenWork& work) noexcept {
  {
    const std::lock_guard hold(sa.window_lock);
    for_each_bit(mask, [&](std::size_t i) {
      batch[i].newest = work.sequence[i] > sa.window.top();
      if (const auto wrong = to_drop_reason(sa.window.commit(work.sequence[i]))) batch.drop(i, *wrong);
    });
  }
  sa.events.raise(ChildEvent::first_inbound);
  std::uint64_t bytes = 0;
  for_each_bit(mask & batch.alive_mask(), [&](std::size_t i) {
    if (!strip(batch[i], *sa.suite)) {
      batch.drop(i, DropReason::padding_invalid);
    } else if (is_echo(batch[i])) {
      batch.consume(i);  // no traffic of anybody's
    } else {
      bytes += batch[i].len;
    }
  });
  const std::uint64_t kept = mask & batch.alive_mask();
  if (kept == 0) return;
  TrafficMeter::Share share = sa.meter.add(static_cast<std::uint64_t>(std::popcount(kept)), bytes, sa.events);
  for_each_bit(kept, [&](std::size_t i) {
    if (!share.admit(batch[i].len)) batch.drop(i, DropReason::sa_expired);
  });
}

// Stage 3 of 3: is what came out what the SA may carry?

// Transport mode here carries GRE alone; the addresses are the SA's own, so the protocol is what is left of the
// selectors.
std::optional<DropReason> accept_transport(const Packet& packet, const InboundSa& sa, const Packet* before) noexcept {
  if (packet.next_header != wire::proto_gre) return DropReason::next_header_invalid;
  if (before != nullptr && before->inbound_sa == &sa) return std::nullopt;  // it was GRE too
  if (!sa.selectors->allows_protocol(packet.next_header)) return DropReason::selector_mismatch;
  return std::nullopt;
}

/// Neighbours mostly belong to one flow: `before`, of the same SA, was accepted, so this one is. What follows its IP
/// length is cut off; false: not told so simply, and nothing has changed.
bool follows(const Packet& before, Packet& packet) noexcept {
  if (before.inbound_sa != packet.inbound_sa || before.next_header != packet.next_header) return false;
  const auto len = wire::ip_total_len(packet.view());
  if (!len || !is_plainly_same_flow(before.view(), packet.view().first(*len))) return false;
  packet.truncate(*len);
  return true;
}

std::optional<DropReason> accept_tunnel(Packet& packet, const InboundSa& sa, const Packet* before) noexcept {
  if (before != nullptr && follows(*before, packet)) {
    return decapsulate_ecn(packet.mutable_view(), packet.outer_tos) ? std::nullopt
                                                                    : std::optional{DropReason::ecn_invalid};
  }
  if (packet.next_header != wire::proto_ipip && packet.next_header != wire::proto_ipv6)
    return DropReason::next_header_invalid;
  const auto flow = wire::Flow::parse(packet.view());
  if (!flow) return DropReason::inner_malformed;
  if (flow->source.is_v4() != (packet.next_header == wire::proto_ipip)) return DropReason::inner_malformed;
  packet.truncate(flow->total_len);  // RFC 4303 §2.7: what follows is TFC padding
  if (!sa.selectors->allows_inbound(*flow)) return DropReason::selector_mismatch;  // RFC 4301 §5.2 step 4
  if (!decapsulate_ecn(packet.mutable_view(), packet.outer_tos)) return DropReason::ecn_invalid;
  return std::nullopt;
}

/// `before`: one that was accepted, or nullptr.
std::optional<DropReason> accept(Packet& packet, const Packet* before) noexcept {
  const InboundSa& sa = *packet.inbound_sa;
  if (packet.next_header == wire::proto_no_next) return DropReason::dummy;  // RFC 4303 §2.6: MUST be discarded silently
  return sa.mode == EspMode::transport ? accept_transport(packet, sa, before) : accept_tunnel(packet, sa, before);
}

}  // namespace

void decrypt_batch(PacketBatch& batch) noexcept {
  OpenWork work;
  batch.for_each_group(&Packet::inbound_sa, [&](InboundSa* sa, std::uint64_t mask) {
    if (sa == nullptr) {
      for_each_bit(mask, [&](std::size_t i) { batch.drop(i, DropReason::unknown_spi); });
    } else {
      precheck_group(batch, *sa, mask, work);
    }
  });
  crypto::open_batch(work.jobs.all());
  work.jobs.drop_failed(batch, DropReason::icv_failed);
  batch.for_each_group(&Packet::inbound_sa,
                       [&](InboundSa* sa, std::uint64_t mask) { commit_group(batch, *sa, mask, work); });
  const Packet* before = nullptr;
  batch.for_each_alive([&](std::size_t i, Packet& packet) {
    if (const auto wrong = accept(packet, before)) {
      batch.drop(i, *wrong);
    } else {
      before = &packet;
    }
  });
}

}  // namespace culvert::tunnel
