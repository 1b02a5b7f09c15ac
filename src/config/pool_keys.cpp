// [pool.NAME]: addresses for clients.
#include "keys.h"

namespace culvert::config {
namespace {

using HostBits = ValueReader::HostBits;
using V = const ValueReader&;

constexpr KeySpec<RawPool> pool_table[] = {
    {"addresses", "array of prefixes", "required", "what clients get: one address of each family that they ask for",
     [](V v, RawPool& p) { p.addresses = v.prefixes(HostBits::refused, false); }},
    {"exclude", "array of prefixes", "`[]`",
     "never given out; the addresses of our own tunnel devices are not given out anyway",
     [](V v, RawPool& p) { p.exclude = v.prefixes(HostBits::refused, true); }},
    {"dns", "array of addresses", "none", "DNS servers for the clients",
     [](V v, RawPool& p) { p.dns = v.addresses(); }},
    {"domains", "array of names", "everything",
     "what `dns` answers for, with all below it (split DNS, RFC 8598); the rest stays with the client's own servers",
     [](V v, RawPool& p) { p.domains = v.texts(); }},
    {"users", "array of identities", "everybody",
     "who may use it, with `*` as in `id` of a peer: `\"*@example.net\"`; with `groups`: who is one or the other",
     [](V v, RawPool& p) { p.users = v.texts(); }},
    {"groups", "array of strings", "everybody", "members of one of these groups may use it",
     [](V v, RawPool& p) { p.groups = v.texts(); }},
    {"allow", "array of prefixes", "all of `local`", "what its clients may reach of the tunnel's `local`",
     [](V v, RawPool& p) { p.allow = v.prefixes(HostBits::refused, false); }},
};

}  // namespace

std::span<const KeySpec<RawPool>> pool_keys() {
  return pool_table;
}

}  // namespace culvert::config
