#pragma once
// What the tests of rekeys share.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "simulation.h"

namespace culvert::ike::test {

using What = IkeEndpoint::RekeyWhat;

/// Both ends up on one IKE SA and one child; side b waits.
struct Up : Simulation {
  explicit Up(std::uint64_t seed = 1, const char* esp = "aes128gcm16-x25519-esn") : Simulation(seed) {
    config(b).start = StartMode::wait;
    record_wire = true;
    use_debug_keys();
    for (const Side side : {a, b}) config(side).esp_proposals = {*parse_esp_proposal(esp)};
  }
  void bring_up() {
    start();
    REQUIRE(run_until([&] { return both_up(); }, 5s));
    run_for(1s);
    wire.clear();
    for (const Side side : {a, b}) node(side).reports.clear();
  }
  /// What the operator reads of a side since bring_up, debug lines left out: without the peer's name and the suite.
  std::vector<std::string> told(Side side) {
    std::vector<std::string> lines;
    for (const Report& report : node(side).reports) {
      if (report.level == log::Level::debug) continue;
      const std::size_t start = report.text.find(": ") + 2;
      lines.push_back(report.text.substr(start, report.text.find(" (") - start));
    }
    return lines;
  }
  void rekey(Side side, What what) { command(side, node(side).ike->rekey(now(), config(side).name, what)); }
  Spi child(Side side) { return status(side).children.front().inbound_spi; }
  std::pair<IkeSpi, IkeSpi> ike_sa(Side side) { return {status(side).spi_i, status(side).spi_r}; }
  std::vector<Message> seen(Side from, ExchangeType exchange, bool response) {
    std::vector<Message> found;
    for (Message& message : messages(from)) {
      if (message.header.exchange == exchange && message.header.response == response)
        found.push_back(std::move(message));
    }
    return found;
  }
  void agrees() {
    CHECK(disagreement().value_or("") == "");
    CHECK(fault() == "");
  }
};

inline std::uint32_t spi_of(const Bytes& bytes) {
  return bytes.size() == 4 ? load_be<std::uint32_t>(bytes.data()) : 0;
}

/// The nonce pairs of the CREATE_CHILD_SA exchanges, by who asked.
struct Nonces {
  Bytes lowest_of_a, lowest_of_b;
  explicit Nonces(Up& simulation) {
    lowest_of_a = lowest(simulation, a);
    lowest_of_b = lowest(simulation, b);
  }
  static Bytes lowest(Up& simulation, Side asker) {
    const auto requests = simulation.seen(asker, ExchangeType::create_child_sa, false);
    const auto responses = simulation.seen(other(asker), ExchangeType::create_child_sa, true);
    REQUIRE(!requests.empty());
    REQUIRE(!responses.empty());
    return std::min(requests.front().find<NoncePayload>()->data, responses.front().find<NoncePayload>()->data);
  }
};

}  // namespace culvert::ike::test
