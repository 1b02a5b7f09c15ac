#pragma once
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "culvert/base/bytes.h"

namespace culvert::bench {

/// One burst: packets of the given lengths, each with buffers of its own, out of place.
struct Packet {
  std::uint32_t len = 0;
  std::array<std::uint8_t, 12> aad{};
  alignas(16) std::array<std::uint8_t, 12> nonce{};  ///< salt | IV, written long before anybody is timed
  alignas(16) std::array<std::uint8_t, 16> icv{};    ///< of `sealed`
  alignas(16) std::array<std::uint8_t, 16> out_icv{};
  std::uint8_t* plain = nullptr;
  std::uint8_t* sealed = nullptr;
  std::uint8_t* out = nullptr;
};

struct Burst {
  std::vector<Packet> packets;
  std::vector<std::uint8_t> memory;
  std::size_t num_bytes = 0;
};

struct Work {
  std::size_t key_len = 32;  ///< 16 or 32
  bool seal = true;
};

inline constexpr std::size_t aad_len = 8;

/// A way to run a burst once. `run` returns how many packets were accepted.
struct Contender {
  std::string name;
  std::function<std::size_t()> run;
};

/// `key` is key_len + 4 bytes of salt. Each contender keeps a reference to the burst.
[[nodiscard]] std::vector<Contender> make_contenders(const Work& work, const Bytes& key, Burst& burst);

}  // namespace culvert::bench
