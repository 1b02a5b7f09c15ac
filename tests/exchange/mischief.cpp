// A peer that has the key and means no good: anything that parses, in any order. No answer is expected, but that
// nothing breaks: no assert, no memory error (the sanitizers look on), nothing grows without bound, and an honest peer
// still gets in afterwards.
#include <doctest/doctest.h>

#include <cstdlib>

#include "simulation.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

class Mischief {
 public:
  explicit Mischief(std::uint64_t seed) : simulation_(seed) {
    simulation_.use_debug_keys();
    simulation_.config(a).liveness = 0s;
    simulation_.config(b).liveness = 0s;
    simulation_.config(a).mobike = simulation_.config(b).mobike = seed % 2 == 0;
    simulation_.start();
  }

  /// Side b turns bad for a while; it forges on its current IKE SA.
  void run(int num_messages) {
    for (int i = 0; i < num_messages; ++i) {
      if (!simulation_.established(a) || !simulation_.established(b)) {
        simulation_.run_for(200s);
        next_id_ = 0;
        continue;
      }
      const PeerStatus status = simulation_.status(b);
      if (status.spi_i != spi_) {
        spi_ = status.spi_i;
        next_id_ = status.initiator ? 2 : 0;
      }
      const bool response = random().chance(0.15);
      const std::uint32_t id = random().chance(0.9) ? next_id_ : static_cast<std::uint32_t>(random().next() % 8);
      const auto exchange = static_cast<ExchangeType>(35 + random().next() % 3);
      const auto answers = simulation_.inject(simulation_.forge(
          b, random().chance(0.8) ? ExchangeType::create_child_sa : exchange, response, id, payloads()));
      if (!response && !answers.empty()) ++next_id_;
      if (random().chance(0.05)) simulation_.run_for(Duration(random().next() % 40'000'000'000ULL));
      CHECK(simulation_.node(a).plane.size() < 400);
    }
    CHECK(simulation_.fault() == "");
  }

  [[nodiscard]] int num_children() { return simulation_.node(a).installs; }

  void honest_again() {
    simulation_.kill(b);
    simulation_.start(b);
    simulation_.run_for(400s);
    CHECK(simulation_.disagreement().value_or("") == "");
  }

 private:
  SeededRandom& random() { return simulation_.random(); }
  Bytes bytes(std::size_t len) {
    Bytes some(len);
    random().fill(some);
    return some;
  }
  /// An SPI that one side has, or any.
  Bytes esp_spi() {
    Bytes spi = bytes(random().chance(0.9) ? 4 : random().next() % 9);
    const auto& plane = simulation_.node(random().chance(0.5) ? a : b).plane;
    if (spi.size() == 4 && !plane.empty() && random().chance(0.7)) {
      auto entry = plane.begin();
      std::advance(entry, static_cast<std::ptrdiff_t>(random().next() % plane.size()));
      store_be(spi.data(), (random().chance(0.5) ? entry->second.keys.outbound_spi : entry->first).value());
    }
    return spi;
  }
  SaPayload sa() {
    const bool ike = random().chance(0.3);
    Proposal proposal =
        ike ? *parse_ike_proposal("aes128gcm16-prfsha256-x25519") : *parse_esp_proposal("aes128gcm16-x25519-esn");
    proposal.spi = ike ? bytes(random().chance(0.9) ? 8 : 0) : bytes(random().chance(0.9) ? 4 : 8);
    if (random().chance(0.1)) proposal.transforms.clear();
    if (random().chance(0.1)) proposal.protocol = ProtocolId::ah;
    if (random().chance(0.1)) std::fill(proposal.spi.begin(), proposal.spi.end(), std::uint8_t{0});
    if (random().chance(0.05)) return SaPayload{};
    return SaPayload{std::vector<Proposal>(1 + random().next() % 2, proposal)};
  }
  TsPayload ts(bool initiator) {
    // b is the initiator of what it sends.
    const IpAddress address = simulation_.node(initiator ? b : a).address.address;
    TrafficSelector selector{47, 0, 65535, address, address};
    if (random().chance(0.1)) selector.last = IpAddress::last(IpFamily::v4);
    if (random().chance(0.1)) selector.protocol = static_cast<std::uint8_t>(random().next());
    return TsPayload{initiator, std::vector<TrafficSelector>(random().chance(0.05) ? 0 : 1, selector)};
  }
  Payload any_payload() {
    switch (random().next() % 12) {
      case 0:
        return DeletePayload{random().chance(0.95) ? ProtocolId::esp : ProtocolId::ike, {esp_spi(), esp_spi()}};
      case 1:
        return NotifyPayload{NotifyType::rekey_sa, ProtocolId::esp, esp_spi(), {}};
      case 2:
        return notify(static_cast<NotifyType>(random().next() % 50), bytes(random().next() % 4));
      case 3:
        return notify(static_cast<NotifyType>(16384 + random().next() % 50), bytes(random().next() % 40));
      case 4:
        return UnknownPayload{static_cast<std::uint8_t>(100 + random().next() % 100), random().chance(0.1)};
      case 5:
        return IdPayload{
            random().chance(0.5), static_cast<std::uint8_t>(random().next() % 13), {}, bytes(random().next() % 30)};
      case 6:
        return AuthPayload{static_cast<std::uint8_t>(random().next() % 4), bytes(32)};
      case 7:
        return KePayload{static_cast<std::uint16_t>(random().chance(0.5) ? 31 : random().next() % 40), bytes(32)};
      case 8:
        return sa();
      case 9:
        return ts(random().chance(0.5));
      case 10:
        return notify(NotifyType::use_transport_mode);
      default:
        return VendorIdPayload{bytes(8)};
    }
  }
  std::vector<Payload> payloads() {
    std::vector<Payload> list;
    if (random().chance(0.75)) {  // nearly a CREATE_CHILD_SA request
      list = {sa(),
              NoncePayload{bytes(32)},
              KePayload{31, bytes(32)},
              ts(true),
              ts(false),
              notify(NotifyType::use_transport_mode)};
      if (random().chance(0.4)) list.emplace_back(NotifyPayload{NotifyType::rekey_sa, ProtocolId::esp, esp_spi(), {}});
      if (random().chance(0.2)) list.erase(list.begin() + static_cast<std::ptrdiff_t>(random().next() % list.size()));
    }
    for (std::uint64_t i = random().next() % 3; i > 0; --i) {
      if (random().chance(0.5)) list.push_back(any_payload());
    }
    return list;
  }

  Simulation simulation_;
  IkeSpi spi_;
  std::uint32_t next_id_ = 0;
};

}  // namespace

TEST_CASE("an authenticated peer that sends what it likes breaks nothing, and nothing grows") {
  const char* rounds = std::getenv("CULVERT_MISCHIEF");
  const std::uint64_t num_rounds = rounds ? std::strtoull(rounds, nullptr, 10) : 20;
  int num_children = 0;
  for (std::uint64_t seed = 1; seed <= num_rounds; ++seed) {
    CAPTURE(seed);
    Mischief mischief(seed);
    mischief.run(400);
    num_children += mischief.num_children();
    mischief.honest_again();
  }
  CHECK(num_children > static_cast<int>(10 * num_rounds));  // much of it was taken seriously
}
