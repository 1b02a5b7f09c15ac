#include "capture_target.h"

#include <doctest/doctest.h>
#include <net/if.h>

#include <algorithm>

#include "capture_source.h"

using namespace culvert;
using namespace culvert::cli;

namespace {

const control::CaptureReport report{
    .devices = {{"a", "cv0", "tokyo"}, {"b", "cv0", "osaka"}, {"c", "cv1", "tokyo"}, {"d", "cv9", "kyoto"}},
    .outer = "esp or udp port 500",
    .allow_key_export = false};
const std::vector<Link> links{{1, "lo", "", 0},        {2, "eth0", "", 5}, {3, "cv0", "tun", 0}, {4, "cv1", "tun", 0},
                              {5, "br0", "bridge", 0}, {6, "eth1", "", 7}, {7, "vrf1", "vrf", 0}};

}  // namespace

TEST_CASE("inner packets come from the tunnels' devices, outer ones from all others but the ports of a bridge") {
  const auto target = make_target({"", "icmp", true, true}, report, links);
  REQUIRE(target);
  CHECK(
      target->filter ==
      "((ifindex 3 or ifindex 4) and (icmp)) or (not (ifindex 2 or ifindex 3 or ifindex 4) and (esp or udp port 500))");
  CHECK(CaptureSource::check(target->filter));  // libpcap's own word
  REQUIRE(target->places.size() == 2);
  CHECK(target->places.at(3).description == "several tunnels");
  CHECK(target->places.at(4).description == "tunnel c of peer tokyo");
  CHECK(target->places.at(4).name == "cv1");
  CHECK(target->outside.name == "outer");
}

TEST_CASE("the expression is about outer packets where those alone are wanted") {
  const auto outer = make_target({"", "host 192.0.2.1", false, true}, report, links);
  REQUIRE(outer);
  CHECK(outer->places.empty());
  CHECK(outer->filter.ends_with("((esp or udp port 500) and (host 192.0.2.1)))"));
  CHECK(outer->filter.find("(ifindex 3 or ifindex 4) and") == std::string::npos);
  CHECK(CaptureSource::check(outer->filter));
  const auto inner = make_target({"", "", true, false}, report, links);
  REQUIRE(inner);
  CHECK(inner->filter == "((ifindex 3 or ifindex 4))");
  CHECK(CaptureSource::check(inner->filter));
}

TEST_CASE("tunnels without a device have nothing inside") {
  control::CaptureReport gone = report;
  gone.devices = {{"d", "cv9", "kyoto"}};
  CHECK(make_target({"", "", true, true}, gone, links)->filter == "(not (ifindex 2) and (esp or udp port 500))");
  CHECK(make_target({"", "", true, false}, gone, links).error().code == Errc::invalid);
}

TEST_CASE("more devices than a filter in the kernel can have are refused") {
  control::CaptureReport many = report;
  std::vector<Link> devices;
  for (int i = 1; i <= 1001; ++i) {
    devices.push_back({i, "cv" + std::to_string(i), "tun", 0});
    many.devices.push_back({"t", devices.back().name, "p"});
  }
  CHECK(make_target({"", "", true, true}, many, devices).error().code == Errc::invalid);
  devices.pop_back();
  const auto target = make_target({"", "tcp port 80", true, true}, many, devices);
  REQUIRE(target);
  CHECK(CaptureSource::check(target->filter));
}

TEST_CASE("an expression that is none is refused with libpcap's words") {
  CHECK(CaptureSource::check("host 10.0.0.1 and icmp"));
  CHECK(CaptureSource::check(""));
  const auto wrong = CaptureSource::check("port and port");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code == Errc::invalid);
  CHECK_FALSE(wrong.error().detail.empty());
  CHECK_FALSE(CaptureSource::check("icmp) or (tcp"));  // nothing gets out of its parentheses
}

TEST_CASE("the kernel's list of devices has the loopback under the index that the C library knows") {
  const auto all = list_links();
  REQUIRE(all);
  const auto lo = std::ranges::find(*all, std::string("lo"), &Link::name);
  REQUIRE(lo != all->end());
  CHECK(lo->index == static_cast<int>(::if_nametoindex("lo")));
  CHECK_FALSE(is_port(*lo, *all));
}

// LINKTYPE_LINUX_SLL2, as its registration describes it.
TEST_CASE("a cooked packet tells device and direction; what is no IP, is for others or cut short is left out") {
  Bytes cooked{0x08, 0, 0, 0, 0, 0, 1, 2, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x45, 0x00};
  SeenPacket packet;
  REQUIRE(parse_cooked(cooked, 120, packet));
  CHECK(packet.ifindex == 0x102);
  CHECK(packet.direction == PacketDirection::outbound);
  CHECK(packet.original_len == 100);
  CHECK(Bytes(packet.bytes.begin(), packet.bytes.end()) == Bytes{0x45, 0x00});
  cooked[10] = 0;
  REQUIRE(parse_cooked(cooked, 120, packet));
  CHECK(packet.direction == PacketDirection::inbound);
  cooked[10] = 3;
  CHECK_FALSE(parse_cooked(cooked, 120, packet));
  cooked[10] = 0;
  CHECK_FALSE(parse_cooked(cooked, 21, packet));
  cooked[8] = 3;  // ARPHRD_LOOPBACK, 772: each packet goes out and comes in
  cooked[9] = 4;
  REQUIRE(parse_cooked(cooked, 120, packet));
  CHECK(packet.direction == PacketDirection::unknown);
  cooked[10] = 4;
  CHECK_FALSE(parse_cooked(cooked, 120, packet));
  cooked[8] = cooked[9] = cooked[10] = 0;
  for (std::size_t len = 0; len < 20; ++len) CHECK_FALSE(parse_cooked(ByteView(cooked).first(len), 120, packet));
  cooked[1] = 6;  // ARP
  CHECK_FALSE(parse_cooked(cooked, 120, packet));
}
