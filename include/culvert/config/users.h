#pragma once
#include <expected>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/secret.h"
#include "culvert/base/time.h"
#include "culvert/config/config.h"
#include "culvert/config/secret_file.h"
#include "culvert/eap/users.h"

namespace culvert::config {

/// The file of users that [gateway] names, mode 0600: TOML, one table a user. Either all of it, or every mistake. Reads
/// the file; any thread. Every buffer that held passwords is wiped, but for the parser's own.
///
///     [carol]                            # or ["carol@example.net"]
///     password = "Ar3etTnp"              # or nt_hash = "…", 32 hexadecimal digits; neither: for EAP-TLS
///     group    = "staff"
///     enabled  = true
///     expires  = "2027-01-31"            # the last day (UTC)
[[nodiscard]] std::expected<std::shared_ptr<const eap::UserTable>, std::vector<Diagnostic>> load_users(
    const FileName& file);
/// The same from text, for tests; `name` stands for the file.
[[nodiscard]] std::expected<std::shared_ptr<const eap::UserTable>, std::vector<Diagnostic>> parse_users(
    std::string_view text, const std::filesystem::path& name);

}  // namespace culvert::config
