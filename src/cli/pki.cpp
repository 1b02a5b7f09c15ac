#include "pki.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "culvert/base/text.h"
#include "culvert/config/secret_file.h"
#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/ike/identity.h"
#include "new_file.h"

namespace culvert::cli {
namespace {

using crypto::AlternativeName;
using crypto::Certificate;
using crypto::Crl;
using crypto::PrivateKey;
using std::chrono::days;

constexpr unsigned ca_days = 3650;
constexpr unsigned leaf_days = 365;
constexpr unsigned crl_days = 30;
constexpr std::chrono::hours backdated{1};  ///< the clocks of others may be late

struct Ca {
  Certificate certificate;
  PrivateKey key;
};

Error in_file(const std::filesystem::path& file, Error error) {
  error.detail = fmt::format("{}: {}", file.string(), error.detail);
  return error;
}

/// A CN of any text, RFC 4514 §2.4.
Result<Bytes> common_name(std::string_view text) {
  std::string escaped = "CN=";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool at_end = i == 0 || i + 1 == text.size();
    if (c == ' ' && at_end) {
      escaped += "\\20";
      continue;
    }
    if (std::string_view("\"+,;<>\\=").find(c) != std::string_view::npos || (c == '#' && i == 0)) escaped += '\\';
    escaped += c;
  }
  return crypto::encode_distinguished_name(escaped);
}

crypto::Validity validity(const PkiOptions& options, unsigned default_days) {
  return {options.now - backdated, options.now + days(options.days != 0 ? options.days : default_days)};
}

Result<Secret> passphrase(const PkiOptions& options) {
  if (options.passphrase_file.empty()) return Secret();
  return config::read_passphrase(options.passphrase_file);
}

Result<Ca> load_ca(const PkiOptions& options) {
  const auto certificate_file = options.folder / "ca.pem", key_file = options.folder / "ca.key";
  const auto content = config::read_public_file(certificate_file);
  if (!content && content.error().code == Errc::not_found) {
    return fail(Errc::not_found, fmt::format("there is no CA in {}: make one with culvert pki ca --name NAME --out {}",
                                             options.folder.string(), options.folder.string()));
  }
  if (!content) return std::unexpected(content.error());
  const auto certificates = Certificate::from_file_content(*content);
  if (!certificates) return std::unexpected(in_file(certificate_file, certificates.error()));
  const auto pem = config::read_private_key(key_file);
  if (!pem) return std::unexpected(pem.error());
  const auto secret = passphrase(options);
  if (!secret) return std::unexpected(secret.error());
  auto key = PrivateKey::from_pem(pem->view(), *secret);
  if (!key) return std::unexpected(in_file(key_file, key.error()));
  return Ca{certificates->front(), std::move(*key)};
}

Result<void> make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(Errc::io, fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
  return {};
}

/// Before any work is done, and before the first of two files is written.
Result<void> check_free(const PkiOptions& options, const std::vector<std::filesystem::path>& files) {
  for (const auto& file : files) {
    struct stat facts {};
    if (options.force || ::lstat(file.c_str(), &facts) != 0) continue;
    return fail(Errc::invalid, fmt::format("{} exists already: --force overwrites it", file.string()), EEXIST);
  }
  return {};
}

Result<void> write_key(const PkiOptions& options, const std::filesystem::path& file, const PrivateKey& key,
                       const Secret& secret) {
  const auto pem = key.to_pem(secret);
  if (!pem) return std::unexpected(pem.error());
  return write_new_file(file, pem->view(), secret_mode, options.force);
}

Result<void> write_certificate(const std::filesystem::path& file, const Certificate& certificate, bool replace) {
  return write_new_file(file, as_bytes(certificate.pem()), public_mode, replace);
}

std::string serial_name(const Bytes& serial) {
  std::string text;
  for (const std::uint8_t byte : serial) text += fmt::format("{:02x}", byte);
  return text;
}

std::string day_of(crypto::WallTime time) {
  return crypto::wall_time_text(time).substr(0, 10);
}

// ---- making a certificate -------------------------------------------------------------------------------------------

struct Leaf {
  std::filesystem::path certificate_file, key_file;
  crypto::WallTime not_after;
};

/// Key and certificate of `request` as FOLDER/NAME.key and NAME.pem.
Result<Leaf> make_leaf(const PkiOptions& options, const std::string& name, crypto::LeafRequest request) {
  Leaf leaf{options.folder / (name + ".pem"), options.folder / (name + ".key"), {}};
  const auto spec = parse_key_type(options.key_type);
  if (!spec) return std::unexpected(spec.error());
  if (auto free = check_free(options, {leaf.certificate_file, leaf.key_file}); !free)
    return std::unexpected(free.error());
  const auto ca = load_ca(options);
  if (!ca) return std::unexpected(ca.error());
  const auto key = PrivateKey::generate(*spec);
  if (!key) return std::unexpected(key.error());
  request.validity = validity(options, leaf_days);
  // A leaf that outlives its CA would stop working earlier than it says.
  request.validity.not_before = std::max(request.validity.not_before, ca->certificate.not_before());
  request.validity.not_after = std::min(request.validity.not_after, ca->certificate.not_after());
  const auto certificate = crypto::issue_leaf(ca->key, ca->certificate, key->public_key(), request);
  if (!certificate) return std::unexpected(certificate.error());
  const auto issued = options.folder / "issued";
  if (auto made = make_folder(issued); !made) return std::unexpected(made.error());
  if (auto kept = write_certificate(issued / (serial_name(certificate->serial()) + ".pem"), *certificate, false); !kept)
    return std::unexpected(kept.error());
  if (auto written = write_key(options, leaf.key_file, *key, Secret()); !written)
    return std::unexpected(written.error());
  if (auto written = write_certificate(leaf.certificate_file, *certificate, options.force); !written)
    return std::unexpected(written.error());
  leaf.not_after = request.validity.not_after;
  return leaf;
}

std::string made_text(const Leaf& leaf) {
  return fmt::format(
      "{:<40}  certificate, until {}\n"
      "{:<40}  its private key (mode 0600): goes to that machine and nowhere else\n",
      leaf.certificate_file.string(), day_of(leaf.not_after), leaf.key_file.string());
}

/// A name that can be a file name and stands for what it says.
Result<AlternativeName> alternative_name(const std::string& text) {
  const auto id = ike::Identity::parse(text);
  if (!id) return fail(Errc::invalid, fmt::format("{}: expected a domain name or an IP address", printable(text)));
  using ike::IdType;
  if (text.find_first_of("/*") != std::string::npos || text.starts_with('.'))
    return fail(Errc::invalid, fmt::format("{}: a certificate names one machine or one person", printable(text)));
  switch (id->type) {
    case IdType::fqdn:
      return AlternativeName{AlternativeName::Type::dns, id->to_string()};
    case IdType::ipv4_addr:
    case IdType::ipv6_addr:
      return AlternativeName{AlternativeName::Type::ip, id->to_string()};
    case IdType::rfc822_addr:
      return AlternativeName{AlternativeName::Type::email, id->to_string()};
    default:
      return fail(Errc::invalid, fmt::format("{}: expected a domain name or an IP address", printable(text)));
  }
}

// ---- revocation -----------------------------------------------------------------------------------------------------

struct RevocationList {
  std::vector<crypto::RevokedCertificate> revoked;
  std::uint64_t number = 0;
};

Result<RevocationList> load_list(const PkiOptions& options, const Ca& ca) {
  const auto file = options.folder / "ca.crl";
  const auto content = config::read_public_file(file);
  if (!content && content.error().code == Errc::not_found) return RevocationList{};
  if (!content) return std::unexpected(content.error());
  const auto crl = Crl::from_file_content(*content);
  if (!crl) return std::unexpected(in_file(file, crl.error()));
  if (!crl->is_signed_by(ca.certificate))
    return fail(Errc::invalid, fmt::format("{} is not a list of the CA in {}", file.string(), options.folder.string()));
  RevocationList list;
  list.revoked = crypto::revoked_certificates(*crl);
  for (const std::uint8_t byte : crl->number().value_or(Bytes{})) list.number = list.number << 8 | byte;
  return list;
}

Result<std::string> write_list(const PkiOptions& options, const Ca& ca, const RevocationList& list) {
  const auto until = options.now + days(options.days != 0 ? options.days : crl_days);
  const auto crl =
      crypto::issue_crl(ca.key, ca.certificate, list.revoked, list.number + 1, options.now - backdated, until);
  if (!crl) return std::unexpected(crl.error());
  const auto file = options.folder / "ca.crl";
  if (auto written = write_new_file(file, crl->der(), public_mode, true); !written)
    return std::unexpected(written.error());
  return fmt::format(
      "{}  {} revoked, good until {} (culvert pki crl makes a new one before that)\n\n"
      "Every gateway reads it from a file or from a web server that you name:\n\n"
      "peer_auth = {{ ca = \"ca.pem\", crl = \"ca.crl\" }}        # or crl = \"http://HOST/ca.crl\"\n",
      file.string(), list.revoked.size(), day_of(until));
}

bool names(const Certificate& certificate, const ike::Identity& id) {
  const std::string text = id.to_string();
  switch (id.type) {
    case ike::IdType::fqdn:
      return certificate.asserts_fqdn(text);
    case ike::IdType::rfc822_addr:
      return certificate.asserts_email(text);
    case ike::IdType::ipv4_addr:
    case ike::IdType::ipv6_addr:
      return certificate.asserts_ip(*IpAddress::parse(text));
    default:
      return false;
  }
}

Result<Certificate> load_certificate(const std::filesystem::path& file) {
  const auto content = config::read_public_file(file);
  if (!content) return std::unexpected(content.error());
  const auto certificates = Certificate::from_file_content(*content);
  if (!certificates) return std::unexpected(in_file(file, certificates.error()));
  return certificates->front();
}

Result<std::vector<Certificate>> find_issued(const PkiOptions& options, const std::string& what) {
  std::error_code error;
  if (std::filesystem::is_regular_file(what, error)) {
    auto certificate = load_certificate(what);
    if (!certificate) return std::unexpected(certificate.error());
    return std::vector{std::move(*certificate)};
  }
  const auto id = ike::Identity::parse(what);
  std::vector<Certificate> found;
  for (const auto& entry : std::filesystem::directory_iterator(options.folder / "issued", error)) {
    if (!id || entry.path().extension() != ".pem") continue;
    auto certificate = load_certificate(entry.path());
    if (!certificate) return std::unexpected(certificate.error());
    if (names(*certificate, *id)) found.push_back(std::move(*certificate));
  }
  if (!found.empty()) return found;
  return fail(Errc::not_found, fmt::format("{} is neither a file with a certificate nor a name in one of {}/issued",
                                           printable(what), options.folder.string()));
}

}  // namespace

Result<crypto::KeySpec> parse_key_type(std::string_view text) {
  using crypto::KeyType;
  constexpr std::array<std::pair<std::string_view, crypto::KeySpec>, 7> known = {{
      {"p256", {KeyType::ecdsa_p256, 0}},
      {"p384", {KeyType::ecdsa_p384, 0}},
      {"p521", {KeyType::ecdsa_p521, 0}},
      {"ed25519", {KeyType::ed25519, 0}},
      {"rsa2048", {KeyType::rsa, 2048}},
      {"rsa3072", {KeyType::rsa, 3072}},
      {"rsa4096", {KeyType::rsa, 4096}},
  }};
  for (const auto& [name, spec] : known) {
    if (name == text) return spec;
  }
  return fail(
      Errc::invalid,
      fmt::format("{}: the kinds of keys are p256, p384, p521, ed25519, rsa2048, rsa3072, rsa4096", printable(text)));
}

Result<std::string> make_ca(const PkiOptions& options, std::string_view name,
                            const std::vector<std::string>& permitted) {
  const auto certificate_file = options.folder / "ca.pem", key_file = options.folder / "ca.key";
  const auto spec = parse_key_type(options.key_type);
  if (!spec) return std::unexpected(spec.error());
  const auto subject = common_name(name);
  if (!subject) return fail(Errc::invalid, fmt::format("--name: {}", subject.error().detail));
  crypto::CaRequest request;
  request.subject = *subject;
  request.validity = validity(options, ca_days);
  request.path_length = 0;  // below it only gateways and users
  for (const std::string& entry : permitted) {
    if (const auto prefix = IpPrefix::parse(entry)) {
      request.permitted.ip.push_back(*prefix);
      continue;
    }
    request.permitted.dns.push_back(entry);
    request.permitted.email.push_back(entry);
    request.permitted.email.push_back("." + entry);
  }
  if (auto made = make_folder(options.folder); !made) return std::unexpected(made.error());
  if (auto free = check_free(options, {certificate_file, key_file}); !free) return std::unexpected(free.error());
  const auto secret = passphrase(options);
  if (!secret) return std::unexpected(secret.error());
  const auto key = PrivateKey::generate(*spec);
  if (!key) return std::unexpected(key.error());
  const auto certificate = crypto::issue_self_signed_ca(*key, request);
  if (!certificate) return std::unexpected(certificate.error());
  if (auto written = write_key(options, key_file, *key, *secret); !written) return std::unexpected(written.error());
  if (auto written = write_certificate(certificate_file, *certificate, options.force); !written)
    return std::unexpected(written.error());
  return fmt::format(
      "{:<40}  the CA \"{}\", until {}: goes to every gateway\n"
      "{:<40}  its private key (mode 0600): stays here{}\n\n"
      "Next: culvert pki gateway HOST.NAME --out {}\n",
      certificate_file.string(), printable(name), day_of(request.validity.not_after), key_file.string(),
      secret->empty() ? ", on a machine that is no gateway" : ", encrypted", options.folder.string());
}

Result<std::string> make_gateway(const PkiOptions& options, const std::vector<std::string>& names_of_it) {
  crypto::LeafRequest request;
  for (const std::string& text : names_of_it) {
    auto name = alternative_name(text);
    if (!name) return std::unexpected(name.error());
    if (name->type == AlternativeName::Type::email)
      return fail(Errc::invalid, fmt::format("{} is a person: culvert pki user {}", printable(text), printable(text)));
    request.names.push_back(std::move(*name));
  }
  const std::string& name = names_of_it.front();
  auto subject = common_name(name);
  if (!subject) return std::unexpected(subject.error());
  request.subject = std::move(*subject);
  request.server = true;
  request.client = true;  // either gateway may call
  const auto leaf = make_leaf(options, name, std::move(request));
  if (!leaf) return std::unexpected(leaf.error());
  return made_text(*leaf) +
         fmt::format(
             "\nOn {0}: copy these two and ca.pem to /etc/culvert, and write into culvert.toml\n\n"
             "[gateway]\n"
             "id        = \"{0}\"\n"
             "auth      = {{ certificate = \"{0}.pem\", key = \"{0}.key\" }}\n"
             "peer_auth = {{ ca = \"ca.pem\" }}                     # for every peer that has none of its own\n\n"
             "At the other end:\n\n"
             "[peer.NAME]\n"
             "address = [\"{0}\"]\n"
             "id      = \"{0}\"\n",
             name);
}

Result<std::string> make_user(const PkiOptions& options, const std::string& email) {
  auto name = alternative_name(email);
  if (!name || name->type != AlternativeName::Type::email)
    return fail(Errc::invalid, fmt::format("{}: expected an e-mail address such as ada@example.net", printable(email)));
  crypto::LeafRequest request;
  request.names.push_back(std::move(*name));
  auto subject = common_name(email);
  if (!subject) return std::unexpected(subject.error());
  request.subject = std::move(*subject);
  request.client = true;
  const auto leaf = make_leaf(options, email, std::move(request));
  if (!leaf) return std::unexpected(leaf.error());
  return made_text(*leaf) + fmt::format(
                                "\nOn the user's machine: these two and ca.pem, and\n\n"
                                "[gateway]\n"
                                "id        = \"{0}\"\n"
                                "auth      = {{ certificate = \"{0}.pem\", key = \"{0}.key\" }}\n"
                                "peer_auth = {{ ca = \"ca.pem\" }}\n\n"
                                "On the gateway:\n\n"
                                "[peer.NAME]\n"
                                "address = \"any\"\n"
                                "id      = \"{0}\"\n",
                                email);
}

Result<std::string> revoke(const PkiOptions& options, const std::string& what) {
  const auto ca = load_ca(options);
  if (!ca) return std::unexpected(ca.error());
  auto list = load_list(options, *ca);
  if (!list) return std::unexpected(list.error());
  const auto certificates = find_issued(options, what);
  if (!certificates) return std::unexpected(certificates.error());
  std::string text;
  for (const Certificate& certificate : *certificates) {
    if (certificate.issuer() != ca->certificate.subject())
      return fail(Errc::invalid,
                  fmt::format("{} was not made by this CA but by {}", certificate.name(), certificate.issuer_text()));
    const bool already = std::ranges::find(list->revoked, certificate.serial(), &crypto::RevokedCertificate::serial) !=
                         list->revoked.end();
    if (!already) list->revoked.push_back({certificate.serial(), options.now});
    text += fmt::format("{}: {}, serial {}\n", already ? "was revoked before" : "revoked", certificate.name(),
                        certificate.serial_text());
  }
  const auto written = write_list(options, *ca, *list);
  if (!written) return std::unexpected(written.error());
  return text + *written;
}

Result<std::string> renew_crl(const PkiOptions& options) {
  const auto ca = load_ca(options);
  if (!ca) return std::unexpected(ca.error());
  const auto list = load_list(options, *ca);
  if (!list) return std::unexpected(list.error());
  return write_list(options, *ca, *list);
}

}  // namespace culvert::cli
