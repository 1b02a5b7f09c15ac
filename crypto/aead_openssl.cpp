#include "aead_openssl.h"

#include <openssl/crypto.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <string>
#include <thread>

namespace culvert::crypto {
namespace {

using Direction = OpensslAeadKey::Direction;

constexpr std::size_t nonce_len = 12;
constexpr std::size_t salt_len = 4;
constexpr std::size_t esn_aad_len = 12;

// Beyond this many contexts a key costs more memory than contention costs time: workers are one per core, and a flow
// has one worker.
constexpr unsigned max_contexts = 16;

enum CipherIndex : std::uint8_t { gcm_128, gcm_256, chacha20, cbc_128, cbc_256, num_ciphers };

CipherIndex cipher_index(CipherSuite suite) noexcept {
  switch (suite) {
    case CipherSuite::aes_gcm_16_128:
      return gcm_128;
    case CipherSuite::aes_gcm_16_256:
      return gcm_256;
    case CipherSuite::chacha20_poly1305:
      return chacha20;
    case CipherSuite::aes_cbc_128_sha2_256_128:
    case CipherSuite::aes_cbc_128_sha2_384_192:
    case CipherSuite::aes_cbc_128_sha2_512_256:
      return cbc_128;
    case CipherSuite::aes_cbc_256_sha2_256_128:
    case CipherSuite::aes_cbc_256_sha2_384_192:
    case CipherSuite::aes_cbc_256_sha2_512_256:
      return cbc_256;
  }
  return num_ciphers;
}

// Fetched once: a fetch by each key would take the library's lock.
const EVP_CIPHER* cipher_of(CipherIndex index) noexcept {
  static const std::array<EVP_CIPHER*, num_ciphers> ciphers{
      EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr), EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr),
      EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr), EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr),
      EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)};
  return ciphers[index];
}

Sha sha_of(CipherSuite suite) noexcept {
  switch (info(suite).integrity_len) {
    case 32:
      return Sha::sha256;
    case 48:
      return Sha::sha384;
    default:
      return Sha::sha512;
  }
}

// Threads start at different slots, so that workers do not meet in the first place.
std::size_t thread_number() noexcept {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

// This thread's contexts for keys whose own are all out; made when first needed, one for each cipher.
EVP_CIPHER_CTX* spare_context(CipherIndex index) noexcept {
  thread_local std::array<CipherCtxHandle, num_ciphers> spares;
  CipherCtxHandle& spare = spares[index];
  if (!spare) spare.reset(EVP_CIPHER_CTX_new());
  // Naming the cipher again would make the library free and allocate its state.
  if (spare && EVP_CIPHER_CTX_get0_cipher(spare.get()) == nullptr &&
      EVP_CipherInit_ex(spare.get(), cipher_of(index), nullptr, nullptr, nullptr, 1) != 1) {
    return nullptr;
  }
  return spare.get();
}

// EVP counts in int. ESP packets and IKE messages are far below. Only what is sealed comes in pieces.
bool lengths_fit(const AeadJob& job, Direction direction) noexcept {
  const std::size_t elsewhere = std::size_t{job.head_len} + job.tail_len;
  return job.len <= INT_MAX && job.aad_len <= INT_MAX && elsewhere <= (direction == Direction::seal ? job.len : 0);
}

// The functions of EVP write a length that we know: neither mode buffers here, for CBC gets whole blocks without
// padding.
bool update(EVP_CIPHER_CTX* ctx, std::uint8_t* dst, const std::uint8_t* src, std::uint32_t len) noexcept {
  int written = 0;
  return len == 0 || EVP_CipherUpdate(ctx, dst, &written, src, static_cast<int>(len)) == 1;
}

// The text of a packet to seal, wherever its pieces stand. CBC has no pieces of a block: it gets them put together.
bool update_text(EVP_CIPHER_CTX* ctx, const AeadJob& job, bool is_stream) noexcept {
  if ((job.head_len | job.tail_len) == 0) return update(ctx, job.dst, job.src, job.len);
  std::uint8_t* body = job.dst + job.head_len;
  const std::uint32_t body_len = job.len - job.head_len - job.tail_len;
  if (!is_stream) {
    if (body_len > 0) std::memmove(body, job.src, body_len);
    return update(ctx, job.dst, job.dst, job.len);
  }
  std::uint8_t* tail = body + body_len;
  return update(ctx, job.dst, job.dst, job.head_len) && update(ctx, body, job.src, body_len) &&
         update(ctx, tail, tail, job.tail_len);
}

bool finish(EVP_CIPHER_CTX* ctx) noexcept {
  std::array<std::uint8_t, 16> none;
  int written = 0;
  return EVP_CipherFinal_ex(ctx, none.data(), &written) == 1;
}

const OpensslAeadKey& key_of(const AeadJob& job) noexcept {
  return static_cast<const OpensslAeadKey&>(*job.key);
}

// One lease for each stretch of packets of one key.
template <class Each>
void for_each_job(std::span<AeadJob> jobs, Direction direction, Each each) noexcept {
  while (!jobs.empty()) {
    const OpensslAeadKey& key = key_of(jobs.front());
    const OpensslAeadKey::Lease lease(key, direction);
    std::size_t num = 0;
    while (num < jobs.size() && jobs[num].key == &key) {
      AeadJob& job = jobs[num++];
      job.ok = lease.ctx() != nullptr && each(key, lease.ctx(), job);
    }
    jobs = jobs.subspan(num);
  }
}

void seal_jobs(std::span<AeadJob> jobs) noexcept {
  for_each_job(jobs, Direction::seal,
               [](const OpensslAeadKey& key, EVP_CIPHER_CTX* ctx, const AeadJob& job) { return key.seal(ctx, job); });
}

void open_jobs(std::span<AeadJob> jobs) noexcept {
  for_each_job(jobs, Direction::open,
               [](const OpensslAeadKey& key, EVP_CIPHER_CTX* ctx, const AeadJob& job) { return key.open(ctx, job); });
  for (AeadJob& job : jobs) {
    if (!job.ok && job.len > 0) sodium_memzero(job.dst, job.len);
  }
}

}  // namespace

const AeadImplementation openssl_aead{
    .name = "openssl",
    .runs_here = []() noexcept { return true; },
    .supports = [](CipherSuite) noexcept { return true; },
    .make_key = OpensslAeadKey::make,
    .seal = seal_jobs,
    .open = open_jobs,
};

// A cache line each: the flags are written by different workers.
struct alignas(64) OpensslAeadKey::Slot {
  std::atomic<bool> taken{false};
  Direction direction = Direction::seal;  // what a CBC key schedule was made for; guarded by `taken`
  CipherCtxHandle ctx;
};

OpensslAeadKey::OpensslAeadKey(CipherSuite suite, ByteView encryption, ByteView integrity, AadLayout layout)
    : AeadKey(openssl_aead, suite, layout), sizes_(info(suite)), encryption_(Secret::copy_of(encryption)) {
  if (!sizes_.is_aead) hmac_.emplace(sha_of(suite), integrity);
}

// EVP_CIPHER_CTX_free wipes the key schedule.
OpensslAeadKey::~OpensslAeadKey() = default;

Result<std::unique_ptr<AeadKey>> OpensslAeadKey::make(CipherSuite suite, ByteView encryption, ByteView integrity,
                                                      AadLayout layout) {
  std::unique_ptr<OpensslAeadKey> key(new OpensslAeadKey(suite, encryption, integrity, layout));
  const EVP_CIPHER* cipher = cipher_of(cipher_index(suite));
  if (cipher == nullptr)
    return openssl_failure(Errc::unsupported, "no " + std::string(info(suite).name) + " in this OpenSSL");
  key->num_slots_ = std::clamp(std::thread::hardware_concurrency(), 1U, max_contexts);
  key->slots_ = std::make_unique<Slot[]>(key->num_slots_);
  for (std::size_t i = 0; i < key->num_slots_; ++i) {
    CipherCtxHandle ctx(EVP_CIPHER_CTX_new());
    if (!ctx || EVP_CipherInit_ex(ctx.get(), cipher, nullptr, nullptr, nullptr, 1) != 1 ||
        !key->rekey(ctx.get(), Direction::seal)) {
      return openssl_failure(Errc::internal, "setting a key of " + std::string(info(suite).name));
    }
    key->slots_[i].ctx = std::move(ctx);
  }
  return key;
}

Result<std::unique_ptr<AeadKey>> OpensslAeadKey::make_for_messages(CipherSuite suite, ByteView encryption,
                                                                   ByteView integrity, AadLayout layout) {
  if (cipher_of(cipher_index(suite)) == nullptr)
    return openssl_failure(Errc::unsupported, "no " + std::string(info(suite).name) + " in this OpenSSL");
  return std::unique_ptr<AeadKey>(new OpensslAeadKey(suite, encryption, integrity, layout));
}

bool OpensslAeadKey::rekey(EVP_CIPHER_CTX* ctx, Direction direction) const noexcept {
  // CBC: padding is ESP's and IKE's own (RFC 4303 §2.4, RFC 7296 §3.14).
  return EVP_CipherInit_ex(ctx, nullptr, nullptr, encryption_.view().data(), nullptr, direction == Direction::seal) ==
             1 &&
         (sizes_.is_aead || EVP_CIPHER_CTX_set_padding(ctx, 0) == 1);
}

OpensslAeadKey::Slot* OpensslAeadKey::take_slot() const noexcept {
  const std::size_t first = thread_number();
  for (std::size_t i = 0; i < num_slots_; ++i) {
    Slot& slot = slots_[(first + i) % num_slots_];
    if (!slot.taken.load(std::memory_order_relaxed) && !slot.taken.exchange(true, std::memory_order_acquire))
      return &slot;
  }
  return nullptr;
}

OpensslAeadKey::Lease::Lease(const OpensslAeadKey& key, Direction direction) noexcept
    : key_(key), slot_(key.take_slot()) {
  if (slot_ == nullptr) {
    EVP_CIPHER_CTX* spare = spare_context(cipher_index(key.suite()));
    if (spare != nullptr && key.rekey(spare, direction)) ctx_ = spare;
    return;
  }
  // GCM and ChaCha20 run the same key schedule both ways.
  if (!key.sizes_.is_aead && slot_->direction != direction) {
    if (!key.rekey(slot_->ctx.get(), direction)) return;
    slot_->direction = direction;
  }
  ctx_ = slot_->ctx.get();
}

OpensslAeadKey::Lease::~Lease() {
  if (slot_ != nullptr) {
    slot_->taken.store(false, std::memory_order_release);
  } else if (ctx_ != nullptr) {
    // The spare outlives the key, so the schedule must not stay in it.
    static constexpr std::array<std::uint8_t, 32> no_key{};
    (void)EVP_CipherInit_ex(ctx_, nullptr, nullptr, no_key.data(), nullptr, 1);
  }
}

bool OpensslAeadKey::seal(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept {
  if (!lengths_fit(job, Direction::seal)) return false;
  return sizes_.is_aead ? seal_aead(ctx, job) : seal_cbc(ctx, job);
}

bool OpensslAeadKey::open(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept {
  if (!lengths_fit(job, Direction::open)) return false;
  return sizes_.is_aead ? open_aead(ctx, job) : open_cbc(ctx, job);
}

// Nonce = salt | explicit IV: RFC 4106 §4, RFC 5282 §4, RFC 7634 §2.
bool OpensslAeadKey::start_aead(EVP_CIPHER_CTX* ctx, const AeadJob& job, Direction direction) const noexcept {
  std::array<std::uint8_t, nonce_len> nonce;
  std::memcpy(nonce.data(), encryption_.view().data() + sizes_.key_len, salt_len);
  std::memcpy(nonce.data() + salt_len, job.iv, nonce_len - salt_len);
  return EVP_CipherInit_ex(ctx, nullptr, nullptr, nullptr, nonce.data(), direction == Direction::seal) == 1;
}

bool OpensslAeadKey::seal_aead(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept {
  return start_aead(ctx, job, Direction::seal) && update(ctx, nullptr, job.aad, job.aad_len) &&
         update_text(ctx, job, true) && finish(ctx) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizes_.icv_len, job.icv) == 1;
}

bool OpensslAeadKey::open_aead(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept {
  return start_aead(ctx, job, Direction::open) && update(ctx, nullptr, job.aad, job.aad_len) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizes_.icv_len, job.icv) == 1 &&
         update(ctx, job.dst, job.src, job.len) && finish(ctx);
}

bool OpensslAeadKey::cbc_accepts(const AeadJob& job) const noexcept {
  return job.len % sizes_.block_len == 0 && (layout() == AadLayout::prefix || job.aad_len == esn_aad_len);
}

bool OpensslAeadKey::seal_cbc(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept {
  if (!cbc_accepts(job)) return false;
  if (EVP_CipherInit_ex(ctx, nullptr, nullptr, nullptr, job.iv, 1) != 1 || !update_text(ctx, job, false)) return false;
  compute_icv(job, job.dst, {job.icv, sizes_.icv_len});
  return true;
}

// Encrypt-then-MAC: nothing is decrypted before the ICV holds (RFC 4303 §3.4.4.1), so there is no padding oracle to
// time.
bool OpensslAeadKey::open_cbc(EVP_CIPHER_CTX* ctx, const AeadJob& job) const noexcept {
  if (!cbc_accepts(job)) return false;
  std::array<std::uint8_t, max_icv_len> expected;
  compute_icv(job, job.src, {expected.data(), sizes_.icv_len});
  const bool holds = CRYPTO_memcmp(expected.data(), job.icv, sizes_.icv_len) == 0;
  sodium_memzero(expected.data(), expected.size());
  return holds && EVP_CipherInit_ex(ctx, nullptr, nullptr, nullptr, job.iv, 0) == 1 &&
         update(ctx, job.dst, job.src, job.len);
}

void OpensslAeadKey::compute_icv(const AeadJob& job, const std::uint8_t* ciphertext,
                                 MutableByteView icv) const noexcept {
  const ByteView iv(job.iv, sizes_.iv_len);
  const ByteView text(ciphertext, job.len);
  if (layout() == AadLayout::prefix) {
    hmac_->compute({{job.aad, job.aad_len}, iv, text}, icv);
    return;
  }
  // RFC 4303 §2.2.1: the high half of an extended sequence number is not sent; an HMAC takes it behind all the rest.
  const ByteView spi(job.aad, 4), high(job.aad + 4, 4), low(job.aad + 8, 4);
  hmac_->compute({spi, low, iv, text, high}, icv);
}

}  // namespace culvert::crypto
