#include "findings.h"

#include <fmt/format.h>

#include <algorithm>

#include "culvert/base/text.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_quoted_len = 80;
constexpr std::size_t max_compared_len = 64;  ///< longer words are nobody's typing mistake

/// Insertions, deletions, substitutions and swaps of neighbours that make `a` of `b` (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, substitution});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

std::string lower(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return lowered;
}

}  // namespace

void Findings::error(Position at, std::string key, std::string message) {
  errors_.push_back({at, std::move(key), std::move(message)});
}

void Findings::warn(Position at, std::string key, std::string message) {
  warnings_.push_back({at, std::move(key), std::move(message)});
}

std::string Findings::place(Position at) const {
  return files_.size() == 1 ? fmt::format("line {}", at.line) : fmt::format("{}:{}", files_[at.file], at.line);
}

std::vector<Diagnostic> Findings::sorted(std::vector<Found> list) const {
  std::ranges::stable_sort(list, {}, &Found::at);
  std::vector<Diagnostic> diagnostics;
  for (Found& found : list) {
    diagnostics.push_back({files_[found.at.file], found.at.line, found.at.column, std::move(found.key),
                           std::move(found.message)});
  }
  return diagnostics;
}

std::string in_quotes(std::string_view text) {
  if (text.size() <= max_quoted_len) return fmt::format("'{}'", printable(text));
  std::size_t end = max_quoted_len;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a UTF-8 sequence
  return fmt::format("'{}…'", printable(text.substr(0, end)));
}

std::string one_of(const std::vector<std::string_view>& words) {
  std::string list;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) list += i + 1 == words.size() ? " or " : ", ";
    list += words[i];
  }
  return list;
}

std::string_view nearest(std::string_view text, const std::vector<std::string_view>& words) {
  if (text.empty() || text.size() > max_compared_len) return {};
  const std::string written = lower(text);
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, (written.size() + 1) / 3) + 1;
  for (const std::string_view word : words) {
    const std::size_t distance = edit_distance(written, lower(word));
    if (distance < best_distance) {
      best = word;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace culvert::config
