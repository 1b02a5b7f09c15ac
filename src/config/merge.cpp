// conf.d: other files, merged into the first one.
#include <fmt/format.h>

#include <algorithm>

#include "findings.h"
#include "raw.h"
#include "syntax.h"

namespace culvert::config {
namespace {

void move_to(Node& node, std::uint32_t file);

void move_to(Table& table, std::uint32_t file) {
  for (Entry& entry : table) {
    entry.at.file = file;
    move_to(entry.node, file);
  }
}

void move_to(Node& node, std::uint32_t file) {
  node.at.file = file;
  if (auto* table = std::get_if<Table>(&node.value)) move_to(*table, file);
  if (auto* array = std::get_if<Array>(&node.value))
    for (Node& element : *array) move_to(element, file);
}

}  // namespace

void merge(Table& root, Table more, std::uint32_t file, Findings& findings) {
  move_to(more, file);
  for (Entry& entry : more) {
    const auto known = std::ranges::find(root, entry.key, &Entry::key);
    if (known == root.end()) {
      root.push_back(std::move(entry));
      continue;
    }
    auto* before = std::get_if<Table>(&known->node.value);
    auto* added = std::get_if<Table>(&entry.node.value);
    if (!before || !added) {
      findings.error(entry.at, entry.key, fmt::format("stands at {}, too", findings.place(known->at)));
      continue;
    }
    for (Entry& inner : *added) {
      const auto twin = std::ranges::find(*before, inner.key, &Entry::key);
      if (twin == before->end()) {
        before->push_back(std::move(inner));
      } else {
        findings.error(inner.at, dotted(entry.key, inner.key),
                       fmt::format("stands at {}, too: one of the two has to go", findings.place(twin->at)));
      }
    }
  }
}

}  // namespace culvert::config
