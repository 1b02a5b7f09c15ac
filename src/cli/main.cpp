#include <csignal>
#include <cstdio>
#include <exception>

#include "commands.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is an error of a write
  try {
    return culvert::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "culvert: %s\n", error.what());
    return static_cast<int>(culvert::cli::ExitCode::failed);
  }
}
