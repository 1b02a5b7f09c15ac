// `auth` and `peer_auth`: tables that stand in [gateway] and in [peer.NAME].
#include <array>

#include "keys.h"

namespace culvert::config {
namespace {

using crypto::RevocationPolicy;
using V = const ValueReader&;

constexpr std::array signatures = {Choice<SignatureChoice>{"rsa-pss", SignatureChoice::rsa_pss},
                                   Choice<SignatureChoice>{"rsa-pkcs1", SignatureChoice::rsa_pkcs1},
                                   Choice<SignatureChoice>{"classic", SignatureChoice::classic}};
constexpr std::array policies = {Choice<RevocationPolicy>{"strict", RevocationPolicy::strict},
                                 Choice<RevocationPolicy>{"relaxed", RevocationPolicy::relaxed},
                                 Choice<RevocationPolicy>{"none", RevocationPolicy::none}};

constexpr std::array eap_methods = {Choice<eap::Type>{"mschapv2", eap::Type::mschapv2},
                                    Choice<eap::Type>{"tls", eap::Type::tls}};

constexpr KeySpec<RawAuth> auth_table[] = {
    {"psk_file", "path", "none", "file of mode 0600 with the pre-shared key: text, or `0x…` (hex), or `0s…` (base64)",
     [](V v, RawAuth& a) { a.psk_file = v.text(); }, ReloadEffect::reauthenticates},
    {"certificate", "path", "none", "our certificate, PEM or DER; others in the same PEM file are sent with it",
     [](V v, RawAuth& a) { a.certificate = v.text(); }, ReloadEffect::reauthenticates},
    {"key", "path or `\"pkcs11:…\"`", "none",
     "our private key: PEM of mode 0600, or the URI of a token's key (RFC 7512). Without `certificate` it is a raw "
     "key, "
     "whose public half the peer knows",
     [](V v, RawAuth& a) { a.key = v.text(); }, ReloadEffect::reauthenticates},
    {"passphrase_file", "path", "none", "file of mode 0600 with the passphrase of `key`, or the PIN of its token",
     [](V v, RawAuth& a) { a.passphrase_file = v.text(); }, ReloadEffect::reauthenticates},
    {"pkcs11_module", "path", "p11-kit's", "the token's PKCS#11 module, a shared library",
     [](V v, RawAuth& a) { a.pkcs11_module = v.text(); }, ReloadEffect::reauthenticates},
    {"intermediates", "array of paths", "`[]`",
     "CA certificates between ours and the root: files or folders; sent with it",
     [](V v, RawAuth& a) { a.intermediates = v.texts(); }, ReloadEffect::reauthenticates},
    {"signature", "`\"rsa-pss\"`, `\"rsa-pkcs1\"`, `\"classic\"`", "`\"rsa-pss\"`",
     "how an RSA key signs by RFC 7427, for peers that know it; classic: every key without RFC 7427, for peers that "
     "get "
     "it wrong",
     [](V v, RawAuth& a) { a.signature = v.choice<SignatureChoice>(signatures); }},
    {"eap", "`\"mschapv2\"`, `\"tls\"`", "none",
     "we log in as a user by this method, at a gateway that proves who it is by `peer_auth`",
     [](V v, RawAuth& a) { a.eap = v.choice<eap::Type>(eap_methods); }, ReloadEffect::reauthenticates},
    {"user", "string", "with `eap = \"tls\"` from the certificate; else required", "who logs in by `eap`",
     [](V v, RawAuth& a) { a.user = v.text(); }, ReloadEffect::reauthenticates},
    {"password_file", "path", "none", "file of mode 0600 with the password of `user`",
     [](V v, RawAuth& a) { a.password_file = v.text(); }, ReloadEffect::reauthenticates},
    {"ca", "array of paths", "`ca` of `peer_auth`",
     "`eap = \"tls\"`: CAs of the server that checks users, where it is not the gateway; any certificate below them is taken",
     [](V v, RawAuth& a) { a.ca = v.texts(); }, ReloadEffect::reauthenticates},
    {"eap_only", "boolean", "false", "`eap = \"tls\"`: the gateway need not prove itself beside EAP (RFC 5998)",
     [](V v, RawAuth& a) { a.eap_only = v.boolean(); }},
};

constexpr KeySpec<RawPeerAuth> peer_auth_table[] = {
    {"psk_file", "path", "none",
     "the peer proves to know this key (for another key than ours, or where `auth` is no key)",
     [](V v, RawPeerAuth& a) { a.psk_file = v.text(); }, ReloadEffect::reauthenticates},
    {"public_key", "array of strings", "none",
     "the peer has the private half of one of these keys, as `culvert genkey` and `culvert pubkey` print them",
     [](V v, RawPeerAuth& a) { a.public_key = v.texts(); }, ReloadEffect::reauthenticates},
    {"ca", "array of paths", "none",
     "the peer has a certificate for its `id` below one of these CAs: files (PEM with one or many, DER), or folders of "
     "them",
     [](V v, RawPeerAuth& a) { a.ca = v.texts(); }, ReloadEffect::reauthenticates},
    {"intermediates", "array of paths", "`[]`", "CA certificates that the peer may forget to send; files or folders",
     [](V v, RawPeerAuth& a) { a.intermediates = v.texts(); }, ReloadEffect::reauthenticates},
    {"crl", "array of paths and URLs", "`[]`",
     "lists of revoked certificates: files, read again when they change, and `http://` addresses",
     [](V v, RawPeerAuth& a) { a.crl = v.texts(); }},
    {"ocsp", "URL", "none", "`http://` address of an OCSP responder, asked for each certificate of the peer's chain",
     [](V v, RawPeerAuth& a) { a.ocsp = v.text(); }},
    {"revocation", "`\"strict\"`, `\"relaxed\"`, `\"none\"`", "`\"relaxed\"` with `crl` or `ocsp`, else `\"none\"`",
     "strict: every certificate must be known to be good; relaxed: none may be known to be revoked",
     [](V v, RawPeerAuth& a) { a.revocation = v.choice<RevocationPolicy>(policies); }},
    {"eap", "array of `\"mschapv2\"`, `\"tls\"`, or `\"radius\"`", "none",
     "users log in by one of these methods: with a password of the file `users`, with a certificate below `ca`; or at RADIUS "
     "servers",
     [](V v, RawPeerAuth& a) { a.eap = v.texts(); }, ReloadEffect::reauthenticates},
    {"radius", "string", "the only `[radius.NAME]`", "which RADIUS servers check users",
     [](V v, RawPeerAuth& a) { a.radius = v.text(); }, ReloadEffect::reauthenticates},
    {"eap_only", "boolean", "false",
     "clients that ask for it need no proof of ours beside EAP (RFC 5998): for EAP-TLS, or RADIUS servers that have no weaker method",
     [](V v, RawPeerAuth& a) { a.eap_only = v.boolean(); }},
};

template <class Raw>
Field<Raw> read(V v, std::span<const KeySpec<Raw>> keys, std::string_view expected) {
  Field<Raw> field{std::nullopt, true, v.at()};
  const auto* table = std::get_if<Table>(&v.entry().node.value);
  if (!table) {
    v.wrong_type(expected);
    return field;
  }
  Raw raw;
  raw.at = v.at();
  const std::size_t before = v.findings().num_errors();
  read_table(*table, v.at(), v.key(), keys, raw, v.findings());
  if (v.findings().num_errors() == before) field.value = std::move(raw);  // what is missing may be what was mistyped
  return field;
}

}  // namespace

std::span<const KeySpec<RawAuth>> auth_keys() {
  return auth_table;
}
std::span<const KeySpec<RawPeerAuth>> peer_auth_keys() {
  return peer_auth_table;
}

Field<RawAuth> read_auth(const ValueReader& value) {
  return read(value, auth_keys(),
              "{ psk_file = \"FILE\" }, { certificate = \"FILE\", key = \"FILE\" } or { key = \"FILE\" }");
}
Field<RawPeerAuth> read_peer_auth(const ValueReader& value) {
  return read(value, peer_auth_keys(), "{ ca = \"FILE\" }, { public_key = \"…\" } or { psk_file = \"FILE\" }");
}

}  // namespace culvert::config
