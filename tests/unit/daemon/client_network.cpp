#include "client_network.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace culvert::daemon;

namespace {

std::vector<std::string> split(const char* first, const char* last, std::size_t most = 100) {
  std::vector<std::string> texts;
  for (const IpPrefix& prefix : ClientNetwork::prefixes_of(*IpAddress::parse(first), *IpAddress::parse(last), most))
    texts.push_back(prefix.to_string());
  return texts;
}
using Texts = std::vector<std::string>;

}  // namespace

// The expected values are those of Python's ipaddress.summarize_address_range.
TEST_CASE("a range of addresses is cut into the fewest prefixes") {
  CHECK(split("0.0.0.0", "255.255.255.255") == Texts{"0.0.0.0/0"});
  CHECK(split("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") == Texts{"::/0"});
  CHECK(split("10.1.0.0", "10.1.255.255") == Texts{"10.1.0.0/16"});
  CHECK(split("10.0.0.1", "10.0.0.9") == Texts{"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/30", "10.0.0.8/31"});
  CHECK(split("255.255.255.254", "255.255.255.255") == Texts{"255.255.255.254/31"});
  CHECK(split("fd00::5", "fd00::5") == Texts{"fd00::5/128"});
  CHECK(split("0.0.0.1", "255.255.255.254", 10).size() == 10);
}
