#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "culvert/base/text.h"
#include "render.h"

namespace culvert::cli {
namespace {

constexpr std::size_t num_columns = 5;
using Row = std::array<std::string, num_columns>;

Row row_of(const control::UserReport& user) {
  const std::string groups = user.groups.empty() ? "" : fmt::format(" ({})", fmt::join(user.groups, " "));
  return {printable(user.user) + printable(groups), printable(fmt::format("{}", fmt::join(user.addresses, " "))),
          printable(user.remote), human_duration(user.established_s),
          fmt::format("{} in, {} out", human_size(user.inbound_bytes), human_size(user.outbound_bytes))};
}

}  // namespace

std::string render_users(const std::vector<control::UserReport>& users, const Display& display) {
  if (users.empty()) return "nobody is connected\n";
  std::vector<Row> rows;
  std::array<std::size_t, num_columns> widths{};
  for (const auto& user : users) {
    rows.push_back(row_of(user));
    for (std::size_t i = 0; i < num_columns; ++i) widths[i] = std::max(widths[i], columns_of(rows.back()[i]));
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < num_columns; ++i) {
      text += i == 0 ? display.bold(row[i]) : row[i];
      if (i + 1 < num_columns) text.append(widths[i] - columns_of(row[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text + fmt::format("{} user{} connected{}\n", human_count(users.size()), users.size() == 1 ? "" : "s",
                            users.size() == control::max_users ? ", or more: these are all that one answer shows" : "");
}

}  // namespace culvert::cli
