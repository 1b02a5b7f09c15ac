// GRE behind ESP, and everything that looks into inner packets: parsing, MSS clamping, packet too big, fragmentation,
// and the way back out. Byte 0 chooses the next header and the kind, byte 1 the outer TOS, bytes 2–3 the MTU.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "carrier.h"
#include "culvert/wire/flow.h"
#include "fragment.h"
#include "mss_clamp.h"
#include "packet_too_big.h"
#include "sa.h"

using namespace culvert;
using namespace culvert::tunnel;

namespace {

TunnelConfig config(std::optional<std::uint32_t> key) {
  TunnelConfig config;
  config.gre_key = key;
  config.gre_sequence = config.gre_checksum = key.has_value();
  return config;
}

std::shared_ptr<OutboundSa> make_sa(EspMode mode) {
  ChildSaKeys keys;
  keys.inbound_spi = keys.outbound_spi = Spi{0x1000};
  keys.suite = crypto::CipherSuite::aes_gcm_16_128;
  keys.inbound.encryption = Secret(20);
  keys.outbound.encryption = Secret(20);
  keys.mode = mode;
  keys.local = keys.remote = {TrafficSelector::from_prefix(*IpPrefix::parse("0.0.0.0/0"))};
  return make_sa_pair(std::move(keys))->outbound;
}

/// Whatever the bytes are, nothing may be read or written outside of them; what is built must be well formed.
void look_inside(ByteView bytes, std::uint16_t mtu) {
  std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
  const auto flow = wire::Flow::parse(copy);
  if (flow && flow->total_len > copy.size()) std::abort();
  clamp_mss(copy, mtu);

  std::vector<std::uint8_t> answer(max_packet_too_big_len);
  for (const char* source : {"192.0.2.1", "2001:db8::1"}) {
    const std::size_t len = build_packet_too_big(copy, mtu, *IpAddress::parse(source), answer);
    if (len != 0 && wire::ip_total_len(ByteView(answer).first(len)) != len) std::abort();
  }

  Ipv4Fragmenter fragmenter(copy, mtu);
  std::vector<std::uint8_t> out(mtu);
  std::size_t num_fragments = 0;
  while (!fragmenter.done()) {
    const std::size_t len = fragmenter.next(out);
    if (len == 0 || len > mtu || wire::ip_total_len(ByteView(out).first(len)) != len) std::abort();
    if (++num_fragments > 65536) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Tunnel plain(config(std::nullopt)), keyed(config(42));
  static const ChildTunnels child{std::array{&plain, &keyed}};
  static const auto transport = make_sa(EspMode::transport), tunnel_mode = make_sa(EspMode::tunnel);
  if (size < 4) return 0;
  const ByteView input{data + 4, size - 4};
  look_inside(input, load_be<std::uint16_t>(data + 2));

  constexpr std::size_t room = packet_headroom;
  std::vector<std::uint8_t> buffer(room + input.size());
  std::copy(input.begin(), input.end(), buffer.begin() + room);
  Packet packet = Packet::in_buffer(buffer, room, input.size());
  packet.child = &child;
  packet.next_header = std::array<std::uint8_t, 4>{47, 4, 41, 6}[data[0] & 3];
  packet.outer_tos = data[1];
  if (pop(packet)) return 0;

  // What came out is an IP packet; sent back by its tunnel it must come out again.
  const std::vector<std::uint8_t> inner(packet.view().begin(), packet.view().end());
  if (wire::ip_total_len(inner) != inner.size()) std::abort();
  packet.outbound_sa = (data[0] & 4) != 0 ? transport.get() : tunnel_mode.get();
  packet.tunnel->forget_gre_sequence();
  if (push(packet)) return 0;
  packet.outer_tos = 0;
  if (pop(packet) || !std::ranges::equal(packet.view(), inner)) std::abort();
  return 0;
}
