// Who owns this destination: PolicyTable::find, for destinations that all belong to somebody, in random order. Beside
// it what needs no table of its own: every SA asked in turn, and a hash table for each prefix length, the longest asked
// first (prefixes here do not overlap, so that the longest is the only one).
#include <map>
#include <memory>
#include <random>
#include <unordered_map>

#include "culvert/crypto/cipher_suite.h"
#include "data_path_bench.h"
#include "policy_table.h"
#include "sa.h"

namespace culvert::bench {
namespace {

using namespace tunnel;

using Sas = std::vector<std::shared_ptr<OutboundSa>>;

struct Prefix {
  IpPrefix prefix;
  OutboundSa* owner;
};

/// Without keys: nothing is encrypted with them.
std::shared_ptr<OutboundSa> make_sa(std::vector<TrafficSelector> remote) {
  std::vector<TrafficSelector> local{TrafficSelector::from_prefix(*IpPrefix::parse("10.0.0.0/8"))};
  SaCommon common;
  common.suite = &crypto::info(crypto::CipherSuite::aes_gcm_16_256);
  common.selectors = std::make_shared<SelectorSet>(std::move(local), std::move(remote));
  common.pair_events = std::make_shared<EventFlags>();
  return std::make_shared<OutboundSa>(common, nullptr, TrafficMeter::Limits{}, OuterPath{});
}

/// Asks for one prefix length after the other.
class HashTables {
 public:
  explicit HashTables(const std::vector<Prefix>& prefixes) {
    for (const Prefix& prefix : prefixes) tables_[prefix.prefix.length].emplace(network(prefix), prefix.owner);
  }
  [[nodiscard]] OutboundSa* find(const wire::Flow& flow) const noexcept {
    const auto destination = load_be<std::uint32_t>(flow.destination.bytes().data());
    for (const auto& [length, table] : tables_) {
      const auto found = table.find(length == 0 ? 0 : destination >> (32 - length));
      if (found == table.end()) continue;
      return found->second->selectors->allows_outbound(flow) ? found->second : nullptr;
    }
    return nullptr;
  }

 private:
  static std::uint32_t network(const Prefix& prefix) {
    const auto address = load_be<std::uint32_t>(prefix.prefix.address.bytes().data());
    return prefix.prefix.length == 0 ? 0 : address >> (32 - prefix.prefix.length);
  }
  std::map<std::uint8_t, std::unordered_map<std::uint32_t, OutboundSa*>, std::greater<>> tables_;
};

class Bench {
 public:
  Bench(std::size_t num_prefixes, std::size_t prefixes_each) {
    std::mt19937 random(1);
    std::vector<Prefix> prefixes;
    for (std::size_t i = 0; i < num_prefixes; i += prefixes_each) {
      std::vector<TrafficSelector> remote;
      for (std::size_t j = 0; j < prefixes_each; ++j) {
        // every 4,096 addresses one of /20 to /32
        const IpPrefix prefix{IpAddress::v4(static_cast<std::uint32_t>(i + j) << 12),
                              static_cast<std::uint8_t>(20 + random() % 13)};
        prefixes.push_back({prefix, nullptr});
        remote.push_back(TrafficSelector::from_prefix(prefix));
      }
      sas_.push_back(make_sa(std::move(remote)));
      for (std::size_t j = 0; j < prefixes_each; ++j) prefixes[i + j].owner = sas_.back().get();
    }
    table_ = PolicyTable(sas_);
    hash_tables_ = std::make_unique<HashTables>(prefixes);
    for (std::size_t i = 0; i < num_flows; ++i) flows_.push_back(flow_to(prefixes[random() % prefixes.size()]));
    check_agreement(prefixes);
  }

  static constexpr std::size_t num_flows = 2048;

  void run_ours() const noexcept {
    for (const wire::Flow& flow : flows_) keep(table_.find(flow));
  }
  void run_scan() const noexcept {
    for (const wire::Flow& flow : flows_) keep(scan(flow));
  }
  void run_hash() const noexcept {
    for (const wire::Flow& flow : flows_) keep(hash_tables_->find(flow));
  }

 private:
  static wire::Flow flow_to(const Prefix& prefix) {
    wire::Flow flow;
    flow.source = IpAddress::v4(0x0A000001);
    flow.destination = prefix.prefix.last();
    flow.protocol = 6;
    flow.ports_known = true;
    flow.source_port = 50000;
    flow.destination_port = 443;
    return flow;
  }

  [[nodiscard]] OutboundSa* scan(const wire::Flow& flow) const noexcept {
    for (const auto& sa : sas_) {
      if (sa->selectors->allows_outbound(flow)) return sa.get();
    }
    return nullptr;
  }

  void check_agreement(const std::vector<Prefix>& prefixes) const {
    for (std::size_t i = 0; i < prefixes.size(); i += prefixes.size() / 200 + 1) {
      const wire::Flow flow = flow_to(prefixes[i]);
      OutboundSa* const owner = prefixes[i].owner;
      if (table_.find(flow) != owner || hash_tables_->find(flow) != owner || scan(flow) != owner) {
        give_up("policy: the ways to look up do not agree");
      }
    }
  }

  Sas sas_;
  PolicyTable table_;
  std::unique_ptr<HashTables> hash_tables_;
  std::vector<wire::Flow> flows_;
};

void add(const std::string& name, std::size_t num_prefixes, std::size_t prefixes_each, bool with_scan) {
  const auto make = [=](bool scan) {
    const auto bench = std::make_shared<Bench>(num_prefixes, prefixes_each);
    Comparison comparison{
        .num_packets = Bench::num_flows, .ours = {[] {}, [bench] { bench->run_ours(); }}, .plain = {[] {}, {}}};
    comparison.plain.run = scan ? std::function([bench] { bench->run_scan(); }) : [bench] { bench->run_hash(); };
    return comparison;
  };
  if (with_scan) add_case(name + "/scan", "every SA asked in turn", [=] { return make(true); });
  add_case(name + "/hash", "a hash table for each prefix length", [=] { return make(false); });
}

}  // namespace

void add_policy_cases() {
  add("policy/10", 10, 1, true);
  add("policy/1000", 1000, 1, true);
  add("policy/130000", 130'000, 1, false);
  add("policy/130000_250_an_sa", 130'000, 250, false);
}

}  // namespace culvert::bench
