#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sa.h"

namespace culvert::tunnel {

/// Inbound SAs by SPI: an immutable snapshot that keeps its SAs alive. Made on the control thread, read by any.
class SaTable {
 public:
  SaTable() = default;
  explicit SaTable(std::span<const std::shared_ptr<InboundSa>> sas);

  /// nullptr: nobody has this SPI. Constant time, no lock, no reference count.
  [[nodiscard]] InboundSa* find(Spi spi) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return owners_.size(); }
  [[nodiscard]] std::span<const std::shared_ptr<InboundSa>> all() const noexcept { return owners_; }

 private:
  struct Slot {
    std::uint32_t spi = 0;
    InboundSa* sa = nullptr;
  };
  [[nodiscard]] std::size_t first_slot(Spi spi) const noexcept;

  std::vector<Slot> slots_;  ///< open addressing, at most half full, a power of two
  std::vector<std::shared_ptr<InboundSa>> owners_;
};

}  // namespace culvert::tunnel
