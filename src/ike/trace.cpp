#include "trace.h"

#include <algorithm>
#include <set>

namespace culvert::ike {
namespace {

std::size_t size_of(const TraceEntry& entry) {
  return sizeof entry + entry.text.capacity() + entry.peer.capacity();
}

bool belongs_to(const std::string& name, const std::string& peer) {
  return name.starts_with(peer) && (name.size() == peer.size() || name[peer.size()] == '/');
}

}  // namespace

void Trace::add(Share share, TraceEntry entry) {
  const auto index = static_cast<std::size_t>(share);
  entry.number = ++last_number_;
  entry.text.shrink_to_fit();
  bytes_[index] += size_of(entry);
  shares_[index].push_back(std::move(entry));
  while (bytes_[index] > budgets[index]) {
    bytes_[index] -= size_of(shares_[index].front());
    shares_[index].pop_front();
  }
}

std::vector<TraceEntry> Trace::entries(const std::string& peer,
                                       const std::function<bool(const IpAddress&)>& is_its_address) const {
  std::set<IkeSpi> its;
  for (const auto& share : shares_)
    for (const TraceEntry& entry : share)
      if (entry.ours.value() != 0 && belongs_to(entry.peer, peer)) its.insert(entry.ours);
  std::vector<TraceEntry> found;
  for (const auto& share : shares_) {
    for (const TraceEntry& entry : share) {
      const bool by_address = entry.peer.empty() && is_its_address(entry.remote.address);
      if (peer.empty() || belongs_to(entry.peer, peer) || its.contains(entry.ours) || by_address)
        found.push_back(entry);
    }
  }
  std::ranges::sort(found, {}, &TraceEntry::number);
  return found;
}

}  // namespace culvert::ike
