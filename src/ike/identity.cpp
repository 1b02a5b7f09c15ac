#include "culvert/ike/identity.h"

#include <fmt/format.h>

#include <algorithm>

#include "culvert/base/ip.h"
#include "culvert/crypto/distinguished_name.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_id_len = 1024;  // what we send; a peer's is bounded by its datagram

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_ignoring_case(ByteView a, ByteView b) {
  return std::ranges::equal(as_text(a), as_text(b), {}, lower, lower);
}

/// The text behind `prefix` ("fqdn:", any case), when `text` starts with it.
std::optional<std::string_view> behind(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size() || !equal_ignoring_case(as_bytes(text.substr(0, prefix.size())), as_bytes(prefix)))
    return std::nullopt;
  return text.substr(prefix.size());
}

Identity make(IdType type, ByteView data) {
  return {type, Bytes(data.begin(), data.end())};
}

bool is_graphic(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

/// RFC 7296 §3.5: "The string MUST NOT contain any terminators (e.g., NULL, CR, etc.)". Internationalised names are
/// written in ASCII.
Result<Identity> parse_fqdn(std::string_view text) {
  if (text.empty() || text.size() > 253 || !is_graphic(text) ||
      text.find_first_of("@=,:/\\\"") != std::string_view::npos) {
    return fail(Errc::malformed, "expected a domain name such as gw.example.net");
  }
  if (text.find_first_not_of("0123456789.") == std::string_view::npos) {
    return fail(Errc::malformed, "looks like an IPv4 address, but is none");
  }
  return make(IdType::fqdn, as_bytes(text));
}

Result<Identity> parse_email(std::string_view text) {
  const std::size_t at = text.rfind('@');
  if (!is_graphic(text) || text.size() > 320 || at == std::string_view::npos || at == 0 || at + 1 == text.size()) {
    return fail(Errc::malformed, "expected an e-mail address such as gw@example.net");
  }
  return make(IdType::rfc822_addr, as_bytes(text));
}

Result<Identity> parse_dn(std::string_view text) {
  auto der = crypto::encode_distinguished_name(text);
  if (!der)
    return fail(Errc::malformed, "expected a distinguished name such as CN=gw,O=Example: " + der.error().detail);
  if (der->size() > max_id_len) return fail(Errc::malformed, "a distinguished name of more than 1024 bytes");
  return Identity{IdType::der_asn1_dn, std::move(*der)};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (lower(c) >= 'a' && lower(c) <= 'f') return lower(c) - 'a' + 10;
  return -1;
}

Result<Identity> parse_key_id(std::string_view text) {
  if (text.empty() || text.size() > max_id_len) return fail(Errc::malformed, "expected keyid:TEXT or keyid:0xHEX");
  const auto hex = behind(text, "0x");
  if (!hex) return make(IdType::key_id, as_bytes(text));
  if (hex->empty() || hex->size() % 2 != 0 || std::ranges::any_of(*hex, [](char c) { return hex_digit(c) < 0; })) {
    return fail(Errc::malformed, "expected pairs of hexadecimal digits behind keyid:0x");
  }
  Bytes data;
  for (std::size_t i = 0; i < hex->size(); i += 2) {
    data.push_back(static_cast<std::uint8_t>(hex_digit((*hex)[i]) << 4 | hex_digit((*hex)[i + 1])));
  }
  return Identity{IdType::key_id, std::move(data)};
}

std::string hex_text(ByteView data) {
  std::string text = "0x";
  for (const std::uint8_t byte : data.first(std::min(data.size(), max_id_len))) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

Result<Identity> Identity::parse(std::string_view text) {
  if (text == "any") return make(IdType::any, as_bytes(text));
  if (const auto rest = behind(text, "keyid:")) return parse_key_id(*rest);
  if (const auto rest = behind(text, "fqdn:")) return parse_fqdn(*rest);
  if (const auto rest = behind(text, "email:")) return parse_email(*rest);
  if (const auto rest = behind(text, "dn:")) return parse_dn(*rest);
  if (const auto address = IpAddress::parse(text)) {
    return make(address->is_v4() ? IdType::ipv4_addr : IdType::ipv6_addr, address->bytes());
  }
  if (text.find('=') != std::string_view::npos) return parse_dn(text);
  if (text.find('@') != std::string_view::npos) return parse_email(text);
  if (auto fqdn = parse_fqdn(text)) return fqdn;
  return fail(Errc::malformed,
              "expected a domain name, an e-mail address, an IP address, a distinguished name (CN=…) or keyid:…");
}

std::string Identity::to_string() const {
  switch (type) {
    case IdType::any:
    case IdType::fqdn:
    case IdType::rfc822_addr:
      return std::string(as_text(data));
    case IdType::ipv4_addr:
    case IdType::ipv6_addr: {
      const auto address = IpAddress::from_bytes(data);
      return address ? address->to_string() : hex_text(data);
    }
    case IdType::der_asn1_dn:
      return crypto::distinguished_name_text(data);
    case IdType::key_id: {
      const std::string_view as_is = as_text(data);
      const bool readable = !as_is.empty() && is_graphic(as_is) && !behind(as_is, "0x");
      return "keyid:" + (readable ? std::string(as_is) : hex_text(data));
    }
  }
  return fmt::format("type {} {}", static_cast<unsigned>(type), hex_text(data));
}

bool Identity::matches(const Identity& other) const {
  if (type != other.type) return false;
  switch (type) {
    case IdType::fqdn:
      return equal_ignoring_case(data, other.data);
    case IdType::rfc822_addr: {
      // RFC 5321 §2.4: the local part is the domain's own business, the domain has no case.
      const std::size_t local_len = std::min(as_text(data).rfind('@'), data.size());
      if (other.data.size() != data.size()) return false;
      const ByteView mine(data), theirs(other.data);
      return std::ranges::equal(mine.first(local_len), theirs.first(local_len)) &&
             equal_ignoring_case(mine.subspan(local_len), theirs.subspan(local_len));
    }
    case IdType::der_asn1_dn:
      return data == other.data || crypto::same_distinguished_name(data, other.data);
    default:
      return data == other.data;
  }
}

namespace {

/// "*", or "*.example.net" for every name below example.net.
bool covers_name(std::string_view pattern, std::string_view name) {
  if (pattern == "*") return true;
  if (!pattern.starts_with("*.")) return false;
  pattern.remove_prefix(1);
  return name.size() > pattern.size() &&
         equal_ignoring_case(as_bytes(name.substr(name.size() - pattern.size())), as_bytes(pattern));
}

}  // namespace

bool Identity::covers(const Identity& other) const {
  if (type == IdType::any) return true;
  if (type != other.type) return false;
  if (matches(other)) return true;
  const std::string_view pattern = as_text(data), name = as_text(other.data);
  switch (type) {
    case IdType::fqdn:
      return covers_name(pattern, name);
    case IdType::rfc822_addr: {
      const std::size_t at = name.rfind('@');
      if (pattern == "*") return true;
      return pattern.starts_with("*@") && at != std::string_view::npos && at > 0 &&
             equal_ignoring_case(as_bytes(pattern.substr(1)), as_bytes(name.substr(at)));
    }
    case IdType::der_asn1_dn:
      return crypto::matches_distinguished_name(data, other.data);
    default:
      return false;
  }
}

bool Identity::has_wildcard() const {
  const std::string_view text = as_text(data);
  if (type == IdType::any) return true;
  if (type == IdType::fqdn) return text == "*" || text.starts_with("*.");
  if (type == IdType::rfc822_addr) return text == "*" || text.starts_with("*@");
  if (type != IdType::der_asn1_dn) return false;
  // A value that is a single "*": in the text it stands between "=" and "," or "+" or the end.
  const std::string words = crypto::distinguished_name_text(data);
  for (std::size_t at = words.find("=*"); at != std::string::npos; at = words.find("=*", at + 1)) {
    if (at + 2 == words.size() || words[at + 2] == ',' || words[at + 2] == '+') return true;
  }
  return false;
}

}  // namespace culvert::ike
