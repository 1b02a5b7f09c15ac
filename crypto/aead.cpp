#include "culvert/crypto/aead.h"

#include <atomic>
#include <string>

#include "aead_implementation.h"
#include "aead_openssl.h"
#include "gcm_aead.h"

namespace culvert::crypto {
namespace {

// The table, best first.
const std::vector<const AeadImplementation*>& table() {
  static const std::vector<const AeadImplementation*> rows = [] {
    const auto vectorized = gcm_aeads();
    std::vector<const AeadImplementation*> all(vectorized.begin(), vectorized.end());
    all.push_back(&openssl_aead);
    return all;
  }();
  return rows;
}

const AeadImplementation& best() {
  for (const AeadImplementation* implementation : table()) {
    if (implementation->runs_here()) return *implementation;
  }
  return openssl_aead;
}

std::atomic<const AeadImplementation*>& selected() {
  static std::atomic<const AeadImplementation*> implementation{&best()};
  return implementation;
}

// A batch is cut where the implementation of its keys changes; nearly always it is one piece.
template <class Run>
void for_each_run(std::span<AeadJob> jobs, Run run) noexcept {
  while (!jobs.empty()) {
    const AeadKey* key = jobs.front().key;
    const AeadImplementation& implementation = key->implementation();
    std::size_t num = 1;
    for (; num < jobs.size(); ++num) {
      if (jobs[num].key == key) continue;
      key = jobs[num].key;
      if (&key->implementation() != &implementation) break;
    }
    run(implementation, jobs.first(num));
    jobs = jobs.subspan(num);
  }
}

}  // namespace

Result<std::unique_ptr<AeadKey>> AeadKey::create(CipherSuite suite, ByteView encryption, ByteView integrity,
                                                 AadLayout layout, AeadUse use) {
  const CipherSuiteInfo& sizes = info(suite);
  const std::size_t encryption_len = std::size_t{sizes.key_len} + sizes.salt_len;
  if (encryption.size() != encryption_len) {
    return fail(Errc::invalid, std::string(sizes.name) + ": encryption key of " + std::to_string(encryption.size()) +
                                   " bytes, expected " + std::to_string(encryption_len));
  }
  if (integrity.size() != sizes.integrity_len) {
    return fail(Errc::invalid, std::string(sizes.name) + ": integrity key of " + std::to_string(integrity.size()) +
                                   " bytes, expected " + std::to_string(sizes.integrity_len));
  }
  if (use == AeadUse::messages) return OpensslAeadKey::make_for_messages(suite, encryption, integrity, layout);
  const AeadImplementation* implementation = selected().load(std::memory_order_acquire);
  if (!implementation->supports(suite)) implementation = &openssl_aead;
  return implementation->make_key(suite, encryption, integrity, layout);
}

void seal_batch(std::span<AeadJob> jobs) noexcept {
  for_each_run(jobs,
               [](const AeadImplementation& implementation, std::span<AeadJob> run) { implementation.seal(run); });
}

void open_batch(std::span<AeadJob> jobs) noexcept {
  for_each_run(jobs,
               [](const AeadImplementation& implementation, std::span<AeadJob> run) { implementation.open(run); });
}

std::span<const AeadImplementation* const> all_aead_implementations() {
  return table();
}

std::vector<std::string_view> aead_implementations() {
  std::vector<std::string_view> names;
  for (const AeadImplementation* implementation : table()) {
    if (implementation->runs_here()) names.push_back(implementation->name);
  }
  return names;
}

std::string_view aead_implementation() noexcept {
  return selected().load(std::memory_order_acquire)->name;
}

Result<void> select_aead_implementation(std::string_view name) {
  std::string known;
  for (const AeadImplementation* implementation : table()) {
    if (!implementation->runs_here()) continue;
    if (implementation->name == name) {
      selected().store(implementation, std::memory_order_release);
      return {};
    }
    known.append(known.empty() ? "" : ", ").append(implementation->name);
  }
  return fail(Errc::not_found,
              "no AEAD implementation '" + std::string(name) + "' on this machine; there is: " + known);
}

}  // namespace culvert::crypto
