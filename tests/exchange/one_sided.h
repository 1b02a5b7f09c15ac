#pragma once
#include <algorithm>
#include <iterator>
#include <vector>

#include "simulation.h"

namespace culvert::ike::test {

/// Side a initiates, side b waits.
struct OneSided : Simulation {
  explicit OneSided(std::uint64_t seed = 1) : Simulation(seed) {
    config(b).start = StartMode::wait;
    record_wire = true;
    use_debug_keys();
  }
  bool comes_up(Duration limit = 5s) {
    start();
    return run_until([&] { return both_up(); }, limit);
  }
};

inline std::vector<Proposal> ike_of(const char* text) {
  return {*parse_ike_proposal(text)};
}
inline std::vector<Proposal> esp_of(const char* text) {
  return {*parse_esp_proposal(text)};
}

inline std::vector<Message> requests_of(const std::vector<Message>& messages, ExchangeType exchange) {
  std::vector<Message> found;
  std::ranges::copy_if(messages, std::back_inserter(found), [&](const Message& message) {
    return message.header.exchange == exchange && !message.header.response;
  });
  return found;
}

}  // namespace culvert::ike::test
