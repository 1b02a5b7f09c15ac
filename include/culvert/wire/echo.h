#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "culvert/base/bytes.h"

namespace culvert::wire {

// An echo between two culverts, in an ESP dummy packet (next header 59): RFC 4303 §2.6 has everybody else discard it
// without a word, and its plaintext is the sender's own business.
//   |                    magic (64): "cvecho" 0 1                   |
//   |    type (16): 1 question, 2 answer    |  sequence number (16) |
//   |                        identifier (32)                        |
//   |          the asker's clock (64): ns, only for itself          |
//   |   answer: how long it lay with who answers (32): microseconds |
//   |   answer: how long the question was as it came (32): bytes    |
//   |   question: as many bytes more as make up its size            |
// An answer has none of these bytes: it is never longer than its question.

inline constexpr std::size_t echo_len = 32;  ///< bytes of plaintext, without padding
inline constexpr std::array<std::uint8_t, 8> echo_magic = {'c', 'v', 'e', 'c', 'h', 'o', 0, 1};

struct Echo {
  enum class Type : std::uint16_t { question = 1, answer = 2 };
  Type type = Type::question;
  std::uint16_t sequence = 0;
  std::uint32_t id = 0;
  std::uint64_t asked_at = 0;
  std::uint32_t held_us = 0;
  std::uint32_t question_len = 0;

  /// nullopt: another one's dummy packet, or too short.
  [[nodiscard]] static std::optional<Echo> parse(ByteView bytes) noexcept {
    if (!is_echo(bytes)) return std::nullopt;
    const std::uint8_t* at = bytes.data() + echo_magic.size();
    Echo echo;
    echo.type = static_cast<Type>(load_be<std::uint16_t>(at));
    if (echo.type != Type::question && echo.type != Type::answer) return std::nullopt;
    echo.sequence = load_be<std::uint16_t>(at + 2);
    echo.id = load_be<std::uint32_t>(at + 4);
    echo.asked_at = load_be<std::uint64_t>(at + 8);
    echo.held_us = load_be<std::uint32_t>(at + 16);
    echo.question_len = load_be<std::uint32_t>(at + 20);
    return echo;
  }
  [[nodiscard]] static bool is_echo(ByteView bytes) noexcept {
    return bytes.size() >= echo_len && std::memcmp(bytes.data(), echo_magic.data(), echo_magic.size()) == 0;
  }
  /// Writes echo_len bytes.
  void write(std::uint8_t* to) const noexcept {
    std::memcpy(to, echo_magic.data(), echo_magic.size());
    to += echo_magic.size();
    store_be(to, static_cast<std::uint16_t>(type));
    store_be(to + 2, sequence);
    store_be(to + 4, id);
    store_be(to + 8, asked_at);
    store_be(to + 16, held_us);
    store_be(to + 20, question_len);
  }
  friend bool operator==(const Echo&, const Echo&) noexcept = default;
};

}  // namespace culvert::wire
