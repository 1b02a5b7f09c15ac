#include <sodium.h>

#include <algorithm>
#include <array>
#include <new>

#include "culvert/base/secret.h"
#include "gcm_aead.h"
#include "gcm_key.h"

namespace culvert::crypto {

extern const GcmKernel gcm_aesni_avx2, gcm_vaes256, gcm_vaes512;
extern const AeadImplementation aesni_avx2_aead, vaes256_aead, vaes512_aead;

GcmKey::GcmKey(const AeadImplementation& implementation, CipherSuite suite, AadLayout layout,
               ByteView encryption) noexcept
    : AeadKey(implementation, suite, layout), key_len_(static_cast<std::uint8_t>(info(suite).key_len)) {
  std::copy(encryption.begin(), encryption.end(), key_);
}

namespace {

void destroy(GcmKeyData* data) noexcept {
  if (data == nullptr) return;
  sodium_memzero(data, sizeof *data);
  delete data;
}

}  // namespace

GcmKey::~GcmKey() {
  destroy(data_);
  sodium_memzero(key_, sizeof key_);
}

Secret GcmKey::copy_of_encryption() const {
  return Secret::copy_of(ByteView(key_).first(std::size_t{key_len_} + info(suite()).salt_len));
}

// Of threads that come at once each makes the tables, and one of them stays.
bool GcmKey::make_tables(GcmExpand expand) const noexcept {
  auto* made = new (std::nothrow) GcmKeyData;
  if (made == nullptr) return false;
  expand(*made, key_, key_len_);
  GcmKeyData* nothing = nullptr;
  if (!__atomic_compare_exchange_n(&data_, &nothing, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) destroy(made);
  return true;
}

namespace {

bool supports(CipherSuite suite) noexcept {
  return suite == CipherSuite::aes_gcm_16_128 || suite == CipherSuite::aes_gcm_16_256;
}

template <const AeadImplementation& Implementation>
Result<std::unique_ptr<AeadKey>> make_key(CipherSuite suite, ByteView encryption, ByteView, AadLayout layout) {
  return std::make_unique<GcmKey>(Implementation, suite, layout, encryption);
}

template <const GcmKernel& Kernel>
void seal(std::span<AeadJob> jobs) noexcept {
  Kernel.seal(jobs.data(), jobs.size());
}

template <const GcmKernel& Kernel>
void open(std::span<AeadJob> jobs) noexcept {
  Kernel.open(jobs.data(), jobs.size());
}

template <const AeadImplementation& Implementation, const GcmKernel& Kernel>
constexpr AeadImplementation row(std::string_view name, bool (*runs_here)() noexcept) {
  return {.name = name,
          .runs_here = runs_here,
          .supports = supports,
          .make_key = make_key<Implementation>,
          .seal = seal<Kernel>,
          .open = open<Kernel>};
}

// __builtin_cpu_supports asks CPUID, and XGETBV for what the operating system saves of the vector registers.
bool has_avx2() noexcept {
  return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("avx2");
}

bool has_vaes256() noexcept {
  return has_avx2() && __builtin_cpu_supports("vaes") && __builtin_cpu_supports("vpclmulqdq");
}

bool has_vaes512() noexcept {
  return has_vaes256() && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

}  // namespace

const AeadImplementation aesni_avx2_aead = row<aesni_avx2_aead, gcm_aesni_avx2>("aesni-avx2", has_avx2);
const AeadImplementation vaes256_aead = row<vaes256_aead, gcm_vaes256>("vaes256", has_vaes256);
const AeadImplementation vaes512_aead = row<vaes512_aead, gcm_vaes512>("vaes512", has_vaes512);

std::span<const AeadImplementation* const> gcm_aeads() noexcept {
  static constexpr std::array<const AeadImplementation*, 3> rows{&vaes512_aead, &vaes256_aead, &aesni_avx2_aead};
  return rows;
}

}  // namespace culvert::crypto
