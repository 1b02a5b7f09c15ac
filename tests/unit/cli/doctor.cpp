#include "doctor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

using namespace culvert;
using namespace culvert::cli;

namespace {

/// Any machine. The texts in /proc are as Linux 6.1 prints them.
class FakeHost : public Host {
 public:
  std::map<std::string, std::string> files;
  std::map<std::string, FileFacts> facts;
  std::vector<AddressFacts> nets;
  std::string ruleset;
  std::chrono::sys_seconds clock{std::chrono::seconds(1764000000)};
  std::optional<bool> synchronized = true;
  std::map<std::string, IpAddress> names;
  std::function<IkeAnswer(const Endpoint&, bool, std::size_t)> network = [](const Endpoint&, bool, std::size_t) {
    return IkeAnswer::answered;
  };
  std::size_t questions = 0;

  std::optional<std::string> read(const std::string& file) override {
    const auto found = files.find(file);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<FileFacts> look_at(const std::string& file) override {
    const auto found = facts.find(file);
    if (found != facts.end()) return found->second;
    return files.contains(file) || file == "/dev/net/tun" ? std::optional(FileFacts{0600, 0, clock, false})
                                                          : std::nullopt;
  }
  std::vector<AddressFacts> addresses() override { return nets; }
  std::string firewall() override { return ruleset; }
  std::vector<IpAddress> resolve(const std::string& name, std::string& why) override {
    if (names.contains(name)) return {names[name]};
    why = "Name or service not known";
    return {};
  }
  std::chrono::sys_seconds now() override { return clock; }
  std::optional<bool> clock_is_synchronized() override { return synchronized; }
  IkeAnswer ask_ike(const Endpoint& remote, bool marker, std::size_t len, std::chrono::milliseconds) override {
    ++questions;
    return network(remote, marker, len);
  }
  std::optional<bool> offload(const std::string&, std::string_view) override { return std::nullopt; }
  bool write(const std::string& file, const std::string& value) override {
    if (!files.contains(file)) return false;
    files[file] = value;
    return true;
  }
  bool set_mode(const std::string& file, std::uint32_t mode) override {
    facts[file].mode = mode;
    return true;
  }
};

/// A gateway with one tunnel to 198.51.100.1 (10.2.0.0/16 behind it), and its machine in good health.
struct Gateway {
  Gateway() {
    std::string name = (std::filesystem::temp_directory_path() / "culvert-doctor-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder = name;
    std::ofstream(folder / "good.psk") << "a key of twenty-four byt\n";
    std::filesystem::permissions(folder / "good.psk", std::filesystem::perms(0600));
    auto loaded = config::parse(
        "[gateway]\nid = \"a.example\"\n[peer.b]\naddress = [\"198.51.100.1\"]\nid = \"b.example\"\n"
        "auth = { psk_file = \"good.psk\" }\n[tunnel.t]\npeer = \"b\"\ncarry = \"gre\"\ndevice = \"cvB\"\n"
        "routes = [\"10.2.0.0/16\"]\n",
        folder / "culvert.toml");
    REQUIRE(loaded.has_value());
    config = std::move(*loaded);
    host.files["/proc/sys/net/ipv4/ip_forward"] = "1\n";
    host.files["/proc/net/route"] = header + wan + lan + tunnel;
    host.files["/sys/class/net/wan/mtu"] = "1500\n";
    host.nets = {{"wan", *IpPrefix::parse("192.0.2.1/24")}, {"lan", *IpPrefix::parse("10.1.0.1/24")}};
    status.pid = 77;
    control::PeerReport peer;
    peer.name = "b";
    peer.state = "up";
    peer.local = "192.0.2.1:4500";
    peer.remote = "198.51.100.1:4500";
    control::TunnelReport carried;
    carried.name = "t";
    carried.state = "up";
    carried.mtu = 1430;
    peer.tunnels = {carried};
    status.peers = {peer};
  }
  ~Gateway() { std::filesystem::remove_all(folder); }

  Findings examined() {
    Case patient{host, &config, &status, {}, (folder / "culvert.toml").string(), {}};
    return examine(patient);
  }
  /// The first of this check that is not well.
  std::optional<Finding> trouble(const std::string& check) {
    for (const Finding& finding : examined())
      if (finding.check == check && finding.severity != Severity::ok) return finding;
    return std::nullopt;
  }
  /// Problems and warnings.
  std::size_t troubles() {
    return static_cast<std::size_t>(std::ranges::count_if(
        examined(), [](const Finding& finding) { return finding.severity >= Severity::warning; }));
  }
  void down(const std::string& reason) {
    status.peers[0].state = "down";
    status.peers[0].reason = reason;
  }

  static inline const std::string header =
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
  static inline const std::string wan = "wan\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
  static inline const std::string lan = "lan\t0000010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
  static inline const std::string tunnel = "cvB\t0000020A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
  FakeHost host;
  std::filesystem::path folder;
  config::Config config;
  control::StatusReport status;
};

bool holds(const std::optional<Finding>& finding, std::string_view text) {
  return finding && finding->text.find(text) != std::string::npos && !finding->advice.empty();
}

}  // namespace

TEST_CASE("doctor finds nothing wrong with a machine in good health") {
  Gateway gateway;
  CHECK(gateway.troubles() == 0);
}

TEST_CASE("doctor says that nothing is forwarded, and --fix changes it") {
  Gateway gateway;
  gateway.host.files["/proc/sys/net/ipv4/ip_forward"] = "0\n";
  CHECK(holds(gateway.trouble("forwarding"), "does not forward IPv4"));
  Findings findings = gateway.examined();
  apply_fixes(gateway.host, findings);
  CHECK(gateway.host.files["/proc/sys/net/ipv4/ip_forward"] == "1");
  CHECK(gateway.troubles() == 0);
}

TEST_CASE("a strict reverse path filter counts when it is on for all or for the device, unless the device is loose") {
  Gateway gateway;  // ip-sysctl: the maximum of conf/{all,interface}/rp_filter is used
  gateway.host.files["/proc/sys/net/ipv4/conf/cvB/rp_filter"] = "0\n";
  gateway.host.files["/proc/sys/net/ipv4/conf/all/rp_filter"] = "1\n";
  CHECK(holds(gateway.trouble("rp_filter"), "cvB"));
  gateway.host.files["/proc/sys/net/ipv4/conf/cvB/rp_filter"] = "2\n";
  CHECK_FALSE(gateway.trouble("rp_filter"));
}

TEST_CASE("the same net on both sides is an overlap") {
  Gateway gateway;
  gateway.host.nets.push_back({"lan", *IpPrefix::parse("10.2.7.1/24")});
  CHECK(holds(gateway.trouble("overlap"), "10.2.0.0/16 behind the peer overlaps 10.2.7.0/24 of our own device lan"));
}

TEST_CASE("a more specific route elsewhere shadows the tunnel's, a wider one does not") {
  Gateway gateway;
  gateway.host.files["/proc/net/route"] +=
      "wan\t0000030A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";  // 10.3.0.0/16
  CHECK_FALSE(gateway.trouble("route"));
  gateway.host.files["/proc/net/route"] +=
      "wan\t0080020A\tFE0200C0\t0003\t0\t0\t0\t0080FFFF\t0\t0\t0\n";  // 10.2.128.0/17
  CHECK(holds(gateway.trouble("route"), "10.2.128.0/17 dev wan shadows 10.2.0.0/16"));
}

TEST_CASE("a tunnel's route that somebody has removed is missed") {
  Gateway gateway;
  gateway.host.files["/proc/net/route"] = Gateway::header + Gateway::wan + Gateway::lan;
  CHECK(holds(gateway.trouble("route"), "no route leads 10.2.0.0/16 into cvB"));
}

TEST_CASE("a route to the peer that leads into its own tunnel is a loop") {
  Gateway gateway;
  gateway.host.files["/proc/net/route"] =
      Gateway::header + "cvB\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n" + Gateway::tunnel;
  CHECK(holds(gateway.trouble("route"), "leads into our own tunnel device cvB"));
}

TEST_CASE("IPv6 routes are read, and guards are none") {
  Gateway gateway;  // fd00:2::/64 on cvB; an unreachable one (flag 0x200) beside it
  gateway.host.files["/proc/net/ipv6_route"] =
      "fd000002000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 "
      "00000400 "
      "00000001 00000000 00000001      cvB\n"
      "fd000003000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 "
      "00000400 "
      "00000001 00000000 00200200       lo\n";
  const auto routes = main_routes(gateway.host);
  const RouteFacts* found = route_to(routes, *IpAddress::parse("fd00:2::9"));
  REQUIRE(found != nullptr);
  CHECK(found->device == "cvB");
  CHECK(found->to == *IpPrefix::parse("fd00:2::/64"));
  REQUIRE(route_to(routes, *IpAddress::parse("fd00:3::9")) != nullptr);
  CHECK(route_to(routes, *IpAddress::parse("fd00:3::9"))->reject);
  CHECK(route_to(routes, *IpAddress::parse("fd00:4::9")) == nullptr);
}

TEST_CASE("UDP 4500 that is dropped is told from a peer that is not there") {
  Gateway gateway;
  gateway.down("no answer");
  gateway.host.network = [](const Endpoint& to, bool, std::size_t) {
    return to.port == 500 ? IkeAnswer::answered : IkeAnswer::silence;
  };
  CHECK(holds(gateway.trouble("reach"), "answers on UDP 500, and nothing comes back from UDP 4500"));
  gateway.host.network = [](const Endpoint&, bool, std::size_t) { return IkeAnswer::silence; };
  CHECK(holds(gateway.trouble("reach"), "neither from UDP 500 nor from UDP 4500"));
  gateway.host.network = [](const Endpoint&, bool, std::size_t) { return IkeAnswer::refused; };
  CHECK(holds(gateway.trouble("reach"), "no IKE daemon listens"));
  gateway.host.network = [](const Endpoint&, bool, std::size_t) { return IkeAnswer::unreachable; };
  CHECK(holds(gateway.trouble("reach"), "no way"));
}

TEST_CASE("the size that passes is found to four bytes, and the tunnel's MTU that fits it is suggested") {
  Gateway gateway;
  gateway.host.network = [](const Endpoint&, bool, std::size_t len) {
    return len <= 1400 ? IkeAnswer::answered : IkeAnswer::silence;
  };
  const auto found = gateway.trouble("mtu");
  CHECK(holds(found, "more than 1400 bytes vanish"));
  CHECK(found->advice.find("mtu = 1330") != std::string::npos);  // 1430 - (1500 - 1400)
  CHECK(gateway.host.questions < 40);
}

TEST_CASE("a name without an address is named") {
  Gateway gateway;
  gateway.down("");
  gateway.config.peers[0].addresses = {"tokyo.example.net"};
  CHECK(holds(gateway.trouble("dns"), "\"tokyo.example.net\" has no address: Name or service not known"));
}

TEST_CASE("a file that was written in the future means that the clock is behind") {
  Gateway gateway;
  const std::string file = (gateway.folder / "culvert.toml").string();
  gateway.host.facts[file] = {0600, 0, gateway.host.clock + std::chrono::days(365), false};
  CHECK(holds(gateway.trouble("clock"), "365 days later: the clock is behind"));
}

TEST_CASE("secrets that others may read are found by the text of the configuration, and locked by --fix") {
  Gateway gateway;
  const std::string toml = (gateway.folder / "culvert.toml").string(), psk = (gateway.folder / "good.psk").string();
  gateway.host.files[toml] = "auth = { psk_file = \"good.psk\" }\nkey = \"pkcs11:token=a\"\n";
  gateway.host.facts[psk] = {0644, 0, gateway.host.clock, false};
  CHECK(holds(gateway.trouble("files"), "mode 0644"));
  Findings findings = gateway.examined();
  apply_fixes(gateway.host, findings);
  CHECK(gateway.host.facts[psk].mode == 0600);
  CHECK_FALSE(gateway.trouble("files"));
}

// As `nft list ruleset` of nftables 1.0.6 prints them.
TEST_CASE("rules of the packet filter that stop what is ours are quoted") {
  Gateway gateway;
  gateway.host.ruleset =
      "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n"
      "\t\tudp dport 4500 drop\n\t\ttcp dport 14500 drop\n\t}\n}\n";
  const Findings found = judge_firewall(gateway.host.ruleset, &gateway.config);
  REQUIRE(found.size() == 1);
  CHECK(found[0].text.find("udp dport 4500 drop") != std::string::npos);
  CHECK(found[0].subject == "inet filter input");
}

TEST_CASE("a policy of drop needs a rule that lets IKE in, and one that lets the tunnels through") {
  Gateway gateway;
  const auto judge = [&](const std::string& rule, const std::string& hook) {
    return judge_firewall("table inet f {\n\tchain c {\n\t\ttype filter hook " + hook +
                              " priority filter; policy drop;\n\t\tct state established,related accept\n\t\t" + rule +
                              "\n\t}\n}\n",
                          &gateway.config)
        .size();
  };
  CHECK(judge("tcp dport 22 accept", "input") == 1);
  CHECK(judge("udp dport { 500, 4500 } accept", "input") == 0);
  CHECK(judge("iifname \"eth1\" accept", "forward") == 1);
  CHECK(judge("iifname \"cvB\" accept", "forward") == 0);
  CHECK(judge("jump others", "forward") == 0);
}

TEST_CASE("what culvertd may do is printed from its process") {
  Gateway gateway;  // capabilities(7): CAP_NET_ADMIN is 12, CAP_NET_RAW 13
  gateway.host.files["/proc/77/status"] =
      "Name:\tculvertd\nUid:\t998\t998\t998\t998\nVmRSS:\t   20480 kB\nCapEff:\t0000000000003000\n";
  const Findings findings = gateway.examined();
  const auto found = std::ranges::find(findings, "privileges", &Finding::check);
  REQUIRE(found != findings.end());
  CHECK(found->text == "runs as process 77, user 998, capabilities: net_admin net_raw; 20 MiB of memory");
}

TEST_CASE("each reason that a peer gives for being down comes with a suggestion") {
  for (const char* reason :
       {"198.51.100.1 refused: AUTHENTICATION_FAILED: it does not accept our identity or our pre-shared key",
        "192.0.2.1: the pre-shared key does not match that of [peer.a]", "NO_PROPOSAL_CHOSEN", "TS_UNACCEPTABLE",
        "no answer from 192.0.2.2 after 7 tries", "cannot resolve its address: SERVFAIL",
        "198.51.100.1: its certificate is refused (expired): CN=b"})
    CHECK_FALSE(advice_for(reason, "b").empty());
  CHECK(advice_for("the moon is full", "b").empty());
}

TEST_CASE("a daemon that does not answer, and a configuration with mistakes, are findings") {
  FakeHost host;
  const Case patient{
      host, nullptr, nullptr, "culvertd is not running", "/etc/culvert/culvert.toml", {"line 3: unknown key"}};
  Findings findings = examine(patient);
  CHECK(findings[0].severity == Severity::problem);
  CHECK(std::ranges::count(findings, Severity::problem, &Finding::severity) == 2);
}
