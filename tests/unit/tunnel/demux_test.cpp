#include "demux.h"

#include <doctest/doctest.h>

#include <vector>

using namespace culvert;
using namespace culvert::tunnel;

// The shapes below are those of RFC 3948 §2.1 (UDP-encapsulated ESP), §2.2 (IKE on port 4500) and §2.3 (keepalive).

TEST_CASE("on the NAT port four zero bytes mark IKE, and the marker is skipped") {
  const Bytes ike = {0, 0, 0, 0, 0x11, 0x22};
  const auto found = classify(PortKind::nat, ike);
  CHECK(found.kind == DatagramKind::ike);
  CHECK(found.header_len == 4);
}

TEST_CASE("on the NAT port anything else of at least eight bytes is ESP, SPI first") {
  const Bytes esp = {0x00, 0x00, 0x01, 0x00, 0, 0, 0, 1};
  const auto found = classify(PortKind::nat, esp);
  CHECK(found.kind == DatagramKind::esp);
  CHECK(found.header_len == 0);
}

TEST_CASE("a keepalive is exactly one byte of 0xFF") {
  CHECK(classify(PortKind::nat, Bytes{0xFF}).kind == DatagramKind::keepalive);
  CHECK(classify(PortKind::nat, Bytes{0xFE}).kind == DatagramKind::malformed);
  CHECK(classify(PortKind::nat, Bytes{0xFF, 0xFF}).kind == DatagramKind::malformed);
}

TEST_CASE("every length that holds neither marker and message nor SPI and sequence number is malformed") {
  CHECK(classify(PortKind::nat, Bytes{}).kind == DatagramKind::malformed);
  CHECK(classify(PortKind::nat, Bytes{0, 0, 0}).kind == DatagramKind::malformed);
  CHECK(classify(PortKind::nat, Bytes{0, 0, 0, 0}).kind == DatagramKind::malformed);
  for (std::size_t len = 4; len < 8; ++len) {
    Bytes bytes(len, 0x41);
    CHECK(classify(PortKind::nat, bytes).kind == DatagramKind::malformed);
  }
}

TEST_CASE("on the IKE port all is IKE, without a marker") {
  const auto found = classify(PortKind::ike, Bytes{0, 0, 0, 0, 1, 2, 3, 4, 5});
  CHECK(found.kind == DatagramKind::ike);
  CHECK(found.header_len == 0);
  CHECK(classify(PortKind::ike, Bytes{0xFF}).kind == DatagramKind::ike);
  CHECK(classify(PortKind::ike, Bytes{}).kind == DatagramKind::malformed);
}
