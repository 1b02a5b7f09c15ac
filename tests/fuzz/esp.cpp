// ESP as it comes off the wire, and, sealed with the right key, everything behind the ICV: padding, next header,
// selectors, ECN, and the GRE in it. Byte 0 of the input chooses suite, mode and kind; byte 1 the outer TOS.
#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

#include "carrier.h"
#include "culvert/wire/esp.h"
#include "esp_decrypt.h"
#include "sa.h"

using namespace culvert;
using namespace culvert::tunnel;

namespace {

ChildSaKeys make_keys(crypto::CipherSuite suite, EspMode mode, bool esn) {
  const crypto::CipherSuiteInfo& info = crypto::info(suite);
  ChildSaKeys keys;
  keys.inbound_spi = keys.outbound_spi = Spi{0x1000};
  keys.suite = suite;
  keys.inbound = {Secret(info.key_len + std::size_t{info.salt_len}), Secret(info.integrity_len)};
  keys.outbound = {keys.inbound.encryption.clone(), keys.inbound.integrity.clone()};
  keys.mode = mode;
  keys.esn = esn;
  keys.replay_window = 64;
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
    TrafficSelector any;
    any.first = IpAddress::any(family);
    any.last = IpAddress::last(family);
    keys.local.push_back(any);
    keys.remote.push_back(any);
  }
  return keys;
}

struct Machine {
  std::vector<SaPair> pairs;
  Tunnel plain{TunnelConfig{}};
  Tunnel ip{[] {
    TunnelConfig config;
    config.carry = Carry::ip;
    return config;
  }()};
  ChildTunnels gre_child{std::array{&plain}};
  ChildTunnels ip_child{std::array{&ip}};

  Machine() {
    for (const auto suite :
         {crypto::CipherSuite::aes_gcm_16_128, crypto::CipherSuite::chacha20_poly1305,
          crypto::CipherSuite::aes_cbc_256_sha2_512_256, crypto::CipherSuite::aes_cbc_128_sha2_256_128}) {
      for (const EspMode mode : {EspMode::tunnel, EspMode::transport}) {
        for (const bool esn : {false, true}) pairs.push_back(*make_sa_pair(make_keys(suite, mode, esn)));
      }
    }
  }
};

/// Seals the input as plaintext with its trailer as it is; CBC plaintext is cut to whole blocks.
std::vector<std::uint8_t> seal(const SaPair& pair, ByteView plaintext) {
  const OutboundSa& sa = *pair.outbound;
  const std::uint64_t sequence = pair.outbound->reserve(1).first;
  plaintext = plaintext.first(plaintext.size() - plaintext.size() % sa.suite->block_len);
  const std::size_t before = wire::esp_header_len + sa.suite->iv_len;
  std::vector<std::uint8_t> packet(before + plaintext.size() + sa.suite->icv_len);
  wire::EspHeader{sa.spi, static_cast<std::uint32_t>(sequence)}.write(packet.data());
  store_be(&packet[8], sequence);
  std::copy(plaintext.begin(), plaintext.end(), packet.begin() + static_cast<std::ptrdiff_t>(before));
  std::array<std::uint8_t, 12> aad;
  store_be(aad.data(), sa.spi.value());
  if (sa.esn) {
    store_be(&aad[4], sequence);
  } else {
    store_be(&aad[4], static_cast<std::uint32_t>(sequence));
  }
  crypto::AeadJob job;
  job.key = &sa.key();
  job.aad = aad.data();
  job.aad_len = sa.esn ? 12 : 8;
  job.iv = &packet[8];
  job.src = job.dst = packet.data() + before;
  job.len = static_cast<std::uint32_t>(plaintext.size());
  job.icv = packet.data() + before + plaintext.size();
  crypto::seal_batch({&job, 1});
  if (!job.ok) std::abort();
  return packet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static auto machine = std::make_unique<Machine>();
  if (size < 2) return 0;
  if (machine->pairs[0].inbound->window.top() > 1'000'000) machine = std::make_unique<Machine>();
  const SaPair& pair = machine->pairs[data[0] & 15];
  const ByteView input{data + 2, size - 2};
  std::vector<std::uint8_t> esp =
      (data[0] & 16) != 0 ? seal(pair, input) : std::vector<std::uint8_t>(input.begin(), input.end());

  DropCounters drops;
  PacketBatch batch(drops);
  Packet packet = Packet::in_buffer(esp, 0, esp.size());
  packet.inbound_sa = pair.inbound.get();
  packet.child = (data[0] & 32) != 0 ? &machine->ip_child : &machine->gre_child;
  packet.outer_tos = data[1];
  batch.add(packet);
  decrypt_batch(batch);
  pop_batch(batch);
  if (batch.num_alive() + drops[batch[0].reason] != 1) std::abort();  // alive, or counted
  return 0;
}
