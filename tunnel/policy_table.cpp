#include "policy_table.h"

#include <algorithm>
#include <map>
#include <utility>

namespace culvert::tunnel {
namespace {

/// A place on the line of addresses where an SA's remote selector begins (+1) or has ended (-1).
struct Edge {
  IpAddress at;
  std::uint32_t owner = 0;
  int change = 0;
};

/// The next address; nullopt behind the last one of the family.
std::optional<IpAddress> successor(const IpAddress& address) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(address.bytes(), bytes.begin());
  for (std::size_t i = address.size(); i-- > 0;) {
    if (++bytes[i] != 0) return IpAddress::from_bytes(ByteView(bytes).first(address.size()));
  }
  return std::nullopt;
}

std::vector<Edge> collect_edges(const std::vector<std::shared_ptr<OutboundSa>>& owners, IpFamily family) {
  std::vector<Edge> edges;
  for (std::uint32_t owner = 0; owner < owners.size(); ++owner) {
    for (const TrafficSelector& selector : owners[owner]->selectors->remote()) {
      if (selector.first.family() != family || selector.last < selector.first) continue;
      edges.push_back({selector.first, owner, 1});
      if (const auto end = successor(selector.last)) edges.push_back({*end, owner, -1});
    }
  }
  std::ranges::sort(edges, {}, &Edge::at);
  return edges;
}

}  // namespace

PolicyTable::PolicyTable(std::vector<std::shared_ptr<OutboundSa>> newest_first) : owners_(std::move(newest_first)) {
  build(IpFamily::v4);
  build(IpFamily::v6);
}

// Walks the edges in the order of addresses; between two of them the same SAs cover all addresses.
void PolicyTable::build(IpFamily family) {
  std::vector<Interval>& intervals = intervals_[family == IpFamily::v4 ? 0 : 1];
  intervals.push_back({IpAddress::any(family), 0, 0});
  const std::vector<Edge> edges = collect_edges(owners_, family);
  std::map<std::uint32_t, int> covering;  // how many selectors of each SA, the newest SA first
  for (std::size_t i = 0; i < edges.size();) {
    const IpAddress at = edges[i].at;
    for (; i < edges.size() && edges[i].at == at; ++i) {
      const auto place = covering.try_emplace(edges[i].owner, 0).first;
      place->second += edges[i].change;
      if (place->second == 0) covering.erase(place);
    }
    const auto begin = static_cast<std::uint32_t>(candidates_.size());
    for (const auto& [owner, count] : covering) candidates_.push_back(owner);
    const Interval interval{at, begin, static_cast<std::uint32_t>(candidates_.size())};
    if (intervals.back().first == at) {
      intervals.back() = interval;
    } else {
      intervals.push_back(interval);
    }
  }
}

OutboundSa* PolicyTable::find(const wire::Flow& flow) const noexcept {
  const std::vector<Interval>& line = intervals(flow.destination.family());
  const auto behind = std::ranges::upper_bound(line, flow.destination, {}, &Interval::first);
  if (behind == line.begin()) return nullptr;
  const Interval& interval = *std::prev(behind);
  for (std::uint32_t i = interval.begin; i < interval.end; ++i) {
    OutboundSa* sa = owners_[candidates_[i]].get();
    if (sa->selectors->allows_outbound(flow)) return sa;
  }
  return nullptr;
}

}  // namespace culvert::tunnel
