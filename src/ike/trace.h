#pragma once
#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "culvert/ike/trace.h"
#include "message.h"
#include "rate_limit.h"

namespace culvert::ike {

/// "SA(aes256gcm16-prfsha384-x25519), KE(x25519), nonce, N(NAT_DETECTION_SOURCE_IP)": kinds and what was agreed on, at
/// most 1 KiB of printable ASCII, and no secret.
[[nodiscard]] std::string describe(const std::vector<Payload>& payloads);

/// The conversations of the last attempts, of all peers together, in a memory that has a bound. What strangers can
/// cause and what is said again and again (liveness checks) have shares of their own, so that neither drives out the
/// rest. Control thread.
class Trace {
 public:
  enum class Share : std::uint8_t { conversations, small_talk, strangers, count_ };
  /// Bytes of all entries of a share.
  static constexpr std::array<std::size_t, 3> budgets = {768u << 10, 64u << 10, 192u << 10};

  /// Whether there is room for one more of strangers: 50 a second, so that a flood costs no time.
  [[nodiscard]] bool admits_stranger(TimePoint now) { return stranger_limit_.take(now); }
  void add(Share share, TraceEntry entry);
  /// What concerns `peer` (empty: all), the oldest first: entries with its name or that of its clients, all others of
  /// the same IKE SAs, and those of nobody known for which `is_its_address` holds.
  [[nodiscard]] std::vector<TraceEntry> entries(const std::string& peer,
                                                const std::function<bool(const IpAddress&)>& is_its_address) const;
  [[nodiscard]] std::size_t num_bytes() const noexcept { return bytes_[0] + bytes_[1] + bytes_[2]; }

 private:
  std::array<std::deque<TraceEntry>, 3> shares_;
  std::array<std::size_t, 3> bytes_{};
  std::uint64_t last_number_ = 0;
  RateLimit stranger_limit_{std::chrono::milliseconds(20), 50};
};

}  // namespace culvert::ike
