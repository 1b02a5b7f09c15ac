// Two IKE SAs with one peer: after a crash of one end, or because both initiated at once. Both ends must keep the same
// one.
//
// A peer that has just authenticated a new IKE SA tells of the older one:
//  - the older one was up before the first message of the new one: the new one replaces it. With INITIAL_CONTACT (RFC
//  7296 §2.4) the peer
//    has no memory of the old one and it goes silently; without, it is deleted.
//  - both were under way at the same time: INITIAL_CONTACT then says nothing (both ends send it). Like the redundant
//  SAs of simultaneous
//    rekeys (§2.8.1), the one with the lowest of the four nonces goes, deleted by its initiator. Of two by one
//    initiator the later one stays.
//
// "At the same time" is the same on both ends: an end that authenticates an IKE SA as responder drops its own attempt
// unless it has authenticated itself there already (Peer::establish). So a second IKE SA comes up only when its
// initiator's IKE_AUTH left before that end had the first one, that is: when its IKE_SA_INIT had reached the other end
// before that.
#include <algorithm>

#include "peer.h"
#include "session.h"

namespace culvert::ike {

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
  if (!at_once) return old.make_redundant(initial_contact ? Ending::silent : Ending::with_delete);
  if (a.ours == b.ours) {
    Association& earlier = a.created < b.created ? fresh : old;
    return earlier.make_redundant(Ending::with_delete);
  }
  Association& loser = a.lowest_nonce < b.lowest_nonce ? fresh : old;
  loser.make_redundant(loser.lineage().ours ? Ending::with_delete : Ending::await_delete);
}

}  // namespace culvert::ike
