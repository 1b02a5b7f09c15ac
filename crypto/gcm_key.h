#pragma once
#include <cstddef>
#include <cstdint>

#include "culvert/crypto/aead.h"

namespace culvert::crypto {

/// Blocks of text that one stretch of a packet may have; a longer packet is hashed stretch by stretch. One stretch has
/// room for every packet that an MTU of 2000 lets through.
inline constexpr std::size_t max_stretch_blocks = 128;

/// Powers of the hash key: what a stretch needs, for its text, the AAD before it and the lengths behind it, and so many
/// that they stand where vectors are aligned for a text that fills its vectors.
inline constexpr std::size_t num_gcm_powers = max_stretch_blocks + 5;

/// What the vector kernels keep of an AES-GCM key. `powers` holds H^num_gcm_powers ... H^1 in this order, as the
/// kernels multiply by them (bytes reversed, times x), so that the powers for consecutive blocks of a packet are
/// consecutive; zeros behind them are for what a vector has behind the end of a text. `folded` has what the two halves
/// of each add up to (Karatsuba), and behind it the same of the power that stands at the same place in the next vector.
///
/// Counters of one stretch differ in their last byte alone, and AES's first round leaves the difference in one column.
/// So `differences` has, for the counters from 2 on, what the first round makes of them, exclusive or what it makes of
/// counter 1: added to the first counter after its first round, it saves that round for all others.
struct GcmKeyData {
  alignas(64) std::uint8_t powers[num_gcm_powers + 4][16];
  alignas(64) std::uint8_t folded[num_gcm_powers + 4][16];
  alignas(64) std::uint8_t differences[max_stretch_blocks][16];
  alignas(64) std::uint8_t round_keys[15][16];
  alignas(16) std::uint8_t first_counter[16];  ///< salt | 00000000 00000000 | 00000001 (SP 800-38D §7.1, RFC 4106 §4)
  std::uint32_t num_rounds;                    ///< 10 or 14
};

/// A kernel's way to make what it keeps of a key. `key` is key_len (16 or 32) bytes and 4 of salt behind them.
using GcmExpand = void (*)(GcmKeyData& data, const std::uint8_t* key, std::size_t key_len) noexcept;

/// Of the table of kernels: what each is compiled to for its instruction set. No other function of a kernel is visible.
struct GcmKernel {
  void (*seal)(AeadJob* jobs, std::size_t num_jobs) noexcept;
  void (*open)(AeadJob* jobs, std::size_t num_jobs) noexcept;
};

/// A key of any of the kernels, wiped when it goes. What the kernels keep of it (GcmKeyData) is made when it is used
/// for the first time: of thousands of tunnels most carry nothing for long, and each has two keys.
class GcmKey final : public AeadKey {
 public:
  /// `encryption`: the key and 4 bytes of salt behind it, at most 36 in all.
  GcmKey(const AeadImplementation& implementation, CipherSuite suite, AadLayout layout, ByteView encryption) noexcept;
  ~GcmKey() override;

  /// For the kernels, once make_ready has been true on this thread. It does not change after that, so this is a plain
  /// load, which the compiler need not repeat.
  [[nodiscard, gnu::always_inline]] const GcmKeyData& data() const noexcept { return *data_; }
  [[nodiscard]] Secret copy_of_encryption() const override;
  /// Of the kernel that runs its packets. False: there is no memory for its tables. Any thread, any number of them at
  /// once.
  [[nodiscard, gnu::always_inline]] bool make_ready(GcmExpand expand) const noexcept {
    if (__atomic_load_n(&data_, __ATOMIC_ACQUIRE) != nullptr) [[likely]]
      return true;
    return make_tables(expand);
  }

 private:
  /// Not gnu::cold: GCC would take what leads to it for seldom run, and that is all of a kernel.
  [[nodiscard]] bool make_tables(GcmExpand expand) const noexcept;

  mutable GcmKeyData* data_ = nullptr;  ///< std::atomic's functions would be compiled for the kernels' processors, too
  std::uint8_t key_[36] = {};
  std::uint8_t key_len_;
};

}  // namespace culvert::crypto
