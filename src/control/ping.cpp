#include "culvert/control/ping.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "culvert/control/protocol.h"
#include "json_object.h"

namespace culvert::control {
namespace {

std::optional<std::uint32_t> number_in(std::string_view text, std::uint32_t least, std::uint32_t most) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most) return std::nullopt;
  return number;
}

/// False: no such word, or its number is out of bounds.
bool read_word(std::string_view word, PingRequest& request) {
  if (word == "df") {
    request.dont_fragment = true;
    return true;
  }
  const std::size_t at = std::min(word.find('='), word.size());
  const std::string_view name = word.substr(0, at), value = at < word.size() ? word.substr(at + 1) : "";
  std::optional<std::uint32_t> number;
  if (name == "count" && (number = number_in(value, 0, max_pings))) {
    request.count = *number;
  } else if (name == "size" && (number = number_in(value, min_ping_size, max_ping_size))) {
    request.size = *number;
  } else if (name == "interval" && (number = number_in(value, static_cast<std::uint32_t>(min_ping_interval.count()),
                                                       static_cast<std::uint32_t>(max_ping_interval.count())))) {
    request.interval = std::chrono::milliseconds(*number);
  }
  return number.has_value();
}

json::object packet_object(const PingReport& report) {
  ObjectWriter out;
  out("sequence", report.sequence);
  out("rtt_us", report.rtt_us);
  out("sent", report.sent);
  return std::move(out.object);
}

}  // namespace

std::string to_text(const PingRequest& request) {
  return fmt::format("count={} interval={} size={}{}", request.count, request.interval.count(), request.size,
                     request.dont_fragment ? " df" : "");
}

Result<PingRequest> parse_ping(std::string_view text) {
  PingRequest request;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!read_word(word, request))
      return fail(Errc::malformed, fmt::format("ping: \"{}\" is not understood, or out of bounds", printable(word)));
  }
  return request;
}

std::string to_json(const PingReport& report) {
  json::object object = packet_object(report);
  object.emplace("schema", schema_version);
  return json::serialize(object);
}

Result<PingReport> parse_ping_report(std::string_view line) {
  const auto object = parse_object(line);
  if (!object) return std::unexpected(object.error());
  PingReport report;
  const ObjectReader reader(*object);
  reader("sequence", report.sequence);
  reader("rtt_us", report.rtt_us);
  reader("sent", report.sent);
  if (report.sequence == 0) return fail(Errc::malformed, "no answer of a ping");
  return report;
}

std::string to_json(const PingSummary& summary) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  out("peer", summary.peer);
  out("size", summary.size);
  out("sent", summary.sent);
  out("received", summary.received);
  out("rtt_min_us", summary.rtt_min_us);
  out("rtt_avg_us", summary.rtt_avg_us);
  out("rtt_max_us", summary.rtt_max_us);
  out("rtt_mdev_us", summary.rtt_mdev_us);
  json::array packets;
  for (const PingReport& report : summary.packets) packets.emplace_back(packet_object(report));
  out.object.emplace("packets", std::move(packets));
  return json::serialize(out.object);
}

void complete(PingSummary& summary) {
  double sum = 0, squares = 0;
  summary.sent = summary.packets.size();
  summary.received = 0;
  for (const PingReport& report : summary.packets) {
    if (!report.rtt_us) continue;
    ++summary.received;
    const auto rtt = static_cast<double>(*report.rtt_us);
    sum += rtt;
    squares += rtt * rtt;
    summary.rtt_min_us = std::min(*report.rtt_us, summary.rtt_min_us.value_or(*report.rtt_us));
    summary.rtt_max_us = std::max(*report.rtt_us, summary.rtt_max_us.value_or(*report.rtt_us));
  }
  if (summary.received == 0) return;
  const double average = sum / static_cast<double>(summary.received);
  const double variance = std::max(squares / static_cast<double>(summary.received) - average * average, 0.0);
  summary.rtt_avg_us = static_cast<std::uint64_t>(std::llround(average));
  summary.rtt_mdev_us = static_cast<std::uint64_t>(std::llround(std::sqrt(variance)));
}

}  // namespace culvert::control
