#pragma once
#include <initializer_list>
#include <map>
#include <memory>
#include <string>

#include "credentials.h"
#include "one_sided.h"

namespace culvert::ike::test {

inline std::vector<IpAddress> addresses(std::initializer_list<const char*> texts) {
  std::vector<IpAddress> addresses;
  for (const char* text : texts) addresses.push_back(*IpAddress::parse(text));
  return addresses;
}

/// The certificate of a client, made once.
inline const Holder& user(const std::string& name) {
  static std::map<std::string, Holder> users;
  const auto found = users.find(name);
  if (found != users.end()) return found->second;
  return users
      .emplace(name,
               culvert::test::make_leaf(pki().ca, "O=Example, CN=" + name, {{crypto::AlternativeName::Type::dns, name}},
                                        culvert::test::valid_now(), KeyType::ecdsa_p256))
      .first->second;
}

/// Side a is a client (alice.example.net), side b a gateway (tokyo.example.net) with the pool "staff". The client is
/// called "paris" there: by its place in the simulation.
struct RoadWarrior : OneSided {
  explicit RoadWarrior(std::uint64_t seed = 1) : OneSided(seed) {
    config(a).request_v4 = config(a).request_v6 = true;
    be("alice.example.net");
    PeerConfig& gateway = config(b);
    gateway.addresses.clear();
    gateway.remote_id = *Identity::parse("*.example.net");
    gateway.auth = {own(pki().holder(b)), trusting(pki().ca)};
    gateway.pools = {0};
    gateway.liveness = 0s;
    for (const Side side : {a, b}) {
      ChildConfig& child = config(side).children.front();
      child.mode = ModePreference::tunnel;
      child.virtual_local = side == a;
      const std::vector<SelectorSpec> nets = {{IpPrefix::parse("10.1.0.0/16"), 0}, {IpPrefix::parse("fd01::/48"), 0}};
      child.local = side == a ? std::vector<SelectorSpec>{} : nets;
      child.remote = side == a ? nets : std::vector<SelectorSpec>{};
    }
    PoolConfig staff;
    staff.name = "staff";
    staff.addresses = {*IpPrefix::parse("10.99.0.0/24"), *IpPrefix::parse("fd99::/112")};
    staff.excluded = {*IpPrefix::parse("10.99.0.254/32")};
    staff.dns = addresses({"10.1.0.53", "fd01::53"});
    staff.domains = {"corp.example", "lab.example"};
    node(b).options.pools = {staff};
  }
  void be(const char* name) {
    config(a).local_id = *Identity::parse(name);
    config(a).auth = {own(user(name)), trusting(pki().ca)};
  }
  /// Side a is another client from now on, from the same address or another one.
  void come_as(const char* name, const char* address = nullptr) {
    be(name);
    if (address) node(a).address = node(a).inner = {*IpAddress::parse(address), 500};
    start(a);
  }
  /// The client that side a is stops talking, without a word.
  std::unique_ptr<IkeEndpoint> set_aside() {
    auto silent = std::move(node(a).ike);
    kill(a);
    return silent;
  }
  /// Its request wishes this address of IPv4.
  void use_wish(const char* text) {
    filter = [this, wish = *IpAddress::parse(text), changed = false](const Datagram& datagram) mutable {
      const auto opened = datagram.from == a && !changed ? open(datagram) : std::nullopt;
      if (!opened || !opened->find<CpPayload>()) return true;
      changed = true;
      std::vector<Payload> payloads = opened->payloads;
      for (Payload& payload : payloads)
        if (auto* cp = std::get_if<CpPayload>(&payload))
          cp->attributes.front().value.assign(wish.bytes().begin(), wish.bytes().end());
      deliver(rewritten(datagram, payloads));
      return false;
    };
  }
};

}  // namespace culvert::ike::test
