#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "culvert/base/ip.h"
#include "culvert/base/time.h"
#include "demux.h"
#include "file_descriptor.h"

namespace culvert::tunnel {

struct FloodTable;

/// What a flood of requests for an IKE SA costs us is mostly the way of each to us. So in one the kernel keeps back, by
/// a few instructions of eBPF on the sockets of strangers, the IKE_SA_INIT that bring no COOKIE, but for few at random,
/// those from addresses that are expected, and those that come again from the same address with the same SPI: who
/// forges addresses sends each once, an honest initiator repeats it (RFC 7296 §2.1). What was seen is remembered as a
/// hash in a table that a flood of 50,000 a second overwrites in 5 s. Where the kernel takes no eBPF (no CAP_BPF)
/// everything comes to us. Control thread.
class StrangerFilter {
 public:
  /// Requests without COOKIE a second, for three tenths of one, at which it begins to keep back; it ends at half. So many
  /// may come from honest peers in a moment, when a site returns.
  static constexpr std::uint64_t on_rate = 20000;
  static constexpr std::uint32_t one_of = 128;  ///< that many comes through at random

  StrangerFilter() noexcept;
  StrangerFilter(const StrangerFilter&) = delete;
  StrangerFilter& operator=(const StrangerFilter&) = delete;
  ~StrangerFilter();

  /// Of a socket that gets nothing but requests for an IKE SA. false: the kernel does not take it.
  [[nodiscard]] bool attach(int fd, PortKind kind) noexcept;
  /// Requests from these, and no others, come through however many there are; but for one address in 100, by chance.
  void expect(std::span<const IpAddress> addresses) noexcept;
  /// After each look at the sockets, which gave `num_received` of those that it might have kept back; decides whether to.
  /// How many were kept back since the last time.
  [[nodiscard]] std::uint64_t observe(TimePoint now, std::size_t num_received) noexcept;
  /// Whether a request, from its IKE header on, brings a COOKIE, as far as the kernel looks.
  [[nodiscard]] static bool brings_cookie(ByteView ike) noexcept;
  [[nodiscard]] bool is_on() const noexcept;
  /// Whether requests come at half of on_rate, also where the kernel keeps none back.
  [[nodiscard]] bool is_busy() const noexcept { return is_busy_; }
  void turn(bool on) noexcept;
  [[nodiscard]] std::uint64_t num_kept_back() const noexcept;  ///< since the start

 private:
  [[nodiscard]] std::uint64_t hash(const IpAddress& address) const noexcept;

  FileDescriptor map_;
  FloodTable* table_ = nullptr;  ///< with the kernel; nullptr: it does not take eBPF
  std::uint64_t num_reported_ = 0;
  std::uint64_t num_seen_ = 0;  ///< requests since period_began_
  unsigned num_busy_ = 0;       ///< periods in a row
  bool is_busy_ = false;        ///< in the last period, at half the rate
  TimePoint period_began_{}, last_busy_{};
};

}  // namespace culvert::tunnel
