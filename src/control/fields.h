#pragma once
#include <concepts>
#include <type_traits>

#include "culvert/control/protocol.h"

namespace culvert::control {

// The JSON schema, once for both directions: a visitor is called with each member's name and the field behind it.
// docs/control.md lists the same members; a name here is a promise (see schema_version).

/// T is Report or const Report: read into it, or write it.
template <class T, class Report>
concept Is = std::same_as<std::remove_const_t<T>, Report>;

template <class Visitor, class T>
void visit_traffic(Visitor& visit, T& traffic) {
  visit("inbound_packets", traffic.inbound_packets);
  visit("inbound_bytes", traffic.inbound_bytes);
  visit("outbound_packets", traffic.outbound_packets);
  visit("outbound_bytes", traffic.outbound_bytes);
}

template <class Visitor, Is<ChildReport> T>
void visit_fields(Visitor& visit, T& child) {
  visit("name", child.name);
  visit("state", child.state);
  visit("inbound_spi", child.inbound_spi);
  visit("outbound_spi", child.outbound_spi);
  visit("suite", child.suite);
  visit("mode", child.mode);
  visit("encapsulation", child.encapsulation);
  visit("esn", child.esn);
  visit("local", child.local);
  visit("remote", child.remote);
  visit("established_s", child.established_s);
  visit("rekey_in_s", child.rekey_in_s);
  visit_traffic(visit, child);
  visit("reason", child.reason);
  visit("traffic", child.traffic);
  visit("traffic_reason", child.traffic_reason);
  visit("probe", child.probe);
  visit("rtt_us", child.rtt_us);
  visit("jitter_us", child.jitter_us);
  visit("probes", child.probes);
  visit("probes_lost", child.probes_lost);
  visit("inbound_bps", child.inbound_bps);
  visit("inbound_pps", child.inbound_pps);
  visit("outbound_bps", child.outbound_bps);
  visit("outbound_pps", child.outbound_pps);
}

template <class Visitor, Is<TunnelReport> T>
void visit_fields(Visitor& visit, T& tunnel) {
  visit("name", tunnel.name);
  visit("device", tunnel.device);
  visit("carry", tunnel.carry);
  visit("state", tunnel.state);
  visit("child", tunnel.child);
  visit("mtu", tunnel.mtu);
  visit("key", tunnel.key);
  visit("addresses", tunnel.addresses);
  visit("routes", tunnel.routes);
  visit_traffic(visit, tunnel);
}

template <class Visitor, Is<PeerReport> T>
void visit_fields(Visitor& visit, T& peer) {
  visit("name", peer.name);
  visit("state", peer.state);
  visit("remote_id", peer.remote_id);
  visit("local_auth", peer.local_auth);
  visit("remote_auth", peer.remote_auth);
  visit("local", peer.local);
  visit("remote", peer.remote);
  visit("role", peer.role);
  visit("suite", peer.suite);
  visit("spi_i", peer.spi_i);
  visit("spi_r", peer.spi_r);
  visit("nat_local", peer.nat_local);
  visit("nat_remote", peer.nat_remote);
  visit("mobike", peer.mobike);
  visit("path_mtu", peer.path_mtu);
  visit("path_mtu_state", peer.path_mtu_state);
  visit("rtt_us", peer.rtt_us);
  visit("jitter_us", peer.jitter_us);
  visit("ike_sas", peer.ike_sas);
  visit("child_sas", peer.child_sas);
  visit("established_s", peer.established_s);
  visit("rekey_in_s", peer.rekey_in_s);
  visit("retry_in_s", peer.retry_in_s);
  visit("reason", peer.reason);
  visit("downs", peer.downs);
  visit("last_down", peer.last_down);
  visit("last_down_s", peer.last_down_s);
  visit("clients", peer.clients);
  visit("virtual_addresses", peer.virtual_addresses);
  visit("dns", peer.dns);
  visit("domains", peer.domains);
  visit("children", peer.children);
  visit("tunnels", peer.tunnels);
}

template <class Visitor, Is<UserReport> T>
void visit_fields(Visitor& visit, T& user) {
  visit("user", user.user);
  visit("peer", user.peer);
  visit("name", user.name);
  visit("groups", user.groups);
  visit("addresses", user.addresses);
  visit("remote", user.remote);
  visit("remote_auth", user.remote_auth);
  visit("established_s", user.established_s);
  visit("inbound_bytes", user.inbound_bytes);
  visit("outbound_bytes", user.outbound_bytes);
}

template <class Visitor, Is<CertificateReport> T>
void visit_fields(Visitor& visit, T& certificate) {
  visit("key", certificate.key);
  visit("name", certificate.name);
  visit("not_after", certificate.not_after);
  visit("expires_in_s", certificate.expires_in_s);
  visit("warning", certificate.warning);
}

template <class Visitor, Is<RevocationReport> T>
void visit_fields(Visitor& visit, T& revocation) {
  visit("source", revocation.source);
  visit("issuer", revocation.issuer);
  visit("this_update", revocation.this_update);
  visit("next_update", revocation.next_update);
  visit("revoked", revocation.revoked);
  visit("trouble", revocation.trouble);
}

template <class Visitor, Is<StatusReport> T>
void visit_fields(Visitor& visit, T& status) {
  visit("version", status.version);
  visit("id", status.id);
  visit("uptime_s", status.uptime_s);
  visit("pid", status.pid);
  visit("aead", status.aead);
  visit("workers", status.workers);
  visit("packet_memory", status.packet_memory);
  visit("peers", status.peers);
  visit("certificates", status.certificates);
  visit("revocation", status.revocation);
  visit("uid", status.uid);
  visit("capabilities", status.capabilities);
  visit("protections", status.protections);
  visit("key_export", status.key_export);
}

template <class Visitor, Is<FindingReport> T>
void visit_fields(Visitor& visit, T& finding) {
  visit("severity", finding.severity);
  visit("check", finding.check);
  visit("subject", finding.subject);
  visit("text", finding.text);
  visit("advice", finding.advice);
  visit("fixes", finding.fixes);
  visit("fixed", finding.fixed);
}

template <class Visitor, Is<ChangeReport> T>
void visit_fields(Visitor& visit, T& change) {
  visit("kind", change.kind);
  visit("key", change.key);
  visit("before", change.before);
  visit("after", change.after);
  visit("effect", change.effect);
  visit("text", change.text);
}

template <class Visitor, Is<RouteReport> T>
void visit_fields(Visitor& visit, T& route) {
  visit("kind", route.kind);
  visit("tunnel", route.tunnel);
  visit("to", route.to);
  visit("device", route.device);
  visit("table", route.table);
  visit("metric", route.metric);
  visit("state", route.state);
  visit("why", route.why);
  visit("shadowed_by", route.shadowed_by);
}

template <class Visitor, Is<LogLevelReport> T>
void visit_fields(Visitor& visit, T& level) {
  visit("level", level.level);
  visit("configured", level.configured);
}

template <class Visitor, Is<TraceReport> T>
void visit_fields(Visitor& visit, T& entry) {
  visit("time", entry.time);
  visit("kind", entry.kind);
  visit("peer", entry.peer);
  visit("local", entry.local);
  visit("remote", entry.remote);
  visit("spi_i", entry.spi_i);
  visit("spi_r", entry.spi_r);
  visit("exchange", entry.exchange);
  visit("response", entry.response);
  visit("message_id", entry.message_id);
  visit("bytes", entry.bytes);
  visit("datagrams", entry.datagrams);
  visit("tries", entry.tries);
  visit("text", entry.text);
}

template <class Visitor, Is<CaptureDevice> T>
void visit_fields(Visitor& visit, T& device) {
  visit("tunnel", device.tunnel);
  visit("device", device.device);
  visit("peer", device.peer);
}

template <class Visitor, Is<CaptureReport> T>
void visit_fields(Visitor& visit, T& capture) {
  visit("devices", capture.devices);
  visit("outer", capture.outer);
  visit("allow_key_export", capture.allow_key_export);
}

template <class Visitor, Is<DropReport> T>
void visit_fields(Visitor& visit, T& drop) {
  visit("reason", drop.reason);
  visit("text", drop.text);
  visit("packets", drop.packets);
}

}  // namespace culvert::control
