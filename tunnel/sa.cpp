#include "sa.h"

#include <sodium.h>

#include <cstring>
#include <utility>

#include "culvert/wire/esp.h"

namespace culvert::tunnel {
namespace {

// RFC 4303 §2.2, §3.3.3. With ESN the end is moved down so far that no number of racing workers could wrap the 64-bit
// counter.
constexpr std::uint64_t last_without_esn = UINT32_MAX;
constexpr std::uint64_t last_with_esn = UINT64_MAX - UINT32_MAX;

using EndpointWords = std::array<std::uint64_t, 3>;

EndpointWords to_words(const Endpoint& endpoint) noexcept {
  EndpointWords words{};
  words[0] = std::uint64_t{endpoint.port} << 8 | static_cast<std::uint8_t>(endpoint.address.family());
  std::memcpy(&words[1], endpoint.address.bytes().data(), endpoint.address.size());
  return words;
}

Endpoint from_words(const EndpointWords& words) noexcept {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &words[1], bytes.size());
  const bool is_v4 = static_cast<IpFamily>(words[0] & 0xFF) == IpFamily::v4;
  return {*IpAddress::from_bytes(ByteView(bytes).first(is_v4 ? 4 : 16)), static_cast<std::uint16_t>(words[0] >> 8)};
}

}  // namespace

std::uint64_t endpoint_tag(const Endpoint& endpoint) noexcept {
  const EndpointWords words = to_words(endpoint);
  return words[0] << 32 ^ words[1] ^ words[2] * 0x9E3779B97F4A7C15;
}

// A reader that sees a word of the next-but-one store also sees the version that was stored before it, and reads again.
OuterPath AtomicPath::load() const noexcept {
  for (;;) {
    const std::uint32_t version = version_.load(std::memory_order_acquire);
    const Words& words = places_[version & 1];
    std::array<EndpointWords, 2> ends;
    for (std::size_t i = 0; i < num_words; ++i) ends[i / 3][i % 3] = words[i].load(std::memory_order_acquire);
    if (version_.load(std::memory_order_relaxed) != version) continue;
    return {from_words(ends[0]), from_words(ends[1]), static_cast<EspEncapsulation>(ends[0][0] >> 24)};
  }
}

void AtomicPath::store(const OuterPath& path) noexcept {
  const std::uint32_t next = version_.load(std::memory_order_relaxed) + 1;
  std::array<EndpointWords, 2> ends{to_words(path.local), to_words(path.remote)};
  ends[0][0] |= std::uint64_t{static_cast<std::uint8_t>(path.encapsulation)} << 24;
  for (std::size_t i = 0; i < num_words; ++i) places_[next & 1][i].store(ends[i / 3][i % 3], std::memory_order_release);
  version_.store(next, std::memory_order_release);
}

TrafficMeter::Share TrafficMeter::add(std::uint64_t packets, std::uint64_t bytes, EventFlags& events) noexcept {
  const std::uint64_t packets_before = packets_.fetch_add(packets, std::memory_order_relaxed);
  const std::uint64_t bytes_before = bytes_.fetch_add(bytes, std::memory_order_relaxed);
  const auto reached = [&](std::uint64_t max_packets, std::uint64_t max_bytes) {
    return (max_packets != 0 && packets_before + packets >= max_packets) ||
           (max_bytes != 0 && bytes_before + bytes >= max_bytes);
  };
  if (reached(limits_.soft_packets, limits_.soft_bytes)) events.raise(ChildEvent::soft_limit);
  if (reached(limits_.hard_packets, limits_.hard_bytes)) {
    exhausted_.store(true, std::memory_order_relaxed);
    events.raise(ChildEvent::hard_limit);
  }
  return {limits_, packets_before, bytes_before};
}

bool TrafficMeter::Share::admit(std::uint64_t len) noexcept {
  packets_ += 1;
  bytes_ += len;
  return (limits_.hard_packets == 0 || packets_ <= limits_.hard_packets) &&
         (limits_.hard_bytes == 0 || bytes_ <= limits_.hard_bytes);
}

OutboundSa::OutboundSa(const SaCommon& common, std::unique_ptr<crypto::AeadKey> key, const TrafficMeter::Limits& limits,
                       const OuterPath& outer_path, std::uint64_t next_sequence)
    : SaCommon(common),
      path(outer_path),
      events(*pair_events),
      meter(limits),
      key_(std::move(key)),
      last_sequence_(esn ? last_with_esn : last_without_esn),
      // A quarter of the numbers is left for the rekey: at 10 million packets a second that is 107 s without ESN.
      soft_sequence_(last_sequence_ - last_sequence_ / 4),
      next_sequence_(next_sequence) {
  if (!suite->is_aead) {
    iv_key_ = Secret(crypto_stream_chacha20_KEYBYTES);
    crypto_stream_chacha20_keygen(iv_key_.mutable_view().data());
  }
}

OutboundSa::Block OutboundSa::reserve(std::uint32_t count) noexcept {
  // Once exhausted the counter stands still, so it cannot come near a wrap however long packets keep coming.
  if (next_sequence_.load(std::memory_order_relaxed) > last_sequence_) {
    events.raise(ChildEvent::hard_limit);
    return {};
  }
  const std::uint64_t first = next_sequence_.fetch_add(count, std::memory_order_relaxed);
  if (first + count > soft_sequence_) events.raise(ChildEvent::soft_limit);
  if (first > last_sequence_) return {};
  const std::uint64_t left = last_sequence_ - first + 1;
  if (left >= count) return {first, count};
  events.raise(ChildEvent::hard_limit);
  return {first, static_cast<std::uint32_t>(left)};
}

// RFC 3602 §3: the IV must be unpredictable. The key is this SA's own and random, the nonce is a sequence number: never
// the same twice.
void OutboundSa::fill_ivs(std::uint64_t first, MutableByteView out) const noexcept {
  std::array<std::uint8_t, crypto_stream_chacha20_NONCEBYTES> nonce;
  static_assert(sizeof nonce == sizeof first);
  store_be(nonce.data(), first);
  crypto_stream_chacha20(out.data(), out.size(), nonce.data(), iv_key_.view().data());
}

InboundSa::InboundSa(const SaCommon& common, std::unique_ptr<crypto::AeadKey> key, const TrafficMeter::Limits& limits,
                     std::uint32_t window_size)
    : SaCommon(common), events(*pair_events), meter(limits), window(window_size), key_(std::move(key)) {}

bool Silence::sent(TimePoint now) noexcept {
  constexpr int max_doublings = 6;
  const auto ticks = now.time_since_epoch().count();
  auto since = since_.load(std::memory_order_relaxed);
  if (since <= heard_.load(std::memory_order_relaxed)) {
    since_.store(ticks, std::memory_order_relaxed);
    num_said_.store(0, std::memory_order_relaxed);
    return false;
  }
  const int num_said = num_said_.load(std::memory_order_relaxed);
  if (ticks - since < first_pause.count() << std::min(num_said, max_doublings)) return false;
  if (!since_.compare_exchange_strong(since, ticks, std::memory_order_relaxed)) return false;
  num_said_.store(num_said + 1, std::memory_order_relaxed);
  return true;
}

void Silence::heard(TimePoint now) noexcept {
  constexpr Duration precision = std::chrono::milliseconds(10);
  const auto ticks = now.time_since_epoch().count();
  if (ticks - heard_.load(std::memory_order_relaxed) >= precision.count())
    heard_.store(ticks, std::memory_order_relaxed);
}

bool InboundSa::may_report_move(TimePoint now) noexcept {
  constexpr Duration pause = std::chrono::milliseconds(250);
  const auto ticks = now.time_since_epoch().count();
  auto due = next_move_report_.load(std::memory_order_relaxed);
  return ticks >= due && next_move_report_.compare_exchange_strong(due, ticks + pause.count());
}

bool InboundSa::may_report_echo(TimePoint now) noexcept {
  constexpr Duration each = std::chrono::milliseconds(10), at_once = std::chrono::milliseconds(100);
  const auto ticks = now.time_since_epoch().count();
  auto until = echoes_until_.load(std::memory_order_relaxed);
  if (until - ticks > (at_once - each).count()) return false;
  return echoes_until_.compare_exchange_strong(until, std::max(until, ticks) + each.count());
}

Result<SaPair> make_sa_pair(ChildSaKeys keys) {
  if (keys.inbound_spi.value() < wire::min_esp_spi || keys.outbound_spi.value() < wire::min_esp_spi) {
    return fail(Errc::invalid, "an ESP SPI below 256 (RFC 4303 section 2.1)");
  }
  const auto layout = keys.esn ? crypto::AadLayout::esn : crypto::AadLayout::prefix;
  auto in_key =
      crypto::AeadKey::create(keys.suite, keys.inbound.encryption.view(), keys.inbound.integrity.view(), layout);
  if (!in_key) return std::unexpected(in_key.error());
  auto out_key =
      crypto::AeadKey::create(keys.suite, keys.outbound.encryption.view(), keys.outbound.integrity.view(), layout);
  if (!out_key) return std::unexpected(out_key.error());

  SaCommon common{.spi = keys.inbound_spi,
                  .inbound_spi = keys.inbound_spi,
                  .peer = keys.peer,
                  .child = keys.child,
                  .suite = &crypto::info(keys.suite),
                  .mode = keys.mode,
                  .esn = keys.esn,
                  .selectors = std::make_shared<SelectorSet>(std::move(keys.local), std::move(keys.remote)),
                  .pair_events = std::make_shared<EventFlags>()};
  const TrafficMeter::Limits limits{keys.soft_bytes, keys.soft_packets, keys.hard_bytes, keys.hard_packets};
  SaPair pair;
  pair.inbound = std::make_shared<InboundSa>(common, std::move(*in_key), limits, keys.replay_window);
  pair.inbound->remote_tag.store(endpoint_tag(keys.remote_endpoint));
  common.spi = keys.outbound_spi;
  pair.outbound = std::make_shared<OutboundSa>(
      common, std::move(*out_key), limits, OuterPath{keys.local_endpoint, keys.remote_endpoint, keys.encapsulation});
  return pair;
}

}  // namespace culvert::tunnel
