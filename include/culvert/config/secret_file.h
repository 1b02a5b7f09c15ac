#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::config {

inline constexpr std::size_t max_psk_file_len = 64 * 1024;     ///< bytes
inline constexpr std::size_t min_psk_len = 8;                  ///< bytes, refused below
inline constexpr std::size_t advised_psk_len = 16;             ///< bytes, a warning below
inline constexpr std::size_t max_key_file_len = 64 * 1024;     ///< bytes, of a private key
inline constexpr std::size_t max_public_file_len = 64u << 20;  ///< bytes, of certificates or a CRL

/// A file that the configuration names.
struct FileName {
  FileName(std::filesystem::path file) : path(std::move(file)) {}  // NOLINT: a path is a file name
  std::filesystem::path path;
  bool credential = false;  ///< of systemd: its folder is the service's own, whatever the mode of the file says
};

/// How the files of the configuration are opened, from here on and by the whole process: as open(2), -1 with errno. For
/// a daemon that may not open them any more. Main thread, before there are others.
void open_files_by(std::function<int(const char* path, int flags)> opener);
/// By open(2) or what open_files_by has put in its place.
[[nodiscard]] int open_file_of_configuration(const char* path, int flags);

/// NAME relative to the configuration's folder, or "credential:NAME" for one that systemd's LoadCredential= and
/// LoadCredentialEncrypted= put into $CREDENTIALS_DIRECTORY. Errc::invalid when there are none, or the name has a '/'.
[[nodiscard]] Result<FileName> find_file(const std::filesystem::path& folder, std::string_view name);

/// The pre-shared key in FILE: one line of text taken as it is, or "0x" and hex, or "0s" and base64. Errc::not_found,
/// Errc::io, or Errc::invalid for a file that is no regular one, that group or others may touch, that someone else
/// owns, or whose content is no key; the detail says which and the way out. Every buffer that held the key is wiped.
[[nodiscard]] Result<Secret> read_psk(const FileName& file);
/// The same care for a private key of at most max_key_file_len bytes, taken as it is. Empty is an error.
[[nodiscard]] Result<Secret> read_private_key(const FileName& file);
/// The same care for a passphrase or PIN: one line, without its end. Empty is an error.
[[nodiscard]] Result<Secret> read_passphrase(const FileName& file);
/// The same care for a file of users, taken as it is.
[[nodiscard]] Result<Secret> read_users(const FileName& file);
/// What everybody may read but not everybody may write: certificates, CRLs. At most max_public_file_len bytes.
[[nodiscard]] Result<Bytes> read_public_file(const FileName& file);

}  // namespace culvert::config
