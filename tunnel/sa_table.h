#pragma once
#include <memory>
#include <span>

#include "sa.h"
#include "shared_map.h"

namespace culvert::tunnel {

/// Inbound SAs by SPI, kept alive. Changed by the control thread; a copy is a snapshot that any thread may read.
class SaTable {
 public:
  SaTable() = default;
  explicit SaTable(std::span<const std::shared_ptr<InboundSa>> sas) {
    for (const auto& sa : sas) add(sa);
  }

  void add(const std::shared_ptr<InboundSa>& sa) { sas_.set(sa->spi.value(), sa); }
  void remove(Spi spi) { sas_.erase(spi.value()); }
  /// nullptr: nobody has this SPI. Constant time, no lock, no reference count.
  [[nodiscard]] InboundSa* find(Spi spi) const noexcept {
    const auto* found = sas_.find(spi.value());
    return found ? found->get() : nullptr;
  }
  [[nodiscard]] std::size_t size() const noexcept { return sas_.size(); }

 private:
  SharedMap<std::shared_ptr<InboundSa>> sas_;
};

}  // namespace culvert::tunnel
