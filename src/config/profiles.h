#pragma once
#include <span>

#include "findings.h"
#include "raw.h"
#include "value_reader.h"

namespace culvert::config {

/// What a vendor's documents require of the other end: the values of keys that the file leaves out, and what cannot
/// work at all. The documents are named in docs/clouds.md and docs/native-clients.md,
/// which a test holds to this table.
struct Profile {
  std::string_view word;    ///< `profile = "…"`
  std::string_view vendor;  ///< for messages
  std::span<const std::string_view> ike, esp;
  Duration ike_lifetime, child_lifetime, liveness;
  std::uint16_t mss;            ///< highest TCP MSS; 0: what fits the tunnel
  std::uint32_t replay_window;  ///< packets; 0: ours
  bool gre;                     ///< carries GRE inside ESP
  bool single_pair;             ///< one pair of child SAs a peer: 0.0.0.0/0 to 0.0.0.0/0, and routes decide
  bool single_cipher;           ///< one algorithm a role, so that a rekey never changes it
  bool clients = false;         ///< people's phones and laptops: they call, and their selectors are not ours to fill in
};

/// The words of `profile`, for the key table.
[[nodiscard]] std::span<const Choice<const Profile*>> profile_choices();

/// Fills the keys that peers with a profile, and their tunnels, leave out; reports what the vendor does not speak.
/// Positions of what it fills are those of `profile`.
void apply_profiles(RawFile& file, Findings& findings);

}  // namespace culvert::config
