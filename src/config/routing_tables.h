#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "value_reader.h"

namespace culvert::config {

inline constexpr std::int64_t max_route_metric = 3'999'999'999;  ///< the guards of `fail_closed` stand behind it

/// The key `table`: 0 is "off". Reads iproute2's names when the value is one.
[[nodiscard]] Field<std::uint32_t> read_routing_table(const ValueReader& reader);

/// "NUMBER NAME" a line, # begins a comment (iproute2: lib/rt_names.c); numbers may be written in hex. Lines of any
/// other form are passed over, as ip(8) does.
using RoutingTables = std::vector<std::pair<std::string, std::uint32_t>>;
[[nodiscard]] RoutingTables parse_routing_tables(std::string_view text);

}  // namespace culvert::config
