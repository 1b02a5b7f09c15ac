#pragma once
#include <sys/types.h>

#include <chrono>
#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "culvert/base/result.h"
#include "culvert/control/protocol.h"
#include "exit_code.h"

namespace culvert::cli {

/// One request, one response over the control socket, within `timeout` in all. The detail of an error is a whole
/// sentence for the person at the terminal: Errc::not_found when no daemon listens there, Errc::io for everything else
/// that keeps it from answering, Errc::malformed when what came is no response. Blocks.
[[nodiscard]] Result<control::Response> ask(const std::filesystem::path& socket, const control::Request& request,
                                            std::chrono::milliseconds timeout = std::chrono::seconds(5));

/// The response when the daemon said yes; otherwise the exit status, after a message.
[[nodiscard]] std::expected<control::Response, ExitCode> ask_for(const std::filesystem::path& socket,
                                                                 const control::Request& request);

/// False: enough.
using LineReader = std::function<bool(const std::string& line)>;

/// The same, and then every line that follows a good response goes to `on_line`, until that has enough. What the daemon
/// refuses comes back as it is. Errc::io: the daemon has ended; Errc::cancelled: `interrupt` (a descriptor, or -1) can
/// be read. Blocks; `timeout` is that of the response.
[[nodiscard]] Result<control::Response> follow(const std::filesystem::path& socket, const control::Request& request,
                                               const LineReader& on_line, int interrupt,
                                               std::chrono::milliseconds timeout = std::chrono::seconds(5));
/// The process that listens there; nullopt: nobody does, or the kernel does not say.
[[nodiscard]] std::optional<pid_t> listener_of(const std::filesystem::path& socket);

}  // namespace culvert::cli
