// Two IKE SAs with one peer: it reauthenticates (RFC 7296 §2.8.3), comes back from a crash, both initiated at once, or
// somebody else has the same identity. Both ends must keep the same one.
//
// A peer that has just authenticated a new IKE SA tells of the older one:
//  - both were under way at the same time: INITIAL_CONTACT then says nothing (both ends send it). Like the redundant
//  SAs of simultaneous rekeys (§2.8.1), the one with the lowest of the four nonces goes, deleted by its initiator. Of
//  two by one initiator the later one stays.
//  - the older one was up before the first message of the new one. With INITIAL_CONTACT (RFC 7296 §2.4) the peer has no
//  memory of the old one and it goes silently. Without, the new one takes over (make before break): who initiated it
//  makes the children there and then deletes the old one; who answered sends on the old children until it hears of the
//  peer on the new ones, or the old ones are deleted, and does so itself when that takes too long.
//  With `unique = "never"` the answering end leaves both alone.
//
// "At the same time" is the same on both ends: an end that authenticates an IKE SA as responder drops its own attempt
// unless it has authenticated itself there already (Peer::establish). So a second IKE SA comes up only when its
// initiator's IKE_AUTH left before that end had the first one, that is: when its IKE_SA_INIT had reached the other end
// before that.
#include <algorithm>

#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_beside_each_other = 256;  // with unique = "never"

}  // namespace

/// Why a second IKE SA of `who`, begun at `created`, must not come up on `path`; empty when it may.
std::string Peer::refuses_second(const Path& path, TimePoint created, bool initial_contact, const Identity& who) const {
  std::size_t num = 0;
  for (const auto& association : associations_) {
    if (association->ended() || association->redundant()) continue;
    ++num;
    const bool at_once = created < association->established();
    const Session* session = association->current();
    // INITIAL_CONTACT is about its own identity (RFC 7296 §2.4), not about others that a wildcard covers, too.
    const bool forgotten = initial_contact && association->proof().identity().matches(who);
    if (config_.unique != UniquePolicy::keep || forgotten || at_once || !session) continue;
    // From the same address it may be the same peer that reauthenticates.
    if (session->path().remote.address == path.remote.address) continue;
    association->check_liveness();  // if that is dead, the next attempt will succeed
    return fmt::format("it calls from {}, is up from {}, and unique = \"keep\"", path.remote.address.to_string(),
                       session->path().remote.address.to_string());
  }
  if (config_.unique == UniquePolicy::never && num >= max_beside_each_other)
    return fmt::format("{} IKE SAs with it are up already", num);
  return {};
}

void Peer::settle_duplicates(Association& fresh, bool initial_contact) {
  for (const auto& other : associations_) {
    if (other.get() != &fresh && !other->ended()) settle_pair(fresh, *other, initial_contact);
  }
}

void Peer::settle_pair(Association& fresh, Association& old, bool initial_contact) {
  using Ending = Association::Ending;
  const Association::Lineage& a = fresh.lineage();
  const Association::Lineage& b = old.lineage();
  const bool at_once = a.created < old.established();
  const bool reauthenticates = a.ours && !at_once;
  if (config_.unique == UniquePolicy::never && !(reauthenticates && b.ours)) return;
  if (reauthenticates) return old.make_redundant(Ending::handover);
  const bool same = fresh.proof().identity().matches(old.proof().identity());
  const bool forgotten = initial_contact && same;
  if (same && !forgotten) fresh.inherit_redirects(old);
  if (!at_once) return old.make_redundant(forgotten ? Ending::silent : Ending::await_delete);
  if (a.ours == b.ours) {
    Association& earlier = a.created < b.created ? fresh : old;
    return earlier.make_redundant(Ending::handover);
  }
  Association& loser = a.lowest_nonce < b.lowest_nonce ? fresh : old;
  // Where we have just answered, the peer does not have the other one yet: the Delete must not overtake our answer.
  loser.make_redundant(loser.lineage().ours ? Ending::handover : Ending::await_delete);
}

/// Whether everything that `old` carries has a place elsewhere, or will not get one.
bool Peer::has_taken_over(const Association& old) const {
  const Association* kept = preferred();
  if (!kept || kept == &old) return false;
  return std::ranges::all_of(old.children(), [&](const auto& entry) {
    const ChildSa& child = entry.second;
    if (child.state != ChildSa::State::live) return true;
    // One that the peer has asked for, and may not have yet, has not taken over.
    if (const ChildSa* made = kept->live_child(*child.config)) return !made->activate_at;
    if (kept->is_creating(*child.config)) return false;
    const auto need = std::ranges::find_if(needs_, [&](const ChildNeed& one) { return one.config == child.config; });
    return need == needs_.end() || !need->reason.empty();  // it was refused
  });
}

/// Another association's child for the same traffic carries it: what comes new takes over when the peer is heard on it.
bool Peer::sends_elsewhere(const Association& here, const ChildConfig& config) const {
  return std::ranges::any_of(associations_, [&](const auto& association) {
    if (association.get() == &here || association->ended()) return false;
    return std::ranges::any_of(association->children(), [&](const auto& entry) {
      return entry.second.config == &config && entry.second.sends && entry.second.in_plane;
    });
  });
}

}  // namespace culvert::ike
