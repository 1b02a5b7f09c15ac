#pragma once
#include <array>
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::eap {

// What MS-CHAPv2 computes (RFC 2759 §8, RFC 3079 §3). Its strength is one DES key (2^56): it is good enough inside the
// protection of a server that has proved itself before, as IKEv2 has it (RFC 7296 §2.16), and nowhere else.

inline constexpr std::size_t nt_hash_len = 16;
using MsChapChallenge = std::array<std::uint8_t, 16>;
using NtResponse = std::array<std::uint8_t, 24>;

/// NtPasswordHash (RFC 2759 §8.3): MD4 of the password in UTF-16LE. `password` is UTF-8, at most 256 characters;
/// Errc::malformed when it is neither.
[[nodiscard]] Result<Secret> nt_password_hash(ByteView password);
/// The user name as the challenge hash takes it (RFC 2759 §8.2): without a Windows domain in front.
[[nodiscard]] std::string_view without_domain(std::string_view user) noexcept;

/// What both ends compute for one exchange of challenges.
struct MsChapProof {
  NtResponse nt_response{};            ///< the peer's proof (§8.1)
  std::string authenticator_response;  ///< the server's: "S=" and 40 hexadecimal digits (§8.7)
  /// 64 bytes: the server's MasterReceiveKey | MasterSendKey | 32 zeros (RFC 3079 §3.3; [MS-CHAP] §3.1.5.1).
  Secret msk;
};
/// Errc::internal: the library has no Triple-DES.
[[nodiscard]] Result<MsChapProof> mschap_proof(ByteView nt_hash, const MsChapChallenge& authenticator,
                                               const MsChapChallenge& peer, std::string_view user);

}  // namespace culvert::eap
