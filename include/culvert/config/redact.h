#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/secret.h"
#include "culvert/config/config.h"

namespace culvert::config {

// What of a configuration may be shown to others. Secrets stand in files, never in the TOML: what names such a file may
// be shown, what is in it may not. Any thread.

/// Whether the file that this key names has secrets in it; "auth.psk_file", or without what is before the last dot.
[[nodiscard]] bool names_secret_file(std::string_view key) noexcept;

/// The configuration as TOML: of URIs without PINs (RFC 7512 pin-value) and passwords.
[[nodiscard]] std::string redacted(const std::vector<SettingsTable>& settings);

/// What stands in the files that these settings name, in pieces that must not be found anywhere: whole contents, lines,
/// of a file of users the passwords and hashes. Reads them; those that may not be read add nothing.
[[nodiscard]] std::vector<Secret> secrets_of(const std::vector<SettingsTable>& settings,
                                             const std::filesystem::path& folder);

/// Puts "[secret]" in the place of each of them in `text`: as it stands, in hexadecimal, and in base64.
[[nodiscard]] std::string without(std::string text, const std::vector<Secret>& secrets);

}  // namespace culvert::config
