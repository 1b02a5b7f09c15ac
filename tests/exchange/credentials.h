#pragma once
// Certificates and keys for two ends, made once: side a is paris.example.net, side b tokyo.example.net.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "authority.h"
#include "simulation.h"

namespace culvert::ike::test {

using crypto::KeyType;
using culvert::test::Authority;
using culvert::test::Holder;

struct Pki {
  Authority ca = culvert::test::make_ca("O=Example, CN=Example CA");
  Authority other_ca = culvert::test::make_ca("O=Elsewhere, CN=Other CA");
  Authority intermediate = culvert::test::make_intermediate(ca, "O=Example, CN=Issuing CA");
  std::map<std::pair<Side, KeyType>, Holder> holders;

  Pki() {
    for (const Side side : {a, b}) {
      for (const KeyType type :
           {KeyType::rsa, KeyType::ecdsa_p256, KeyType::ecdsa_p384, KeyType::ecdsa_p521, KeyType::ed25519})
        holders.emplace(std::pair(side, type), leaf(ca, side, type));
    }
  }
  static std::string name_of(Side side) { return side == a ? "paris.example.net" : "tokyo.example.net"; }
  static Holder leaf(const Authority& issuer, Side side, KeyType type = KeyType::ecdsa_p256,
                     crypto::Validity validity = culvert::test::valid_now()) {
    return culvert::test::make_leaf(issuer, "O=Example, CN=" + name_of(side),
                                    {{crypto::AlternativeName::Type::dns, name_of(side)}}, validity, type);
  }
  [[nodiscard]] const Holder& holder(Side side, KeyType type = KeyType::ecdsa_p256) const {
    return holders.at({side, type});
  }
};

inline const Pki& pki() {
  static const Pki made;
  return made;
}

inline OwnCertificate own(const Holder& holder, const std::vector<crypto::Certificate>& more = {}) {
  OwnCertificate auth;
  auth.key = std::make_shared<const crypto::PrivateKey>(holder.key);
  auth.chain.push_back(std::make_shared<const crypto::Certificate>(holder.certificate));
  for (const auto& certificate : more) auth.chain.push_back(std::make_shared<const crypto::Certificate>(certificate));
  return auth;
}

inline PeerCertificate trusting(const Authority& ca) {
  PeerCertificate auth;
  auth.trust = std::make_shared<const crypto::TrustStore>(crypto::TrustStore::create({ca.certificate}).value());
  return auth;
}

inline OwnRawKey own_key(const Holder& holder) {
  return {std::make_shared<const crypto::PrivateKey>(holder.key)};
}

inline PeerRawKey expecting(const Holder& holder) {
  return {{std::make_shared<const crypto::PublicKey>(holder.key.public_key())}};
}

/// No fragments: a test that opens or changes what is on the wire wants messages whole.
inline void send_whole(Simulation& simulation) {
  for (const Side side : {a, b}) simulation.config(side).fragment_size = 0;
}

inline void use_certificates(Simulation& simulation, KeyType of_a = KeyType::ecdsa_p256,
                             KeyType of_b = KeyType::ecdsa_p256) {
  simulation.config(a).auth.ours = own(pki().holder(a, of_a));
  simulation.config(b).auth.ours = own(pki().holder(b, of_b));
  for (const Side side : {a, b}) simulation.config(side).auth.theirs = trusting(pki().ca);
}

inline void use_raw_keys(Simulation& simulation, KeyType of_a = KeyType::ed25519, KeyType of_b = KeyType::ed25519) {
  simulation.config(a).auth.ours = own_key(pki().holder(a, of_a));
  simulation.config(b).auth.ours = own_key(pki().holder(b, of_b));
  simulation.config(a).auth.theirs = expecting(pki().holder(b, of_b));
  simulation.config(b).auth.theirs = expecting(pki().holder(a, of_a));
}

}  // namespace culvert::ike::test
