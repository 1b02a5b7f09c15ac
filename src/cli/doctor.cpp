// `culvert doctor`: what keeps packets from passing, in words, and one thing to do about each.
#include "doctor.h"

#include <algorithm>

namespace culvert::cli {

Findings examine(const Case& patient) {
  Findings findings;
  check_daemon(patient, findings);
  check_peers(patient, findings);
  check_reach(patient, findings);
  check_network(patient, findings);
  check_firewall(patient, findings);
  check_system(patient, findings);
  std::ranges::stable_sort(findings, std::ranges::greater{}, &Finding::severity);
  return findings;
}

void apply_fixes(Host& host, Findings& findings) {
  for (Finding& finding : findings) {
    if (finding.fixes.empty()) continue;
    finding.fixed = std::ranges::all_of(finding.fixes, [&](const Fix& fix) {
      return fix.kind == Fix::Kind::write_file ? host.write(fix.file, fix.value) : host.set_mode(fix.file, fix.mode);
    });
  }
}

}  // namespace culvert::cli
