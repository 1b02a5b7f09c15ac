#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "culvert/base/text.h"
#include "render.h"

namespace culvert::cli {
namespace {

constexpr std::size_t label_width = 10;
constexpr std::size_t min_text_width = 20;  ///< narrower terminals get long lines

/// The lines of one report. Text of a peer is made printable here once more: the socket may be anyone's.
class Page {
 public:
  explicit Page(const Display& display) : display_(display) {}

  void heading(std::size_t indent, std::string_view kind, const std::string& name, const std::string& state,
               std::string_view rest) {
    if (indent == 0 && !text_.empty()) text_ += '\n';
    text_ += std::string(indent, ' ') + std::string(kind) + " " + display_.bold(printable(name)) + "  " +
             painted_state(state);
    const std::size_t used = indent + columns_of(kind) + columns_of(name) + columns_of(state) + 3;
    if (!rest.empty()) add_rest(printable(rest), used + 2, indent + 4);
    text_ += '\n';
  }

  void line(std::size_t indent, std::string_view label, std::string_view value) {
    if (value.empty()) return;
    const std::size_t at = indent + label_width;
    const std::size_t room = display_.width == 0 ? 0 : std::max(display_.width, at + min_text_width) - at;
    text_ += fmt::format("{:{}}{:<{}}{}\n", "", indent, label, label_width, wrapped(printable(value), at, room));
  }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  /// Behind what stands in the line already when there is room, else on lines of its own.
  void add_rest(const std::string& rest, std::size_t used, std::size_t indent) {
    if (display_.width == 0 || display_.width >= used + min_text_width) {
      text_ += ": " + wrapped(rest, indent, display_.width == 0 ? 0 : display_.width - used);
      return;
    }
    const std::size_t room = std::max(display_.width, indent + min_text_width) - indent;
    text_ += ":\n" + std::string(indent, ' ') + wrapped(rest, indent, room);
  }

  [[nodiscard]] std::string painted_state(const std::string& state) const {
    if (state == "up" || state == "up (idle)") return display_.green(state);
    if (state == "down" || state == "admin-down" || state == "degraded") return display_.red(state);
    return display_.yellow(printable(state));
  }

  const Display& display_;
  std::string text_;
};

/// Comma-separated facts; empty ones leave no trace.
class Facts {
 public:
  Facts& add(std::string_view fact) {
    if (fact.empty()) return *this;
    if (!text_.empty()) text_ += ", ";
    text_ += fact;
    return *this;
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

std::string rekey_text(const std::optional<std::uint64_t>& rekey_in_s) {
  return rekey_in_s ? "rekey in " + human_duration(*rekey_in_s) : std::string();
}

/// A peer that wants UDP encapsulation announces a NAT that may not exist, so of its side no more is known.
std::string nat_text(const control::PeerReport& peer) {
  if (peer.nat_local && peer.nat_remote) return " (we are behind a NAT, and so says the peer)";
  if (peer.nat_local) return " (we are behind a NAT)";
  return peer.nat_remote ? " (NAT announced by the peer)" : "";
}

/// What the path carries, and how long it takes.
std::string path_text(const control::PeerReport& peer) {
  std::string text;
  if (peer.path_mtu && peer.path_mtu_state == "confirmed") text += fmt::format(", MTU {}", *peer.path_mtu);
  if (peer.path_mtu && peer.path_mtu_state == "searching")
    text += fmt::format(", MTU {} or more, being found out", *peer.path_mtu);
  if (peer.rtt_us)
    text += fmt::format(", RTT {:.1f} ms ± {:.1f}", static_cast<double>(*peer.rtt_us) / 1000,
                        static_cast<double>(peer.jitter_us.value_or(0)) / 1000);
  return text;
}

std::string packets_text(std::uint64_t packets) {
  return fmt::format("{} packet{}", human_count(packets), packets == 1 ? "" : "s");
}

/// Peers that need somebody come first: those that are not up, then those through which no traffic passes; what is not
/// up because nobody wants it is no worry.
int worry(const control::PeerReport& peer) {
  if (peer.state == "admin-down" || peer.state == "waiting") return 2;
  if (peer.state != "up") return 0;
  const auto is_down = [](const control::TunnelReport& tunnel) { return tunnel.state == "down"; };
  const auto is_degraded = [](const control::TunnelReport& tunnel) { return tunnel.state == "degraded"; };
  if (std::ranges::any_of(peer.tunnels, is_down)) return 0;
  return std::ranges::any_of(peer.tunnels, is_degraded) ? 1 : 3;
}

/// How often it went down, and why the last time.
std::string history_text(const control::PeerReport& peer) {
  if (peer.downs == 0) return {};
  return fmt::format("down {} since the start, last {} ago: {}",
                     peer.downs == 1 ? std::string("once") : human_count(peer.downs) + " times",
                     human_duration(peer.last_down_s.value_or(0)), peer.last_down);
}

/// Why a peer is not up, in words; never empty for one that should be looked at.
std::string why_peer(const control::PeerReport& peer) {
  if (peer.state == "up") return {};
  if (peer.state == "admin-down")
    return fmt::format("taken down by `culvert down`; `culvert up {}` brings it back", peer.name);
  std::string why = peer.reason;
  if (why.empty() && peer.state == "waiting") why = "waits for the peer to call, or for traffic";
  if (why.empty() && peer.state == "connecting") why = "no answer yet";
  if (why.empty() && peer.state == "resolving") why = "asks the DNS for its address";
  const bool says_when = why.find("next try in") != std::string::npos;  // culvertd's reasons mostly do
  if (peer.retry_in_s && !says_when)
    why += fmt::format("{}next try in {}", why.empty() ? "" : "; ", human_duration(*peer.retry_in_s));
  return why;
}

const control::ChildReport* child_of(const control::PeerReport& peer, const control::TunnelReport& tunnel) {
  const std::string& name = tunnel.child.empty() ? tunnel.name : tunnel.child;
  const auto found = std::ranges::find(peer.children, name, &control::ChildReport::name);
  return found != peer.children.end() ? &*found : nullptr;
}

/// The child's own reason, unless it only repeats what stands above at the peer.
std::string why_tunnel(const control::PeerReport& peer, const control::TunnelReport& tunnel) {
  if (tunnel.state == "up") return {};
  const control::ChildReport* child = child_of(peer, tunnel);
  if (tunnel.state == "degraded")
    return fmt::format("no traffic passes: {}", child ? child->traffic_reason : "nobody knows why");
  const bool repeats = peer.state == "admin-down" || (child && child->reason == peer.reason);
  if (child && !child->reason.empty() && !repeats) return child->reason;
  return peer.state == "up" ? "its child SA is not up" : "the peer is not up";
}

/// "up (idle)": nothing passes, nothing was asked, nothing is wrong.
std::string shown_state(const control::PeerReport& peer, const control::TunnelReport& tunnel) {
  const control::ChildReport* child = child_of(peer, tunnel);
  return tunnel.state == "up" && child && child->traffic == "idle" ? "up (idle)" : tunnel.state;
}

/// What the probes have found.
std::string probes_text(const control::ChildReport& child) {
  if (child.probe.empty()) return {};
  if (child.probe == "none") return "none: nobody behind it is known to answer, so only its traffic tells";
  if (child.probe == "off") return "off (probe_interval): only its traffic tells";
  if (child.probes == 0) return fmt::format("by {}, no answer yet", child.probe);
  Facts facts;
  facts.add("by " + child.probe);
  if (child.rtt_us)
    facts.add(fmt::format("RTT {:.1f} ms ± {:.1f}", static_cast<double>(*child.rtt_us) / 1000,
                          static_cast<double>(child.jitter_us.value_or(0)) / 1000));
  facts.add(fmt::format("loss {} % of the last {}", (child.probes_lost * 100 + child.probes / 2) / child.probes, child.probes));
  return facts.text();
}

std::string rate_text(std::uint64_t bps, std::uint64_t pps) {
  return fmt::format("{}/s ({} packets/s)", human_bits(bps), human_count(pps));
}

void render_child(Page& page, const control::ChildReport& child) {
  if (child.state != "up") return;
  page.line(4, "ESP",
            Facts()
                .add(child.suite)
                .add(child.mode.empty() ? "" : child.mode + " mode")
                .add(child.encapsulation == "udp" ? "in UDP" : child.encapsulation)
                .add("for " + human_duration(child.established_s))
                .add(rekey_text(child.rekey_in_s))
                .text());
  page.line(4, "selectors", fmt::format("{} ↔ {}", fmt::join(child.local, " "), fmt::join(child.remote, " ")));
  page.line(4, "SPI", fmt::format("in {}, out {}", child.inbound_spi, child.outbound_spi));
  page.line(4, "probes", probes_text(child));
  if (child.inbound_pps != 0 || child.outbound_pps != 0)
    page.line(4, "now", fmt::format("{} in, {} out", rate_text(child.inbound_bps, child.inbound_pps),
                                    rate_text(child.outbound_bps, child.outbound_pps)));
}

void render_tunnel(Page& page, const control::PeerReport& peer, const control::TunnelReport& tunnel) {
  page.heading(2, "tunnel", tunnel.name, shown_state(peer, tunnel), why_tunnel(peer, tunnel));
  page.line(4, "device",
            Facts()
                .add(tunnel.device)
                .add(tunnel.carry == "gre"  ? "GRE"
                     : tunnel.carry == "ip" ? "IP"
                                            : tunnel.carry)
                .add(tunnel.key ? fmt::format("key {}", *tunnel.key) : "")
                .add(tunnel.mtu ? fmt::format("MTU {}", tunnel.mtu) : "")
                .add(fmt::format("{}", fmt::join(tunnel.addresses, " ")))
                .text());
  page.line(4, "routes", fmt::format("{}", fmt::join(tunnel.routes, " ")));
  if (const auto* child = child_of(peer, tunnel)) render_child(page, *child);
  const bool has_traffic = tunnel.inbound_packets != 0 || tunnel.outbound_packets != 0;
  if (tunnel.state != "up" && !has_traffic) return;
  page.line(4, "traffic",
            fmt::format("{} in {} received, {} in {} sent", human_size(tunnel.inbound_bytes),
                        packets_text(tunnel.inbound_packets), human_size(tunnel.outbound_bytes),
                        packets_text(tunnel.outbound_packets)));
}

void render_peer(Page& page, const control::PeerReport& peer) {
  page.heading(0, "peer", peer.name, peer.state, why_peer(peer));
  page.line(2, "identity", peer.remote_id);
  if (peer.state == "up") {
    if (!peer.remote_auth.empty()) page.line(2, "proof", fmt::format("{}; ours: {}", peer.remote_auth, peer.local_auth));
    page.line(2, "path", fmt::format("{} ↔ {}{}{}", peer.local, peer.remote, nat_text(peer), path_text(peer)));
    page.line(2, "IKE",
              Facts()
                  .add(peer.suite)
                  .add(peer.role)
                  .add("for " + human_duration(peer.established_s))
                  .add(rekey_text(peer.rekey_in_s))
                  .text());
  }
  page.line(2, "history", history_text(peer));
  if (!peer.virtual_addresses.empty()) {
    page.line(2, "addresses", fmt::format("{}", fmt::join(peer.virtual_addresses, " ")));
    const std::string names = peer.domains.empty() ? "" : fmt::format(" for {}", fmt::join(peer.domains, " "));
    if (!peer.dns.empty()) page.line(2, "DNS", fmt::format("{}{}", fmt::join(peer.dns, " "), names));
  }
  if (peer.clients > 0)
    page.line(2, "clients", fmt::format("{} connected (culvert status --users)", human_count(peer.clients)));
  for (const auto& tunnel : peer.tunnels) render_tunnel(page, peer, tunnel);
}

void render_gateway(Page& page, const control::StatusReport& status) {
  std::size_t peers_up = 0, num_tunnels = 0, tunnels_up = 0, degraded = 0;
  for (const auto& peer : status.peers) {
    peers_up += peer.state == "up";
    num_tunnels += peer.tunnels.size();
    tunnels_up += static_cast<std::size_t>(std::ranges::count(peer.tunnels, "up", &control::TunnelReport::state));
    degraded += static_cast<std::size_t>(std::ranges::count(peer.tunnels, "degraded", &control::TunnelReport::state));
  }
  const std::string through = degraded == 0 ? "" : fmt::format(", through {} of the others no traffic passes", degraded);
  page.heading(0, "gateway", status.id, "up",
               fmt::format("{} of {} peers up, {} of {} tunnels up{}", peers_up, status.peers.size(), tunnels_up,
                           num_tunnels, through));
  page.line(2, "culvertd",
            Facts()
                .add(status.version)
                .add("for " + human_duration(status.uptime_s))
                .add(fmt::format("{} worker{}", status.workers, status.workers == 1 ? "" : "s"))
                .add(status.aead.empty() ? "" : "AEAD by " + status.aead)
                .text());
  if (!status.key_export.empty()) page.line(2, "KEYS", status.key_export);
}

/// What runs well needs no lines: certificates near their end, and lists that are not what they should be.
void render_certificates(Page& page, const control::StatusReport& status) {
  for (const auto& certificate : status.certificates) {
    if (!certificate.warning.empty())
      page.line(2, "expiry", fmt::format("{} ({})", certificate.warning, certificate.key));
  }
  for (const auto& list : status.revocation) {
    if (list.trouble.empty()) continue;
    const std::string in_use = list.issuer.empty() ? "" : fmt::format("; in use: that of {}", list.this_update);
    page.line(2, "CRL", fmt::format("{}: {}{}", list.source, list.trouble, in_use));
  }
}

}  // namespace

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  if (width == 0) return std::string(text);
  std::string result;
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t len = columns_of(word);
    if (used != 0 && used + 1 + len > width) {
      result += '\n' + std::string(indent, ' ');
      used = 0;
    } else if (used != 0) {
      result += ' ';
      ++used;
    }
    result += word;
    used += len;
  }
  return result;
}

std::string render_status(const control::StatusReport& status, const Display& display) {
  Page page(display);
  render_gateway(page, status);
  render_certificates(page, status);
  std::vector<const control::PeerReport*> worst_first;
  for (const auto& peer : status.peers) worst_first.push_back(&peer);
  std::ranges::stable_sort(worst_first, {}, [](const control::PeerReport* peer) { return worry(*peer); });
  for (const auto* peer : worst_first) render_peer(page, *peer);
  return page.take();
}

bool any_tunnel_down(const control::StatusReport& status) {
  return std::ranges::any_of(status.peers, [](const control::PeerReport& peer) {
    return std::ranges::any_of(peer.tunnels, [](const control::TunnelReport& tunnel) { return tunnel.state != "up"; });
  });
}

}  // namespace culvert::cli
