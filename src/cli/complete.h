#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace culvert::cli {

struct Candidate {
  std::string word;
  std::string help;  ///< one line; empty: none
};

/// Names of the configured peers, asked for only when one of them may follow.
using PeerNames = std::function<std::vector<std::string>()>;

/// What may stand for the last of `words`, which may be empty, behind the others (without the program's name):
/// commands, options, peers. Empty where a file or a free word is wanted. Hidden commands and options are left out.
[[nodiscard]] std::vector<Candidate> complete(const CLI::App& app, std::span<const std::string> words,
                                              const PeerNames& peers);

/// What a shell (bash, zsh or fish) loads so that it asks `culvert complete`; empty for any other.
[[nodiscard]] std::string completion_script(const std::string& shell);

/// The page culvert(8) in roff (man 7), made from the commands and options themselves.
[[nodiscard]] std::string manual(const CLI::App& app);

}  // namespace culvert::cli
