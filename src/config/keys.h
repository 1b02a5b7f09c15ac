#pragma once
#include <span>

#include "culvert/config/reload.h"
#include "raw.h"
#include "value_reader.h"

namespace culvert::config {

/// One key of a table: what the reference in docs/configuration.md says about it, and how it is read. The reference is
/// held to these rows by a test.
template <class T>
struct KeySpec {
  std::string_view name;
  std::string_view type;      ///< Markdown
  std::string_view fallback;  ///< Markdown; "required" when the key must be there
  std::string_view meaning;   ///< Markdown
  void (*read)(const ValueReader& value, T& out);
  ReloadEffect reload = ReloadEffect::in_place;

  [[nodiscard]] constexpr bool required() const noexcept { return fallback == "required"; }
};

[[nodiscard]] std::span<const KeySpec<RawGateway>> gateway_keys();
[[nodiscard]] std::span<const KeySpec<RawPeer>> peer_keys();
[[nodiscard]] std::span<const KeySpec<RawAuth>> auth_keys();
[[nodiscard]] std::span<const KeySpec<RawPeerAuth>> peer_auth_keys();
[[nodiscard]] std::span<const KeySpec<RawTunnel>> tunnel_keys();
[[nodiscard]] std::span<const KeySpec<RawRadius>> radius_keys();
[[nodiscard]] std::span<const KeySpec<RawUser>> user_keys();
[[nodiscard]] std::span<const KeySpec<RawPool>> pool_keys();
[[nodiscard]] std::span<const KeySpec<RawClient>> client_keys();

/// The way out for keys that people bring from elsewhere ("psk", "certificate", …), or "".
[[nodiscard]] std::string_view hint_for_unknown(std::string_view key);

/// Fills `out` from a table: every key by its spec; unknown keys and missing required ones are reported.
template <class T>
void read_table(const Table& table, Position at, const std::string& path, std::span<const KeySpec<T>> keys, T& out,
                Findings& findings);

/// The tables that [gateway] and [peer.NAME] share, auth_keys.cpp.
inline constexpr std::string_view auth_type = "[table](#auth-and-peer_auth)";
[[nodiscard]] Field<RawAuth> read_auth(const ValueReader& value);
[[nodiscard]] Field<RawPeerAuth> read_peer_auth(const ValueReader& value);

/// The whole file. Reports what is wrong with single values.
[[nodiscard]] RawFile read_file(const Table& root, Findings& findings);

}  // namespace culvert::config
