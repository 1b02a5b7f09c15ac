// URLs by the grammar of RFC 3986 §3.
#include "culvert/config/http_url.h"

#include <doctest/doctest.h>

using namespace culvert::config;

namespace {

std::string why_not(std::string_view text) {
  const auto url = HttpUrl::parse(text);
  if (url) return "PARSED " + url->to_string();
  return url.error().detail;
}

}  // namespace

TEST_CASE("a URL is host, port and target") {
  const auto plain = HttpUrl::parse("http://pki.example.net/crl/root.crl?v=2#part");
  REQUIRE(plain.has_value());
  CHECK(plain->host == "pki.example.net");
  CHECK(plain->port == 80);
  CHECK(plain->target == "/crl/root.crl?v=2");
  CHECK(plain->authority() == "pki.example.net");
  const auto bare = HttpUrl::parse("http://192.0.2.1:8080");
  REQUIRE(bare.has_value());
  CHECK(bare->host == "192.0.2.1");
  CHECK(bare->port == 8080);
  CHECK(bare->target == "/");
  CHECK(bare->authority() == "192.0.2.1:8080");
  const auto v6 = HttpUrl::parse("http://[2001:db8::1]:81/x");
  REQUIRE(v6.has_value());
  CHECK(v6->host == "2001:db8::1");
  CHECK(v6->port == 81);
  CHECK(v6->to_string() == "http://[2001:db8::1]:81/x");
  CHECK(HttpUrl::parse("http://a.net?q")->target == "/?q");
}

TEST_CASE("what is no plain http URL is refused with the reason") {
  CHECK(why_not("https://a.net/x").find("use http") != std::string::npos);
  CHECK(why_not("ldap://a.net/x").find("expected a URL") != std::string::npos);
  CHECK(why_not("a.crl").find("expected a URL") != std::string::npos);
  CHECK(why_not("http://").find("no host name") != std::string::npos);
  CHECK(why_not("http:///x").find("no host name") != std::string::npos);
  CHECK(why_not("http://me:secret@a.net/").find("no user name") != std::string::npos);
  CHECK(why_not("http://a.net:0/").find("a port 1") != std::string::npos);
  CHECK(why_not("http://a.net:65536/").find("a port 1") != std::string::npos);
  CHECK(why_not("http://a.net:80x/").find("a port 1") != std::string::npos);
  CHECK(why_not("http://[::1/").find("[ ]") != std::string::npos);
  CHECK(why_not("http://[192.0.2.1]/").find("[ ]") != std::string::npos);
  CHECK(why_not("http://[::1]80/").find("a port 1") != std::string::npos);
  CHECK(why_not("http://a.net/a b").find("%-encoded") != std::string::npos);
  CHECK(why_not("http://a.net/\r\nHost: b").find("%-encoded") != std::string::npos);  // no header of the writer's own
  CHECK(why_not("http://a.net/" + std::string(2000, 'x')).find("longer than") != std::string::npos);
}
