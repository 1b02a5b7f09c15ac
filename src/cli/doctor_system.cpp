// The machine itself: clock, certificates, files, CPU, limits, offloads.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <regex>
#include <sstream>

#include "doctor.h"

namespace culvert::cli {
namespace {

using std::chrono::days;
using std::chrono::hours;

constexpr std::uint64_t wanted_buffer = 4u << 20;  // bytes: 10 Gbit/s for 3 ms

std::optional<std::uint64_t> number_in(Host& host, const std::string& file) {
  const auto text = host.read(file);
  std::uint64_t value = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  return error == std::errc() && end != text->data() ? std::optional(value) : std::nullopt;
}

/// Certificates tell what the time is: it lies within the life of most of them, and after they were written.
void check_clock(const Case& patient, Findings& findings) {
  const auto now = patient.host.now();
  std::size_t out_of_date = 0, early = 0;
  if (patient.config != nullptr) {
    for (const auto& watched : patient.config->certificates) {
      early += watched.certificate.not_before() > now;
      out_of_date += watched.certificate.not_after() < now;
    }
    const std::size_t all = patient.config->certificates.size();
    if (all > 1 && (early == all || out_of_date == all))
      findings.push_back(
          {Severity::problem,
           "clock",
           "",
           fmt::format("our clock says {}, and by it all {} certificates are {}: the clock is wrong, rather "
                       "than all of them",
                       crypto::wall_time_text(now), all, early == all ? "from the future" : "expired"),
           "set the clock: `timedatectl set-ntp true`",
           {}});
  }
  const auto file = patient.host.look_at(patient.config_file);
  if (file && file->modified > now + hours(24))
    findings.push_back({Severity::problem,
                        "clock",
                        "",
                        fmt::format("our clock says {}, and {} was written {} days later: the clock is behind",
                                    crypto::wall_time_text(now), patient.config_file,
                                    std::chrono::floor<days>(file->modified - now).count()),
                        "set the clock: `timedatectl set-ntp true`",
                        {}});
  const auto synchronized = patient.host.clock_is_synchronized();
  if (synchronized && *synchronized) findings.push_back({Severity::ok, "clock", "", "is set by a time server", {}, {}});
  if (synchronized && !*synchronized)
    findings.push_back(
        {Severity::note,
         "clock",
         "",
         fmt::format("no time server sets it (it says {}): certificates are judged by it", crypto::wall_time_text(now)),
         "timedatectl set-ntp true",
         {}});
}

void check_certificates(const Case& patient, Findings& findings) {
  if (patient.config == nullptr) return;
  const auto now = patient.host.now();
  for (const auto& watched : patient.config->certificates) {
    const auto warning = config::expiry_warning(watched, now);
    if (!warning) continue;
    const bool dead = watched.certificate.not_after() < now || watched.certificate.not_before() > now;
    findings.push_back({dead ? Severity::problem : Severity::warning,
                        "certificate",
                        watched.key,
                        *warning,
                        dead ? "issue a new one (`culvert pki`), unless the clock is wrong"
                             : "issue a new one in time (`culvert pki`)",
                        {}});
  }
}

/// Files with secrets that a configuration names: culvertd refuses those that others may read.
void check_files(const Case& patient, Findings& findings) {
  const auto text = patient.host.read(patient.config_file);
  if (!text) return;
  static const std::regex names(
      R"re((psk_file|password_file|passphrase_file|pin_file|secret_file|key)\s*=\s*"([^"\n]{1,4096})")re");
  const std::filesystem::path folder = std::filesystem::path(patient.config_file).parent_path();
  std::vector<std::string> seen;
  for (std::sregex_iterator match(text->begin(), text->end(), names), end; match != end; ++match) {
    const std::string name = (*match)[2].str();
    if (name.starts_with("pkcs11:") || name.starts_with("credential:")) continue;
    const std::string file = (folder / name).string();
    if (std::ranges::find(seen, file) != seen.end()) continue;
    seen.push_back(file);
    const auto facts = patient.host.look_at(file);
    if (!facts) {
      findings.push_back({Severity::problem,
                          "files",
                          file,
                          "is not there, or cannot be read",
                          "correct its name, or make it: "
                          "`culvert genpsk`, `culvert genkey`",
                          {}});
    } else if ((facts->mode & 077) != 0) {
      const Fix fix{
          Fix::Kind::set_mode, file, {}, facts->mode & 0700u, fmt::format("chmod {:o} {}", facts->mode & 0700u, file)};
      findings.push_back(
          {Severity::problem,
           "files",
           file,
           fmt::format("has mode {:04o}: others may read the secret in it, and culvertd refuses it", facts->mode),
           fix.words + "; and make a new secret if others have read it",
           {fix}});
    }
  }
}

void check_cpu(const Case& patient, Findings& findings) {
  const auto text = patient.host.read("/proc/cpuinfo");
  if (!text) return;
  const std::size_t at = text->find("\nflags");
  if (at == std::string::npos) return;
  std::istringstream flags(text->substr(at + 1, text->find('\n', at + 1) - at - 1));
  std::vector<std::string> have;
  for (std::string word; flags >> word;) have.push_back(std::move(word));
  const auto has = [&](const char* name) { return std::ranges::find(have, name) != have.end(); };
  std::vector<std::string> found;
  for (const char* name : {"aes", "pclmulqdq", "avx2", "vaes", "vpclmulqdq", "avx512f"})
    if (has(name)) found.emplace_back(name);
  if (!has("aes") || !has("pclmulqdq")) {
    findings.push_back({Severity::warning,
                        "cpu",
                        "",
                        "this CPU (or the virtual machine) has no AES instructions: AES-GCM is slow",
                        "pass the host's CPU through to the virtual machine, or use chacha20poly1305 on both sides",
                        {}});
    return;
  }
  findings.push_back({Severity::ok, "cpu", "", fmt::format("has {}", fmt::join(found, " ")), {}, {}});
}

void check_limits(const Case& patient, Findings& findings) {
  if (!patient.host.look_at("/dev/net/tun"))
    findings.push_back({Severity::problem,
                        "limits",
                        "/dev/net/tun",
                        "is not there: no tunnel device can be made",
                        "modprobe tun; in a container pass the device through (--device /dev/net/tun)",
                        {}});
  for (const char* name : {"rmem_max", "wmem_max"}) {
    const std::string file = fmt::format("/proc/sys/net/core/{}", name);
    const auto value = number_in(patient.host, file);
    if (!value || *value >= wanted_buffer) continue;
    findings.push_back(
        {Severity::note,
         "limits",
         fmt::format("net.core.{}", name),
         fmt::format("is {} bytes: bursts may be dropped before culvertd reads them (it may go beyond as root)",
                     *value),
         fmt::format("sysctl net.core.{}={}", name, wanted_buffer),
         {}});
  }
  if (patient.status == nullptr || patient.status->pid == 0) return;
  const auto limits = patient.host.read(fmt::format("/proc/{}/limits", patient.status->pid));
  const std::size_t at = limits ? limits->find("Max open files") : std::string::npos;
  if (at == std::string::npos) return;
  std::istringstream words(limits->substr(at + 14));
  std::uint64_t soft = 0;
  words >> soft;
  // two for each device and worker, and some
  const std::uint64_t wanted =
      64 + (patient.config != nullptr ? patient.config->tunnels.size() : 0) * (patient.status->workers + 1ull);
  if (soft != 0 && soft < wanted)
    findings.push_back({Severity::warning,
                        "limits",
                        "open files",
                        fmt::format("culvertd may open {} files, and {} tunnels may need {}", soft,
                                    patient.config->tunnels.size(), wanted),
                        "LimitNOFILE= in its systemd unit",
                        {}});
}

/// What makes packets travel in large pieces between the network card and culvertd.
void check_offloads(const Case& patient, Findings& findings) {
  std::vector<std::string> devices;
  const std::vector<RouteFacts> routes = main_routes(patient.host);
  for (const RouteFacts& route : routes)
    if (route.to.length == 0 && !route.reject && std::ranges::find(devices, route.device) == devices.end())
      devices.push_back(route.device);
  for (const std::string& device : devices) {
    std::vector<std::string> off;
    for (const char* feature : {"tx-udp-segmentation", "rx-gro"}) {
      const auto on = patient.host.offload(device, feature);
      if (on && !*on) off.emplace_back(feature);
    }
    if (off.empty()) continue;
    findings.push_back(
        {Severity::note,
         "offload",
         device,
         fmt::format("{} {} off: each packet costs more", fmt::join(off, " and "), off.size() == 1 ? "is" : "are"),
         fmt::format("ethtool -K {} {} on", device, fmt::join(off, " on ")),
         {}});
  }
}

}  // namespace

void check_system(const Case& patient, Findings& findings) {
  check_clock(patient, findings);
  check_certificates(patient, findings);
  check_files(patient, findings);
  check_cpu(patient, findings);
  check_limits(patient, findings);
  check_offloads(patient, findings);
}

}  // namespace culvert::cli
