#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "aead_implementation.h"
#include "culvert/base/secret.h"
#include "hmac.h"
#include "openssl_handle.h"

namespace culvert::crypto {

/// Every suite on every processor, packet by packet: the reference for all others.
extern const AeadImplementation openssl_aead;

/// A key of "openssl". An EVP_CIPHER_CTX serves one thread at a time and costs a key schedule to make, so the key holds
/// one for each processor (bounded). A batch leases one without waiting; in the rare case that all are out it uses a
/// context of its own thread, keyed for the occasion. Nothing is allocated per packet, and no thread ever waits for
/// another. Any thread.
class OpensslAeadKey final : public AeadKey {
 public:
  enum class Direction : std::uint8_t { open, seal };
  struct Slot;

  [[nodiscard]] static Result<std::unique_ptr<AeadKey>> make(CipherSuite suite, ByteView encryption, ByteView integrity,
                                                             AadLayout layout);
  /// Without contexts of its own: each lease keys one of its thread.
  [[nodiscard]] static Result<std::unique_ptr<AeadKey>> make_for_messages(CipherSuite suite, ByteView encryption,
                                                                          ByteView integrity, AadLayout layout);
  ~OpensslAeadKey() override;

  /// One keyed context for one thread, as long as the lease lives.
  class Lease {
   public:
    Lease(const OpensslAeadKey& key, Direction direction) noexcept;
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    [[nodiscard]] EVP_CIPHER_CTX* ctx() const noexcept { return ctx_; }  ///< null when the library refused
    [[nodiscard]] bool is_spare() const noexcept { return slot_ == nullptr; }

   private:
    const OpensslAeadKey& key_;
    Slot* slot_;
    EVP_CIPHER_CTX* ctx_ = nullptr;
  };

  [[nodiscard]] Secret copy_of_encryption() const override { return encryption_.clone(); }

  /// How many leases can be out before threads fall back to their spare contexts.
  [[nodiscard]] std::size_t num_contexts() const noexcept { return num_slots_; }

  /// One packet with a leased context. False: refused, or (open) the ICV does not hold.
  [[nodiscard]] bool seal(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept;
  [[nodiscard]] bool open(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept;

 private:
  OpensslAeadKey(CipherSuite suite, ByteView encryption, ByteView integrity, AadLayout layout);
  [[nodiscard]] Slot* take_slot() const noexcept;
  [[nodiscard]] bool rekey(EVP_CIPHER_CTX* ctx, Direction direction) const noexcept;
  [[nodiscard]] bool start_aead(EVP_CIPHER_CTX* ctx, const AeadJob& job, Direction direction) const noexcept;
  [[nodiscard]] bool seal_aead(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept;
  [[nodiscard]] bool open_aead(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept;
  [[nodiscard]] bool cbc_accepts(const AeadJob& job) const noexcept;
  [[nodiscard]] bool seal_cbc(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept;
  [[nodiscard]] bool open_cbc(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept;
  void compute_icv(const AeadJob& job, const std::uint8_t* ciphertext, MutableByteView icv) const noexcept;

  const CipherSuiteInfo& sizes_;
  Secret encryption_;         // key | salt
  std::optional<Hmac> hmac_;  // CBC suites
  std::size_t num_slots_ = 0;
  std::unique_ptr<Slot[]> slots_;
};

}  // namespace culvert::crypto
