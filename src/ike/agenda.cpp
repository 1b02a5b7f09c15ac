#include "agenda.h"

#include <algorithm>

namespace culvert::ike {

void Agenda::set(Entry entry, AgendaMark& mark, std::optional<TimePoint> due) {
  if (mark.due == due) return;
  if (mark.due) entries_.erase({*mark.due, entry});
  mark.due = due;
  if (due) entries_.emplace(*due, entry);
}

std::optional<TimePoint> Agenda::first() const {
  return entries_.empty() ? std::nullopt : std::optional(entries_.begin()->first);
}

std::vector<Agenda::Entry> Agenda::take_due(TimePoint now) {
  std::vector<Entry> due;
  auto entry = entries_.begin();
  for (; entry != entries_.end() && entry->first <= now; ++entry) due.push_back(entry->second);
  entries_.erase(entries_.begin(), entry);
  std::ranges::stable_partition(due, [](const Entry& one) { return one.kind == Kind::session; });
  return due;
}

}  // namespace culvert::ike
