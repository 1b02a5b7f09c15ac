// genpsk, genkey, pubkey and pki: what needs no daemon.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "commands.h"
#include "culvert/config/secret_file.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/private_key.h"
#include "genpsk.h"
#include "new_file.h"
#include "output.h"
#include "pki.h"

namespace culvert::cli {
namespace {

ExitCode failed(const Error& error) {
  complain(error.detail);
  return ExitCode::failed;
}

/// Without a copy of the secret in a buffer that nobody wipes.
ExitCode print_secret(const Secret& secret, std::string_view command) {
  struct stat out {};
  if (::fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(out.st_mode) && (out.st_mode & 077) != 0) {
    complain(fmt::format(
        "the file that this goes to can be read by others, and culvert will refuse it: chmod 600 it, or use culvert {} "
        "FILE",
        command));
  }
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  return printed(as_text(secret.view()));
}

Result<Secret> read_standard_input() {
  Secret buffer(config::max_key_file_len + 1);
  std::size_t len = 0;
  while (len < buffer.size()) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.mutable_view().data() + len, buffer.size() - len);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::io, fmt::format("cannot read standard input: {}", std::strerror(errno)), errno);
    if (got == 0) return Secret::copy_of(buffer.view().first(len));
    len += static_cast<std::size_t>(got);
  }
  return fail(Errc::invalid, fmt::format("standard input is longer than {} bytes", config::max_key_file_len));
}

/// Whatever holds one: a certificate, a public key, a private key.
Result<crypto::PublicKey> public_key_in(ByteView content) {
  const std::string_view text = as_text(content);
  if (text.find("PRIVATE KEY-----") != std::string_view::npos) {
    const auto key = crypto::PrivateKey::from_pem(content, Secret());
    if (!key) return std::unexpected(key.error());
    return key->public_key();
  }
  if (text.find("-----BEGIN CERTIFICATE-----") != std::string_view::npos) {
    const auto certificates = crypto::Certificate::from_file_content(content);
    if (!certificates) return std::unexpected(certificates.error());
    return certificates->front().public_key();
  }
  return crypto::PublicKey::from_text(text);
}

PkiOptions options_of(const PkiArguments& arguments) {
  PkiOptions options;
  options.folder = arguments.folder;
  if (!arguments.key_type.empty()) options.key_type = arguments.key_type;
  options.days = arguments.days;
  options.passphrase_file = arguments.passphrase_file;
  options.force = arguments.force;
  options.now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return options;
}

}  // namespace

ExitCode run_genpsk(const std::optional<std::filesystem::path>& file) {
  const auto line = make_psk_line();
  if (!line) return failed(line.error());
  if (!file) return print_secret(*line, "genpsk");
  const auto written = write_psk_file(*file, line->view());
  return written ? ExitCode::ok : failed(written.error());
}

ExitCode run_genkey(const std::optional<std::filesystem::path>& file, const std::string& key_type) {
  const auto spec = parse_key_type(key_type.empty() ? "ed25519" : key_type);
  if (!spec) return failed(spec.error());
  const auto key = crypto::PrivateKey::generate(*spec);
  if (!key) return failed(key.error());
  const auto pem = key->to_pem(Secret());
  if (!pem) return failed(pem.error());
  if (!file) return print_secret(*pem, "genkey");
  if (auto written = write_new_file(*file, pem->view(), secret_mode); !written) return failed(written.error());
  return printed(key->public_key().text() + "\n");
}

ExitCode run_pubkey(const std::optional<std::filesystem::path>& file) {
  Result<Secret> content;
  if (!file) {
    content = read_standard_input();
  } else if (auto bytes = config::read_public_file(*file)) {
    content = Secret::copy_of(*bytes);
    sodium_memzero(bytes->data(), bytes->size());
  } else {
    content = std::unexpected(bytes.error());
  }
  if (!content) return failed(content.error());
  const auto key = public_key_in(content->view());
  if (!key) return failed(key.error());
  return printed(key->text() + "\n");
}

ExitCode run_pki(const PkiArguments& arguments) {
  const PkiOptions options = options_of(arguments);
  Result<std::string> text;
  if (arguments.command == "ca") {
    text = make_ca(options, arguments.name, arguments.names);
  } else if (arguments.command == "gateway") {
    text = make_gateway(options, arguments.names);
  } else if (arguments.command == "user") {
    text = make_user(options, arguments.name);
  } else if (arguments.command == "revoke") {
    text = revoke(options, arguments.name);
  } else {
    text = renew_crl(options);
  }
  return text ? printed(*text) : failed(text.error());
}

}  // namespace culvert::cli
