// culvert connect and culvert disconnect: the program that does it is culvertd.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "commands.h"
#include "output.h"

namespace culvert::cli {
namespace {

/// Beside us, where a build and a package put it. Never by PATH: it runs as root.
std::filesystem::path find_daemon() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& place : {self / "culvertd", self.parent_path() / "sbin" / "culvertd"})
    if (!error && std::filesystem::exists(place, error)) return place;
  return "/usr/sbin/culvertd";
}

/// Does not come back when it succeeds.
ExitCode become_daemon(std::vector<std::string> arguments) {
  const std::string program = find_daemon().string();
  arguments.insert(arguments.begin(), program);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  complain(fmt::format("{}: {}", program, std::strerror(errno)));
  return ExitCode::failed;
}

}  // namespace

ExitCode run_connect(const std::string& profile, const std::filesystem::path& run_dir, bool background) {
  std::vector<std::string> arguments = {"--run-dir", run_dir.string(), "--client=" + profile};
  if (background) arguments.emplace_back("--background");
  return become_daemon(std::move(arguments));
}

ExitCode run_disconnect(const std::string& name, const std::filesystem::path& run_dir) {
  return become_daemon({"--run-dir", run_dir.string(), name.empty() ? "--disconnect" : "--disconnect=" + name});
}

std::filesystem::path client_socket(const std::filesystem::path& run_dir, const std::string& name) {
  return run_dir / ("client-" + name + ".sock");
}

}  // namespace culvert::cli
