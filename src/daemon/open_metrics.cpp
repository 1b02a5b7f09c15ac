// OpenMetrics 1.0.0 (github.com/OpenObservability/OpenMetrics), and the text format 0.0.4 that Prometheus had before
// it.
#include "open_metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "culvert/base/text.h"

namespace culvert::daemon {
namespace {

std::string_view type_name(MetricFamily::Type type, MetricsFormat format) {
  if (type == MetricFamily::Type::counter) return "counter";
  const bool has_info = format == MetricsFormat::open_metrics;
  return type == MetricFamily::Type::info && has_info ? "info" : "gauge";
}

std::string_view suffix(MetricFamily::Type type) {
  if (type == MetricFamily::Type::counter) return "_total";
  return type == MetricFamily::Type::info ? "_info" : "";
}

/// OpenMetrics §ABNF, escaped-string; well-formed UTF-8 without control characters, whatever is in it.
void append_escaped(std::string& out, std::string_view value) {
  for (const char character : printable(value)) {
    if (character == '\\' || character == '"') out += '\\';
    out += character;
  }
}

}  // namespace

MetricsFormat format_for(std::string_view accept) noexcept {
  return accept.find("application/openmetrics-text") == std::string_view::npos ? MetricsFormat::prometheus
                                                                               : MetricsFormat::open_metrics;
}

std::string_view content_type(MetricsFormat format) noexcept {
  return format == MetricsFormat::open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                               : "text/plain; version=0.0.4; charset=utf-8";
}

void MetricsText::begin(const MetricFamily& family) {
  sample_ = fmt::format("{}{}", family.name, suffix(family.type));
  // In OpenMetrics the suffix belongs to the sample, in the older format to the family.
  const std::string_view name = format_ == MetricsFormat::open_metrics ? family.name : std::string_view(sample_);
  auto out = std::back_inserter(text_);
  fmt::format_to(out, "# TYPE {} {}\n", name, type_name(family.type, format_));
  if (!family.unit.empty() && format_ == MetricsFormat::open_metrics)
    fmt::format_to(out, "# UNIT {} {}\n", name, family.unit);
  fmt::format_to(out, "# HELP {} {}\n", name, family.help);
}

void MetricsText::start_sample(std::string_view labels) {
  text_ += sample_;
  text_ += labels;
  text_ += ' ';
}

void MetricsText::add(std::string_view labels, std::uint64_t value) {
  start_sample(labels);
  const fmt::format_int digits(value);
  text_.append(digits.data(), digits.size());
  text_ += '\n';
}

void MetricsText::add(std::string_view labels, double value) {
  start_sample(labels);
  if (std::isfinite(value)) {
    fmt::format_to(std::back_inserter(text_), "{}", value);
  } else {
    text_ += std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  }
  text_ += '\n';
}

std::string MetricsText::take() {
  if (format_ == MetricsFormat::open_metrics) text_ += "# EOF\n";
  return std::move(text_);
}

std::string MetricsText::labels_text(Labels labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += text.empty() ? '{' : ',';
    text += name;
    text += "=\"";
    append_escaped(text, value);
    text += '"';
  }
  if (!text.empty()) text += '}';
  return text;
}

}  // namespace culvert::daemon
