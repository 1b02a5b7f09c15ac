#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/crypto/cipher_suite.h"

namespace culvert {
class Secret;
}
namespace culvert::crypto {

/// How a CBC+HMAC suite authenticates what it is given as AAD.
enum class AadLayout : std::uint8_t {
  prefix,  ///< the ICV covers aad | iv | ciphertext (IKE SK payload, ESP without ESN)
  esn,     ///< aad is SPI | seq_hi | seq_lo; an HMAC covers SPI | seq_lo | iv | ciphertext | seq_hi (RFC 4303 §2.2.1).
           ///< AEADs: no difference
};

/// What a key is for.
enum class AeadUse : std::uint8_t {
  packets,   ///< many at a time: tables, or contexts for all processors, of some kB
  messages,  ///< one now and then (IKE): little more than the key itself, and a key schedule for each
};

struct AeadImplementation;

/// One key of one direction: key schedule, salt, hash powers. Made on the control thread, then shared by all workers;
/// wiped when it goes. What takes much memory of it may be made by the first batch that uses it.
class AeadKey {
 public:
  /// `encryption` is key_len + salt_len bytes, `integrity` integrity_len bytes.
  /// Errors: Errc::invalid when a length is wrong, Errc::internal when the library refuses.
  [[nodiscard]] static Result<std::unique_ptr<AeadKey>> create(CipherSuite suite, ByteView encryption,
                                                               ByteView integrity, AadLayout layout,
                                                               AeadUse use = AeadUse::packets);
  virtual ~AeadKey() = default;
  AeadKey(const AeadKey&) = delete;
  AeadKey& operator=(const AeadKey&) = delete;

  [[nodiscard]] CipherSuite suite() const noexcept { return suite_; }
  [[nodiscard]] AadLayout layout() const noexcept { return layout_; }
  /// The row of the table (crypto/aead.cpp) that made the key and that runs its packets.
  [[nodiscard]] const AeadImplementation& implementation() const noexcept { return implementation_; }
  /// The key | salt that it was made with, for who may have a copy; the integrity key is not kept. Any thread.
  [[nodiscard]] virtual Secret copy_of_encryption() const = 0;

 protected:
  AeadKey(const AeadImplementation& implementation, CipherSuite suite, AadLayout layout) noexcept
      : implementation_(implementation), suite_(suite), layout_(layout) {}

 private:
  const AeadImplementation& implementation_;
  CipherSuite suite_;
  AadLayout layout_;
};

/// One packet to seal or to open. `src` and `dst` are equal (in place) or do not overlap. All pointers stay valid
/// during the call. For CBC the length is a multiple of 16.
///
/// Seal may join a packet from two places: the first head_len and the last tail_len bytes of the text stand at dst
/// already, and the bytes between them come from src (which then has len - head_len - tail_len bytes, elsewhere or
/// right at dst + head_len). All of it is encrypted to dst. Such a job is refused where head and tail are longer than
/// len, and by open.
struct AeadJob {
  const AeadKey* key = nullptr;
  const std::uint8_t* aad = nullptr;
  const std::uint8_t* iv = nullptr;  ///< explicit IV, iv_len bytes, as on the wire
  const std::uint8_t* src = nullptr;
  std::uint8_t* dst = nullptr;
  std::uint8_t* icv = nullptr;  ///< icv_len bytes: written by seal, compared (constant time) by open
  std::uint32_t aad_len = 0;
  std::uint32_t len = 0;  ///< bytes at dst
  std::uint16_t head_len = 0;
  std::uint16_t tail_len = 0;
  bool ok = false;  ///< result: open: the ICV holds; seal: sealed
};

/// Independent packets, of one or of several keys, in any order. Never throws, and allocates for the first use of a key
/// alone (without memory for it the packets are refused); sets `ok` of each job.
/// A packet whose ICV does not hold has its dst wiped. Any thread.
void seal_batch(std::span<AeadJob> jobs) noexcept;
void open_batch(std::span<AeadJob> jobs) noexcept;

/// The implementations that this CPU has, the best first ("openssl" is always there), and the one in use.
[[nodiscard]] std::vector<std::string_view> aead_implementations();
[[nodiscard]] std::string_view aead_implementation() noexcept;
/// Forces one by name, for all keys created afterwards. Before workers start, or in tests. Errc::not_found names what
/// there is.
[[nodiscard]] Result<void> select_aead_implementation(std::string_view name);
/// Known-answer test of every implementation that may be chosen; the daemon refuses to start when it fails.
[[nodiscard]] Result<void> aead_self_test();

}  // namespace culvert::crypto
