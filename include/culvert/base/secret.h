#pragma once
#include <sodium.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "culvert/base/bytes.h"

namespace culvert {

/// Key material on the heap: wiped when it goes, compared in constant time, not printable, moved but never copied by accident
/// (`clone` says that a second copy is meant). Any thread may own one; it is not shared.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t len) : bytes_(len) {}
  /// Copies `from`; the caller wipes its own copy.
  static Secret copy_of(ByteView from) {
    Secret secret(from.size());
    std::copy(from.begin(), from.end(), secret.bytes_.begin());
    return secret;
  }
  Secret(Secret&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe();
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(); }

  [[nodiscard]] Secret clone() const { return copy_of(view()); }
  [[nodiscard]] ByteView view() const noexcept { return bytes_; }
  [[nodiscard]] MutableByteView mutable_view() noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

  void wipe() noexcept {
    if (!bytes_.empty()) sodium_memzero(bytes_.data(), bytes_.size());
    bytes_.clear();
  }

  /// Constant time in the content; the lengths are public.
  [[nodiscard]] bool equals(ByteView other) const noexcept {
    return other.size() == bytes_.size() && (bytes_.empty() || sodium_memcmp(bytes_.data(), other.data(), bytes_.size()) == 0);
  }

 private:
  std::vector<std::uint8_t> bytes_;
};

}  // namespace culvert
