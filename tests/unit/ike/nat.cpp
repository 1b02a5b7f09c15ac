#include "nat.h"

#include <doctest/doctest.h>

#include "keymat.h"

using namespace culvert;
using namespace culvert::ike;

namespace {

const Path ours{{*IpAddress::parse("192.0.2.1"), 500}, {*IpAddress::parse("192.0.2.2"), 500}};
const Path theirs{ours.remote, ours.local};
const IkeSpi spi_i(0x1122334455667788), spi_r(0);

std::vector<Payload> sent(bool announce = false) {
  return nat_payloads(spi_i, spi_r, ours, announce, crypto::system_random());
}

}  // namespace

// RFC 7296 §2.23
TEST_CASE("without a NAT both hashes fit") {
  const NatStatus nat = read_nat(sent(), spi_i, spi_r, theirs);
  CHECK(nat.supported);
  CHECK_FALSE(nat.local);
  CHECK_FALSE(nat.remote);
  CHECK_FALSE(nat.needs_udp());
}

TEST_CASE("another source address or port means that the sender is behind a NAT, another destination that we are") {
  Path path = theirs;
  path.remote.port = 1024;
  CHECK(read_nat(sent(), spi_i, spi_r, path).remote);
  CHECK_FALSE(read_nat(sent(), spi_i, spi_r, path).local);
  path = theirs;
  path.remote.address = *IpAddress::parse("203.0.113.1");
  CHECK(read_nat(sent(), spi_i, spi_r, path).remote);
  path = theirs;
  path.local.address = *IpAddress::parse("10.0.0.1");
  CHECK(read_nat(sent(), spi_i, spi_r, path).local);
  CHECK_FALSE(read_nat(sent(), spi_i, spi_r, path).remote);
}

TEST_CASE("an announced NAT looks like one on the sender's side, and only there") {
  const NatStatus nat = read_nat(sent(true), spi_i, spi_r, theirs);
  CHECK(nat.remote);
  CHECK_FALSE(nat.local);
  CHECK(nat.needs_udp());
}

TEST_CASE("of several source hashes one that fits is enough") {
  auto payloads = sent(true);
  for (Payload& payload : sent()) payloads.push_back(payload);
  CHECK_FALSE(read_nat(payloads, spi_i, spi_r, theirs).remote);
}

TEST_CASE("a peer that sends no hashes, or only one kind, does not know NAT traversal") {
  CHECK_FALSE(read_nat({}, spi_i, spi_r, theirs).supported);
  auto payloads = sent();
  payloads.pop_back();
  const NatStatus nat = read_nat(payloads, spi_i, spi_r, theirs);
  CHECK_FALSE(nat.supported);
  CHECK_FALSE(nat.local);
  NatStatus announced;
  announced.announced = true;
  CHECK_FALSE(announced.needs_udp());
}

TEST_CASE("a hash of the wrong length fits nothing") {
  auto payloads = sent();
  for (Payload& payload : payloads) std::get<NotifyPayload>(payload).data.pop_back();
  const NatStatus nat = read_nat(payloads, spi_i, spi_r, theirs);
  CHECK(nat.local);
  CHECK(nat.remote);
}
