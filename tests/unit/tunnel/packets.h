#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/crypto/aead.h"
#include "culvert/wire/esp.h"
#include "packet.h"
#include "sa.h"

namespace culvert::tunnel::test {

inline Bytes hex(std::string_view text) {
  const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  }
  return bytes;
}

inline Bytes to_bytes(ByteView view) {
  return {view.begin(), view.end()};
}
inline IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
inline Bytes iota(std::size_t len, std::uint8_t first = 0) {
  Bytes bytes(len);
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

/// A batch with buffers of its own.
struct Batch {
  DropCounters drops;
  PacketBatch packets{drops};
  std::deque<Bytes> buffers;

  std::size_t add(ByteView bytes, OutboundSa* out, InboundSa* in) {
    Bytes& buffer = buffers.emplace_back(packet_headroom + bytes.size() + packet_tailroom);
    std::copy(bytes.begin(), bytes.end(), buffer.begin() + packet_headroom);
    Packet packet = Packet::in_buffer(buffer, packet_headroom, bytes.size());
    packet.outbound_sa = out;
    packet.inbound_sa = in;
    return packets.add(packet);
  }
  Bytes bytes(std::size_t i) const { return to_bytes(packets[i].view()); }
};

// 36 and 64 bytes; scapy 2.5, as all hex of these tests:
//   inner4 = IP(src='10.1.0.5',dst='10.2.0.7',ttl=64,id=0x1234)/UDP(sport=1111,dport=2222)/b'culvert!'
//   inner6 = IPv6(src='fd00:1::5',dst='fd00:2::7',hlim=64)/UDP(sport=1111,dport=2222)/b'culvert over six'
inline const Bytes inner4 = hex("4500002412340000401154870a0100050a020007045708ae0010353b63756c7665727421");
inline const Bytes inner6 =
    hex("6000000000181140fd000001000000000000000000000005fd000002000000000000000000000007045708ae0018f05563756c76657274"
        "206f766572"
        "20736978");

inline TrafficSelector selector(std::string_view prefix, std::uint8_t protocol = 0) {
  return TrafficSelector::from_prefix(*IpPrefix::parse(prefix), protocol);
}
inline std::vector<TrafficSelector> any_selectors() {
  return {selector("0.0.0.0/0"), selector("::/0")};
}

/// Keys as in the scapy scripts: key bytes 0, 1, 2 …, salt cafebabe, HMAC key 64, 65, …; both directions the same, so
/// that what our outbound SA seals, our inbound SA opens.
inline ChildSaKeys make_keys(crypto::CipherSuite suite, std::uint32_t spi) {
  const crypto::CipherSuiteInfo& info = crypto::info(suite);
  Bytes encryption = iota(info.key_len);
  if (info.salt_len != 0) append(encryption, hex("cafebabe"));
  ChildSaKeys keys;
  keys.inbound_spi = keys.outbound_spi = Spi{spi};
  keys.suite = suite;
  keys.inbound = {Secret::copy_of(encryption), Secret::copy_of(iota(info.integrity_len, 64))};
  keys.outbound = {keys.inbound.encryption.clone(), keys.inbound.integrity.clone()};
  keys.local = keys.remote = any_selectors();
  keys.local_endpoint = {ip("192.0.2.1"), 4500};
  keys.remote_endpoint = {ip("192.0.2.2"), 4500};
  return keys;
}

/// An outbound SA that continues at `next_sequence`.
inline std::shared_ptr<OutboundSa> outbound_at(ChildSaKeys keys, std::uint64_t next_sequence) {
  const auto layout = keys.esn ? crypto::AadLayout::esn : crypto::AadLayout::prefix;
  SaCommon common{.spi = keys.outbound_spi,
                  .inbound_spi = keys.inbound_spi,
                  .peer = keys.peer,
                  .child = keys.child,
                  .suite = &crypto::info(keys.suite),
                  .mode = keys.mode,
                  .esn = keys.esn,
                  .selectors = std::make_shared<SelectorSet>(keys.local, keys.remote),
                  .pair_events = std::make_shared<EventFlags>()};
  auto key =
      crypto::AeadKey::create(keys.suite, keys.outbound.encryption.view(), keys.outbound.integrity.view(), layout);
  return std::make_shared<OutboundSa>(
      common, std::move(*key),
      TrafficMeter::Limits{keys.soft_bytes, keys.soft_packets, keys.hard_bytes, keys.hard_packets},
      OuterPath{keys.local_endpoint, keys.remote_endpoint, keys.encapsulation}, next_sequence);
}

/// An ESP packet around any plaintext (payload, padding, trailer as given): to make what no honest sender makes. AEAD
/// only.
inline Bytes seal_raw(const SaCommon& sa, const crypto::AeadKey& key, std::uint64_t sequence, ByteView plaintext) {
  Bytes packet(wire::esp_header_len + sa.suite->iv_len + plaintext.size() + sa.suite->icv_len);
  wire::EspHeader{sa.spi, static_cast<std::uint32_t>(sequence)}.write(packet.data());
  store_be(&packet[8], sequence);
  std::copy(plaintext.begin(), plaintext.end(), packet.begin() + 16);
  std::array<std::uint8_t, 12> aad;
  store_be(aad.data(), sa.spi.value());
  if (sa.esn) {
    store_be(&aad[4], sequence);
  } else {
    store_be(&aad[4], static_cast<std::uint32_t>(sequence));
  }
  crypto::AeadJob job;
  job.key = &key;
  job.aad = aad.data();
  job.aad_len = sa.esn ? 12 : 8;
  job.iv = &packet[8];
  job.src = job.dst = &packet[16];
  job.len = static_cast<std::uint32_t>(plaintext.size());
  job.icv = &packet[16 + plaintext.size()];
  crypto::seal_batch({&job, 1});
  return packet;
}

/// `payload` with the trailer that RFC 4303 §2.4 asks for.
inline Bytes with_trailer(ByteView payload, std::uint8_t next_header, std::size_t block_len = 4) {
  Bytes plaintext = to_bytes(payload);
  const std::size_t pad_len = wire::esp_pad_len(payload.size(), block_len);
  for (std::size_t i = 1; i <= pad_len; ++i) plaintext.push_back(static_cast<std::uint8_t>(i));
  plaintext.push_back(static_cast<std::uint8_t>(pad_len));
  plaintext.push_back(next_header);
  return plaintext;
}

}  // namespace culvert::tunnel::test
