#pragma once
#include <chrono>
#include <filesystem>
#include <string>

#include "culvert/base/result.h"
#include "culvert/control/protocol.h"

namespace culvert::cli {

/// One request, one response over the control socket, within `timeout` in all. The detail of an error is a whole
/// sentence for the person at the terminal: Errc::not_found when no daemon listens there, Errc::io for everything else
/// that keeps it from answering, Errc::malformed when what came is no response. Blocks.
[[nodiscard]] Result<control::Response> ask(const std::filesystem::path& socket, const control::Request& request,
                                            std::chrono::milliseconds timeout = std::chrono::seconds(5));

}  // namespace culvert::cli
