#include "export_text.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>

#include "culvert/base/text.h"
#include "culvert/crypto/prf.h"

namespace culvert::cli {

std::string xml_text(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    switch (c) {
      case '&':
        quoted += "&amp;";
        break;
      case '<':
        quoted += "&lt;";
        break;
      case '>':
        quoted += "&gt;";
        break;
      case '\r':  // a parser makes a line feed of a bare one (XML 1.0 §2.11)
        quoted += "&#13;";
        break;
      default:
        quoted += c;
    }
  }
  return quoted;
}

std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        quoted += {'\\', c};
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      default:
        quoted += c;
    }
  }
  return quoted + '"';
}

// PowerShell's tokenizer takes U+2018 to U+201B for single quotes, too; each is written twice to stand for itself
// (about_Quoting_Rules).
std::string powershell_string(std::string_view text) {
  constexpr std::array<std::string_view, 5> quotes = {"'", "\u2018", "\u2019", "\u201a", "\u201b"};
  std::string quoted = "'";
  while (!text.empty()) {
    const auto quote = std::ranges::find_if(quotes, [&](std::string_view one) { return text.starts_with(one); });
    const std::string_view piece = quote != quotes.end() ? *quote : text.substr(0, 1);
    quoted += piece;
    if (quote != quotes.end()) quoted += piece;
    text.remove_prefix(piece.size());
  }
  return quoted + "'";
}

std::string keyfile_value(std::string_view text) {
  const std::size_t first = std::min(text.find_first_not_of(' '), text.size());
  const std::size_t last = text.find_last_not_of(' ');  // spaces outside first … last would be stripped
  std::string quoted;
  for (std::size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case ' ':
        quoted += i < first || i > last ? "\\s" : " ";
        break;
      default:
        quoted += text[i];
    }
  }
  return quoted;
}

std::string base64_of(ByteView bytes) {
  constexpr int variant = sodium_base64_VARIANT_ORIGINAL;
  std::string text(sodium_base64_encoded_len(bytes.size(), variant), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), variant);
  text.pop_back();  // the NUL
  return text;
}

std::string stable_uuid(std::string_view name) {
  // RFC 4122 appendix C: the namespace of domain names.
  constexpr std::array<std::uint8_t, 16> dns = {0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                                0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
  Bytes id = crypto::sha1({dns, as_bytes("culvert/"), as_bytes(name)});
  id.resize(16);
  id[6] = static_cast<std::uint8_t>((id[6] & 0x0f) | 0x50);  // version 5
  id[8] = static_cast<std::uint8_t>((id[8] & 0x3f) | 0x80);
  std::string text;
  for (std::size_t i = 0; i < id.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", id[i]);
  }
  return text;
}

Result<void> check_exportable(std::string_view what, std::string_view text) {
  std::string shown(text);
  std::ranges::replace_if(
      shown, [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  if (!text.empty() && printable(shown) == shown) return {};
  return fail(Errc::invalid, text.empty()
                                 ? fmt::format("{} is empty", what)
                                 : fmt::format("{} {}: control characters, or no UTF-8", what, printable(text)));
}

}  // namespace culvert::cli
