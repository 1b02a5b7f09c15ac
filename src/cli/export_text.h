#pragma once
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"

namespace culvert::cli {

// Each turns any text that check_exportable lets pass into a value of its language, quotes included: what reads it gets
// the same text back, and nothing in it is ever more than text.

[[nodiscard]] std::string xml_text(std::string_view text);           ///< content of an element
[[nodiscard]] std::string json_string(std::string_view text);        ///< JSON, and a TOML basic string
[[nodiscard]] std::string powershell_string(std::string_view text);  ///< in single quotes: nothing expands
[[nodiscard]] std::string keyfile_value(std::string_view text);      ///< of GLib's GKeyFile, which NetworkManager reads

[[nodiscard]] std::string base64_of(ByteView bytes);

/// UUID version 5 (RFC 4122 §4.3) of "culvert/"… in the namespace of domain names: the same for the same name, so that
/// a new export takes the place of the old one.
[[nodiscard]] std::string stable_uuid(std::string_view name);

/// Errc::invalid unless it is well-formed UTF-8, not empty, without control characters but line ends and tabs (XML has
/// no way to say those), and without characters that change the direction of writing.
[[nodiscard]] Result<void> check_exportable(std::string_view what, std::string_view text);

}  // namespace culvert::cli
