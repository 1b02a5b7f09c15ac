#pragma once
#include <algorithm>
#include <bit>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace culvert {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

/// The one big-endian load. `from` must hold sizeof(T) bytes.
template <std::unsigned_integral T>
[[nodiscard]] inline T load_be(const std::uint8_t* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) value = std::byteswap(value);
  return value;
}

/// The one big-endian store. `to` must have room for sizeof(T) bytes.
template <std::unsigned_integral T>
inline void store_be(std::uint8_t* to, T value) noexcept {
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) value = std::byteswap(value);
  std::memcpy(to, &value, sizeof value);
}

[[nodiscard]] inline ByteView as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void append(Bytes& to, ByteView more) { to.insert(to.end(), more.begin(), more.end()); }

/// Checked big-endian reads, front to back. A read past the end gives nullopt and leaves the position.
class Reader {
 public:
  explicit Reader(ByteView bytes) noexcept : rest_(bytes) {}

  template <std::unsigned_integral T>
  [[nodiscard]] std::optional<T> read() noexcept {
    if (rest_.size() < sizeof(T)) return std::nullopt;
    const T value = load_be<T>(rest_.data());
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  [[nodiscard]] std::optional<std::uint8_t> u8() noexcept { return read<std::uint8_t>(); }
  [[nodiscard]] std::optional<std::uint16_t> u16() noexcept { return read<std::uint16_t>(); }
  [[nodiscard]] std::optional<std::uint32_t> u32() noexcept { return read<std::uint32_t>(); }
  [[nodiscard]] std::optional<std::uint64_t> u64() noexcept { return read<std::uint64_t>(); }

  [[nodiscard]] std::optional<ByteView> take(std::size_t len) noexcept {
    if (rest_.size() < len) return std::nullopt;
    const ByteView taken = rest_.first(len);
    rest_ = rest_.subspan(len);
    return taken;
  }
  [[nodiscard]] bool skip(std::size_t len) noexcept { return take(len).has_value(); }
  [[nodiscard]] ByteView rest() const noexcept { return rest_; }
  [[nodiscard]] std::size_t remaining() const noexcept { return rest_.size(); }
  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }

 private:
  ByteView rest_;
};

/// Big-endian appends to a vector that the caller owns. Control plane only: it allocates.
class Writer {
 public:
  explicit Writer(Bytes& out) noexcept : out_(out) {}

  template <std::unsigned_integral T>
  void write(T value) {
    const std::size_t at = out_.size();
    out_.resize(at + sizeof(T));
    store_be(out_.data() + at, value);
  }
  void u8(std::uint8_t value) { out_.push_back(value); }
  void u16(std::uint16_t value) { write(value); }
  void u32(std::uint32_t value) { write(value); }
  void u64(std::uint64_t value) { write(value); }
  void bytes(ByteView more) { append(out_, more); }
  void zeros(std::size_t len) { out_.resize(out_.size() + len); }
  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }
  [[nodiscard]] Bytes& buffer() noexcept { return out_; }

  /// Reserves a 16-bit length field and back-patches it when the scope ends: the number of bytes written since
  /// `counted_before` bytes ahead of the field (RFC 7296 payloads count their own 4-byte header: pass 2).
  class Length16 {
   public:
    Length16(Writer& writer, std::size_t counted_before) : out_(writer.out_), at_(out_.size()), before_(counted_before) {
      writer.u16(0);
    }
    ~Length16() { store_be(out_.data() + at_, static_cast<std::uint16_t>(out_.size() - at_ + before_)); }
    Length16(const Length16&) = delete;
    Length16& operator=(const Length16&) = delete;

   private:
    Bytes& out_;
    std::size_t at_;
    std::size_t before_;
  };
  [[nodiscard]] Length16 length16(std::size_t counted_before) { return Length16(*this, counted_before); }

 private:
  Bytes& out_;
};

}  // namespace culvert
