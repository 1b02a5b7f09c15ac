#pragma once
#include <string>
#include <vector>

#include "client_profile.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"
#include "culvert/config/config.h"

namespace culvert::cli {

/// Of `culvert client export`, as they were given; empty: as the configuration says.
struct ExportArguments {
  std::string user;
  std::string format;  ///< ios, macos, windows, android, strongswan, culvert
  std::string config = "/etc/culvert/culvert.toml";
  std::string peer, server, name, out;
  std::vector<std::string> ca;  ///< files
  std::string auth;             ///< password, certificate, eap-tls
  std::string certificate, key, passphrase_file;
  bool qr = false, force = false;
};

/// What a client of this gateway must know. `passphrase` protects the user's key; unused without --certificate.
/// Errors name the option that helps.
[[nodiscard]] Result<ClientProfile> make_client_profile(const config::Config& config, const ExportArguments& arguments,
                                                        const Secret& passphrase);

}  // namespace culvert::cli
