// `auth`: how we prove who we are.
#include <fmt/format.h>

#include <utility>

#include "credentials.h"
#include "culvert/config/users.h"

namespace culvert::config {
namespace {

constexpr std::string_view ways =
    "{ psk_file = \"FILE\" }, { certificate = \"FILE\", key = \"FILE\" } or, for a raw key, { key = \"FILE\" }";

bool is_token(std::string_view key) {
  return key.starts_with("pkcs11:");
}

}  // namespace

std::shared_ptr<const Secret> Credentials::psk(const Field<std::string>& file, const std::string& key) {
  const std::string psk_key = dotted(key, "psk_file");
  const auto name = find(*file.value, file.at, psk_key);
  if (!name) return nullptr;
  auto psk = read_psk(*name);
  if (!psk) {
    findings_.error(file.at, psk_key, psk.error().detail);
    return nullptr;
  }
  if (psk->size() < advised_psk_len) {
    findings_.warn(file.at, psk_key,
                   fmt::format("a key of {} bytes can be guessed from one recorded exchange with an active attacker: "
                               "culvert genpsk makes one of 32",
                               psk->size()));
  }
  return std::make_shared<const Secret>(std::move(*psk));
}

/// Keys that say nothing beside the others.
void Credentials::check_fields(const RawAuth& raw, const std::string& key) {
  const auto useless = [&](const auto& field, std::string_view name, std::string_view why) {
    if (field.present) findings_.error(field.at, dotted(key, name), std::string(why));
  };
  const bool has_key = raw.key.present;
  if (raw.psk_file.present) {
    constexpr std::string_view either = "stands beside psk_file: we prove who we are in one way";
    useless(raw.certificate, "certificate", either);
    useless(raw.key, "key", either);
  } else if (!has_key) {
    useless(raw.certificate, "certificate", "stands without its private key: key = \"FILE\"");
  }
  if (!has_key) useless(raw.passphrase_file, "passphrase_file", "stands without a key that it belongs to");
  if (!raw.key.value || !is_token(*raw.key.value))
    useless(raw.pkcs11_module, "pkcs11_module", "stands without a key in a token: key = \"pkcs11:…\"");
  if (!raw.certificate.present) useless(raw.intermediates, "intermediates", "stands without a certificate");
  if (!has_key) useless(raw.signature, "signature", "stands without a key that signs");
}

std::optional<OwnCredential> Credentials::own(const RawAuth& raw, const std::string& key) {
  const std::size_t before = findings_.num_errors();
  check_eap_fields(raw, key);
  check_fields(raw, key);
  if (!raw.eap.present && !raw.psk_file.present && !raw.key.present && findings_.num_errors() == before)
    findings_.error(raw.at, key, fmt::format("says no way to authenticate: expected {}", ways));
  if (findings_.num_errors() != before) return std::nullopt;
  if (raw.eap.value) return own_eap(raw, key);
  OwnCredential credential;
  if (raw.psk_file.value) {
    auto secret = psk(raw.psk_file, key);
    if (!secret) return std::nullopt;
    credential.auth = ike::PreSharedKey{std::move(secret)};
    return credential;
  }
  if (raw.certificate.value) return own_certificate(raw, key);
  auto signing = private_key(raw, key);
  if (!signing) return std::nullopt;
  credential.auth = ike::OwnRawKey{std::move(signing)};
  credential.signature = raw.signature.value.value_or(SignatureChoice::rsa_pss);
  return credential;
}

std::optional<OwnCredential> Credentials::own_certificate(const RawAuth& raw, const std::string& key) {
  const std::string certificate_key = dotted(key, "certificate");
  auto chain = certificates({*raw.certificate.value, raw.certificate.at}, certificate_key);
  const auto more = certificates(raw.intermediates, dotted(key, "intermediates"));
  auto signing = private_key(raw, key);
  if (!chain || !more || !signing) return std::nullopt;
  const crypto::Certificate& leaf = chain->front();
  const auto& certified = leaf.public_key();
  if (!certified) {
    findings_.error(raw.certificate.at, certificate_key, fmt::format("{}: {}", leaf.name(), certified.error().detail));
    return std::nullopt;
  }
  if (*certified != signing->public_key()) {
    findings_.error(raw.key.at, dotted(key, "key"),
                    fmt::format("{} is not the private key of the certificate {} (culvert pubkey shows the public half "
                                "of each file)",
                                in_quotes(*raw.key.value), leaf.name()));
    return std::nullopt;
  }
  OwnCredential credential;
  credential.signature = raw.signature.value.value_or(SignatureChoice::rsa_pss);
  ike::OwnCertificate own;
  own.key = std::move(signing);
  chain->insert(chain->end(), more->begin(), more->end());
  for (const crypto::Certificate& certificate : *chain) {
    watch(certificate, raw.certificate.at, certificate_key);
    // RFC 7296 §3.6: the peer has the root, or it would trust nobody.
    const bool is_root = !own.chain.empty() && certificate.is_self_issued();
    if (!is_root) own.chain.push_back(std::make_shared<const crypto::Certificate>(certificate));
  }
  credential.auth = std::move(own);
  return credential;
}

/// An empty one when none is named; nullopt after a message.
std::optional<Secret> Credentials::passphrase(const RawAuth& raw, const std::string& key) {
  if (!raw.passphrase_file.value) return Secret();
  const std::string passphrase_key = dotted(key, "passphrase_file");
  const auto file = find(*raw.passphrase_file.value, raw.passphrase_file.at, passphrase_key);
  if (!file) return std::nullopt;
  auto secret = read_passphrase(*file);
  if (secret) return std::move(*secret);
  findings_.error(raw.passphrase_file.at, passphrase_key, secret.error().detail);
  return std::nullopt;
}

std::shared_ptr<const crypto::PrivateKey> Credentials::private_key(const RawAuth& raw, const std::string& key) {
  const std::string& name = *raw.key.value;
  const std::string same =
      name + '\n' + raw.passphrase_file.value.value_or("") + '\n' + raw.pkcs11_module.value.value_or("");
  if (const auto known = keys_.find(same); known != keys_.end()) return known->second;
  const auto secret = passphrase(raw, key);
  if (!secret) return nullptr;
  const auto wrong = [&](const Error& error) {
    const bool of_passphrase = error.code == Errc::authentication && raw.passphrase_file.present;
    findings_.error(of_passphrase ? raw.passphrase_file.at : raw.key.at,
                    dotted(key, of_passphrase ? "passphrase_file" : "key"), error.detail);
    return nullptr;
  };
  Result<crypto::PrivateKey> loaded = fail(Errc::internal, "");
  if (is_token(name)) {
    uses_token_ = true;
    const auto& named = raw.pkcs11_module.value;
    const std::filesystem::path module = named ? folder_ / *named : std::filesystem::path();
    loaded = crypto::PrivateKey::from_pkcs11(name, module, *secret);
  } else {
    const auto file = find(name, raw.key.at, dotted(key, "key"));
    if (!file) return nullptr;
    const auto pem = read_private_key(*file);
    if (!pem) return wrong(pem.error());
    loaded = crypto::PrivateKey::from_pem(pem->view(), *secret);
    if (!loaded) loaded.error().detail = fmt::format("{}: {}", in_quotes(file->path.string()), loaded.error().detail);
  }
  if (!loaded) return wrong(loaded.error());
  return keys_.emplace(same, std::make_shared<const crypto::PrivateKey>(std::move(*loaded))).first->second;
}

std::shared_ptr<const Secret> Credentials::secret_line(const std::string& name, Position at, const std::string& key) {
  const auto file = find(name, at, key);
  if (!file) return nullptr;
  auto secret = read_passphrase(*file);
  if (secret) return std::make_shared<const Secret>(std::move(*secret));
  findings_.error(at, key, secret.error().detail);
  return nullptr;
}

std::shared_ptr<const eap::UserTable> Credentials::users(const Field<std::string>& file, const std::string& key,
                                                         std::optional<FileName>& found) {
  if (!file.value) return nullptr;
  found = find(*file.value, file.at, key);
  if (!found) return nullptr;
  auto table = load_users(*found);
  if (table) return std::move(*table);
  for (const Diagnostic& mistake : table.error()) findings_.error(file.at, key, mistake.to_string());
  return nullptr;
}

}  // namespace culvert::config
