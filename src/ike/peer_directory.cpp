#include "peer_directory.h"

#include <algorithm>
#include <set>

#include "authentication.h"
#include "peer.h"

namespace culvert::ike {
namespace {

/// Identities that match (Identity::matches) have equal ones. Not the other way round: the local part of an e-mail
/// address has case.
std::string key_of(const Identity& identity) {
  std::string key(1, static_cast<char>(identity.type));
  const bool has_case = identity.type == IdType::fqdn || identity.type == IdType::rfc822_addr;
  for (const std::uint8_t octet : identity.data)
    key += static_cast<char>(has_case && octet >= 'A' && octet <= 'Z' ? octet + ('a' - 'A') : octet);
  return key;
}

const void* trust_of(const PeerAuth& theirs) {
  const auto* certificate = std::get_if<PeerCertificate>(&theirs);
  return certificate ? certificate->trust.get() : nullptr;
}

/// For the answer to IKE_SA_INIT, if they are not the first.
bool say_the_same(const PeerConfig& a, const PeerConfig& b) {
  return a.auth.theirs.index() == b.auth.theirs.index() && trust_of(a.auth.theirs) == trust_of(b.auth.theirs) &&
         announces_hashes(a.auth) == announces_hashes(b.auth) && a.ike_proposals == b.ike_proposals;
}

}  // namespace

void PeerDirectory::enter() {
  by_identity_.clear();
  patterns_.clear();
  for (std::size_t place = 0; place < peers_.size(); ++place) add(place);
  addresses_changed_ = true;
}

void PeerDirectory::add(std::size_t place) {
  const Identity& id = peers_[place]->config().remote_id;
  // Two encodings of a distinguished name may be the same name. Users of EAP need not have any identity but that of EAP.
  if (id.type == IdType::der_asn1_dn || id.has_wildcard() || id.data.empty()) {
    patterns_.push_back(place);
  } else {
    by_identity_[key_of(id)].push_back(place);
  }
}

std::vector<Peer*> PeerDirectory::claimed_by(const Identity& identity) const {
  std::vector<std::size_t> places = patterns_;
  if (const auto exact = by_identity_.find(key_of(identity)); exact != by_identity_.end()) {
    places.insert(places.end(), exact->second.begin(), exact->second.end());
    std::ranges::sort(places);
  }
  std::vector<Peer*> claimed;
  for (const std::size_t place : places) claimed.push_back(peers_[place].get());
  return claimed;
}

void PeerDirectory::add_distinct(Configs& configs, const PeerConfig& config) {
  if (std::ranges::none_of(configs, [&](const PeerConfig* other) { return say_the_same(*other, config); }))
    configs.push_back(&config);
}

void PeerDirectory::refresh() {
  if (!addresses_changed_) return;
  addresses_changed_ = false;
  by_address_.clear();
  anywhere_.clear();
  for (const auto& peer : peers_) {
    std::set<IpAddress> addresses;
    peer->add_addresses(addresses);
    for (const IpAddress& address : addresses) add_distinct(by_address_[address], peer->config());
    if (peer->may_come_from_anywhere()) add_distinct(anywhere_, peer->config());
  }
}

std::vector<const PeerConfig*> PeerDirectory::candidates(const IpAddress& from) {
  refresh();
  const auto named = by_address_.find(from);
  Configs found = named == by_address_.end() ? Configs{} : named->second;
  for (const PeerConfig* config : anywhere_) add_distinct(found, *config);
  return found;
}

bool PeerDirectory::knows(const IpAddress& address) {
  refresh();
  return by_address_.contains(address);
}

std::vector<IpAddress> PeerDirectory::addresses() {
  refresh();
  std::vector<IpAddress> known;
  for (const auto& [address, configs] : by_address_) known.push_back(address);
  return known;
}

bool PeerDirectory::takes_strangers() {
  refresh();
  return !anywhere_.empty();
}

}  // namespace culvert::ike
