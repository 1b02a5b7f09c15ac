#include "echo.h"

#include "culvert/wire/checksum.h"
#include "culvert/wire/esp.h"
#include "culvert/wire/icmp.h"
#include "culvert/wire/ipv4.h"
#include "culvert/wire/ipv6.h"

namespace culvert::lab {
namespace {

constexpr std::uint8_t icmp = 1, icmp_v6 = 58;
constexpr std::uint8_t request_v4 = 8, reply_v4 = 0, request_v6 = 128, reply_v6 = 129;
constexpr std::uint8_t ttl = 64, next_ipv4 = 4, next_ipv6 = 41;
constexpr std::size_t iv_len = 8, icv_len = 16, text_len = 16;

std::unique_ptr<crypto::AeadKey> key_of(const ChildSaKeys& keys, const DirectionKeys& direction) {
  auto key = crypto::AeadKey::create(keys.suite, direction.encryption.view(), direction.integrity.view(),
                                     crypto::AadLayout::prefix, crypto::AeadUse::messages);
  return key ? std::move(*key) : nullptr;
}

}  // namespace

Bytes Echo::packet() const {
  const bool v4 = source.is_v4();
  const std::size_t header_len = v4 ? wire::ipv4_min_header_len : wire::ipv6_header_len;
  const std::size_t len = wire::icmp_header_len + text_len;
  Bytes packet(header_len + len);
  std::uint8_t* header = packet.data();
  std::uint8_t* message = header + header_len;
  message[0] = v4 ? (is_reply ? reply_v4 : request_v4) : (is_reply ? reply_v6 : request_v6);
  store_be(message + 4, id);
  const ByteView body(message, len);
  if (v4) {
    header[0] = 0x45;
    store_be(header + 2, static_cast<std::uint16_t>(packet.size()));
    header[8] = ttl;
    header[9] = icmp;
    std::ranges::copy(source.bytes(), header + 12);
    std::ranges::copy(destination.bytes(), header + 16);
    store_be(header + 10, wire::checksum({header, header_len}));
    store_be(message + 2, wire::checksum(body));
  } else {
    header[0] = 0x60;
    store_be(header + 4, static_cast<std::uint16_t>(len));
    header[6] = icmp_v6;
    header[7] = ttl;
    std::ranges::copy(source.bytes(), header + 8);
    std::ranges::copy(destination.bytes(), header + 24);
    const auto pseudo = wire::pseudo_header_sum(source, destination, icmp_v6, static_cast<std::uint32_t>(len));
    store_be(message + 2, wire::checksum(body, pseudo));
  }
  return packet;
}

std::optional<Echo> Echo::parse(ByteView packet) {
  Echo echo;
  std::size_t header_len = 0;
  if (const auto v4 = wire::Ipv4Header::parse(packet); v4 && v4->protocol == icmp) {
    echo.source = v4->source;
    echo.destination = v4->destination;
    header_len = v4->header_len;
  } else if (const auto v6 = wire::Ipv6Header::parse(packet); v6 && v6->next_header == icmp_v6) {
    echo.source = v6->source;
    echo.destination = v6->destination;
    header_len = wire::ipv6_header_len;
  } else {
    return std::nullopt;
  }
  if (packet.size() < header_len + wire::icmp_header_len) return std::nullopt;
  const std::uint8_t type = packet[header_len];
  const bool v4 = echo.source.is_v4();
  echo.is_reply = type == (v4 ? reply_v4 : reply_v6);
  if (!echo.is_reply && type != (v4 ? request_v4 : request_v6)) return std::nullopt;
  echo.id = load_be<std::uint16_t>(packet.data() + header_len + 4);
  return echo;
}

EspPair::EspPair(const ChildSaKeys& keys)
    : inbound_spi_(keys.inbound_spi),
      outbound_spi_(keys.outbound_spi),
      inbound_(key_of(keys, keys.inbound)),
      outbound_(key_of(keys, keys.outbound)) {}

Bytes EspPair::seal(ByteView packet) {
  const std::size_t pad_len = wire::esp_pad_len(packet.size(), 4);
  const std::size_t len = packet.size() + pad_len + wire::esp_trailer_len;
  Bytes esp(wire::esp_header_len + iv_len + len + icv_len);
  wire::EspHeader{outbound_spi_, ++sequence_}.write(esp.data());
  std::uint8_t* iv = esp.data() + wire::esp_header_len;
  store_be(iv, std::uint64_t{sequence_});
  std::uint8_t* text = iv + iv_len;
  std::ranges::copy(packet, text);
  wire::write_esp_trailer(text + packet.size(), pad_len, packet[0] >> 4 == 4 ? next_ipv4 : next_ipv6);
  crypto::AeadJob job;
  job.key = outbound_.get();
  job.aad = esp.data();
  job.aad_len = wire::esp_header_len;
  job.iv = iv;
  job.src = job.dst = text;
  job.len = static_cast<std::uint32_t>(len);
  job.icv = text + len;
  if (outbound_) crypto::seal_batch({&job, 1});
  return job.ok ? esp : Bytes();
}

std::optional<Bytes> EspPair::open(ByteView esp) const {
  constexpr std::size_t before = wire::esp_header_len + iv_len;
  if (!inbound_ || esp.size() < before + wire::esp_trailer_len + icv_len) return std::nullopt;
  Bytes copy(esp.begin(), esp.end());
  const std::size_t len = copy.size() - before - icv_len;
  crypto::AeadJob job;
  job.key = inbound_.get();
  job.aad = copy.data();
  job.aad_len = wire::esp_header_len;
  job.iv = copy.data() + wire::esp_header_len;
  job.src = job.dst = copy.data() + before;
  job.len = static_cast<std::uint32_t>(len);
  job.icv = copy.data() + before + len;
  crypto::open_batch({&job, 1});
  if (!job.ok) return std::nullopt;
  const auto trailer = wire::EspTrailer::parse({job.dst, len});
  if (!trailer) return std::nullopt;
  return Bytes(job.dst, job.dst + trailer->payload_len);
}

}  // namespace culvert::lab
