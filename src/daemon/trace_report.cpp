#include "trace_report.h"

#include <fmt/format.h>

#include "event_hub.h"

namespace culvert::daemon {
namespace {

std::string text_of(IkeSpi spi) {
  return spi.value() == 0 ? std::string() : fmt::format("0x{:016x}", spi.value());
}

}  // namespace

control::TraceReport make_trace(const ike::TraceEntry& entry, std::chrono::system_clock::time_point time) {
  using Kind = ike::TraceEntry::Kind;
  control::TraceReport report;
  report.time = rfc3339(time);
  report.kind = entry.kind == Kind::sent ? "sent" : entry.kind == Kind::received ? "received" : "note";
  report.peer = entry.peer;
  report.text = entry.text;
  report.spi_i = text_of(entry.spi_i);
  report.spi_r = text_of(entry.spi_r);
  if (entry.kind == Kind::note) return report;
  report.local = entry.local.to_string();
  report.remote = entry.remote.to_string();
  report.exchange = ike::exchange_name(entry.exchange);
  if (report.exchange.empty()) report.exchange = fmt::format("exchange {}", entry.exchange);
  report.response = entry.response;
  report.message_id = entry.message_id;
  report.bytes = entry.bytes;
  report.datagrams = entry.datagrams;
  report.tries = entry.kind == Kind::sent ? entry.tries : 0;
  return report;
}

}  // namespace culvert::daemon
