// Expected texts by the OpenMetrics 1.0.0 specification and Prometheus's "Exposition formats" (text format 0.0.4).
#include "open_metrics.h"

#include <doctest/doctest.h>

#include <limits>

using namespace culvert::daemon;
using namespace std::literals;

namespace {

constexpr MetricFamily bytes{MetricFamily::Type::counter, "a_bytes", "bytes", "", "Bytes."};
constexpr MetricFamily about{MetricFamily::Type::info, "a_build", "", "", "Version."};
constexpr MetricFamily level{MetricFamily::Type::gauge, "a_level", "", "", "Level."};

}  // namespace

TEST_CASE("OpenMetrics names the family without the suffix of its samples, gives units, and ends with EOF") {
  MetricsText text(MetricsFormat::open_metrics);
  text.begin(bytes);
  text.add({{"peer", "b"}}, std::uint64_t{7});
  text.begin(about);
  text.add({{"version", "1"}}, std::uint64_t{1});
  CHECK(text.take() ==
        "# TYPE a_bytes counter\n# UNIT a_bytes bytes\n# HELP a_bytes Bytes.\na_bytes_total{peer=\"b\"} 7\n"
        "# TYPE a_build info\n# HELP a_build Version.\na_build_info{version=\"1\"} 1\n# EOF\n");
}

TEST_CASE("the older format names the family as its samples, knows neither units nor info, and has no end mark") {
  MetricsText text(MetricsFormat::prometheus);
  text.begin(bytes);
  text.add(std::string_view(), std::uint64_t{7});
  text.begin(about);
  text.add({{"version", "1"}}, std::uint64_t{1});
  CHECK(text.take() ==
        "# TYPE a_bytes_total counter\n# HELP a_bytes_total Bytes.\na_bytes_total 7\n"
        "# TYPE a_build_info gauge\n# HELP a_build_info Version.\na_build_info{version=\"1\"} 1\n");
}

TEST_CASE("label values that somebody chose cannot leave their quotes or their line") {
  CHECK(MetricsText::labels_text({{"name", "a\"b"}}) == R"({name="a\"b"})");
  CHECK(MetricsText::labels_text({{"name", "a\\"}}) == R"({name="a\\"})");
  // printable() writes what is no text as \xNN, and that backslash is escaped.
  CHECK(MetricsText::labels_text({{"name", "a\nb\xff"}}) == R"({name="a\\x0ab\\xff"})");
  CHECK(MetricsText::labels_text({{"name", "München"}, {"x", ""}}) == "{name=\"München\",x=\"\"}");
  CHECK(MetricsText::labels_text({}).empty());
}

TEST_CASE("numbers are written so that nothing of them is lost") {
  MetricsText text(MetricsFormat::prometheus);
  text.begin(level);
  text.add(std::string_view(), std::numeric_limits<std::uint64_t>::max());
  text.add(std::string_view(), 0.5);
  text.add(std::string_view(), std::numeric_limits<double>::infinity());
  text.add(std::string_view(), std::numeric_limits<double>::quiet_NaN());
  CHECK(text.take().ends_with("a_level 18446744073709551615\na_level 0.5\na_level +Inf\na_level NaN\n"));
}

TEST_CASE("who asks for OpenMetrics gets it, everybody else the older format") {
  // What Prometheus 2.42 sends.
  CHECK(format_for("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1") == MetricsFormat::open_metrics);
  CHECK(format_for("*/*") == MetricsFormat::prometheus);
  CHECK(format_for("") == MetricsFormat::prometheus);
  CHECK(content_type(MetricsFormat::open_metrics) == "application/openmetrics-text; version=1.0.0; charset=utf-8"sv);
}
