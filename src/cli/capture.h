#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "exit_code.h"

namespace culvert::cli {

/// Of `culvert capture`, as they were given.
struct CaptureArguments {
  std::string name;                   ///< a peer or a tunnel, or the expression's first word; empty: all
  std::vector<std::string> words;     ///< of the expression
  std::string file;                   ///< pcapng; "-": to standard output; empty: a line a packet
  std::string keys_folder;            ///< empty: FILE.keys
  bool inner = false, outer = false;  ///< neither: both
  bool keys = false, force = false;
  std::uint64_t count = 0, bytes = 0;  ///< packets, bytes captured; 0: no limit
  unsigned seconds = 0;                ///< 0: no limit; with `keys` a minute
  std::uint32_t snaplen = 262144;      ///< bytes of each packet that are kept
};

/// Packets inside and outside of the tunnels, until a limit or a signal. Takes SIGINT, SIGTERM and SIGHUP over.
[[nodiscard]] ExitCode run_capture(const std::filesystem::path& socket, const CaptureArguments& arguments);

}  // namespace culvert::cli
