#include "credentials.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "culvert/crypto/distinguished_name.h"
#include "culvert/eap/client.h"

namespace culvert::config {
namespace {

constexpr std::size_t max_files_of_folder = 1024;

bool is_certificate_file(const std::filesystem::path& file) {
  static constexpr std::string_view endings[] = {".pem", ".crt", ".cer", ".der"};
  return std::ranges::find(endings, file.extension().string()) != std::end(endings);
}

/// In the order of their names.
Result<std::set<std::filesystem::path>> files_of(const std::filesystem::path& folder) {
  std::error_code error;
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (!is_certificate_file(entry.path())) continue;
    files.insert(entry.path());
    if (files.size() > max_files_of_folder)
      return fail(Errc::exhausted,
                  fmt::format("{} has more than {} certificates", in_quotes(folder.string()), max_files_of_folder));
  }
  if (error) return fail(Errc::io, fmt::format("cannot read {}: {}", in_quotes(folder.string()), error.message()));
  if (files.empty()) {
    return fail(Errc::not_found, fmt::format("{} has no certificates: files that end in .pem, .crt, .cer or .der",
                                             in_quotes(folder.string())));
  }
  return files;
}

Result<std::vector<crypto::Certificate>> read_certificates(const FileName& file) {
  const auto content = read_public_file(file);
  if (!content) return std::unexpected(content.error());
  auto found = crypto::Certificate::from_file_content(*content);
  if (!found)
    return fail(found.error().code, fmt::format("{}: {}", in_quotes(file.path.string()), found.error().detail));
  return found;
}

bool is_empty_name(const Bytes& der) {
  return der.size() <= 2;  // 30 00
}

}  // namespace

Credentials::Credentials(std::filesystem::path folder, Findings& findings)
    : folder_(std::move(folder)),
      findings_(findings),
      now_(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())) {}

std::optional<FileName> Credentials::find(const std::string& name, Position at, const std::string& key) {
  auto file = find_file(folder_, name);
  if (file) return std::move(*file);
  findings_.error(at, key, file.error().detail);
  return std::nullopt;
}

std::optional<std::vector<crypto::Certificate>> Credentials::certificates(const Located<std::string>& source,
                                                                          const std::string& key) {
  const auto file = find(source.value, source.at, key);
  if (!file) return std::nullopt;
  std::error_code ignored;
  std::set<std::filesystem::path> paths{file->path};
  if (std::filesystem::is_directory(file->path, ignored)) {
    auto files = files_of(file->path);
    if (!files) {
      findings_.error(source.at, key, files.error().detail);
      return std::nullopt;
    }
    paths = std::move(*files);
  }
  std::vector<crypto::Certificate> all;
  bool sound = true;
  for (const auto& path : paths) {
    FileName one(path);
    one.credential = file->credential;
    auto found = read_certificates(one);
    if (!found) findings_.error(source.at, key, found.error().detail);
    sound = sound && found.has_value();
    if (found) std::ranges::move(*found, std::back_inserter(all));
  }
  if (!sound) return std::nullopt;
  return all;
}

std::optional<std::vector<crypto::Certificate>> Credentials::certificates(const List<std::string>& sources,
                                                                          const std::string& key) {
  std::vector<crypto::Certificate> all;
  bool sound = true;
  if (!sources.value) return all;
  for (const auto& source : *sources.value) {
    auto found = certificates(source, key);
    sound = sound && found.has_value();
    if (found) std::ranges::move(*found, std::back_inserter(all));
  }
  if (!sound) return std::nullopt;
  return all;
}

void Credentials::watch(const crypto::Certificate& certificate, Position at, const std::string& key) {
  const bool known = std::ranges::any_of(
      certificates_, [&](const WatchedCertificate& other) { return other.certificate == certificate; });
  if (known) return;
  certificates_.push_back({key, certificate});
  if (const auto warning = expiry_warning(certificates_.back(), now_)) findings_.warn(at, key, *warning);
}

std::optional<std::string> expiry_warning(const WatchedCertificate& watched, crypto::WallTime now) {
  const auto& certificate = watched.certificate;
  const std::string until = crypto::wall_time_text(certificate.not_after());
  if (now > certificate.not_after())
    return fmt::format("{} expired on {}: it must be replaced, others refuse it", certificate.name(), until);
  if (now < certificate.not_before()) {
    return fmt::format("{} is not valid before {}: others refuse it till then, unless the clock is wrong here",
                       certificate.name(), crypto::wall_time_text(certificate.not_before()));
  }
  const auto left = certificate.not_after() - now;
  if (left >= expiry_notice) return std::nullopt;
  const auto days = std::chrono::floor<std::chrono::days>(left).count();
  return fmt::format("{} expires {}, on {}: replace it before that", certificate.name(),
                     days == 0 ? std::string("within a day") : fmt::format("in {} day{}", days, days == 1 ? "" : "s"),
                     until);
}

// ---- identities -----------------------------------------------------------------------------------------------------

ike::Identity identity_of(const crypto::PublicKey& key) {
  Bytes digest(crypto_hash_sha256_BYTES);
  crypto_hash_sha256(digest.data(), key.spki().data(), key.spki().size());
  return {ike::IdType::key_id, std::move(digest)};
}

namespace {

/// IDi says only which peer of the gateway is meant; the EAP identity counts.
ike::Identity identity_of_user(const std::string& user) {
  auto id = ike::Identity::parse(user);
  if (id && !id->has_wildcard()) return std::move(*id);
  return {ike::IdType::key_id, Bytes(user.begin(), user.end())};
}

}  // namespace

std::optional<ike::Identity> identity_of(const ike::OwnAuth& auth) {
  if (const auto* raw = std::get_if<ike::OwnRawKey>(&auth)) return identity_of(raw->key->public_key());
  if (const auto* login = std::get_if<ike::OwnEap>(&auth)) return identity_of_user(login->client->user);
  const auto* own = std::get_if<ike::OwnCertificate>(&auth);
  if (!own || own->chain.empty()) return std::nullopt;
  const crypto::Certificate& certificate = *own->chain.front();
  using Type = crypto::AlternativeName::Type;
  for (const Type type : {Type::dns, Type::email, Type::ip}) {
    const auto name = std::ranges::find(certificate.alternative_names(), type, &crypto::AlternativeName::type);
    if (name == certificate.alternative_names().end()) continue;
    auto id = ike::Identity::parse(name->text);
    if (id && asserts(certificate, *id)) return std::move(*id);
  }
  if (is_empty_name(certificate.subject())) return std::nullopt;
  return ike::Identity{ike::IdType::der_asn1_dn, certificate.subject()};
}

bool asserts(const crypto::Certificate& certificate, const ike::Identity& id) {
  switch (id.type) {
    case ike::IdType::fqdn:
      return certificate.asserts_fqdn(as_text(id.data));
    case ike::IdType::rfc822_addr:
      return certificate.asserts_email(as_text(id.data));
    case ike::IdType::ipv4_addr:
    case ike::IdType::ipv6_addr: {
      const auto address = IpAddress::from_bytes(id.data);
      return address && certificate.asserts_ip(*address);
    }
    case ike::IdType::der_asn1_dn:
      return certificate.asserts_dn(id.data);
    case ike::IdType::key_id:
      return certificate.asserts_key_id(id.data);
    case ike::IdType::any:
      break;
  }
  return false;
}

std::string names_in(const crypto::Certificate& certificate) {
  constexpr std::size_t max_named = 8;
  std::vector<std::string> names;
  for (const auto& name : certificate.alternative_names()) {
    if (names.size() < max_named && name.type != crypto::AlternativeName::Type::uri) names.push_back(name.text);
  }
  if (!is_empty_name(certificate.subject())) names.push_back(certificate.subject_text());
  return one_of({names.begin(), names.end()});
}

}  // namespace culvert::config
