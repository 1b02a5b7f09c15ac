#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace culvert::daemon {

/// What a scraper may ask for by Accept. Both are UTF-8.
enum class MetricsFormat : std::uint8_t {
  open_metrics,  ///< OpenMetrics 1.0.0
  prometheus,    ///< the older text format of Prometheus, 0.0.4
};
/// OpenMetrics where `accept` names it, else the older format, which everything reads.
[[nodiscard]] MetricsFormat format_for(std::string_view accept) noexcept;
[[nodiscard]] std::string_view content_type(MetricsFormat format) noexcept;

/// One metric family, as docs/metrics.md has it.
struct MetricFamily {
  enum class Type : std::uint8_t { gauge, counter, info } type = Type::gauge;
  std::string_view name;    ///< without _total and _info, with its unit
  std::string_view unit;    ///< "bytes", "seconds", …; empty: none
  std::string_view labels;  ///< "tunnel, peer"; for the reference
  std::string_view help;
};

/// Writes an exposition: begin a family, then its samples. Families must not come twice.
class MetricsText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  explicit MetricsText(MetricsFormat format) : format_(format) {}
  void begin(const MetricFamily& family);
  void add(std::string_view labels, std::uint64_t value);
  void add(std::string_view labels, double value);
  void add(Labels labels, std::uint64_t value) { add(labels_text(labels), value); }
  void add(Labels labels, double value) { add(labels_text(labels), value); }
  /// With its end mark. Nothing may follow.
  [[nodiscard]] std::string take();

  /// `{a="…",b="…"}` with what must be escaped; empty for none. To be made once for many samples.
  [[nodiscard]] static std::string labels_text(Labels labels);

 private:
  void start_sample(std::string_view labels);

  MetricsFormat format_;
  std::string sample_;  ///< name of the samples of this family
  std::string text_;
};

}  // namespace culvert::daemon
