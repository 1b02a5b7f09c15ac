#include <doctest/doctest.h>

#include <random>

#include "packets.h"
#include "policy_table.h"

using namespace culvert;
using namespace culvert::tunnel;
using namespace culvert::tunnel::test;

namespace {

std::shared_ptr<OutboundSa> sa_for(std::vector<TrafficSelector> remote) {
  ChildSaKeys keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
  keys.remote = std::move(remote);
  return outbound_at(std::move(keys), 1);
}

wire::Flow flow_to(const IpAddress& destination) {
  wire::Flow flow;
  flow.source = IpAddress::any(destination.family());
  flow.destination = destination;
  flow.protocol = 17;
  flow.ports_known = true;
  flow.destination_port = 53;
  return flow;
}

}  // namespace

TEST_CASE("an empty table owns nothing") {
  CHECK(PolicyTable().find(flow_to(ip("10.0.0.1"))) == nullptr);
  CHECK(PolicyTable().newest() == nullptr);
  CHECK(PolicyTable(std::vector<std::shared_ptr<OutboundSa>>{}).find(flow_to(ip("::1"))) == nullptr);
  CHECK(PolicyTable(std::vector<std::shared_ptr<OutboundSa>>{}).empty());
}

TEST_CASE("of the SAs that contain a packet the newest gets it") {
  const auto newer = sa_for({selector("10.2.0.0/16")});
  const auto older = sa_for({selector("10.0.0.0/8"), selector("fd00::/8")});
  const PolicyTable table({newer, older});
  CHECK(table.newest() == newer.get());
  CHECK(table.find(flow_to(ip("10.2.3.4"))) == newer.get());
  CHECK(table.find(flow_to(ip("10.3.0.0"))) == older.get());
  CHECK(table.find(flow_to(ip("10.1.255.255"))) == older.get());
  CHECK(table.find(flow_to(ip("9.255.255.255"))) == nullptr);
  CHECK(table.find(flow_to(ip("11.0.0.0"))) == nullptr);
  CHECK(table.find(flow_to(ip("fd12::1"))) == older.get());
  CHECK(table.find(flow_to(ip("fe00::"))) == nullptr);
}

TEST_CASE("an SA whose ports or protocol do not fit leaves the packet to an older one") {
  TrafficSelector https = selector("10.2.0.0/16", 6);
  https.start_port = https.end_port = 443;
  const auto narrow = sa_for({https});
  const auto wide = sa_for({selector("0.0.0.0/0")});
  const PolicyTable table({narrow, wide});
  CHECK(table.find(flow_to(ip("10.2.0.1"))) == wide.get());
  wire::Flow flow = flow_to(ip("10.2.0.1"));
  flow.protocol = 6;
  flow.destination_port = 443;
  CHECK(table.find(flow) == narrow.get());
}

TEST_CASE("overlapping and touching selectors of one SA, up to the last address of the family") {
  const auto sa = sa_for({selector("10.0.0.0/9"), selector("10.0.0.0/8"), selector("11.0.0.0/8"),
                          selector("255.255.255.255/32"), selector("ffff::/16")});
  const PolicyTable table({sa});
  for (const char* inside : {"10.0.0.0", "10.128.0.0", "10.255.255.255", "11.0.0.0", "255.255.255.255", "ffff::1"}) {
    CHECK(table.find(flow_to(ip(inside))) == sa.get());
  }
  for (const char* outside : {"12.0.0.0", "255.255.255.254", "0.0.0.0", "::", "fffe::"}) {
    CHECK(table.find(flow_to(ip(outside))) == nullptr);
  }
}

TEST_CASE("thousands of prefixes give the answer of a linear search") {
  std::mt19937 random(7);
  std::vector<std::shared_ptr<OutboundSa>> sas;
  for (int i = 0; i < 200; ++i) {
    std::vector<TrafficSelector> remote;
    for (int j = 0; j < 20; ++j) {
      const IpPrefix prefix{IpAddress::v4(random() & 0xFF'FFFF), static_cast<std::uint8_t>(12 + random() % 21)};
      remote.push_back(TrafficSelector::from_prefix(prefix));
    }
    sas.push_back(sa_for(std::move(remote)));
  }
  const PolicyTable table(sas);
  int num_found = 0;
  for (int i = 0; i < 20000; ++i) {
    const wire::Flow flow = flow_to(IpAddress::v4(random() & 0xFF'FFFF));
    OutboundSa* expected = nullptr;
    for (const auto& sa : sas) {
      if (sa->selectors->allows_outbound(flow)) {
        expected = sa.get();
        break;
      }
    }
    REQUIRE(table.find(flow) == expected);
    num_found += expected != nullptr;
  }
  CHECK(num_found > 5000);
}

TEST_CASE("ranges of both families, with ports, protocols and sources, give the answer of a linear search") {
  std::mt19937 random(8);
  const auto address = [&](bool v6) {
    if (!v6) return IpAddress::v4(0x0A000000 + random() % 3000);
    Bytes bytes(16, 0xFD);
    store_be(&bytes[12], static_cast<std::uint32_t>(random() % 3000));
    return *IpAddress::from_bytes(bytes);
  };
  const auto some_selector = [&](bool v6) {
    const IpAddress a = address(v6), b = address(v6);
    TrafficSelector selector{.first = std::min(a, b), .last = std::max(a, b)};
    if (random() % 3 == 0) selector.protocol = random() % 2 == 0 ? 6 : 17;
    if (random() % 3 == 0) selector.start_port = 50, selector.end_port = 60;
    if (random() % 9 == 0) selector.start_port = 65535, selector.end_port = 0;
    return selector;
  };
  std::vector<std::shared_ptr<OutboundSa>> sas;
  for (int i = 0; i < 150; ++i) {
    ChildSaKeys keys = make_keys(crypto::CipherSuite::aes_gcm_16_128, 0x1000);
    keys.local.clear();
    keys.remote.clear();
    for (int j = 0; j < 3; ++j) {
      keys.local.push_back(some_selector(j == 0));
      keys.remote.push_back(some_selector(j == 0));
    }
    sas.push_back(outbound_at(std::move(keys), 1));
  }
  const PolicyTable table(sas);
  int num_found = 0;
  for (int i = 0; i < 20000; ++i) {
    const bool v6 = random() % 2 == 0;
    wire::Flow flow = flow_to(address(v6));
    flow.source = address(v6);
    flow.protocol = random() % 2 == 0 ? 6 : 17;
    flow.ports_known = random() % 4 != 0;
    flow.destination_port = static_cast<std::uint16_t>(45 + random() % 20);
    flow.source_port = static_cast<std::uint16_t>(45 + random() % 20);
    OutboundSa* expected = nullptr;
    for (const auto& sa : sas) {
      if (sa->selectors->allows_outbound(flow)) {
        expected = sa.get();
        break;
      }
    }
    REQUIRE(table.find(flow) == expected);
    num_found += expected != nullptr;
  }
  CHECK(num_found > 5000);
  CHECK(num_found < 20000);
}

TEST_CASE("130,000 prefixes: every one of them is found") {
  std::vector<std::shared_ptr<OutboundSa>> sas;
  for (std::uint32_t i = 0; i < 520; ++i) {
    std::vector<TrafficSelector> remote;
    for (std::uint32_t j = 0; j < 250; ++j) {
      remote.push_back(TrafficSelector::from_prefix({IpAddress::v4((i * 250 + j) << 12), 24}));
    }
    sas.push_back(sa_for(std::move(remote)));
  }
  const PolicyTable table(sas);
  for (std::uint32_t n = 0; n < 130000; ++n) {
    REQUIRE(table.find(flow_to(IpAddress::v4((n << 12) + 255))) == sas[n / 250].get());
    REQUIRE(table.find(flow_to(IpAddress::v4((n << 12) + 256))) == nullptr);
  }
}

TEST_CASE("SAs that come and go one by one give the answer of a linear search, and older copies stay what they were") {
  std::mt19937 random(9);
  const auto some_remote = [&] {
    std::vector<TrafficSelector> remote;
    for (const bool v6 : {false, true}) {
      Bytes bytes(16, 0xFD);
      store_be(&bytes[12], static_cast<std::uint32_t>(random() % 50));
      const IpAddress host = v6 ? *IpAddress::from_bytes(bytes) : IpAddress::v4(0x0A000000 + random() % 50);
      const auto length = static_cast<std::uint8_t>(host.bits() - (random() % 8 == 0 ? 1 + random() % 4 : 0));
      remote.push_back(
          TrafficSelector::from_prefix({host, length}, random() % 5 == 0 ? std::uint8_t{6} : std::uint8_t{0}));
    }
    if (random() % 4 == 0) remote.push_back(remote.front());
    return remote;
  };
  const auto check = [&](const PolicyTable& table, const std::vector<std::shared_ptr<OutboundSa>>& newest_first) {
    REQUIRE(table.newest() == (newest_first.empty() ? nullptr : newest_first.front().get()));
    for (int i = 0; i < 20; ++i) {
      Bytes bytes(16, 0xFD);
      store_be(&bytes[12], static_cast<std::uint32_t>(random() % 50));
      const wire::Flow flow =
          flow_to(i % 2 == 0 ? *IpAddress::from_bytes(bytes) : IpAddress::v4(0x0A000000 + random() % 50));
      const auto expected =
          std::ranges::find_if(newest_first, [&](const auto& sa) { return sa->selectors->allows_outbound(flow); });
      REQUIRE(table.find(flow) == (expected == newest_first.end() ? nullptr : expected->get()));
    }
  };
  PolicyTable table;
  std::vector<std::shared_ptr<OutboundSa>> newest_first;
  for (int i = 0; i < 3000; ++i) {
    const PolicyTable copy = table;
    const auto before = newest_first;
    if (newest_first.size() < random() % 100) {
      newest_first.insert(newest_first.begin(), sa_for(some_remote()));
      table.add(newest_first.front());
    } else if (!newest_first.empty()) {
      const auto gone = newest_first.begin() + static_cast<std::ptrdiff_t>(random() % newest_first.size());
      const auto sa = *gone;
      newest_first.erase(gone);
      table.remove(*sa, newest_first.empty() ? nullptr : newest_first.front());
    }
    check(table, newest_first);
    check(copy, before);
  }
}

TEST_CASE("an SA that has gone from a table and its copies is kept alive by nobody") {
  PolicyTable table;
  const auto one = sa_for({selector("10.2.0.1/32"), selector("fd00::1/128"), selector("10.3.0.0/16")});
  const auto other = sa_for({selector("10.2.0.1/32")});
  table.add(one);
  table.add(other);
  table.remove(*one, other);
  CHECK(one.use_count() == 1);
  CHECK(table.find(flow_to(ip("10.2.0.1"))) == other.get());
  CHECK(table.find(flow_to(ip("10.3.0.1"))) == nullptr);
  table.remove(*other, nullptr);
  CHECK(other.use_count() == 1);
  CHECK(table.empty());
}
