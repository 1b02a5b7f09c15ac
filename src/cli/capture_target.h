#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "capture_output.h"
#include "culvert/base/result.h"
#include "culvert/control/protocol.h"
#include "links.h"

namespace culvert::cli {

/// What is wanted, once the arguments are understood.
struct CaptureWish {
  std::string name;  ///< a peer or a tunnel; empty: all
  std::string expression;
  bool inner = true, outer = true;
};

/// Where packets are looked for now: devices come and go, and peers move.
struct CaptureTarget {
  std::string filter;                  ///< for CaptureSource
  std::map<int, CapturePlace> places;  ///< of inner packets, by the index of the device
  CapturePlace outside;
};

/// Inner packets have to fit the expression; outer ones where no inner ones are wanted. Errc::invalid: none of the
/// tunnels has a device now, and nothing else is wanted.
[[nodiscard]] Result<CaptureTarget> make_target(const CaptureWish& wish, const control::CaptureReport& report,
                                                const std::vector<Link>& links);

/// Moves this thread to the network namespace of who listens on `socket`, if that is another one. Errc::io: it may not.
[[nodiscard]] Result<void> enter_namespace_of(const std::filesystem::path& socket);

}  // namespace culvert::cli
