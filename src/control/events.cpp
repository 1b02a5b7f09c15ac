#include "culvert/control/events.h"

#include "culvert/control/protocol.h"
#include "json_object.h"

namespace culvert::control {
namespace {

/// The members, once for both directions.
template <class Visitor, Is<EventReport> T>
void visit_texts(Visitor&& visit, T& event) {
  visit("time", event.time);
  visit("event", event.event);
  visit("peer", event.peer);
  visit("tunnel", event.tunnel);
  visit("spi", event.spi);
  visit("reason", event.reason);
  visit("text", event.text);
}

}  // namespace

std::string to_json(const EventReport& event) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  visit_texts(
      [&](std::string_view name, const std::string& text) {
        if (!text.empty()) out(name, text);
      },
      event);
  if (event.missed) out("missed", *event.missed);
  return json::serialize(out.object);
}

Result<EventReport> parse_event(std::string_view line) {
  auto object = parse_object(line);
  if (!object) return std::unexpected(object.error());
  const ObjectReader reader(*object);
  std::uint64_t schema = 0;
  reader("schema", schema);
  if (schema != static_cast<std::uint64_t>(schema_version))
    return fail(Errc::malformed, fmt::format("an event of schema {}", schema));
  EventReport event;
  visit_texts(reader, event);
  reader("missed", event.missed);
  return event;
}

}  // namespace culvert::control
