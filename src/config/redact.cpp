#include "culvert/config/redact.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "culvert/config/secret_file.h"

namespace culvert::config {
namespace {

constexpr std::size_t least_len = 4;  // shorter ones would be found in anything
constexpr std::size_t max_file_len = 256 * 1024;
constexpr std::string_view placeholder = "[secret]";

/// Replaces what stands between `begin` and the first of `ends`.
void hide_behind(std::string& text, std::string_view begin, std::string_view ends) {
  for (std::size_t at = 0; (at = text.find(begin, at)) != std::string::npos;) {
    at += begin.size();
    const std::size_t end = std::min(text.find_first_of(ends, at), text.size());
    text.replace(at, end - at, placeholder);
    at += placeholder.size();
  }
}

/// "https://user:password@host" keeps its host.
void hide_logins(std::string& text) {
  for (std::size_t at = 0; (at = text.find("://", at)) != std::string::npos;) {
    at += 3;
    const std::size_t end = std::min(text.find_first_of("/?#\", ", at), text.size());
    const std::size_t login_end = text.rfind('@', end);
    if (login_end != std::string::npos && login_end > at && login_end < end)
      text.replace(at, login_end - at, placeholder);
  }
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

Secret read_whole(const FileName& file) {
  Secret content(max_file_len);
  const int fd = open_file_of_configuration(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  std::size_t len = 0;
  while (fd >= 0 && len < content.size()) {
    const ssize_t got = ::read(fd, content.mutable_view().data() + len, content.size() - len);
    if (got <= 0) break;
    len += static_cast<std::size_t>(got);
  }
  if (fd >= 0) ::close(fd);
  return Secret::copy_of(content.view().first(len));
}

void add_piece(std::string_view piece, std::vector<Secret>& out) {
  if (piece.size() >= least_len) out.push_back(Secret::copy_of(as_bytes(piece)));
}

/// What is quoted in a line "password = …" or "nt_hash = …".
void add_quoted(std::string_view line, std::vector<Secret>& out) {
  const bool is_secret = line.starts_with("password") || line.starts_with("nt_hash") || line.contains("password =") ||
                         line.contains("nt_hash =");
  if (!is_secret) return;
  for (std::size_t begin = line.find_first_of("\"'"); begin != std::string_view::npos;) {
    const std::size_t end = line.find(line[begin], begin + 1);
    if (end == std::string_view::npos) return add_piece(line.substr(begin + 1), out);
    add_piece(line.substr(begin + 1, end - begin - 1), out);
    begin = line.find_first_of("\"'", end + 1);
  }
}

void add_pieces(std::string_view content, bool of_users, std::vector<Secret>& out) {
  if (!of_users) add_piece(trimmed(content), out);
  while (!content.empty()) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = trimmed(content.substr(0, end));
    content.remove_prefix(std::min(end + 1, content.size()));
    if (of_users) {
      add_quoted(line, out);
    } else if (!line.starts_with("-----")) {  // the frame of PEM
      add_piece(line, out);
      if (line.starts_with("0x") || line.starts_with("0s")) add_piece(line.substr(2), out);
    }
  }
}

std::string in_hex(const Secret& secret) {
  std::string text(secret.size() * 2 + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), secret.view().data(), secret.size());
  text.pop_back();
  return text;
}

/// Without the last characters, which depend on what follows.
std::string in_base64(const Secret& secret, int variant) {
  std::string text(sodium_base64_encoded_len(secret.size(), variant), '\0');
  sodium_bin2base64(text.data(), text.size(), secret.view().data(), secret.size(), variant);
  text.resize(secret.size() * 4 / 3);
  return text;
}

bool ends_in(char c, std::string_view characters) {
  return characters.find(c) != std::string_view::npos;
}

void hide(std::string& text, std::string_view piece) {
  if (piece.size() < least_len) return;
  for (std::size_t at = 0; (at = text.find(piece, at)) != std::string::npos; at += placeholder.size())
    text.replace(at, piece.size(), placeholder);
}

}  // namespace

bool names_secret_file(std::string_view key) noexcept {
  constexpr std::array names = {std::string_view("psk_file"),        std::string_view("key"),
                                std::string_view("passphrase_file"), std::string_view("password_file"),
                                std::string_view("secret_file"),     std::string_view("users")};
  return std::ranges::find(names, key.substr(key.rfind('.') + 1)) != names.end();
}

std::string redacted(const std::vector<SettingsTable>& settings) {
  std::string text;
  for (const SettingsTable& table : settings) {
    text += table.name.empty() ? fmt::format("[{}]\n", table.kind) : fmt::format("[{}.{}]\n", table.kind, table.name);
    for (const Setting& setting : table.settings) {
      std::string value = setting.value;
      hide_behind(value, "pin-value=", ";&?\", ");
      hide_behind(value, "pin-source=", ";&?\", ");
      hide_logins(value);
      text += fmt::format("{} = {}\n", setting.key, value);
    }
    text += '\n';
  }
  return text;
}

std::vector<Secret> secrets_of(const std::vector<SettingsTable>& settings, const std::filesystem::path& folder) {
  std::vector<Secret> secrets;
  for (const SettingsTable& table : settings) {
    for (const Setting& setting : table.settings) {
      const bool of_users = setting.key == "users" && table.kind == "gateway";
      if (!names_secret_file(setting.key) || (setting.key == "users" && !of_users)) continue;
      std::string_view name = setting.value;
      if (name.size() < 2 || !ends_in(name.front(), "\"")) continue;
      name = name.substr(1, name.size() - 2);
      if (name.starts_with("pkcs11:")) continue;
      const auto file = find_file(folder, name);
      if (!file) continue;
      const Secret content = read_whole(*file);
      add_pieces(as_text(content.view()), of_users, secrets);
    }
  }
  return secrets;
}

std::string without(std::string text, const std::vector<Secret>& secrets) {
  for (const Secret& secret : secrets) {
    hide(text, as_text(secret.view()));
    const std::string hex = in_hex(secret);
    hide(text, hex);
    std::string upper = hex;
    std::ranges::transform(upper, upper.begin(),
                           [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c; });
    hide(text, upper);
    hide(text, in_base64(secret, sodium_base64_VARIANT_ORIGINAL));
    hide(text, in_base64(secret, sodium_base64_VARIANT_URLSAFE));
  }
  return text;
}

}  // namespace culvert::config
