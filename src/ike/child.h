#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/base/secret.h"
#include "culvert/child_sa.h"
#include "culvert/crypto/key_exchange.h"
#include "culvert/ike/config.h"
#include "culvert/ike/endpoint.h"
#include "culvert/ike/proposal.h"

namespace culvert::ike {

/// What a packet that waits asked for: it goes first into TSi and TSr (RFC 7296 §2.9).
struct Trigger {
  TrafficSelector source, destination;
};

/// One pair of ESP SAs, as ike sees it. Owned by its Association.
struct ChildSa {
  enum class State : std::uint8_t {
    live,        ///< in use, or ready to be
    superseded,  ///< another has taken its place; the peer is to delete it, until give_up_at
    deleting,    ///< we delete it
  };

  const ChildConfig* config = nullptr;
  Spi inbound, outbound;
  EspSuite suite;
  EspMode mode = EspMode::tunnel;
  EspEncapsulation encapsulation = EspEncapsulation::udp;
  std::vector<TrafficSelector> local, remote;

  bool ours = false;   ///< we asked for it
  Bytes lowest_nonce;  ///< the lower of its two nonces

  State state = State::live;
  bool sends = false;            ///< the data plane sends on it
  bool in_plane = true;          ///< not removed yet
  std::optional<Spi> successor;  ///< inbound SPI of what a rekey made of it
  /// We answered for it, and have no sign yet that the answer arrived: the IKE SA whose next request will be one.
  std::optional<IkeSpi> unconfirmed_on;
  Path path;  ///< outer addresses and ports
  TimePoint established{};
  std::optional<TimePoint> soft_at, hard_at, give_up_at;
  std::optional<TimePoint> activate_at;  ///< when to send on it at the latest (Association::may_send_at_once)
};

/// Our request for a child, while it waits for its answer.
struct ChildOffer {
  const ChildConfig* config = nullptr;
  Spi spi;
  std::vector<Proposal> proposals;
  Bytes nonce;
  std::shared_ptr<const crypto::KeyExchange> ke;  ///< with PFS
  std::optional<Result<Secret>> g_ir;             ///< with PFS, once the answer is here
  std::vector<TrafficSelector> local, remote;
  bool transport = false;  ///< USE_TRANSPORT_MODE
};

/// What both sides agreed on, before it has keys.
struct ChildAgreement {
  const ChildConfig* config = nullptr;
  Spi inbound, outbound;
  EspSuite suite;
  EspMode mode = EspMode::tunnel;
  std::vector<TrafficSelector> local, remote;
};

}  // namespace culvert::ike
