#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/crypto/aead.h"

namespace culvert::test {

/// Runs `body` once for each AEAD implementation that this CPU has, with keys made by it; puts back the one that was
/// selected.
template <class Body>
void for_each_aead_implementation(Body body) {
  const std::string before(crypto::aead_implementation());
  for (const std::string_view name : crypto::aead_implementations()) {
    CAPTURE(name);
    REQUIRE(crypto::select_aead_implementation(name));
    body();
  }
  REQUIRE(crypto::select_aead_implementation(before));
}

/// A published answer. AEAD: `nonce` is salt | IV, 12 bytes; CBC: the IV, 16 bytes.
struct AeadAnswer {
  crypto::CipherSuite suite{};
  Bytes key, integrity, nonce, aad, plaintext, ciphertext, icv;
  bool must_fail = false;  ///< open has to refuse it; there is no plaintext
  std::string name;        ///< for failures
};

/// Seals and opens all answers with the selected implementation, in batches (so mixed keys and lengths share one), in
/// place and out of place, and checks every byte. Counts how many were run. `num_copies`: of each, with one key, side
/// by side.
struct AeadRun {
  std::size_t num_sealed = 0, num_opened = 0, num_refused = 0;
};
[[nodiscard]] AeadRun run_answers(const std::vector<AeadAnswer>& answers, std::size_t batch_len, bool in_place,
                                  std::size_t num_copies = 1);

}  // namespace culvert::test
