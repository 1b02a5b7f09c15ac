#include <fmt/format.h>

#include <algorithm>

#include "client.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "doctor.h"
#include "doctor_host.h"
#include "output.h"
#include "render.h"

namespace culvert::cli {
namespace {

constexpr std::size_t text_at = 9;

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::ok:
      return "ok";
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::problem:
      break;
  }
  return "problem";
}

std::string painted(Severity severity, const Display& display) {
  const std::string name = fmt::format("{:<7}", name_of(severity));
  if (severity == Severity::ok) return display.green(name);
  return severity == Severity::problem ? display.red(name) : display.yellow(name);
}

std::vector<control::FindingReport> reports_of(const Findings& findings) {
  std::vector<control::FindingReport> reports;
  for (const Finding& finding : findings) {
    control::FindingReport report{
        name_of(finding.severity), finding.check, finding.subject, finding.text, finding.advice, {}, finding.fixed};
    for (const Fix& fix : finding.fixes) report.fixes.push_back(fix.words);
    reports.push_back(std::move(report));
  }
  return reports;
}

std::string render(const Findings& findings, const Display& display) {
  const std::size_t room = display.width > text_at + 20 ? display.width - text_at : 0;
  std::string text;
  std::size_t fixable = 0, problems = 0, warnings = 0;
  for (const Finding& finding : findings) {
    problems += finding.severity == Severity::problem && !finding.fixed;
    warnings += finding.severity == Severity::warning && !finding.fixed;
    fixable += !finding.fixes.empty() && !finding.fixed;
    const std::string subject = finding.subject.empty() ? "" : " " + finding.subject;
    text +=
        fmt::format("{}  {}\n", painted(finding.severity, display),
                    wrapped(printable(fmt::format("{}{}: {}", finding.check, subject, finding.text)), text_at, room));
    if (finding.fixed) {
      for (const Fix& fix : finding.fixes)
        text += fmt::format("{:{}}{}\n", "", text_at, wrapped(printable("fixed: " + fix.words), text_at + 2, room));
    } else if (!finding.advice.empty()) {
      text += fmt::format("{:{}}{}\n", "", text_at, wrapped(printable("→ " + finding.advice), text_at + 2, room));
    }
  }
  text += fmt::format("\n{} problem{}, {} warning{}", problems, problems == 1 ? "" : "s", warnings,
                      warnings == 1 ? "" : "s");
  if (fixable > 0) text += fmt::format("; `culvert doctor --fix` takes care of {}", fixable);
  return text + "\n";
}

Findings examine_this(const std::filesystem::path& socket, const DoctorOptions& options) {
  const auto host = this_host();
  Case patient{*host, nullptr, nullptr, {}, options.config.string(), {}};
  const auto response = ask(socket, {"status", "", ""});
  if (response && response->status) {
    patient.status = &*response->status;
  } else {
    patient.silence = !response ? response.error().detail : response->error;
  }
  const auto config = config::load(options.config);
  if (config) {
    patient.config = &*config;
  } else {
    for (const auto& mistake : config.error()) patient.config_mistakes.push_back(mistake.to_string());
  }
  Findings findings = examine(patient);
  if (options.fix) apply_fixes(*host, findings);
  return findings;
}

}  // namespace

std::string doctor_text(const std::filesystem::path& socket, const DoctorOptions& options) {
  return render(examine_this(socket, options), {});
}

ExitCode run_doctor(const std::filesystem::path& socket, const DoctorOptions& options) {
  const Findings findings = examine_this(socket, options);
  const bool sound = std::ranges::none_of(
      findings, [](const Finding& finding) { return finding.severity == Severity::problem && !finding.fixed; });
  const std::string text =
      options.json ? control::to_json(reports_of(findings)) + "\n" : render(findings, Display::of_stdout());
  if (!print(text)) return ExitCode::failed;
  return sound ? ExitCode::ok : ExitCode::failed;
}

}  // namespace culvert::cli
