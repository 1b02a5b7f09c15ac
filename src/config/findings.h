#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "culvert/config/config.h"
#include "syntax.h"

namespace culvert::config {

/// Collects what is wrong with one file. Errors make it unusable, warnings do not. Not thread-safe; lives for one
/// parse.
class Findings {
 public:
  explicit Findings(std::string file) : files_{std::move(file)} {}

  /// Another one, whose positions have the number that this gives.
  [[nodiscard]] std::uint32_t add_file(std::string file) {
    files_.push_back(std::move(file));
    return static_cast<std::uint32_t>(files_.size() - 1);
  }
  /// For messages: "line 7", or "FILE:7" where there are several files.
  [[nodiscard]] std::string place(Position at) const;

  void error(Position at, std::string key, std::string message);
  void warn(Position at, std::string key, std::string message);
  [[nodiscard]] bool has_errors() const noexcept { return !errors_.empty(); }
  [[nodiscard]] std::size_t num_errors() const noexcept { return errors_.size(); }

  /// In the order of the file.
  [[nodiscard]] std::vector<Diagnostic> take_errors() { return sorted(std::move(errors_)); }
  [[nodiscard]] std::vector<Diagnostic> take_warnings() { return sorted(std::move(warnings_)); }

 private:
  struct Found {
    Position at;
    std::string key, message;
  };
  [[nodiscard]] std::vector<Diagnostic> sorted(std::vector<Found> list) const;

  std::vector<std::string> files_;
  std::vector<Found> errors_;
  std::vector<Found> warnings_;
};

/// Text of the file as it is quoted in a message: 'text', without control characters, cut when it is very long.
[[nodiscard]] std::string in_quotes(std::string_view text);
/// "a, b or c"
[[nodiscard]] std::string one_of(const std::vector<std::string_view>& words);
/// The word that the writer of `text` probably meant, or "" when none is near (Damerau-Levenshtein, about a third of
/// the letters).
[[nodiscard]] std::string_view nearest(std::string_view text, const std::vector<std::string_view>& words);

}  // namespace culvert::config
