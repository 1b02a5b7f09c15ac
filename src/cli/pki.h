#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/private_key.h"

namespace culvert::cli {

// A small certification authority in a folder:
//
//   ca.pem  ca.key  ca.crl        the CA, its key (0600), its list of revoked certificates
//   NAME.pem  NAME.key            what was made for a gateway or a user
//   issued/SERIAL.pem             every certificate that the CA ever made: `revoke` finds them here

struct PkiOptions {
  std::filesystem::path folder = ".";
  std::string key_type = "p256";          ///< p256, p384, p521, ed25519, rsa2048, rsa3072, rsa4096
  unsigned days = 0;                      ///< 0: ten years for a CA, one for others, thirty days for a CRL
  std::filesystem::path passphrase_file;  ///< of the CA's key; empty: it has none
  bool force = false;                     ///< what is there may be overwritten
  crypto::WallTime now{};
};

// Each gives the text to print: what was made, and what goes where in the TOML. Errors name the file and the way out.

/// `name` becomes the CN; `permitted` are the domains and nets that it may speak for (name constraints), empty: any.
[[nodiscard]] Result<std::string> make_ca(const PkiOptions& options, std::string_view name,
                                          const std::vector<std::string>& permitted);
/// Domain names and addresses of one gateway; the first names its files and is its identity.
[[nodiscard]] Result<std::string> make_gateway(const PkiOptions& options, const std::vector<std::string>& names);
[[nodiscard]] Result<std::string> make_user(const PkiOptions& options, const std::string& email);
/// Every certificate of the CA that names `what` (a domain name, address, e-mail), or the one in the file `what`.
[[nodiscard]] Result<std::string> revoke(const PkiOptions& options, const std::string& what);
/// The same list with a new date.
[[nodiscard]] Result<std::string> renew_crl(const PkiOptions& options);

/// "p256" and so on. Errc::invalid lists them.
[[nodiscard]] Result<crypto::KeySpec> parse_key_type(std::string_view text);

}  // namespace culvert::cli
