#include <CLI/CLI.hpp>

#include "complete.h"

namespace culvert::cli {
namespace {

constexpr const char* description =
    "looks at and steers the \\fBculvertd\\fP(8) of this machine, makes keys and certificates, and checks "
    "configurations. It talks with the daemon by a socket that root and the group of the socket may open.";

/// Text for a line of roff: no escapes, no control characters at its beginning.
std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      (out += "\\&") += c;
    else
      out += c;
  }
  return out;
}

std::string value_of(const CLI::Option& option) {
  return option.get_items_expected_max() > 0 ? " \\fI" + escape(option.get_type_name()) + "\\fP" : "";
}

void write_option(const CLI::Option& option, std::string& page) {
  if (option.get_group().empty()) return;
  page += ".TP\n";
  if (option.get_positional() && !option.nonpositional()) {
    page += "\\fI" + escape(option.get_name()) + "\\fP";
  } else {
    std::string names;
    for (const std::string& name : option.get_snames()) names += (names.empty() ? "" : ", ") + ("\\-" + escape(name));
    for (const std::string& name : option.get_lnames())
      names += (names.empty() ? "" : ", ") + ("\\-\\-" + escape(name));
    page += "\\fB" + names + "\\fP" + value_of(option);
  }
  page += "\n" + escape(option.get_description()) + "\n";
  if (!option.get_default_str().empty()) page += "(" + escape(option.get_default_str()) + " when left out)\n";
}

void write_command(const CLI::App& command, const std::string& before, std::string& page) {
  if (command.get_group().empty()) return;
  const std::string name = before.empty() ? command.get_name() : before + " " + command.get_name();
  const auto commands = command.get_subcommands({});
  if (commands.empty()) {
    page += ".SS " + escape(name);
    for (const CLI::Option* option : command.get_options())
      if (option->get_positional() && !option->nonpositional()) page += " " + escape(option->get_name());
    page += "\n" + escape(command.get_description()) + ".\n";
    for (const CLI::Option* option : command.get_options())
      if (option->get_name() != "--help") write_option(*option, page);
  }
  for (const CLI::App* next : commands) write_command(*next, name, page);
}

}  // namespace

std::string manual(const CLI::App& app) {
  std::string page = ".TH CULVERT 8 \"\" \"culvert " CULVERT_VERSION "\" \"culvert\"\n.SH NAME\nculvert \\- ";
  page += "IPsec gateway in user space: status, control, keys\n";
  page += ".SH SYNOPSIS\n.B culvert\n[\\fIOPTIONS\\fP] \\fICOMMAND\\fP [\\fIARGUMENTS\\fP]\n";
  page += std::string(".SH DESCRIPTION\n\\fBculvert\\fP ") + description + "\n.SH OPTIONS\n";
  for (const CLI::Option* option : app.get_options()) write_option(*option, page);
  page += ".SH COMMANDS\n";
  for (const CLI::App* command : app.get_subcommands({})) write_command(*command, "", page);
  page += ".SH \"EXIT STATUS\"\n" + escape(app.get_footer()) + "\n";
  page +=
      ".SH FILES\n.TP\n.I /etc/culvert/culvert.toml\nthe configuration\n.TP\n.I /run/culvert/control.sock\n"
      "the control socket\n.SH \"SEE ALSO\"\n\\fBculvertd\\fP(8), /usr/share/doc/culvert/\n";
  return page;
}

}  // namespace culvert::cli
