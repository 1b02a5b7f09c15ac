// culvert client export
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include "client_export.h"
#include "commands.h"
#include "culvert/base/text.h"
#include "culvert/config/secret_file.h"
#include "new_file.h"
#include "output.h"
#include "qr_code.h"

namespace culvert::cli {
namespace {

using Writer = std::string (*)(const ClientProfile&);
struct Format {
  std::string_view word;
  Writer write;
  bool points_to_files;  ///< CA, certificate and key stand in files beside it
};
constexpr Format formats[] = {{"ios", to_mobileconfig, false},          {"macos", to_mobileconfig, false},
                              {"windows", to_powershell, false},        {"android", to_sswan, false},
                              {"strongswan", to_network_manager, true}, {"culvert", to_culvert_profile, true}};

/// 120 bits in letters and digits that are hard to mistake (RFC 4648's base 32), in groups: an old PKCS#12 needs them.
Secret make_passphrase() {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  Secret text(29);
  MutableByteView out = text.mutable_view();
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::uint8_t>(i % 6 == 4 && i + 1 < out.size() ? '-' : alphabet[randombytes_uniform(32)]);
  return text;
}

ExitCode refuse(const Error& error) {
  complain(printable(error.detail));
  return ExitCode::failed;
}

std::string ca_pem(const ClientProfile& profile) {
  std::string pem;
  for (const crypto::Certificate& ca : profile.ca) pem += ca.pem();
  return pem;
}

/// The CA beside the profile, and what else must go where: on standard error, as the profile may go to standard output.
ExitCode provide_files(const ClientProfile& profile, const ExportArguments& arguments) {
  const std::string stem = profile.file_stem();
  const bool is_culvert = arguments.format == "culvert";
  const std::string ca_name = stem + "-ca.pem";
  std::string notes;
  if (!arguments.out.empty()) {
    const auto file = std::filesystem::path(arguments.out).parent_path() / ca_name;
    if (auto written = write_new_file(file, as_bytes(ca_pem(profile)), public_mode, true); !written)
      return refuse(written.error());
    notes = fmt::format("wrote {}, too: ", file.string());
  }
  notes += fmt::format("on the client the CA belongs {}",
                       is_culvert ? "beside the profile, as " + ca_name : "into /etc/ipsec.d/cacerts/" + stem + ".pem");
  if (profile.has_certificate())
    notes += fmt::format("; certificate and key (PEM): {0}{2}.pem and {1}{2}.key",
                         is_culvert ? "" : "/etc/ipsec.d/certs/", is_culvert ? "" : "/etc/ipsec.d/private/", stem);
  else if (is_culvert)
    notes += fmt::format("; the password: {}.password, mode 0600", stem);
  complain(printable(notes));
  return ExitCode::ok;
}

ExitCode show(const std::string& text, const ClientProfile& profile, const ExportArguments& arguments) {
  if (!arguments.out.empty()) {
    // A key stands in it: for the one who has the passphrase, and still for nobody else.
    const ::mode_t mode = profile.has_certificate() ? secret_mode : public_mode;
    if (auto written = write_new_file(arguments.out, as_bytes(text), mode, arguments.force); !written)
      return refuse(written.error());
  }
  if (arguments.qr) {
    const auto code = qr_code(text, ::isatty(STDOUT_FILENO) != 0);
    return code ? printed(*code) : refuse(code.error());
  }
  return arguments.out.empty() ? printed(text) : ExitCode::ok;
}

}  // namespace

ExitCode run_client_export(const ExportArguments& arguments) {
  const auto* format = std::ranges::find(formats, arguments.format, &Format::word);
  if (format == std::end(formats)) return ExitCode::usage;
  const auto config = config::load(arguments.config);
  if (!config) {
    for (const auto& diagnostic : config.error()) fmt::print(stderr, "{}\n", diagnostic.to_string());
    return ExitCode::failed;
  }
  if (sodium_init() < 0) return refuse({Errc::internal, "libsodium does not start"});
  Secret passphrase = make_passphrase();
  if (!arguments.passphrase_file.empty()) {
    auto given = config::read_passphrase({arguments.passphrase_file});
    if (!given) return refuse(given.error());
    passphrase = std::move(*given);
  }
  const auto profile = make_client_profile(*config, arguments, passphrase);
  if (!profile) return refuse(profile.error());
  if (!profile->doubt.empty()) complain(profile->doubt);
  if (const ExitCode code = show(format->write(*profile), *profile, arguments); code != ExitCode::ok) return code;
  if (format->points_to_files) return provide_files(*profile, arguments);
  if (profile->has_certificate() && arguments.passphrase_file.empty()) {
    const ByteView text = passphrase.view();
    complain(fmt::format(
        "the passphrase of the certificate, which {} is asked for: {} (tell it by another way than the file)",
        printable(arguments.user), std::string_view(reinterpret_cast<const char*>(text.data()), text.size())));
  }
  return ExitCode::ok;
}

}  // namespace culvert::cli
