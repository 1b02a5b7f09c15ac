// The whole command: exit statuses as docs/control.md promises them.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "commands.h"

namespace {

/// Runs with standard output and standard error in the bin.
int run_quietly(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "culvert");
  std::fflush(stdout);
  std::fflush(stderr);
  const int out = ::dup(STDOUT_FILENO), err = ::dup(STDERR_FILENO);
  REQUIRE(std::freopen("/dev/null", "w", stdout) != nullptr);
  REQUIRE(std::freopen("/dev/null", "w", stderr) != nullptr);
  const int code = culvert::cli::run(static_cast<int>(arguments.size()), arguments.data());
  std::fflush(stdout);
  std::fflush(stderr);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::close(out);
  ::close(err);
  return code;
}

}  // namespace

TEST_CASE("wrong usage exits 2, help and version 0") {
  CHECK(run_quietly({}) == 2);
  CHECK(run_quietly({"frobnicate"}) == 2);
  CHECK(run_quietly({"up"}) == 2);
  CHECK(run_quietly({"up", "a", "b"}) == 2);
  CHECK(run_quietly({"rekey", "a", "--ike", "--child"}) == 2);
  CHECK(run_quietly({"redirect"}) == 2);
  CHECK(run_quietly({"reload", "--confirm", "0"}) == 2);
  CHECK(run_quietly({"reload", "--confirm", "60", "--confirmed"}) == 2);
  CHECK(run_quietly({"reload", "--dry-run", "--revert"}) == 2);
  CHECK(run_quietly({"diff", "a", "b"}) == 2);
  CHECK(run_quietly({"status", "--watch", "never"}) == 2);
  CHECK(run_quietly({"status", "--watch", "0"}) == 2);
  CHECK(run_quietly({"status", "drops"}) == 2);
  CHECK(run_quietly({"check"}) == 2);
  CHECK(run_quietly({"capture", "--keys"}) == 2);                                    // where to?
  CHECK(run_quietly({"capture", "-w", "-", "--keys"}) == 2);
  CHECK(run_quietly({"capture", "-w", "x", "--keys-to", "y"}) == 2);                 // without --keys
  CHECK(run_quietly({"capture", "-w", "x", "--keys", "--seconds", "3601"}) == 2);
  CHECK(run_quietly({"capture", "--count", "many"}) == 2);
  CHECK(run_quietly({"capture", "--snaplen", "63"}) == 2);
  CHECK(run_quietly({"--socket", "no-such-folder/socket", "capture", "icmp"}) == 3);
  CHECK(run_quietly({"--help"}) == 0);
  CHECK(run_quietly({"rekey", "--help"}) == 0);
  CHECK(run_quietly({"--version"}) == 0);
  CHECK(run_quietly({"version"}) == 0);
}

TEST_CASE("without a daemon every question exits 3") {
  const char* nowhere = "/nonexistent/culvert.sock";
  CHECK(run_quietly({"--socket", nowhere, "status"}) == 3);
  CHECK(run_quietly({"status", "--socket", nowhere}) == 3);
  CHECK(run_quietly({"--socket", nowhere, "status", "--json", "--check"}) == 3);
  CHECK(run_quietly({"--socket", nowhere, "drops"}) == 3);
  CHECK(run_quietly({"--socket", nowhere, "reload"}) == 3);
  CHECK(run_quietly({"--socket", nowhere, "diff", "culvert.toml", "--json"}) == 3);
  CHECK(run_quietly({"--socket", nowhere, "up", "tokyo"}) == 3);
  CHECK(run_quietly({"--socket", nowhere, "rekey", "tokyo", "--child"}) == 3);
  REQUIRE(::setenv("CULVERT_SOCKET", nowhere, 1) == 0);
  CHECK(run_quietly({"status"}) == 3);
  ::unsetenv("CULVERT_SOCKET");
}

TEST_CASE("check exits 0 for a sound file and 1 for any other") {
  std::string folder = (std::filesystem::temp_directory_path() / "culvert-check-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string sound = folder + "/sound.toml", wrong = folder + "/wrong.toml";
  std::ofstream(sound) << "[gateway]\nid = \"a.net\"\n";
  std::ofstream(wrong) << "[gateway]\nid = \"a.net\"\nlistn = 1\n";
  CHECK(run_quietly({"check", sound.c_str()}) == 0);
  CHECK(run_quietly({"check", wrong.c_str()}) == 1);
  CHECK(run_quietly({"check", "/nonexistent.toml"}) == 1);
  std::filesystem::remove_all(folder);
}

TEST_CASE("genpsk makes a file once") {
  std::string folder = (std::filesystem::temp_directory_path() / "culvert-genpsk-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string file = folder + "/k";
  CHECK(run_quietly({"genpsk", file.c_str()}) == 0);
  CHECK(run_quietly({"genpsk", file.c_str()}) == 1);
  std::filesystem::remove_all(folder);
}

TEST_CASE("genkey makes a file once, pubkey reads what holds a key, pki wants a command") {
  std::string folder = (std::filesystem::temp_directory_path() / "culvert-genkey-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string file = folder + "/k";
  CHECK(run_quietly({"genkey", file.c_str()}) == 0);
  CHECK(run_quietly({"genkey", file.c_str()}) == 1);
  CHECK(run_quietly({"genkey", (folder + "/l").c_str(), "--type", "p384"}) == 0);
  CHECK(run_quietly({"genkey", (folder + "/m").c_str(), "--type", "rot13"}) == 1);
  CHECK_FALSE(std::filesystem::exists(folder + "/m"));
  CHECK(run_quietly({"pubkey", file.c_str()}) == 0);
  CHECK(run_quietly({"pubkey", (folder + "/none").c_str()}) == 1);
  CHECK(run_quietly({"pki"}) == 2);
  CHECK(run_quietly({"pki", "ca", "--out", folder.c_str()}) == 2);
  CHECK(run_quietly({"pki", "gateway", "a.net", "--out", folder.c_str()}) == 1);
  CHECK(run_quietly({"pki", "ca", "--name", "x", "--out", folder.c_str()}) == 0);
  CHECK(run_quietly({"pki", "ca", "--name", "x", "--days", "0", "--out", folder.c_str()}) == 2);
  CHECK(run_quietly({"pki", "gateway", "a.net", "192.0.2.1", "--out", folder.c_str()}) == 0);
  CHECK(run_quietly({"pubkey", (folder + "/a.net.pem").c_str()}) == 0);
  CHECK(run_quietly({"pki", "revoke", "a.net", "--out", folder.c_str()}) == 0);
  std::filesystem::remove_all(folder);
}
