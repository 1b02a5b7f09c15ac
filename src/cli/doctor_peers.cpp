// What culvertd itself says: is it there, what is down, and why.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "doctor.h"

namespace culvert::cli {
namespace {

struct Remedy {
  std::string_view sign;  ///< stands in the reason
  std::string_view advice;
};

/// The first sign that a reason has decides. The reasons are made in src/ike.
constexpr std::array remedies = {
    Remedy{"pre-shared key does not match",
           "put the same key into `psk_file` on both sides: compare `sha256sum` of the two files"},
    Remedy{"which is not our identity towards it",
           "the caller's `id` for us must be our own: compare `id` of its [peer] table with `culvert status` here"},
    Remedy{"no configured peer has this identity",
           "the caller's own id must be the `id` of a [peer] table here: compare its [gateway] id (or local_id) with "
           "ours"},
    Remedy{"says it is", "set `id` of this peer to what it says it is, if that is who you mean"},
    Remedy{"expired",
           "renew the certificate; if it should be valid today, the clock is wrong: compare `date` on both sides"},
    Remedy{"not-yet-valid", "the certificate is from the future, or a clock is wrong: compare `date` on both sides"},
    Remedy{"AUTHENTICATION_FAILED",
           "compare on both sides: our id with the peer's `id` for us, its id with our `id` for it, and the keys or "
           "certificates; `culvert status` or the log on the other side says which of them it is"},
    Remedy{"its proposal has no",
           "allow one set of algorithms in common: compare `ike` and `esp` of both sides, or leave them out on both"},
    Remedy{"proposal has no",
           "allow one set of algorithms in common: compare `ike` and `esp` of both sides, or leave them out on both"},
    Remedy{"NO_PROPOSAL_CHOSEN",
           "allow one set of algorithms in common: compare `ike` and `esp` of both sides, or leave them out on both"},
    Remedy{"TS_UNACCEPTABLE",
           "make the selectors mirror each other: our `local` is its `remote`, and our `remote` its `local`"},
    Remedy{"which no tunnel of ours allows",
           "make the selectors mirror each other: our `local` is its `remote`, and our `remote` its `local`"},
    Remedy{
        "nothing comes back from UDP port",
        "let UDP 4500 pass in both directions, on both sides and between; `tcp_port` crosses networks that block UDP"},
    Remedy{"nothing comes back from its UDP port",
           "check that the peer runs, that its `address` is right, and that UDP 500 and 4500 pass in both directions"},
    Remedy{"no answer from", "check the network between: `ping` and `traceroute` to the peer, and UDP 500 and 4500"},
    Remedy{"Network is unreachable", "this host has no route to the peer: add one (`ip route`), or bring the link up"},
    Remedy{"leads into our own tunnel", "add a route to the peer's address that does not use the tunnel"},
    Remedy{"cannot resolve its address", "check the name in `address` and the DNS servers of this host"},
};

std::string capability_words(std::uint64_t mask) {
  // capabilities(7), linux/capability.h
  constexpr std::array names = {std::pair{10, "net_bind_service"}, std::pair{12, "net_admin"},
                                std::pair{13, "net_raw"},          std::pair{21, "sys_admin"},
                                std::pair{14, "ipc_lock"},         std::pair{1, "dac_override"}};
  std::string words;
  std::uint64_t rest = mask;
  for (const auto& [bit, name] : names) {
    if ((mask & (1ull << bit)) == 0) continue;
    words += (words.empty() ? "" : " ") + std::string(name);
    rest &= ~(1ull << bit);
  }
  if (rest != 0) words += fmt::format("{}and others (0x{:x})", words.empty() ? "" : " ", rest);
  return words.empty() ? "none" : words;
}

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key, int base) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + key.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end != text.data() ? std::optional(value) : std::nullopt;
}

void check_process(const Case& patient, Findings& findings) {
  if (patient.status == nullptr || patient.status->pid == 0) return;
  const auto text = patient.host.read(fmt::format("/proc/{}/status", patient.status->pid));
  if (!text) return;
  const auto effective = number_after(*text, "CapEff:", 16);
  const auto uid = number_after(*text, "Uid:", 10);
  const auto resident_kib = number_after(*text, "VmRSS:", 10);
  if (!effective || !uid) return;
  findings.push_back(
      {Severity::ok,
       "privileges",
       "culvertd",
       fmt::format("runs as process {}, user {}, capabilities: {}; {} MiB of memory", patient.status->pid, *uid,
                   capability_words(*effective), resident_kib.value_or(0) / 1024),
       {},
       {}});
}

Severity severity_of(const control::PeerReport& peer) {
  if (peer.state == "admin-down") return Severity::note;
  const bool waits = peer.reason.empty() || peer.reason.starts_with("waiting");
  return peer.state == "waiting" && waits ? Severity::note : Severity::problem;
}

void check_tunnels(const control::PeerReport& peer, Findings& findings) {
  if (peer.state != "up") return;  // it says why for all of them
  for (const auto& child : peer.children) {
    if (child.state == "up") continue;
    const bool waits = child.reason.starts_with("waiting") || child.reason.starts_with("being negotiated");
    findings.push_back({waits ? Severity::note : Severity::problem,
                        "tunnel",
                        child.name,
                        fmt::format("is down: {}", child.reason),
                        advice_for(child.reason, peer.name),
                        {}});
  }
}

}  // namespace

std::string advice_for(std::string_view reason, std::string_view) {
  const auto found =
      std::ranges::find_if(remedies, [&](const Remedy& remedy) { return reason.find(remedy.sign) != reason.npos; });
  return found == remedies.end() ? std::string() : std::string(found->advice);
}

void check_daemon(const Case& patient, Findings& findings) {
  for (const std::string& mistake : patient.config_mistakes)
    findings.push_back({Severity::problem,
                        "configuration",
                        patient.config_file,
                        mistake,
                        "correct it, and run `culvert check` on the file until it has nothing to say",
                        {}});
  if (patient.config != nullptr) {
    for (const auto& warning : patient.config->warnings)
      findings.push_back({Severity::warning, "configuration", patient.config_file, warning.to_string(), {}, {}});
    findings.push_back(
        {Severity::ok,
         "configuration",
         patient.config_file,
         fmt::format("is sound: {} peers, {} tunnels", patient.config->peers.size(), patient.config->tunnels.size()),
         {},
         {}});
  }
  if (patient.status == nullptr) {
    findings.push_back({Severity::problem,
                        "daemon",
                        "culvertd",
                        patient.silence,
                        "start it (`systemctl start culvertd`); if it does not stay up, its log says why "
                        "(`journalctl -u culvertd`)",
                        {}});
    return;
  }
  findings.push_back(
      {Severity::ok, "daemon", "culvertd", fmt::format("version {} answers", patient.status->version), {}, {}});
  check_process(patient, findings);
}

void check_peers(const Case& patient, Findings& findings) {
  if (patient.status == nullptr) return;
  for (const auto& peer : patient.status->peers) {
    if (peer.state == "up") {
      const bool nat = peer.nat_local;
      findings.push_back({Severity::ok,
                          "peer",
                          peer.name,
                          fmt::format("is up: {} ↔ {}{}", peer.local, peer.remote,
                                      nat               ? ", we are behind a NAT"
                                      : peer.nat_remote ? ", a NAT is on its side, or it asks for UDP"
                                                        : ", no NAT between"),
                          {},
                          {}});
      check_tunnels(peer, findings);
      continue;
    }
    const Severity severity = severity_of(peer);
    if (peer.clients > 0 || (peer.state == "waiting" && severity == Severity::note)) {
      findings.push_back({Severity::ok, "peer", peer.name, "waits for its clients, or for traffic", {}, {}});
      continue;
    }
    const std::string why = peer.state == "admin-down" ? "taken down by `culvert down`" : peer.reason;
    const std::string advice = peer.state == "admin-down" ? fmt::format("`culvert up {}` brings it back", peer.name)
                                                          : advice_for(why, peer.name);
    findings.push_back({severity,
                        "peer",
                        peer.name,
                        fmt::format("is {}: {}", peer.state, why.empty() ? "no answer yet" : why),
                        advice,
                        {}});
  }
}

}  // namespace culvert::cli
