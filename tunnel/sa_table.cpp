#include "sa_table.h"

#include <bit>

namespace culvert::tunnel {

SaTable::SaTable(std::span<const std::shared_ptr<InboundSa>> sas) : owners_(sas.begin(), sas.end()) {
  if (owners_.empty()) return;
  slots_.resize(std::bit_ceil(owners_.size() * 2));
  for (const auto& sa : owners_) {
    std::size_t slot = first_slot(sa->spi);
    while (slots_[slot].sa != nullptr && slots_[slot].spi != sa->spi.value()) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = {sa->spi.value(), sa.get()};
  }
}

InboundSa* SaTable::find(Spi spi) const noexcept {
  if (slots_.empty()) return nullptr;
  for (std::size_t slot = first_slot(spi);; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot].sa == nullptr || slots_[slot].spi == spi.value()) return slots_[slot].sa;
  }
}

// We choose our inbound SPIs at random, so nobody can aim at one slot; the multiplication only spreads numbers chosen
// in tests.
std::size_t SaTable::first_slot(Spi spi) const noexcept {
  return (spi.value() * 0x9E3779B1U >> 7) & (slots_.size() - 1);
}

}  // namespace culvert::tunnel
