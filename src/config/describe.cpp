// The reference of the configuration, out of the tables by which it is read.
#include "culvert/config/describe.h"

#include <fmt/format.h>

#include <algorithm>

#include "keys.h"

namespace culvert::config {
namespace {

template <class T>
std::string table_of(std::span<const KeySpec<T>> keys) {
  std::string text = "| key | type | default | meaning | reload |\n|---|---|---|---|---|\n";
  for (const auto& key : keys)
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, key.type, key.fallback, key.meaning,
                        reload_text(key.reload));
  return text;
}

}  // namespace

std::vector<KeyTable> describe_keys() {
  return {{"gateway", table_of(gateway_keys())}, {"peer", table_of(peer_keys())},
          {"auth", table_of(auth_keys())},       {"peer_auth", table_of(peer_auth_keys())},
          {"tunnel", table_of(tunnel_keys())},   {"pool", table_of(pool_keys())},
          {"radius", table_of(radius_keys())}};
}

std::string with_key_tables(std::string_view document) {
  constexpr std::string_view end_marker = "<!-- end -->";
  std::string text(document);
  for (const KeyTable& table : describe_keys()) {
    const std::string begin_marker = fmt::format("<!-- keys {} -->\n", table.name);
    const auto begin = text.find(begin_marker);
    const auto end = begin == std::string::npos ? begin : text.find(end_marker, begin);
    if (end == std::string::npos) continue;
    const auto first = begin + begin_marker.size();
    text.replace(first, end - first, table.text);
  }
  return text;
}

}  // namespace culvert::config
