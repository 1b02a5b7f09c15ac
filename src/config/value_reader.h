#pragma once
#include <span>

#include "findings.h"
#include "raw.h"

namespace culvert::config {

template <class E>
struct Choice {
  std::string_view word;
  E value;
};

/// Reads the value of one key into a Field, and says what was expected where it does not fit. Lives on the stack of
/// read_table.
class ValueReader {
 public:
  ValueReader(const Entry& entry, std::string key, Findings& findings)
      : entry_(entry), key_(std::move(key)), findings_(findings) {}

  [[nodiscard]] Field<std::string> text() const;  ///< not empty, at most 1024 bytes
  [[nodiscard]] Field<std::int64_t> integer(std::int64_t min, std::int64_t max) const;
  [[nodiscard]] Field<std::int64_t> integer_or(std::string_view word, std::int64_t word_value, std::int64_t min,
                                               std::int64_t max) const;
  [[nodiscard]] Field<bool> boolean() const;
  [[nodiscard]] Field<double> fraction(double min, double max) const;
  [[nodiscard]] Field<Duration> duration(Duration min, Duration max, bool zero_allowed = false) const;
  [[nodiscard]] Field<std::uint64_t> size(std::uint64_t min) const;
  [[nodiscard]] Field<IpAddress> address() const;
  [[nodiscard]] List<IpAddress> addresses() const;  ///< at least one; a value only when all are addresses
  [[nodiscard]] List<std::string> texts() const;    ///< at least one
  [[nodiscard]] Field<PeerAddresses> peer_addresses() const;
  enum class HostBits : std::uint8_t { allowed, refused };
  [[nodiscard]] List<IpPrefix> prefixes(HostBits host_bits, bool empty_allowed) const;

  template <class E>
  [[nodiscard]] Field<E> choice(std::span<const Choice<E>> choices) const {
    std::vector<std::string_view> words;
    for (const auto& choice : choices) words.push_back(choice.word);
    Field<E> field = started<E>();
    if (const auto index = word_index(words)) field.value = choices[*index].value;
    return field;
  }

  [[nodiscard]] const Entry& entry() const noexcept { return entry_; }
  [[nodiscard]] const std::string& key() const noexcept { return key_; }
  [[nodiscard]] Findings& findings() const noexcept { return findings_; }
  [[nodiscard]] Position at() const noexcept { return entry_.node.at.line != 0 ? entry_.node.at : entry_.at; }
  void wrong(std::string message) const { findings_.error(at(), key_, std::move(message)); }
  /// "expected X, got a boolean"
  void wrong_type(std::string_view expected) const;

 private:
  template <class T>
  [[nodiscard]] Field<T> started() const {
    return {std::nullopt, true, at()};
  }
  [[nodiscard]] std::optional<std::size_t> word_index(const std::vector<std::string_view>& words) const;
  /// The strings of an array (or one string that stands for an array of one), or nullopt after a message.
  [[nodiscard]] std::optional<std::vector<Located<std::string>>> strings(std::string_view expected,
                                                                         bool empty_allowed) const;

  const Entry& entry_;
  std::string key_;
  Findings& findings_;
};

/// "30s", "500ms"; nullopt when it is not a number with a unit, or too long for a Duration.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
/// "10GiB", "500MB", "1000"; nullopt when it is not a size, or above 2^63 - 1.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
/// The largest unit that loses nothing: "5m", "90s", "500ms".
[[nodiscard]] std::string to_text(Duration duration);

}  // namespace culvert::config
