#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ids.h"
#include "culvert/base/time.h"
#include "culvert/crypto/prf.h"
#include "message.h"

namespace culvert::ike {

/// How often and how fast an unanswered request is sent again.
struct RetransmitPolicy {
  Duration first{};
  double factor = 1.8;
  int tries = 7;  ///< sends in all
};

/// Our requests of one IKE SA: one under way at a time (RFC 7296 §2.3: the window is 1 until the peer says otherwise,
/// and we never ask for more). Only requesters retransmit (§2.1), and each copy is the same byte for byte. Owned by a
/// Session.
class RequestWindow {
 public:
  explicit RequestWindow(MessageId next = MessageId(0)) : next_(next) {}

  [[nodiscard]] bool idle() const noexcept { return !pending_; }
  /// The message ID of the next request, or of the one under way.
  [[nodiscard]] MessageId id() const noexcept { return next_; }
  /// Registers what has just been sent: one datagram, or the fragments of one message (RFC 7383). While idle; or in
  /// IKE_SA_INIT in place of the one under way: COOKIE and INVALID_KE_PAYLOAD retries keep message ID 0 (§2.6, §1.2).
  void sent(TimePoint now, ExchangeType exchange, std::vector<Bytes> datagrams, const RetransmitPolicy& policy);
  /// The same request in smaller fragments (RFC 7383 §2.5.2): what is sent again from now on.
  void recut(std::vector<Bytes> datagrams) { pending_->datagrams = std::move(datagrams); }
  [[nodiscard]] bool answers(const Header& response) const noexcept;
  /// The response is in, but not understood before some work has been done: no more copies, until answered() or
  /// release().
  void hold() noexcept { held_ = true; }
  /// The work was not done: the response counts as lost, and the request goes out again when it is due.
  void release() noexcept { held_ = false; }
  [[nodiscard]] bool held() const noexcept { return held_; }
  /// The response is in: the next request takes the next ID.
  void answered() noexcept;
  /// The same request in another form, as if it had just been sent for the first time.
  void begin_again(TimePoint now, std::vector<Bytes> datagrams, const RetransmitPolicy& policy);
  /// As if it had just been sent for the first time: there is a new path to try.
  void restart(TimePoint now) noexcept;
  /// Forgets the request under way: the IKE SA is about to go.
  void abandon() noexcept {
    pending_.reset();
    held_ = false;
  }

  enum class Due : std::uint8_t { nothing, resend, lost };
  /// `resend`: send datagrams() again (counted here). `lost`: the last try stays unanswered.
  [[nodiscard]] Due on_deadline(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const noexcept;
  /// Whether the request under way was sent again before, and not since the policy's first pause; notes that it is now.
  [[nodiscard]] bool may_resend_early(TimePoint now) noexcept;
  [[nodiscard]] const std::vector<Bytes>& datagrams() const noexcept { return pending_->datagrams; }
  [[nodiscard]] ExchangeType exchange() const noexcept { return pending_->exchange; }
  [[nodiscard]] int num_sent() const noexcept { return pending_ ? pending_->num_sent : 0; }
  /// While one is under way.
  [[nodiscard]] TimePoint last_sent() const noexcept { return pending_->last_sent; }

 private:
  struct Pending {
    ExchangeType exchange{};
    std::vector<Bytes> datagrams;
    RetransmitPolicy policy;
    Duration interval{};
    TimePoint due, last_sent;
    int num_sent = 1;
  };
  MessageId next_;
  std::unique_ptr<Pending> pending_;
  bool held_ = false;
};

/// The peer's requests of one IKE SA: the ID that comes next, and the last response, resent byte for byte when its
/// request comes again (§2.1). Owned by a Session.
class ResponseWindow {
 public:
  explicit ResponseWindow(MessageId expected = MessageId(0)) : expected_(expected) {}

  enum class Verdict : std::uint8_t {
    fresh,     ///< the next one
    repeated,  ///< the last one again, byte for byte: send cached()
    changed,   ///< the last one by its ID, but not by its bytes
    stale,     ///< older: drop
    ahead,     ///< beyond the window (§2.3): drop
  };
  [[nodiscard]] Verdict judge(MessageId id, ByteView datagram) const;
  /// What a request is recognised by: of its datagram, or of its first fragment (RFC 7383 §2.6.1).
  [[nodiscard]] static Bytes digest_of(ByteView datagram);
  /// Remembers the response, one datagram or several fragments, to the request that had the expected ID.
  void answered(Bytes request_digest, std::vector<Bytes> response);
  /// The same response in smaller fragments.
  void recut(std::vector<Bytes> response) { response_ = std::move(response); }
  [[nodiscard]] const std::vector<Bytes>& cached() const noexcept { return response_; }
  [[nodiscard]] MessageId expected() const noexcept { return expected_; }

 private:
  MessageId expected_;
  Bytes request_digest_;
  std::vector<Bytes> response_;
};

}  // namespace culvert::ike
