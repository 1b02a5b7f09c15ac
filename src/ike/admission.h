#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "culvert/base/ip.h"
#include "culvert/base/time.h"

namespace culvert::ike {

/// Who may open an IKE SA, when many want to: half-open IKE SAs counted by address and by prefix, COOKIE by load, and a
/// pause for those who fail to authenticate (RFC 7296 §2.6, RFC 8019 §4.4–§4.6). Every table is bounded: the counts by
/// the half-open IKE SAs, the failures by max_failing. Owned by Core, control thread.
///
/// An address is one of IPv4, or a /64 of IPv6, which one host may have; a prefix is a /24 or a /48.
class Admission {
 public:
  struct Limits {
    std::size_t max_half_open = 1000;
    std::size_t cookie_threshold = 100;  ///< half-open IKE SAs at which COOKIE is demanded; 0: always
    std::size_t busy_rate = 200;         ///< requests in a second at which it is
  };
  explicit Admission(Limits limits) : limits_(limits) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  struct Asking {
    IpAddress address;
    bool known = false;   ///< a configured peer has this address
    bool proved = false;  ///< a cookie that holds came with it: it can receive there
  };
  enum class Verdict : std::uint8_t {
    admit,
    challenge,  ///< COOKIE first
    full,       ///< no room among those of its kind; the rest is kept for known peers
    crowded,    ///< too many from this address or prefix
    barred,     ///< too many failed authentications from this address or prefix
  };
  /// Each IKE_SA_INIT request, first of all: how many come is what COOKIE depends on.
  void count_requests(TimePoint now, std::size_t num);
  [[nodiscard]] Verdict judge(TimePoint now, const Asking& asking) const;

  /// The place of one half-open IKE SA; free again when it goes.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), asking_(other.asking_) {}
    Slot& operator=(Slot&& other) noexcept {
      release();
      owner_ = std::exchange(other.owner_, nullptr);
      asking_ = other.asking_;
      return *this;
    }
    ~Slot() { release(); }
    void release() noexcept {
      if (owner_) std::exchange(owner_, nullptr)->leave(asking_);
    }
    [[nodiscard]] bool taken() const noexcept { return owner_ != nullptr; }
    /// From the address of a configured peer.
    [[nodiscard]] bool is_of_known() const noexcept { return asking_.known; }

   private:
    friend class Admission;
    Slot(Admission& owner, Asking asking) noexcept : owner_(&owner), asking_(asking) {}
    Admission* owner_ = nullptr;
    Asking asking_;
  };
  [[nodiscard]] Slot enter(const Asking& asking);

  /// An IKE_AUTH from there was refused. The keys that protected it prove that its sender can receive there.
  void on_failed_authentication(TimePoint now, const IpAddress& address);

  // ---- flood ----
  /// COOKIE is demanded of everybody.
  [[nodiscard]] bool wants_cookies() const noexcept;
  /// A sentence for the operator when a flood has begun or ended since the last call.
  [[nodiscard]] std::optional<std::string> news(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const noexcept;  ///< when to ask for news again

  [[nodiscard]] std::size_t num_half_open() const noexcept { return num_half_open_; }
  [[nodiscard]] std::size_t num_failing() const noexcept { return failing_.size(); }
  static constexpr std::size_t max_failing = 4096;

 private:
  struct Count {
    std::size_t proved = 0, unproved = 0;
  };
  void leave(const Asking& asking) noexcept;
  [[nodiscard]] std::size_t count_of(const IpPrefix& prefix, bool proved) const;
  [[nodiscard]] bool is_crowded(const Asking& asking) const;
  [[nodiscard]] bool is_barred(TimePoint now, const IpPrefix& prefix, int burst, Duration each) const;
  void note_failure(TimePoint now, const IpPrefix& prefix, Duration each);

  Limits limits_;
  std::size_t num_half_open_ = 0;
  std::map<IpPrefix, Count> half_open_;    ///< of addresses and prefixes
  std::map<IpPrefix, TimePoint> failing_;  ///< leaky buckets: when each will be empty
  TimePoint second_began_{};
  std::size_t requests_ = 0;  ///< since then
  bool flooded_ = false, announced_ = false;
  TimePoint flood_began_{}, last_busy_{};
  std::size_t flood_requests_ = 0;
};

}  // namespace culvert::ike
