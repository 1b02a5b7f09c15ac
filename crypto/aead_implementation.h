#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/crypto/aead.h"

namespace culvert::crypto {

/// One way to run the suites, one row of the table in aead.cpp. The row that is selected when a key is made stays with
/// that key, so a key's own type is known to the functions that get it.
struct AeadImplementation {
  std::string_view name;
  bool (*runs_here)() noexcept;                  ///< this CPU has what it needs
  bool (*supports)(CipherSuite suite) noexcept;  ///< other suites go to "openssl"
  /// Lengths are already checked.
  Result<std::unique_ptr<AeadKey>> (*make_key)(CipherSuite suite, ByteView encryption, ByteView integrity,
                                               AadLayout layout);
  /// All jobs have keys of this implementation, of any mixture. Sets `ok` of each; open wipes dst where it is false.
  void (*seal)(std::span<AeadJob> jobs) noexcept;
  void (*open)(std::span<AeadJob> jobs) noexcept;
};

/// All that were built, the best first. "openssl" is the last.
[[nodiscard]] std::span<const AeadImplementation* const> all_aead_implementations();

}  // namespace culvert::crypto
