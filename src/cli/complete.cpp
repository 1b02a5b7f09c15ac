#include "complete.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace culvert::cli {
namespace {

/// Where the words before the last one have led to.
struct Place {
  const CLI::App* command;
  const CLI::Option* open = nullptr;  ///< an option whose value comes next
  std::size_t positionals = 0;        ///< words that were neither commands nor options
  bool only_positionals = false;      ///< behind "--"
};

bool shown(const CLI::Option& option) {
  return !option.get_group().empty() && option.nonpositional();
}

/// Options of a command also stand behind its subcommands (CLI::App::fallthrough).
const CLI::Option* find_option(const CLI::App* command, const std::string& name) {
  for (; command; command = command->get_parent())
    if (const CLI::Option* option = command->get_option_no_throw(name)) return option;
  return nullptr;
}

const CLI::App* find_command(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : app.get_subcommands({}))
    if (command->check_name(name)) return command;
  return nullptr;
}

void pass(Place& place, const std::string& word) {
  if (place.open) {
    place.open = nullptr;
  } else if (!place.only_positionals && word == "--") {
    place.only_positionals = true;
  } else if (!place.only_positionals && word.starts_with('-')) {
    const CLI::Option* option = word.contains('=') ? nullptr : find_option(place.command, word);
    if (option && option->get_items_expected_min() > 0) place.open = option;
  } else if (const CLI::App* next = find_command(*place.command, word)) {
    place.command = next;
  } else {
    ++place.positionals;
  }
}

std::vector<Candidate> options_of(const CLI::App* command) {
  std::vector<Candidate> found;
  for (; command; command = command->get_parent())
    for (const CLI::Option* option : command->get_options())
      if (shown(*option))
        for (const std::string& name : option->get_lnames())
          if (std::ranges::find(found, "--" + name, &Candidate::word) == found.end())
            found.push_back({"--" + name, option->get_description()});
  return found;
}

std::vector<Candidate> commands_of(const CLI::App& command) {
  std::vector<Candidate> found;
  for (const CLI::App* next : command.get_subcommands({}))
    if (!next->get_group().empty()) found.push_back({next->get_name(), next->get_description()});
  return found;
}

bool wants_peer(const Place& place) {
  std::size_t index = 0;
  for (const CLI::Option* option : place.command->get_options())
    if (option->get_positional() && index++ == place.positionals) return option->get_name() == "PEER";
  return false;
}

}  // namespace

std::vector<Candidate> complete(const CLI::App& app, std::span<const std::string> words, const PeerNames& peers) {
  if (words.empty()) return commands_of(app);
  Place place{&app};
  for (const std::string& word : words.first(words.size() - 1)) pass(place, word);
  const std::string& begun = words.back();
  std::vector<Candidate> found;
  if (place.open) return found;
  if (begun.starts_with('-') && !place.only_positionals) {
    found = options_of(place.command);
  } else {
    found = commands_of(*place.command);
    if (wants_peer(place))
      for (const std::string& name : peers()) found.push_back({name, "peer"});
  }
  std::erase_if(found, [&](const Candidate& candidate) { return !candidate.word.starts_with(begun); });
  return found;
}

// The shells know nothing of culvert's commands: each asks for the words that may follow, one a line, a tab before the
// help.
std::string completion_script(const std::string& shell) {
  if (shell == "bash")
    return R"(# bash completion of culvert; load with: source <(culvert completion bash)
_culvert() {
  local IFS=$'\n' line
  COMPREPLY=()
  for line in $(culvert complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do COMPREPLY+=("${line%%$'\t'*}"); done
}
complete -o default -F _culvert culvert
)";
  if (shell == "zsh")
    return R"(#compdef culvert
# zsh completion of culvert; load with: source <(culvert completion zsh)
_culvert() {
  local -a candidates
  local line
  for line in "${(@f)$(culvert complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  if (( $#candidates )); then _describe culvert candidates; else _files; fi
}
if [[ $funcstack[1] == _culvert ]]; then _culvert; else compdef _culvert culvert; fi
)";
  if (shell == "fish")
    return R"(# fish completion of culvert; load with: culvert completion fish | source
complete -c culvert -a '(culvert complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
)";
  return {};
}

}  // namespace culvert::cli
