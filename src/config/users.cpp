// The file of users: TOML like the configuration, but secret.
#include "culvert/config/users.h"

#include <fmt/format.h>
#include <sodium.h>

#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "culvert/eap/mschapv2.h"
#include "keys.h"

namespace culvert::config {
namespace {

using V = const ValueReader&;

constexpr KeySpec<RawUser> user_table[] = {
    {"password", "string", "none", "of EAP-MSCHAPv2", [](V v, RawUser& u) { u.password = v.text(); }},
    {"nt_hash", "string", "none", "MD4 of the password in UTF-16LE, hexadecimal",
     [](V v, RawUser& u) { u.nt_hash = v.text(); }},
    {"group", "string", "none", "of the user", [](V v, RawUser& u) { u.group = v.text(); }},
    {"enabled", "boolean", "true", "may log in", [](V v, RawUser& u) { u.enabled = v.boolean(); }},
    {"expires", "date", "never", "the last day, \"2027-01-31\" (UTC)", [](V v, RawUser& u) { u.expires = v.text(); }},
};

/// The end of that day.
std::optional<crypto::WallTime> end_of_day(std::string_view text) {
  const auto number = [&](std::size_t at, std::size_t len) {
    int value = 0;
    for (const char c : text.substr(at, len)) {
      if (c < '0' || c > '9') return -1;
      value = 10 * value + (c - '0');
    }
    return value;
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return crypto::WallTime(std::chrono::sys_days(date) + std::chrono::days(1));
}

std::optional<Secret> hash_of_hex(std::string_view digits) {
  Secret hash(eap::nt_hash_len);
  std::size_t len = 0;
  const bool whole =
      digits.size() == 2 * eap::nt_hash_len && sodium_hex2bin(hash.mutable_view().data(), hash.size(), digits.data(),
                                                              digits.size(), nullptr, &len, nullptr) == 0;
  return whole && len == hash.size() ? std::optional(std::move(hash)) : std::nullopt;
}

void wipe(Field<std::string>& field) {
  if (field.value) sodium_memzero(field.value->data(), field.value->size());
}

eap::UserEntry make_user(const Entry& named, RawUser& raw, Findings& findings) {
  const std::string path = dotted("user", named.key);
  eap::User user{named.key, raw.group.value.value_or(""), {}};
  if (!eap::is_usable_identity(as_bytes(named.key)) || named.key.find('\\') != std::string::npos)
    findings.error(named.at, path, "a user name has 1 … 253 bytes, no control characters, and no Windows domain");
  if (raw.password.present && raw.nt_hash.present)
    findings.error(raw.nt_hash.at, dotted(path, "nt_hash"), "stands beside password: one of the two");
  if (raw.password.value) {
    auto hash = eap::nt_password_hash(as_bytes(*raw.password.value));
    if (hash) user.nt_hash = std::move(*hash);
    if (!hash) findings.error(raw.password.at, dotted(path, "password"), hash.error().detail);
  } else if (raw.nt_hash.value) {
    auto hash = hash_of_hex(*raw.nt_hash.value);
    if (hash) user.nt_hash = std::move(*hash);
    if (!hash) findings.error(raw.nt_hash.at, dotted(path, "nt_hash"), "expected 32 hexadecimal digits");
  }
  wipe(raw.password);
  wipe(raw.nt_hash);
  eap::UserEntry entry;
  entry.enabled = raw.enabled.value.value_or(true);
  if (raw.expires.value) {
    entry.until = end_of_day(*raw.expires.value);
    if (!entry.until) findings.error(raw.expires.at, dotted(path, "expires"), "expected a date such as \"2027-01-31\"");
  }
  entry.user = std::make_shared<const eap::User>(std::move(user));
  return entry;
}

}  // namespace

std::span<const KeySpec<RawUser>> user_keys() {
  return user_table;
}

std::expected<std::shared_ptr<const eap::UserTable>, std::vector<Diagnostic>> parse_users(
    std::string_view text, const std::filesystem::path& name) {
  const auto root = parse_syntax(text, name);
  if (!root) return std::unexpected(std::vector{root.error()});
  Findings findings(name.string());
  std::map<std::string, eap::UserEntry, std::less<>> entries;
  for (const Entry& named : *root) {
    const auto* table = std::get_if<Table>(&named.node.value);
    if (!table) {
      findings.error(named.at, named.key, "expected a table [USER]");
      continue;
    }
    RawUser raw;
    raw.at = named.at;
    read_table(*table, named.at, dotted("user", named.key), user_keys(), raw, findings);
    entries.emplace(named.key, make_user(named, raw, findings));
  }
  if (findings.has_errors()) return std::unexpected(findings.take_errors());
  return std::make_shared<const eap::UserTable>(std::move(entries));
}

std::expected<std::shared_ptr<const eap::UserTable>, std::vector<Diagnostic>> load_users(const FileName& file) {
  auto content = read_users(file);
  if (!content) return std::unexpected(std::vector{Diagnostic{file.path.string(), 0, 0, "", content.error().detail}});
  return parse_users(as_text(content->view()), file.path);
}

}  // namespace culvert::config
