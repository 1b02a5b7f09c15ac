#include "output.h"

#include <fmt/format.h>

#include <cstdio>

namespace culvert::cli {

void complain(std::string_view text) {
  fmt::print(stderr, "culvert: {}\n", text);
}

bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

ExitCode printed(std::string_view text) {
  return print(text) ? ExitCode::ok : ExitCode::failed;
}

}  // namespace culvert::cli
