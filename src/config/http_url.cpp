#include "culvert/config/http_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "culvert/base/ip.h"
#include "findings.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_url_len = 1024;

/// RFC 3986 §2: all that may stand in a URI is graphic ASCII; quotes, angle brackets and blanks may not.
bool is_uri_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'; });
}

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  return std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

}  // namespace

Result<HttpUrl> HttpUrl::parse(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Errc::malformed,
                fmt::format("expected a URL such as http://pki.example.net/ca.crl, got {}{}", in_quotes(text), why));
  };
  if (text.starts_with("https://")) {
    return wrong(
        ": https is not spoken here, because what is fetched is signed itself (and the certificate of the server would "
        "have to be checked by what is being fetched); use http");
  }
  if (!text.starts_with("http://")) return wrong("");
  if (text.size() > max_url_len) return wrong(fmt::format(": longer than {} bytes", max_url_len));
  if (!is_uri_text(text)) return wrong(": a blank, a quote or a character that is not ASCII must be %-encoded");
  std::string_view rest = text.substr(7);
  const std::size_t slash = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, slash);
  std::string_view target = rest.substr(slash);
  if (authority.find('@') != std::string_view::npos) return wrong(": no user name or password may stand in it");
  HttpUrl url;
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    const auto address = IpAddress::parse(authority.substr(1, end == std::string_view::npos ? end : end - 1));
    if (end == std::string_view::npos || !address || address->is_v4()) return wrong(": not an IPv6 address in [ ]");
    url.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    port = authority.substr(colon);
    if (!is_host(url.host)) return wrong(": no host name");
  }
  if (!port.empty()) {
    const auto number = port[0] == ':' ? parse_port(port.substr(1)) : std::nullopt;
    if (!number) return wrong(": behind the host only a port 1 … 65535 may follow");
    url.port = *number;
  }
  target = target.substr(0, target.find('#'));
  url.target = target.starts_with('/') ? std::string(target) : "/" + std::string(target);
  return url;
}

std::string HttpUrl::authority() const {
  const std::string name = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  return port == 80 ? name : fmt::format("{}:{}", name, port);
}

std::string HttpUrl::to_string() const {
  return "http://" + authority() + target;
}

}  // namespace culvert::config
