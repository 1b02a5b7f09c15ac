#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace culvert {

/// Why a packet was dropped. Each has a counter that `culvert drops` shows; add the text in drop_reason.cpp.
enum class DropReason : std::uint8_t {
  // outbound, inner packet
  inner_malformed,         ///< not IPv4 or IPv6, or its lengths do not fit
  no_policy,               ///< no tunnel's selectors own this packet
  no_sa,                   ///< the tunnel has no SA: fail closed
  wait_queue_full,         ///< waiting for an SA, but the bounded queue is full
  wait_expired,            ///< waited for an SA that did not come
  too_big,                 ///< larger than the tunnel's MTU with DF: Packet Too Big was returned
  sequence_exhausted,      ///< the SA has no sequence number left
  encrypt_failed,          ///< the AEAD refused
  send_failed,             ///< the kernel refused the datagram
  gre_recursion,           ///< GRE of a tunnel about to enter itself
  no_buffer,               ///< all buffers of the worker in use
  // inbound, outer packet
  outer_malformed,         ///< too short, or its lengths do not fit
  unknown_spi,             ///< no SA with this SPI
  replay,                  ///< sequence number seen before
  replay_too_old,          ///< sequence number left of the window
  icv_failed,              ///< the ICV does not hold
  padding_invalid,         ///< pad length or pad bytes wrong after decryption (RFC 4303 §2.4)
  next_header_invalid,     ///< not what the SA carries
  dummy,                   ///< next header 59: traffic flow confidentiality (RFC 4303 §2.6), dropped by design
  selector_mismatch,       ///< decrypted, but outside the SA's selectors (RFC 4301 §5.2)
  sa_expired,              ///< the hard lifetime has passed
  gre_malformed,           ///< header too short, reserved bits or version set (RFC 2784 §2.3)
  gre_checksum,            ///< the checksum does not hold
  gre_key_unknown,         ///< no tunnel of this SA has this key
  gre_out_of_order,        ///< sequence number older than one delivered (RFC 2890 §2.2)
  gre_protocol,            ///< protocol type that is not carried
  tun_write_failed,        ///< the kernel refused the inner packet
  ecn_invalid,             ///< outer CE over inner Not-ECT (RFC 6040 §4.2)
  // control
  control_queue_full,      ///< more non-ESP datagrams than the control plane takes
  keepalive,               ///< NAT keepalive, RFC 3948 §4: consumed by design
  ike_malformed,           ///< not a well-formed IKE message
  ike_unknown_sa,          ///< IKE message for an SA we do not have
  ike_half_open_limit,     ///< too many half-open IKE SAs
  ike_source_limit,        ///< too many half-open IKE SAs from this address or prefix
  ike_source_barred,       ///< too many failed authentications from this address or prefix
  ike_stranger,            ///< IKE_SA_INIT from an address that no configured peer has
  ike_cookie_demanded,     ///< IKE_SA_INIT answered with COOKIE (RFC 7296 §2.6): dropped by design
  ike_flood,               ///< IKE_SA_INIT without a cookie, beyond those that are answered with one; asking again helps
  ike_replayed,            ///< outside the message window
  ike_integrity,           ///< SK or SKF payload whose ICV does not hold
  ike_guessing,            ///< a login by EAP for a user of whom too many have failed; it is treated as one with a wrong password
  ike_busy,                ///< no room for the public-key work that it asks for
  ike_fragment,            ///< IKE fragment: there already, of a set cut anew since, too many, or not agreed on
  count_,
};

inline constexpr std::size_t num_drop_reasons = static_cast<std::size_t>(DropReason::count_);

/// The stable name (snake_case, as in the enum) and a sentence for people.
[[nodiscard]] std::string_view drop_reason_name(DropReason reason) noexcept;
[[nodiscard]] std::string_view drop_reason_text(DropReason reason) noexcept;

/// One set of counters. One thread writes (a worker its own), any thread reads.
class DropCounters {
 public:
  void add(DropReason reason, std::uint64_t packets = 1) noexcept {
    auto& counter = counters_[static_cast<std::size_t>(reason)];
    counter.store(counter.load(std::memory_order_relaxed) + packets, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t operator[](DropReason reason) const noexcept {
    return counters_[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, num_drop_reasons> counters_{};
};

}  // namespace culvert
