#pragma once

namespace culvert::cli {

/// docs/control.md documents these; scripts depend on them.
enum class ExitCode : int {
  ok = 0,
  failed = 1,  ///< the daemon refused, the file has mistakes, …
  usage = 2,
  unreachable = 3,  ///< no daemon answers on the socket
  tunnel_down = 4,  ///< status --check: at least one configured tunnel is down
};

}  // namespace culvert::cli
