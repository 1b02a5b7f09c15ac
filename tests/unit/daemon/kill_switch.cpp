// The rules of the kill switch are read by nft(8) itself, in a namespace of their own; what they let through is seen in
// the lab.
#include "kill_switch.h"

#include <doctest/doctest.h>

#include "private_netns.h"
#include "run_program.h"

using namespace culvert;
using namespace culvert::daemon;

TEST_CASE("the kill switch closes, closes again with other gateways, and opens, as nft sees it") {
  const test::PrivateNetns netns;
  if (!netns.ok() || find_program("nft").empty()) return;  // not root
  KillSwitchPlan plan{"office-2", "cv-office", {}, {500, 4500}, 443, true, 0x63760001};
  CHECK_FALSE(kill_switch_closed(plan.name));
  auto closed = close_kill_switch(plan);
  REQUIRE_MESSAGE(closed, (closed ? "" : closed.error().detail));
  CHECK(kill_switch_closed(plan.name));
  plan.gateways = {*IpAddress::parse("192.0.2.1"), *IpAddress::parse("2001:db8::1")};
  closed = close_kill_switch(plan);
  REQUIRE_MESSAGE(closed, (closed ? "" : closed.error().detail));
  CHECK_FALSE(kill_switch_closed("office"));  // another client's
  CHECK(open_kill_switch(plan.name));
  CHECK_FALSE(kill_switch_closed(plan.name));
  CHECK(open_kill_switch(plan.name));  // once more does no harm
}

TEST_CASE("the kill switch lets UDP out to the gateways alone, and drops what it does not name") {
  const std::string rules =
      kill_switch_rules({"office", "cv-office", {*IpAddress::parse("192.0.2.1")}, {500, 4500}, 0, false, 0});
  CHECK(rules.find("type filter hook output priority 0; policy drop;") != std::string::npos);
  CHECK(rules.find("type filter hook forward priority 0; policy drop;") != std::string::npos);
  CHECK(rules.find("elements = { 192.0.2.1 }") != std::string::npos);
  CHECK(rules.find("ip daddr @gateways4 udp dport { 500, 4500 } accept") != std::string::npos);
  CHECK(rules.find("esp") == std::string::npos);
  CHECK(rules.find("dport 53") == std::string::npos);
}
