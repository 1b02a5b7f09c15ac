// What a person who is to help has to know, and nothing that he must not. The configuration is shown as it was
// understood, without what it knows to be secret; in the end every secret that its files hold is looked for in the
// whole report.
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>

#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "culvert/config/redact.h"
#include "new_file.h"
#include "output.h"
#include "render.h"

namespace culvert::cli {
namespace {

constexpr std::size_t max_section_len = 4u << 20;

std::string read_text(const std::string& file, std::size_t most = 64 * 1024) {
  std::ifstream in(file, std::ios::binary);
  std::string text(most, '\0');
  in.read(text.data(), static_cast<std::streamsize>(most));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return text;
}

/// The first line of `text` that begins so.
std::string line_of(const std::string& text, std::string_view begin) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(begin)) return line;
  return {};
}

class Report {
 public:
  void add(std::string_view title, std::string text) {
    if (text.size() > max_section_len) text = text.substr(0, max_section_len) + "\n(cut here)";
    text_ += fmt::format("==== {}\n{}{}\n", title, text, text.empty() || text.back() != '\n' ? "\n" : "");
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string machine_facts() {
  utsname kernel{};
  (void)::uname(&kernel);
  const std::string cpu = read_text("/proc/cpuinfo");
  std::string flags;
  std::istringstream words(line_of(cpu, "flags"));
  for (std::string word; words >> word;)
    for (const char* wanted : {"aes", "pclmulqdq", "avx", "avx2", "avx512f", "avx512vl", "vaes", "vpclmulqdq", "asimd"})
      if (word == wanted) flags += " " + word;
  std::string text = fmt::format("kernel: {} {} {}\n", kernel.sysname, kernel.release, kernel.machine);
  text += line_of(read_text("/etc/os-release"), "PRETTY_NAME") + "\n";
  text += line_of(cpu, "model name") + "\n";
  text += fmt::format("processors: {}\ncrypto flags:{}\n", ::sysconf(_SC_NPROCESSORS_ONLN), flags);
  text += line_of(read_text("/proc/meminfo"), "MemTotal") + "\n";
  for (const char* setting : {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter",
                              "net/ipv4/conf/default/rp_filter", "net/core/rmem_max", "net/core/wmem_max"})
    text += fmt::format("{} = {}", setting, read_text(fmt::format("/proc/sys/{}", setting)));
  return text;
}

std::string process_facts(std::uint64_t pid) {
  const std::string folder = fmt::format("/proc/{}/", pid);
  const std::string status = read_text(folder + "status");
  std::string text;
  for (const char* name : {"VmRSS", "VmHWM", "VmLck", "Threads", "CapEff", "NoNewPrivs", "Seccomp:"})
    text += line_of(status, name) + "\n";
  return text + read_text(folder + "limits");
}

/// Mistakes may quote what stands in the file: only where they are is told.
std::string where(const std::vector<config::Diagnostic>& mistakes) {
  std::string text = "it cannot be used:\n";
  for (const auto& mistake : mistakes)
    text += fmt::format("line {}, column {}: {}\n", mistake.line, mistake.column, mistake.key);
  return text;
}

/// Of the daemon; false: it does not answer.
bool add_daemon(const std::filesystem::path& socket, Report& report) {
  const auto status = ask(socket, {"status", "", ""});
  if (!status || !status->status) {
    report.add("culvertd", status ? status->error : status.error().detail);
    return false;
  }
  const Display plain;
  report.add("status", render_status(*status->status, plain));
  report.add("status --json", control::to_json(*status->status));
  report.add("process", process_facts(status->status->pid));
  if (const auto drops = ask(socket, {"drops", "", ""}); drops && drops->drops)
    report.add("drops", render_drops(*drops->drops, false, plain));
  if (const auto routes = ask(socket, {"routes", "", ""}); routes && routes->routes)
    report.add("routes", render_routes(*routes->routes, plain));
  if (const auto level = ask(socket, {"log-level", "", ""}); level && level->log_level)
    report.add("log level", level->log_level->level + ", configured: " + level->log_level->configured);
  if (const auto trace = ask(socket, {"trace", "", ""}); trace && trace->trace)
    report.add("trace", render_trace(*trace->trace, plain));
  return true;
}

}  // namespace

std::string bug_report(const std::filesystem::path& socket, const std::filesystem::path& config_file) {
  Report report;
  const std::time_t now = std::time(nullptr);
  char time[64] = "";
  (void)std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S UTC", std::gmtime(&now));
  report.add(
      "culvert bugreport",
      fmt::format("version {}, {}\nSecrets are left out. Names, addresses and identities are not: read it before "
                  "you pass it on.",
                  CULVERT_VERSION, time));
  report.add("machine", machine_facts());
  const auto config = config::load(config_file);
  report.add("configuration", config ? config::redacted(config->settings) : where(config.error()));
  (void)add_daemon(socket, report);
  if (config) {  // its mistakes would be quoted
    DoctorOptions doctor;
    doctor.config = config_file;
    report.add("doctor", doctor_text(socket, doctor));
  }
  std::string text = report.take();
  if (config) text = config::without(std::move(text), config::secrets_of(config->settings, config_file.parent_path()));
  return text;
}

ExitCode run_bugreport(const std::filesystem::path& socket, const std::filesystem::path& config_file,
                       const std::optional<std::filesystem::path>& file) {
  const std::string text = bug_report(socket, std::filesystem::absolute(config_file));
  if (!file) return printed(text);
  if (auto written = write_new_file(*file, as_bytes(text), secret_mode); !written) {
    complain(written.error().detail);
    return ExitCode::failed;
  }
  return printed(fmt::format("{}: read it before you pass it on: names, addresses and identities are in it\n",
                             printable(file->string())));
}

}  // namespace culvert::cli
