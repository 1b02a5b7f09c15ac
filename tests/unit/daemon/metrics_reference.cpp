// docs/metrics.md is held to the table of families, row by row.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <string>

#include "metric_families.h"

using namespace culvert;
using daemon::MetricFamily;

namespace {

std::string reference() {
  std::ostringstream text;
  text << std::ifstream(CULVERT_SOURCE_DIR "/docs/metrics.md").rdbuf();
  return text.str();
}

std::string sample_name(const MetricFamily& family) {
  const bool counts = family.type == MetricFamily::Type::counter;
  return fmt::format("{}{}", family.name, counts ? "_total" : family.type == MetricFamily::Type::info ? "_info" : "");
}

std::string labels_in_code(std::string_view labels) {
  std::string text;
  for (const char character : labels)
    text += character == ',' ? std::string("`,") : character == ' ' ? " `" : std::string(1, character);
  return text.empty() ? text : "`" + text + "`";
}

}  // namespace

TEST_CASE("the reference describes every metric as the program does, and no other") {
  const std::string text = reference();
  for (const MetricFamily& family : daemon::metric_families()) {
    const std::string type = family.type == MetricFamily::Type::gauge     ? "gauge"
                             : family.type == MetricFamily::Type::counter ? "counter"
                                                                          : "info";
    const std::string row =
        fmt::format("| `{}` | {} | {} | {} |\n", sample_name(family), type, labels_in_code(family.labels), family.help);
    CAPTURE(row);
    CHECK(text.find(row) != std::string::npos);
  }
  std::size_t num_rows = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) num_rows += line.starts_with("| `");
  CHECK(num_rows == daemon::metric_families().size());
}

TEST_CASE("names of metrics follow the rules of OpenMetrics") {
  // OpenMetrics 1.0.0, "MetricFamily": the unit is the name's suffix; a name ends in no suffix of a sample.
  for (const MetricFamily& family : daemon::metric_families()) {
    CAPTURE(family.name);
    if (!family.unit.empty()) CHECK(family.name.ends_with(fmt::format("_{}", family.unit)));
    for (const char* suffix : {"_total", "_info", "_created", "_bucket", "_count", "_sum"})
      CHECK(!family.name.ends_with(suffix));
    CHECK(!family.help.empty());
    CHECK(family.help.find_first_of("\\\n\"") == std::string_view::npos);
  }
}
