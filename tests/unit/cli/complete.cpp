#include "complete.h"

#include <doctest/doctest.h>

#include <CLI/CLI.hpp>

namespace culvert::cli {
namespace {

struct Fixture {
  CLI::App app{"test", "culvert"};
  std::string socket, peer, file, kind;
  bool json = false;
  int asked = 0;

  Fixture() {
    app.add_option("--socket", socket, "where");
    CLI::App* status = app.add_subcommand("status", "how it is");
    status->add_flag("--json", json, "as JSON");
    app.add_subcommand("up", "bring up")->add_option("PEER", peer, "which");
    CLI::App* pki = app.add_subcommand("pki", "certificates");
    pki->add_subcommand("gateway", "of a gateway")->add_option("--type", kind, "of key");
    pki->add_subcommand("revoke", "withdraw");
    app.add_subcommand("check", "sound?")->add_option("FILE", file, "which");
    app.add_subcommand("complete", "hidden")->group("");
  }

  std::vector<std::string> words(std::vector<std::string> given) {
    std::vector<std::string> found;
    for (const Candidate& candidate : complete(app, given, [this] {
           ++asked;
           return std::vector<std::string>{"paris", "tokyo"};
         }))
      found.push_back(candidate.word);
    return found;
  }
};

using Words = std::vector<std::string>;

TEST_CASE_FIXTURE(Fixture, "commands are completed, those that are hidden are not") {
  CHECK(words({""}) == Words{"status", "up", "pki", "check"});
  CHECK(words({"c"}) == Words{"check"});
  CHECK(words({"pki", ""}) == Words{"gateway", "revoke"});
  CHECK(words({"nothing"}).empty());
}

TEST_CASE_FIXTURE(Fixture, "options of a command and of those above it are completed") {
  CHECK(words({"status", "--j"}) == Words{"--json"});
  CHECK(words({"status", "--s"}) == Words{"--socket"});
  CHECK(words({"pki", "gateway", "--t"}) == Words{"--type"});
}

TEST_CASE_FIXTURE(Fixture, "an option's value is no command") {
  CHECK(words({"--socket", "status", "st"}) == Words{"status"});
  CHECK(words({"--socket=x", "st"}) == Words{"status"});
  CHECK(words({"pki", "gateway", "--type", ""}).empty());
}

TEST_CASE_FIXTURE(Fixture, "the daemon is asked for its peers only where a peer may stand") {
  CHECK(words({"check", ""}).empty());
  CHECK(words({"up", "--"}) == Words{"--help", "--socket"});
  CHECK(asked == 0);
  CHECK(words({"up", "t"}) == Words{"tokyo"});
  CHECK(words({"up", "--", ""}) == Words{"paris", "tokyo"});
  CHECK(words({"up", "tokyo", ""}).empty());
  CHECK(asked == 2);
}

TEST_CASE_FIXTURE(Fixture,
                  "the manual names every command and option but the hidden ones, and no line of help is a macro") {
  app.add_subcommand("dot", ".so /etc/passwd");
  const std::string page = manual(app);
  CHECK(page.contains(".SS pki gateway\n"));
  CHECK(page.contains("\\-\\-type"));
  CHECK(page.contains("\n\\&.so /etc/passwd"));
  CHECK_FALSE(page.contains(".SS complete"));
}

TEST_CASE("there are completions for three shells") {
  for (const char* shell : {"bash", "zsh", "fish"}) CHECK(completion_script(shell).contains("culvert complete -- "));
  CHECK(completion_script("tcsh").empty());
}

}  // namespace
}  // namespace culvert::cli
