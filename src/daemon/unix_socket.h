#pragma once
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "culvert/base/result.h"

namespace culvert::daemon {

/// nullopt: there is no such group, or `name` is empty.
[[nodiscard]] std::optional<gid_t> find_group(const std::string& name);

/// A listening unix stream socket, non-blocking: makes its directory (0755), removes a socket on which nobody listens;
/// mode 0660 and `group` when that exists, else 0600. Nobody else could connect at any moment. `what` begins messages:
/// "control socket". Errc::invalid: another daemon listens there, the path is no socket, or too long.
[[nodiscard]] Result<int> listen_unix(const std::filesystem::path& path, std::string_view what,
                                      const std::optional<gid_t>& group, int backlog);

}  // namespace culvert::daemon
