#pragma once
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/secret.h"
#include "culvert/crypto/certificate.h"
#include "culvert/eap/packet.h"

namespace culvert::eap {

/// What one packet of a conversation came to.
struct Step {
  enum class Kind : std::uint8_t { send, succeeded, failed } kind = Kind::failed;
  Bytes packet;     ///< to be sent: always by a server, by a client only with Kind::send
  std::string why;  ///< of a failure, for the operator alone; with Kind::send: that try was wrong, another one may follow
};

/// What a conversation has proved. Moved, never copied: it has a key.
struct Proof {
  Type method{};
  std::string user;                        ///< whom the method authenticated; a server's alone
  std::string group;                       ///< of the user; empty: none
  Secret msk;                              ///< RFC 3748 §7.10: 64 bytes
  std::vector<crypto::Certificate> chain;  ///< of the other end, leaf first, anchor last; empty without certificates
  std::optional<crypto::WallTime> until;   ///< the first moment at which something in the chain expires
};

/// Packets of one direction after which a conversation is given up.
inline constexpr int max_rounds = 64;

}  // namespace culvert::eap
