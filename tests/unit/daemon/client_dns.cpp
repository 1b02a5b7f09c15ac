// DNS of a client by /etc/resolv.conf: what is put there, and that what was there comes back.
#include "client_dns.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "temp_dir.h"

using namespace culvert;
using namespace culvert::daemon;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

std::string content(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

void write(const std::filesystem::path& file, std::string_view text) {
  std::ofstream(file, std::ios::trunc) << text;
}

/// A host without systemd-resolved; where resolvconf is installed there is nothing to test.
struct Host {
  test::TempDir dir;
  DnsPlaces places{dir.path() / "resolv.conf", dir.path() / "no-resolved"};
  std::filesystem::path record = dir.path() / "dns";
  [[nodiscard]] ClientDns dns(const std::string& name = "office") const { return {name, "cv-x", record, places}; }
  [[nodiscard]] std::size_t num_files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(dir.path()), {}));
  }
};

const DnsSettings all_names{{ip("10.2.0.53"), ip("fd00:2::53")}, {}};

}  // namespace

TEST_CASE("a DNS name is made of labels of letters, digits and hyphens, as RFC 1123 §2.1 says") {
  for (const char* good : {"corp.example", "a", "1.2.3.example", "x-y.EXAMPLE", "xn--bcher-kva.example"}) {
    CAPTURE(good);
    CHECK(is_dns_name(good));
  }
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "-a.example", "a-.example", "a_b.example", "a b", "a;reboot",
                          "$(reboot)", "a\nnameserver 6.6.6.6", "~.", "ex\xc3\xa4mple"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_dns_name(bad));
  }
  CHECK(is_dns_name(std::string(63, 'a')));
  CHECK_FALSE(is_dns_name(std::string(64, 'a')));
  std::string longest;
  while (longest.size() < 252) longest += "a.";
  CHECK(is_dns_name(longest + "a"));
  CHECK_FALSE(is_dns_name(longest + "a.a"));
}

TEST_CASE("what a gateway must not tell a host about DNS is left out") {
  const auto kept = acceptable({{ip("127.0.0.1"), ip("10.0.0.1"), ip("::"), ip("224.0.0.251"), ip("::1")},
                                {"corp.example", "evil example", "a\nb"}});
  CHECK(kept.servers == std::vector{ip("10.0.0.1")});
  CHECK(kept.domains == std::vector<std::string>{"corp.example"});
  CHECK(acceptable({{ip("127.0.0.1")}, {"corp.example"}}) == DnsSettings{});
  // Servers for names that cannot be used are not asked for all names instead.
  CHECK(acceptable({{ip("10.0.0.1")}, {"evil example"}}) == DnsSettings{});
}

TEST_CASE("resolv.conf gets no more servers and domains than resolv.conf(5) takes") {
  DnsSettings many;
  for (int i = 1; i < 9; ++i) {
    many.servers.push_back(ip(("10.0.0." + std::to_string(i)).c_str()));
    many.domains.push_back("d" + std::to_string(i) + ".example");
  }
  CHECK(resolv_conf(many, "# head") ==
        "# head\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
        "search d1.example d2.example d3.example d4.example d5.example d6.example\n");
  CHECK(resolv_conf(all_names, "# head") == "# head\nnameserver 10.2.0.53\nnameserver fd00:2::53\n");
}

TEST_CASE("resolv.conf is replaced, and comes back as it was, also by another process") {
  const Host host;
  write(host.places.resolv_conf, "nameserver 192.0.2.1\n");
  SUBCASE("a file") {}
  SUBCASE("a link, as distributions make it") {
    std::filesystem::rename(host.places.resolv_conf, host.dir.path() / "real");
    std::filesystem::create_symlink("real", host.places.resolv_conf);
  }
  const bool is_link = std::filesystem::is_symlink(host.places.resolv_conf);
  const std::size_t before = host.num_files();
  REQUIRE(host.dns().set(all_names));
  CHECK(content(host.places.resolv_conf).find("nameserver 10.2.0.53\n") != std::string::npos);
  if (is_link) CHECK(content(host.dir.path() / "real") == "nameserver 192.0.2.1\n");
  SUBCASE("with its record") {}
  SUBCASE("after the machine was restarted, and /run is empty") {
    std::filesystem::remove(host.record);
  }
  REQUIRE(host.dns().undo());
  CHECK(content(host.places.resolv_conf) == "nameserver 192.0.2.1\n");
  CHECK(std::filesystem::is_symlink(host.places.resolv_conf) == is_link);
  CHECK(host.num_files() == before);
  REQUIRE(host.dns().undo());  // once more does no harm
  CHECK(content(host.places.resolv_conf) == "nameserver 192.0.2.1\n");
}

TEST_CASE("new servers in place of ours keep what was there before both") {
  const Host host;
  write(host.places.resolv_conf, "nameserver 192.0.2.1\n");
  auto dns = host.dns();
  REQUIRE(dns.set(all_names));
  const auto split = dns.set({{ip("10.9.9.9")}, {"corp.example"}});
  REQUIRE(split);
  CHECK(split->find("cannot tell names apart") != std::string::npos);
  CHECK(content(host.places.resolv_conf).find("10.9.9.9") != std::string::npos);
  REQUIRE(dns.set({}));
  CHECK(content(host.places.resolv_conf) == "nameserver 192.0.2.1\n");
}

TEST_CASE("what somebody else writes into resolv.conf meanwhile is what comes back") {
  const Host host;
  write(host.places.resolv_conf, "nameserver 192.0.2.1\n");
  auto dns = host.dns();
  REQUIRE(dns.set(all_names));
  write(host.places.resolv_conf, "nameserver 192.0.2.99\n");
  SUBCASE("and ours is there until then") {
    dns.look_again();
    CHECK(content(host.places.resolv_conf).find("10.2.0.53") != std::string::npos);
  }
  SUBCASE("also when nobody has looked") {}
  REQUIRE(dns.undo());
  CHECK(content(host.places.resolv_conf) == "nameserver 192.0.2.99\n");
}

TEST_CASE("two clients do not fight for one resolv.conf") {
  const Host host;
  write(host.places.resolv_conf, "nameserver 192.0.2.1\n");
  auto first = host.dns();
  REQUIRE(first.set(all_names));
  ClientDns second("home", "cv-y", host.dir.path() / "dns2", host.places);
  CHECK_FALSE(second.set(all_names));
  REQUIRE(second.undo());
  CHECK(content(host.places.resolv_conf).find("10.2.0.53") != std::string::npos);
  REQUIRE(first.undo());
  CHECK(content(host.places.resolv_conf) == "nameserver 192.0.2.1\n");
}
