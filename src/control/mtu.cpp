#include "culvert/control/mtu.h"

#include "culvert/control/protocol.h"
#include "json_object.h"

namespace culvert::control {

template <class Visitor, Is<MtuShare> T>
void visit_fields(Visitor& visit, T& share) {
  visit("what", share.what);
  visit("bytes", share.bytes);
}

template <class Visitor, Is<MtuTunnel> T>
void visit_fields(Visitor& visit, T& tunnel) {
  visit("name", tunnel.name);
  visit("device", tunnel.device);
  visit("device_mtu", tunnel.device_mtu);
  visit("configured", tunnel.configured);
  visit("inner_mtu", tunnel.inner_mtu);
  visit("mss_v4", tunnel.mss_v4);
  visit("mss_v6", tunnel.mss_v6);
  visit("shares", tunnel.shares);
}

template <class Visitor, Is<MtuReport> T>
void visit_fields(Visitor& visit, T& report) {
  visit("peer", report.peer);
  visit("remote", report.remote);
  visit("path_mtu", report.path_mtu);
  visit("link_mtu", report.link_mtu);
  visit("state", report.state);
  visit("asked_by", report.asked_by);
  visit("asking", report.asking);
  visit("tunnels", report.tunnels);
}

std::string to_json(const MtuReport& report) {
  ObjectWriter out;
  out("schema", static_cast<unsigned>(schema_version));
  visit_fields(out, report);
  return json::serialize(out.object);
}

Result<MtuReport> parse_mtu(std::string_view line) {
  const auto object = parse_object(line);
  if (!object) return std::unexpected(object.error());
  MtuReport report;
  ObjectReader reader(*object);
  visit_fields(reader, report);
  return report;
}

}  // namespace culvert::control
