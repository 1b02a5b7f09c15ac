#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ids.h"
#include "culvert/base/time.h"
#include "message.h"

namespace culvert::ike {

/// The fragments of one message that have come so far (RFC 7383 §2.6): one set, of one message ID and one total. What
/// nobody authenticated never gets in, and count, bytes and time are bounded. Owned by a Session, one each way.
class Reassembly {
 public:
  static constexpr std::size_t max_fragments = 256;
  static constexpr Duration max_age = std::chrono::seconds(30);  ///< of a set, from its first fragment on

  /// Before the ICV is looked at, by the numbers in the clear: nothing changes by them.
  enum class Verdict : std::uint8_t {
    wanted,
    duplicate,    ///< its place is taken
    outdated,     ///< of a set of fewer fragments: the sender has cut the message smaller since
    beyond_limit  ///< more fragments than we take
  };
  [[nodiscard]] Verdict judge(TimePoint now, MessageId id, FragmentPosition position) const;

  /// An authenticated fragment that was wanted. `digest`: of its datagram.
  struct Fragment {
    MessageId id;
    FragmentPosition position;
    PayloadType first = PayloadType::none;  ///< counts in fragment 1
    Bytes digest;
    Bytes content;
  };
  /// A larger total than before begins a new set. `max_bytes`: of all contents; beyond it the set is given up.
  enum class Added : std::uint8_t { waiting, restarted, complete, too_long };
  [[nodiscard]] Added add(TimePoint now, Fragment fragment, std::size_t max_bytes);

  /// What it is put together, once complete; `digest` is that of fragment 1. Empties the set.
  struct Whole {
    PayloadType first = PayloadType::none;
    Bytes content;
    Bytes digest;
  };
  [[nodiscard]] Whole take();

  void clear() noexcept { set_.reset(); }
  /// When the set is to be given up by expire().
  [[nodiscard]] std::optional<TimePoint> deadline() const noexcept;
  void expire(TimePoint now);

 private:
  [[nodiscard]] bool is_of(TimePoint now, MessageId id) const noexcept;

  struct Set {
    MessageId id;
    TimePoint until{};
    std::vector<std::optional<Bytes>> parts;
    std::size_t num_parts = 0, num_bytes = 0;
    PayloadType first = PayloadType::none;
    Bytes digest;
  };
  std::unique_ptr<Set> set_;  ///< hardly ever there
};

}  // namespace culvert::ike
