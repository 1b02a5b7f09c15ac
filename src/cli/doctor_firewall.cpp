// The packet filter of this host, as `nft list ruleset` prints it (nft(8); rules of iptables-nft are in there too).
// Nobody but the kernel knows what a ruleset does in the end: rules that name what is ours are quoted, and nothing is
// changed.
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "doctor.h"

namespace culvert::cli {
namespace {

struct Chain {
  std::string name, hook;
  bool drops = false;  ///< its policy
  std::vector<std::string> rules;
};

std::string trimmed(const std::string& line) {
  const std::size_t first = line.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t") - first + 1);
}

std::vector<Chain> chains_of(std::string_view ruleset) {
  std::vector<Chain> chains;
  std::istringstream lines{std::string(ruleset)};
  std::string table;
  bool inside = false;
  for (std::string raw; std::getline(lines, raw);) {
    const std::string line = trimmed(raw);
    if (line.starts_with("table ")) table = line.substr(6, line.find(" {") - 6);
    if (line.starts_with("chain ")) {
      chains.push_back({table + " " + line.substr(6, line.find(" {") - 6), {}, false, {}});
      inside = true;
    } else if (line == "}") {
      inside = false;
    } else if (inside && line.starts_with("type ")) {
      const std::size_t hook = line.find(" hook ");
      if (hook != std::string::npos) chains.back().hook = line.substr(hook + 6, line.find(' ', hook + 6) - hook - 6);
      chains.back().drops = line.find("policy drop") != std::string::npos;
    } else if (inside && !line.empty()) {
      chains.back().rules.push_back(line);
    }
  }
  return chains;
}

/// `word` as a whole: "500" is not in "4500" nor in "1500".
bool has_word(const std::string& rule, std::string_view word) {
  const auto part_of_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  for (std::size_t at = rule.find(word); at != std::string::npos; at = rule.find(word, at + 1)) {
    const bool begins = at == 0 || !part_of_word(rule[at - 1]);
    const bool ends = at + word.size() == rule.size() || !part_of_word(rule[at + word.size()]);
    if (begins && ends) return true;
  }
  return false;
}

bool refuses(const std::string& rule) {
  return has_word(rule, "drop") || has_word(rule, "reject");
}

bool names_ike(const std::string& rule, const config::Config* config) {
  const auto& gateway = config != nullptr ? config->gateway : config::GatewayConfig{};
  return has_word(rule, std::to_string(gateway.ike_port)) || has_word(rule, std::to_string(gateway.nat_port)) ||
         has_word(rule, "isakmp") || has_word(rule, "ipsec-nat-t") || has_word(rule, "esp");
}

bool names_device(const std::string& rule, const config::Config* config) {
  return config != nullptr && std::ranges::any_of(config->tunnels, [&](const config::TunnelSettings& tunnel) {
           return has_word(rule, tunnel.plane.device);
         });
}

bool lets_pass(const Chain& chain, auto names) {
  return std::ranges::any_of(chain.rules, [&](const std::string& rule) {
    const bool passes = has_word(rule, "accept") || has_word(rule, "jump") || has_word(rule, "goto");
    return passes && (names(rule) || rule == "accept" || has_word(rule, "jump") || has_word(rule, "goto"));
  });
}

}  // namespace

Findings judge_firewall(std::string_view ruleset, const config::Config* config) {
  Findings findings;
  for (const Chain& chain : chains_of(ruleset)) {
    const bool filters = chain.hook == "input" || chain.hook == "output" || chain.hook == "forward" ||
                         chain.hook == "prerouting" || chain.hook == "ingress" || chain.hook.empty();
    if (!filters) continue;
    for (const std::string& rule : chain.rules) {
      if (!refuses(rule) || !(names_ike(rule, config) || names_device(rule, config))) continue;
      findings.push_back({Severity::warning,
                          "firewall",
                          chain.name,
                          fmt::format("this rule stops what the tunnels need: {}", rule),
                          "let UDP 500 and 4500 (and IP protocol 50, without NAT) and the tunnel's device pass",
                          {}});
    }
    if (!chain.drops) continue;
    if (chain.hook == "input" && !lets_pass(chain, [&](const std::string& rule) { return names_ike(rule, config); }))
      findings.push_back({Severity::warning,
                          "firewall",
                          chain.name,
                          "the policy is drop, and no rule lets UDP 500 and 4500 in: peers that call us get no answer",
                          fmt::format("nft add rule {} udp dport {{ 500, 4500 }} accept", chain.name),
                          {}});
    if (chain.hook == "forward" && config != nullptr && !config->tunnels.empty() &&
        !lets_pass(chain, [&](const std::string& rule) { return names_device(rule, config); }))
      findings.push_back({Severity::warning,
                          "firewall",
                          chain.name,
                          "the policy is drop, and no rule lets the tunnels' packets through to the hosts behind us",
                          fmt::format("nft add rule {} iifname {} accept, and the same with oifname", chain.name,
                                      config->tunnels.front().plane.device),
                          {}});
  }
  return findings;
}

void check_firewall(const Case& patient, Findings& findings) {
  Findings found = judge_firewall(patient.host.firewall(), patient.config);
  if (found.empty())
    found.push_back(
        {Severity::ok, "firewall", "", "no rule of this host's packet filter names what the tunnels need", {}, {}});
  for (Finding& one : found) findings.push_back(std::move(one));
}

}  // namespace culvert::cli
