#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/secret.h"
#include "culvert/crypto/random.h"
#include "culvert/ike/config.h"

namespace culvert::ike {

/// Seconds since 1970: tickets outlive the process, and with it the monotonic clock.
using UnixSeconds = std::uint64_t;

/// What a ticket holds, RFC 5723 §6.1: what a gateway must know again of an IKE SA that it has forgotten. A value.
struct TicketState {
  Secret sk_d;
  Bytes sa;                     ///< an SA payload of the one proposal that was chosen
  Bytes id_i, id_r;             ///< ID payload bodies, as they were authenticated
  Secret credential;            ///< see credential_digest
  UnixSeconds authenticated{};  ///< when IKE_AUTH proved it last; a resumption proves nothing anew
  UnixSeconds expires{};
};

/// Binds a ticket to how the peer is to authenticate now: when its key in the configuration has changed, the ticket is
/// void. Empty: its way of authentication gets no tickets (certificates could be revoked unnoticed).
[[nodiscard]] Secret credential_digest(const PeerConfig& config, ByteView sk_d);

inline constexpr UnixSeconds ticket_lifetime = 8 * 3600;  ///< at most; a key is used as long
inline constexpr std::size_t max_ticket_len = 1024;       ///< of what we make, and take from others

/// Makes and opens tickets "by value" (RFC 5723 §6.2): nothing is kept for one, but for a bounded memory of which were
/// used. Sealed with XChaCha20-Poly1305 under a key that changes each ticket_lifetime; the one before still opens.
///
///   1: version | 8: key id | 24: nonce | ciphertext | 16: tag          AAD: version, key id
///
/// Owned by Core; control thread.
class TicketBox {
 public:
  /// `saved` is what save() gave to a daemon before this one; whatever else it may be is ignored.
  TicketBox(crypto::RandomSource& random, ByteView saved);

  /// Makes a new key when it is time for one. True: save() has something new.
  [[nodiscard]] bool rotate(UnixSeconds now);
  [[nodiscard]] Secret save() const;
  /// After rotate(). Empty when it would be too long.
  [[nodiscard]] Bytes seal(const TicketState& state);
  /// nullopt: not ours, changed, expired, or used already.
  [[nodiscard]] std::optional<TicketState> open(UnixSeconds now, ByteView ticket) const;
  /// The ticket has done its service: it opens no more, as long as the memory of it lasts (the last 4096).
  void spend(ByteView ticket);

 private:
  struct Key {
    std::array<std::uint8_t, 8> id{};
    UnixSeconds made{};
    Secret secret;
  };
  [[nodiscard]] const Key* key_of(ByteView id) const;

  crypto::RandomSource& random_;
  std::vector<Key> keys_;    ///< the newest first, at most two
  std::deque<Bytes> spent_;  ///< digests
};

}  // namespace culvert::ike
