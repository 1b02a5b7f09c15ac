#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace culvert::cli {

/// The two largest units: "45s", "12m 5s", "2h 13m", "3d 4h".
[[nodiscard]] std::string human_duration(std::uint64_t seconds);
/// Binary units with one decimal: "532 B", "1.2 KiB", "3.4 GiB".
[[nodiscard]] std::string human_size(std::uint64_t bytes);
/// Decimal units, as links are sold: "532 bit", "1.2 Mbit", "3.4 Gbit".
[[nodiscard]] std::string human_bits(std::uint64_t bits);
/// Thousands apart: "1 234 567".
[[nodiscard]] std::string human_count(std::uint64_t count);
/// Columns that a terminal gives to UTF-8 text: one a code point (we print no wide ones).
[[nodiscard]] std::size_t columns_of(std::string_view text);

/// What the output goes to.
struct Display {
  bool colour = false;
  std::size_t width = 0;  ///< columns; 0: never wrap

  [[nodiscard]] std::string bold(std::string_view text) const { return painted("1", text); }
  [[nodiscard]] std::string green(std::string_view text) const { return painted("32", text); }
  [[nodiscard]] std::string yellow(std::string_view text) const { return painted("33", text); }
  [[nodiscard]] std::string red(std::string_view text) const { return painted("31", text); }

  /// Of standard output: colour when it is a terminal and NO_COLOR (no-color.org) is unset or empty; its width.
  [[nodiscard]] static Display of_stdout();

 private:
  [[nodiscard]] std::string painted(std::string_view code, std::string_view text) const;
};

}  // namespace culvert::cli
