// Syntax tree → RawFile: each key by its row of the key tables, unknown and missing keys reported.
#include <fmt/format.h>

#include <algorithm>

#include "keys.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_listed_keys = 40;

std::string unknown_key(std::string_view key, const std::vector<std::string_view>& known, std::string_view table) {
  if (const std::string_view hint = hint_for_unknown(key); !hint.empty())
    return fmt::format("unknown key {}: {}", in_quotes(key), hint);
  const std::string_view near = nearest(key, known);
  if (!near.empty()) return fmt::format("unknown key {}; did you mean '{}'?", in_quotes(key), near);
  std::vector<std::string_view> listed = known;
  listed.resize(std::min(listed.size(), max_listed_keys));
  return fmt::format("unknown key {}; {} takes {}", in_quotes(key), table, one_of(listed));
}

template <class T>
std::vector<std::string_view> names_of(std::span<const KeySpec<T>> keys) {
  std::vector<std::string_view> names;
  for (const auto& spec : keys) names.push_back(spec.name);
  return names;
}

bool is_bare_key(std::string_view key) {
  constexpr std::string_view bare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  return !key.empty() && key.find_first_not_of(bare) == std::string_view::npos;
}

/// Names stand in logs, on command lines and in the control protocol.
void check_name(const std::string& path, const Entry& entry, Findings& findings) {
  constexpr std::size_t max_len = 64;
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  const std::string& name = entry.key;
  if (!name.empty() && name.size() <= max_len && name.find_first_not_of(allowed) == std::string::npos && name[0] != '-')
    return;
  findings.error(entry.at, path,
                 fmt::format("the name {} must be 1 … {} letters, digits, '_', '-' or '.', and not begin with '-'",
                             in_quotes(name), max_len));
}

/// [peer.NAME] and [tunnel.NAME]: a table of tables.
template <class T>
void read_named(const Entry& entry, std::span<const KeySpec<T>> keys, std::vector<T>& out, Findings& findings) {
  const auto* table = std::get_if<Table>(&entry.node.value);
  if (!table) return findings.error(entry.at, entry.key, fmt::format("expected a table [{}.NAME]", entry.key));
  for (const Entry& named : *table) {
    const std::string path = dotted(entry.key, named.key);
    const auto* content = std::get_if<Table>(&named.node.value);
    if (!content) {
      findings.error(named.at, path,
                     fmt::format("expected a table: [{0}.NAME] stands before its keys, as in [{0}.tokyo]", entry.key));
      continue;
    }
    check_name(path, named, findings);
    T item;
    item.name = named.key;
    item.at = named.at;
    read_table(*content, item.at, path, keys, item, findings);
    out.push_back(std::move(item));
  }
}

void read_gateway(const Entry& entry, RawFile& file, Findings& findings) {
  file.gateway.emplace().at = entry.at;
  const auto* table = std::get_if<Table>(&entry.node.value);
  if (!table) return findings.error(entry.at, entry.key, "expected a table [gateway]");
  read_table(*table, entry.at, entry.key, gateway_keys(), *file.gateway, findings);
}

}  // namespace

std::string dotted(std::string_view parent, std::string_view key) {
  if (is_bare_key(key)) return fmt::format("{}.{}", parent, key);
  return fmt::format("{}.{}", parent, in_quotes(key));
}

template <class T>
void read_table(const Table& table, Position at, const std::string& path, std::span<const KeySpec<T>> keys, T& out,
                Findings& findings) {
  std::vector<std::string_view> given;  // also what a mistyped key was meant to be: one mistake, one message
  for (const Entry& entry : table) {
    const std::string key = path.empty() ? entry.key : dotted(path, entry.key);
    const auto spec = std::ranges::find(keys, entry.key, &KeySpec<T>::name);
    if (spec == keys.end()) {
      findings.error(entry.at, key, unknown_key(entry.key, names_of(keys), path.empty() ? "a profile" : path));
      given.push_back(nearest(entry.key, names_of(keys)));
    } else {
      spec->read(ValueReader(entry, key, findings), out);
      given.push_back(spec->name);
    }
  }
  for (const auto& spec : keys) {
    if (!spec.required() || std::ranges::find(given, spec.name) != given.end()) continue;
    findings.error(at, path.empty() ? std::string(spec.name) : dotted(path, spec.name),
                   fmt::format("is required, and missing: {}", spec.meaning));
  }
}

template void read_table(const Table&, Position, const std::string&, std::span<const KeySpec<RawAuth>>, RawAuth&,
                         Findings&);
template void read_table(const Table&, Position, const std::string&, std::span<const KeySpec<RawPeerAuth>>,
                         RawPeerAuth&, Findings&);
template void read_table(const Table&, Position, const std::string&, std::span<const KeySpec<RawUser>>, RawUser&,
                         Findings&);
template void read_table(const Table&, Position, const std::string&, std::span<const KeySpec<RawClient>>, RawClient&,
                         Findings&);

RawFile read_file(const Table& root, Findings& findings) {
  RawFile file;
  for (const Entry& entry : root) {
    if (entry.key == "gateway") {
      read_gateway(entry, file, findings);
    } else if (entry.key == "peer") {
      read_named(entry, peer_keys(), file.peers, findings);
    } else if (entry.key == "tunnel") {
      read_named(entry, tunnel_keys(), file.tunnels, findings);
    } else if (entry.key == "radius") {
      read_named(entry, radius_keys(), file.radius, findings);
    } else if (entry.key == "pool") {
      read_named(entry, pool_keys(), file.pools, findings);
    } else {
      const std::string key = is_bare_key(entry.key) ? entry.key : in_quotes(entry.key);
      findings.error(entry.at, key, unknown_key(entry.key, {"gateway", "peer", "tunnel", "pool", "radius"}, "the file"));
    }
  }
  if (!file.gateway)
    findings.error({1, 1}, "gateway", "is required, and missing: a table [gateway] with at least id = \"…\"");
  return file;
}

}  // namespace culvert::config
