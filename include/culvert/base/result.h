#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace culvert {

/// What went wrong, coarse enough to branch on. The facts for the operator stand in Error::detail.
enum class Errc : std::uint8_t {
  malformed,       ///< bytes or text that do not follow their grammar
  unsupported,     ///< understood, but not offered by this build or this kernel
  not_found,       ///< a name, file, device or SA that does not exist
  invalid,         ///< a value outside what is allowed
  no_match,        ///< nothing in common with the peer
  authentication,  ///< a MAC, ICV, signature or identity that does not hold
  exhausted,       ///< a bound was reached (queue, table, sequence numbers)
  io,              ///< a system call failed; Error::system_error holds errno
  cancelled,       ///< whoever waited for it does not any more
  internal,        ///< a library refused what it should accept
};

/// A small enum plus the facts; text for people is made where it is logged.
struct Error {
  Errc code = Errc::internal;
  std::string detail;      ///< facts, no trailing full stop; never holds a secret
  int system_error = 0;    ///< errno, or 0
};

template <class T, class E = Error>
using Result = std::expected<T, E>;

[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string detail, int system_error = 0) {
  return std::unexpected<Error>(Error{code, std::move(detail), system_error});
}

}  // namespace culvert
