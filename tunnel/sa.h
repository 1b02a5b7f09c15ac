#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"
#include "culvert/base/time.h"
#include "culvert/child_sa.h"
#include "culvert/crypto/aead.h"
#include "packet.h"
#include "replay_window.h"
#include "selectors.h"

namespace culvert::tunnel {

/// Outer addresses of a pair of SAs, and what ESP is in on the way; the ports matter for UDP encapsulation only.
struct OuterPath {
  Endpoint local;
  Endpoint remote;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
  friend bool operator==(const OuterPath&, const OuterPath&) noexcept = default;
};

/// Tells UDP endpoints apart by one comparison. IPv4: exactly; of IPv6 two may look the same, and then a move to the
/// other one goes unnoticed.
[[nodiscard]] std::uint64_t endpoint_tag(const Endpoint& endpoint) noexcept;

/// A path that the control thread moves while workers read it. Two places in turn, so that a reader never waits for a
/// writer that was interrupted: it reads again only when the path moved twice meanwhile.
class AtomicPath {
 public:
  explicit AtomicPath(const OuterPath& path) noexcept { store(path); }
  [[nodiscard]] OuterPath load() const noexcept;
  void store(const OuterPath& path) noexcept;  ///< one writer

 private:
  static constexpr std::size_t num_words = 6;
  using Words = std::array<std::atomic<std::uint64_t>, num_words>;
  std::atomic<std::uint32_t> version_{0};  ///< its lowest bit says which place is in force
  std::array<Words, 2> places_{};
};

/// Tells when a pair of SAs sends and hears nothing: what it sends may arrive nowhere. Any thread; in a flow that is
/// answered it is mostly read, and written a hundred times a second at most.
class Silence {
 public:
  static constexpr Duration first_pause = std::chrono::milliseconds(500);
  /// A packet leaves. True: it is time to say that none has come in since the first that left; next after twice as
  /// long.
  [[nodiscard]] bool sent(TimePoint now) noexcept;
  /// A packet has come that authenticates.
  void heard(TimePoint now) noexcept;

 private:
  std::atomic<Duration::rep> heard_{0}, since_{0};  ///< since when there is no answer, or since the last word about it
  std::atomic<int> num_said_{0};
};

/// Events of a pair of SAs: each is raised at most once in its life; whoever calls `take` first reports it. Any thread.
class EventFlags {
 public:
  Silence silence;
  static constexpr std::uint8_t bit(ChildEvent event) noexcept {
    return static_cast<std::uint8_t>(1U << static_cast<unsigned>(event));
  }
  void raise(ChildEvent event) noexcept {
    if ((raised_.load(std::memory_order_relaxed) & bit(event)) != 0) return;
    if ((raised_.fetch_or(bit(event), std::memory_order_acq_rel) & bit(event)) == 0) pending_.fetch_or(bit(event));
  }
  [[nodiscard]] bool was_raised(ChildEvent event) const noexcept {
    return (raised_.load(std::memory_order_relaxed) & bit(event)) != 0;
  }
  /// It was taken, and could not be reported: the next one does.
  void put_back(ChildEvent event) noexcept { pending_.fetch_or(bit(event)); }
  /// Bits of `bit(event)` raised since the last call; nearly always 0, and then only one relaxed load.
  [[nodiscard]] std::uint8_t take() noexcept {
    return pending_.load(std::memory_order_relaxed) == 0 ? std::uint8_t{0} : pending_.exchange(0);
  }

 private:
  std::atomic<std::uint8_t> raised_{0};
  std::atomic<std::uint8_t> pending_{0};
};

/// Counts inner packets and bytes of one direction against its limits. Any thread; one atomic add each a batch.
class TrafficMeter {
 public:
  struct Limits {
    std::uint64_t soft_bytes = 0, soft_packets = 0, hard_bytes = 0, hard_packets = 0;  ///< 0: no limit
  };
  /// The share of one batch: what it may still use. `admit` packet by packet, no atomics.
  class Share {
   public:
    /// Is the packet within the hard limits? Once one is not, none is.
    [[nodiscard]] bool admit(std::uint64_t len) noexcept;

   private:
    friend class TrafficMeter;
    Share(const Limits& limits, std::uint64_t packets, std::uint64_t bytes) noexcept
        : limits_(limits), packets_(packets), bytes_(bytes) {}
    const Limits& limits_;
    std::uint64_t packets_, bytes_;
  };

  explicit TrafficMeter(const Limits& limits) noexcept : limits_(limits) {}
  /// Adds `packets` and `bytes`, raises soft_limit or hard_limit in `events` where they are reached. Not to be asked
  /// when exhausted().
  [[nodiscard]] Share add(std::uint64_t packets, std::uint64_t bytes, EventFlags& events) noexcept;
  /// A hard limit was reached: nothing passes any more.
  [[nodiscard]] bool exhausted() const noexcept { return exhausted_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

 private:
  Limits limits_;
  std::atomic<std::uint64_t> packets_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<bool> exhausted_{false};
};

/// What both SAs of a pair have in common. Immutable but for the path and the events.
struct SaCommon {
  Spi spi;          ///< on the wire
  Spi inbound_spi;  ///< names the pair towards the control plane
  PeerId peer;
  ChildId child;
  const crypto::CipherSuiteInfo* suite = nullptr;
  EspMode mode = EspMode::tunnel;
  bool esn = false;
  std::shared_ptr<const SelectorSet> selectors;
  std::shared_ptr<EventFlags> pair_events;  ///< never null
};

/// A sending SA. Made on the control thread, then shared by all workers.
class OutboundSa : public SaCommon {
 public:
  /// A block of sequence numbers: first … first + count - 1. count may be less than asked for, also 0: exhausted.
  struct Block {
    std::uint64_t first = 0;
    std::uint32_t count = 0;
  };

  OutboundSa(const SaCommon& common, std::unique_ptr<crypto::AeadKey> key, const TrafficMeter::Limits& limits,
             const OuterPath& path, std::uint64_t next_sequence = 1);

  /// One atomic add. Numbers are never given out twice and never wrap (RFC 4303 §3.3.3); the last one is 2^32-1 without
  /// ESN.
  [[nodiscard]] Block reserve(std::uint32_t count) noexcept;
  /// Unpredictable IVs for CBC (RFC 3602 §3): `out` is filled with a stream that no other `first` of this SA yields. No
  /// system call.
  void fill_ivs(std::uint64_t first, MutableByteView out) const noexcept;

  [[nodiscard]] const crypto::AeadKey& key() const noexcept { return *key_; }

  AtomicPath path;
  EventFlags& events;  ///< of the pair
  TrafficMeter meter;

 private:
  std::unique_ptr<crypto::AeadKey> key_;
  Secret iv_key_;                ///< CBC only
  std::uint64_t last_sequence_;  ///< highest usable
  std::uint64_t soft_sequence_;  ///< at which a rekey is asked for
  alignas(64) std::atomic<std::uint64_t> next_sequence_;
};

/// A receiving SA. Made on the control thread, then shared by all workers.
class InboundSa : public SaCommon {
 public:
  InboundSa(const SaCommon& common, std::unique_ptr<crypto::AeadKey> key, const TrafficMeter::Limits& limits,
            std::uint32_t window);

  [[nodiscard]] const crypto::AeadKey& key() const noexcept { return *key_; }

  EventFlags& events;  ///< of the pair
  TrafficMeter meter;
  /// endpoint_tag of where the pair sends to: what comes from elsewhere may mean that a NAT has a new mapping.
  std::atomic<std::uint64_t> remote_tag{0};
  /// Whether somebody may report such a packet now: one now and then is enough. Any thread.
  [[nodiscard]] bool may_report_move(TimePoint now) noexcept;
  /// Whether an echo that has come may be reported now: a hundred a second, ten at once. Any thread.
  [[nodiscard]] bool may_report_echo(TimePoint now) noexcept;

  /// The window, under its lock. Taken twice a batch, never while anything is decrypted.
  alignas(64) std::mutex window_lock;
  ReplayWindow window;

 private:
  std::unique_ptr<crypto::AeadKey> key_;
  std::atomic<Duration::rep> next_move_report_{0};
  std::atomic<Duration::rep> echoes_until_{0};  ///< those that were reported have used up the time until then
};

struct SaPair {
  std::shared_ptr<InboundSa> inbound;
  std::shared_ptr<OutboundSa> outbound;
};
/// Makes both SAs; the keys are wiped. Errors: Errc::invalid (key lengths, an SPI below 256), Errc::internal (crypto).
/// Control thread.
[[nodiscard]] Result<SaPair> make_sa_pair(ChildSaKeys keys);

}  // namespace culvert::tunnel
