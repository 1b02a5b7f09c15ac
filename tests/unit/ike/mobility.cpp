#include "mobility.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace culvert::ike;

namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}
NotifyPayload notify(NotifyType type, Bytes data = {}) {
  return {type, ProtocolId::none, {}, std::move(data)};
}
Message with(std::vector<Payload> payloads) {
  return {{}, std::move(payloads), std::nullopt};
}
Bytes bytes_of(const IpAddress& address) {
  return {address.bytes().begin(), address.bytes().end()};
}

}  // namespace

// The numbers of RFC 4555 §4 (IANA: IKEv2 Notify Message Types).
TEST_CASE("the notify types of MOBIKE have their numbers") {
  CHECK(static_cast<int>(NotifyType::unacceptable_addresses) == 40);
  CHECK(static_cast<int>(NotifyType::unexpected_nat_detected) == 41);
  CHECK(static_cast<int>(NotifyType::mobike_supported) == 16396);
  CHECK(static_cast<int>(NotifyType::additional_ip4_address) == 16397);
  CHECK(static_cast<int>(NotifyType::additional_ip6_address) == 16398);
  CHECK(static_cast<int>(NotifyType::no_additional_addresses) == 16399);
  CHECK(static_cast<int>(NotifyType::update_sa_addresses) == 16400);
  CHECK(static_cast<int>(NotifyType::cookie2) == 16401);
  CHECK(static_cast<int>(NotifyType::no_nats_allowed) == 16402);
}

// §4.2.2, §4.2.3.
TEST_CASE("an address list is one notify for each address, or one that says that there is none") {
  std::vector<Payload> payloads;
  add_address_list(payloads, {ip("192.0.2.7"), ip("2001:db8::7")});
  REQUIRE(payloads.size() == 2);
  CHECK(std::get<NotifyPayload>(payloads[0]).data == Bytes{192, 0, 2, 7});
  CHECK(std::get<NotifyPayload>(payloads[1]).type == NotifyType::additional_ip6_address);
  CHECK(std::get<NotifyPayload>(payloads[1]).data.size() == 16);
  const AddressNotifies said = read_addresses(with(payloads));
  CHECK(said.listed);
  CHECK(said.additional == std::vector{ip("192.0.2.7"), ip("2001:db8::7")});

  payloads.clear();
  add_address_list(payloads, {});
  REQUIRE(payloads.size() == 1);
  CHECK(std::get<NotifyPayload>(payloads[0]).type == NotifyType::no_additional_addresses);
  CHECK(read_addresses(with(payloads)).listed);
  CHECK(read_addresses(with(payloads)).additional.empty());
  CHECK_FALSE(read_addresses(with({})).listed);
}

TEST_CASE("of an address list only so many are kept, each once, and none that is no address of a host") {
  std::vector<Payload> payloads;
  for (const char* text : {"0.0.0.0", "224.0.0.1", "127.0.0.1"})
    payloads.emplace_back(notify(NotifyType::additional_ip4_address, bytes_of(ip(text))));
  for (const char* text : {"::", "ff02::1", "::1"})
    payloads.emplace_back(notify(NotifyType::additional_ip6_address, bytes_of(ip(text))));
  payloads.emplace_back(notify(NotifyType::additional_ip4_address, Bytes{192, 0, 2}));
  payloads.emplace_back(notify(NotifyType::additional_ip4_address, bytes_of(ip("2001:db8::1"))));
  payloads.emplace_back(notify(NotifyType::additional_ip6_address, bytes_of(ip("192.0.2.1"))));
  CHECK(read_addresses(with(payloads)).additional.empty());
  for (int i = 0; i < 100; ++i) {
    const auto last = static_cast<std::uint8_t>(i);
    for (int twice = 0; twice < 2; ++twice)
      payloads.emplace_back(notify(NotifyType::additional_ip4_address, Bytes{192, 0, 2, last}));
  }
  CHECK(read_addresses(with(payloads)).additional.size() == max_additional_addresses);
}

// §4.2.5.
TEST_CASE("COOKIE2 has 8 to 64 bytes") {
  for (const std::size_t len : {0, 1, 7, 65, 200})
    CHECK(read_addresses(with({notify(NotifyType::cookie2, Bytes(len, 1))})).cookie2.empty());
  for (const std::size_t len : {8, 16, 64})
    CHECK(read_addresses(with({notify(NotifyType::cookie2, Bytes(len, 1))})).cookie2 == Bytes(len, 1));
}

// §4.2.6: source address, destination address, source port, destination port; 12 or 36 bytes.
TEST_CASE("NO_NATS_ALLOWED holds the addresses of the message, and a NAT on the way shows") {
  const Path sent{{ip("192.0.2.1"), 4500}, {ip("198.51.100.1"), 500}};
  const Path received{sent.remote, sent.local};
  const NotifyPayload payload = no_nats_allowed(sent);
  CHECK(payload.data == Bytes{192, 0, 2, 1, 198, 51, 100, 1, 0x11, 0x94, 0x01, 0xF4});
  CHECK(no_nat_between(with({payload}), received));
  CHECK(no_nat_between(with({}), received));
  Path behind = received;
  behind.remote = {ip("203.0.113.7"), 61000};
  CHECK_FALSE(no_nat_between(with({payload}), behind));
  Path other_port = received;
  other_port.remote.port = 4501;
  CHECK_FALSE(no_nat_between(with({payload}), other_port));
  CHECK(no_nats_allowed({{ip("2001:db8::1"), 500}, {ip("2001:db8::2"), 500}}).data.size() == 36);
  NotifyPayload cut = payload;
  cut.data.pop_back();
  CHECK_FALSE(no_nat_between(with({cut}), received));
}
