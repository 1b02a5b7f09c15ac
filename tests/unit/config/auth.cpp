// `auth` and `peer_auth`. Lines and columns were counted by hand in the text of fixture.h: auth stands in line 7.
#include <openssl/evp.h>

#include <chrono>

#include "culvert/base/text.h"
#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "fixture.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;
using crypto::Certificate;
using crypto::PrivateKey;

namespace {

constexpr std::string_view psk_line = "auth = { psk_file = \"good.psk\" }";

/// A CA, a certificate for paris.example.net, a raw key, and what is wrong with others.
class Keys : public Folder {
 public:
  Keys() {
    ca.emplace(issue_ca("CN=Example"));
    write("ca.pem", ca->pem());
    write_key("paris.key", paris_key);
    write("paris.pem", issue(paris_key.public_key(), "CN=paris", {{Type::dns, "paris.example.net"}}).pem());
    write_key("other.key", other_key);
    write("raw.key", pem(raw_key, Secret()));
    write("locked.key", pem(paris_key, Secret::copy_of(as_bytes("correct horse"))));
    write("pass", "correct horse\n");
    write("wrong.pass", "battery staple\n");
  }
  using Type = crypto::AlternativeName::Type;

  Certificate issue_ca(std::string_view subject) const {
    crypto::CaRequest request;
    request.subject = *crypto::encode_distinguished_name(subject);
    request.validity = {now - std::chrono::hours(24 * 400), now + std::chrono::hours(24 * 3000)};
    return *crypto::issue_self_signed_ca(ca_key, request);
  }
  Certificate issue(const crypto::PublicKey& key, std::string_view subject, std::vector<crypto::AlternativeName> names,
                    std::chrono::days from = std::chrono::days(-10),
                    std::chrono::days to = std::chrono::days(100)) const {
    crypto::LeafRequest request;
    request.subject = *crypto::encode_distinguished_name(subject);
    request.names = std::move(names);
    request.validity = {now + from, now + to};
    return *crypto::issue_leaf(ca_key, *ca, key, request);
  }
  void write_key(std::string_view name, const PrivateKey& key) const { write(name, pem(key, Secret())); }
  static std::string pem(const PrivateKey& key, const Secret& passphrase) {
    return std::string(as_text(key.to_pem(passphrase)->view()));
  }
  void write_crl(std::string_view name, std::chrono::days until = std::chrono::days(7)) const {
    write(name, crypto::issue_crl(ca_key, *ca, {}, 1, now - std::chrono::hours(100), now + until)->pem());
  }

  crypto::WallTime now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  PrivateKey ca_key = *PrivateKey::generate({});
  PrivateKey paris_key = *PrivateKey::generate({});
  PrivateKey other_key = *PrivateKey::generate({});
  PrivateKey raw_key = *PrivateKey::generate({crypto::KeyType::ed25519, 0});
  std::optional<Certificate> ca;
};

std::string with_auth(std::string_view lines) {
  return replaced(sound_gre, psk_line, lines);
}

const std::string good_auth =
    "auth = { certificate = \"paris.pem\", key = \"paris.key\" }\npeer_auth = { ca = \"ca.pem\" }";

/// The one mistake or warning as "LINE:COLUMN KEY message".
std::string only(const std::vector<Diagnostic>& list) {
  CAPTURE(all_of(list));
  REQUIRE(list.size() == 1);
  return std::to_string(list[0].line) + ":" + std::to_string(list[0].column) + " " + list[0].key + " " +
         list[0].message;
}

std::string mistake(const Keys& keys, const std::string& text) {
  const auto config = parse(text, keys.file("gw.toml"));
  REQUIRE_FALSE(config.has_value());
  return only(config.error());
}

std::string warning(const Keys& keys, const std::string& text) {
  return only(sound(keys, text).warnings);
}

bool starts(const std::string& text, std::string_view start, std::string_view part) {
  CAPTURE(text);
  return text.starts_with(start) && text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a certificate, its key and a CA become what ike authenticates with") {
  const Keys keys;
  const Config config = sound(keys, with_auth(good_auth));
  CHECK(config.warnings.empty());
  const auto& auth = config.peers.at(0).auth;
  const auto* own = std::get_if<ike::OwnCertificate>(&auth.ours);
  REQUIRE(own != nullptr);
  REQUIRE(own->chain.size() == 1);
  CHECK(own->chain[0]->subject_text() == "CN=paris");
  CHECK(own->key->public_key() == keys.paris_key.public_key());
  const auto* theirs = std::get_if<ike::PeerCertificate>(&auth.theirs);
  REQUIRE(theirs != nullptr);
  REQUIRE(theirs->trust->anchors().size() == 1);
  CHECK(theirs->trust->anchors()[0] == *keys.ca);
  CHECK(theirs->revocation == nullptr);
  CHECK(auth.rsa_pss);
  CHECK(config.certificates.size() == 2);
  CHECK(config.revocation.empty());
}

TEST_CASE("how we sign is a choice") {
  const Keys keys;
  const auto with = [&](std::string_view word) {
    return sound(keys, with_auth(replaced(good_auth, "\"paris.key\"",
                                          "\"paris.key\", signature = \"" + std::string(word) + "\"")))
        .peers[0]
        .auth;
  };
  CHECK_FALSE(with("rsa-pkcs1").rsa_pss);
  CHECK(with("rsa-pkcs1").digital_signatures);
  CHECK_FALSE(with("classic").digital_signatures);
  CHECK(with("rsa-pss").rsa_pss);
}

TEST_CASE("each end has its own way") {
  const Keys keys;
  const auto one = sound(keys, with_auth("auth = { certificate = \"paris.pem\", key = \"paris.key\" }\n"
                                         "peer_auth = { psk_file = \"good.psk\" }"))
                       .peers[0]
                       .auth;
  CHECK(std::holds_alternative<ike::OwnCertificate>(one.ours));
  CHECK(one.peer_psk() != nullptr);
  const auto other = sound(keys, with_auth(std::string(psk_line) + "\npeer_auth = { ca = \"ca.pem\" }")).peers[0].auth;
  CHECK(other.our_psk() != nullptr);
  CHECK(std::holds_alternative<ike::PeerCertificate>(other.theirs));
  keys.write("second.psk", "another key of enough bytes\n");
  const auto two =
      sound(keys, with_auth(std::string(psk_line) + "\npeer_auth = { psk_file = \"second.psk\" }")).peers[0].auth;
  CHECK_FALSE(two.our_psk()->equals(two.peer_psk()->view()));
}

TEST_CASE("what stands in [gateway] holds for peers without their own, but a pre-shared key is for both ways") {
  const Keys keys;
  const std::string gateway =
      "auth = { certificate = \"paris.pem\", key = \"paris.key\" }\npeer_auth = { ca = \"ca.pem\" }";
  const Config shared = sound(keys, replaced(replaced(sound_gre, "# gateway", gateway), psk_line, ""));
  CHECK(std::holds_alternative<ike::OwnCertificate>(shared.peers[0].auth.ours));
  CHECK(std::holds_alternative<ike::PeerCertificate>(shared.peers[0].auth.theirs));
  const Config own = sound(keys, replaced(sound_gre, "# gateway", gateway));
  CHECK(own.peers[0].auth.our_psk() != nullptr);
  CHECK(own.peers[0].auth.peer_psk() != nullptr);
  CHECK(starts(mistake(keys, replaced(with_auth("peer_auth = { ca = \"ca.pem\" }"), "# gateway",
                                      "auth = { psk_file = \"good.psk\" }")),
               "3:21 gateway.auth.psk_file ", "between two"));
  CHECK(starts(mistake(keys, replaced(sound_gre, "# gateway", "peer_auth = { psk_file = \"good.psk\" }")),
               "3:13 gateway.peer_auth ", "only a CA"));
}

TEST_CASE("our identity comes from the certificate when none is written: domain name, e-mail, address, subject") {
  const Keys keys;
  const auto id_of = [&](std::vector<crypto::AlternativeName> names, std::string_view subject) {
    keys.write("id.pem", keys.issue(keys.paris_key.public_key(), subject, std::move(names)).pem());
    const std::string text = replaced(with_auth("peer_auth = { ca = \"ca.pem\" }"), "id = \"paris.example.net\"",
                                      "auth = { certificate = \"id.pem\", key = \"paris.key\" }");
    const Config config = sound(keys, text);
    CHECK(config.peers[0].local_id == config.gateway.id);
    return config.gateway.id.to_string();
  };
  using Type = Keys::Type;
  CHECK(id_of({{Type::ip, "192.0.2.1"}, {Type::email, "a@b.net"}, {Type::dns, "gw.b.net"}}, "CN=x") == "gw.b.net");
  CHECK(id_of({{Type::ip, "192.0.2.1"}, {Type::email, "a@b.net"}}, "CN=x") == "a@b.net");
  CHECK(id_of({{Type::ip, "2001:db8::1"}}, "CN=x") == "2001:db8::1");
  CHECK(id_of({}, "O=Example,CN=x") == "O=Example,CN=x");
}

TEST_CASE("an identity that our certificate does not name is refused, and the ones that it names are shown") {
  const Keys keys;
  keys.write("tokyo.pem", keys.issue(keys.paris_key.public_key(), "CN=x", {{Keys::Type::dns, "x.example.net"}}).pem());
  const std::string auth =
      "auth = { certificate = \"tokyo.pem\", key = \"paris.key\" }\npeer_auth = { ca = \"ca.pem\" }";
  CHECK(starts(mistake(keys, with_auth(auth)), "7:8 peer.tokyo.local_id ", "it names x.example.net or CN=x"));
  CHECK(starts(mistake(keys, with_auth(auth + "\nlocal_id = \"y.example.net\"")), "9:12 peer.tokyo.local_id ",
               "does not name 'y.example.net'"));
  CHECK(starts(mistake(keys, replaced(replaced(sound_gre, "# gateway", auth), psk_line, "")), "2:6 gateway.id ",
               "does not name 'paris.example.net'"));
  CHECK(sound(keys, with_auth(auth + "\nlocal_id = \"X.example.net\"")).peers[0].local_id.to_string() ==
        "X.example.net");
}

TEST_CASE("two gateways with raw keys need no identities at all, and mean each other") {
  const Keys keys;
  keys.write_key("tokyo.key", keys.other_key);
  const auto side = [&](std::string_view key, const PrivateKey& theirs) {
    return sound(keys, "[gateway]\nauth = { key = \"" + std::string(key) +
                           "\" }\n[peer.p]\naddress = \"any\"\npeer_auth = { public_key = \"" +
                           theirs.public_key().text() +
                           "\" }\n[tunnel.t]\npeer = \"p\"\ncarry = \"gre\"\ndevice = \"t\"\n");
  };
  const Config paris = side("raw.key", keys.other_key), tokyo = side("tokyo.key", keys.raw_key);
  CHECK(paris.peers[0].local_id == tokyo.peers[0].remote_id);
  CHECK(paris.peers[0].remote_id == tokyo.peers[0].local_id);
  CHECK(paris.peers[0].local_id.type == ike::IdType::key_id);
  // SHA-256 of the SubjectPublicKeyInfo, by OpenSSL
  Bytes digest(32);
  const Bytes& spki = keys.raw_key.public_key().spki();
  REQUIRE(EVP_Digest(spki.data(), spki.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  CHECK(paris.gateway.id.data == digest);
  CHECK(std::holds_alternative<ike::OwnRawKey>(paris.peers[0].auth.ours));
  CHECK(std::get<ike::PeerRawKey>(paris.peers[0].auth.theirs).keys.at(0)->text() == keys.other_key.public_key().text());
}

TEST_CASE("several public keys stand for one peer while it changes its key, and then it needs an id") {
  const Keys keys;
  const std::string list =
      "[\"" + keys.raw_key.public_key().text() + "\", \"" + keys.other_key.public_key().text() + "\"]";
  const std::string text = with_auth("auth = { key = \"paris.key\" }\npeer_auth = { public_key = " + list + " }");
  CHECK(std::get<ike::PeerRawKey>(sound(keys, text).peers[0].auth.theirs).keys.size() == 2);
  CHECK(starts(mistake(keys, replaced(text, "id = \"tokyo.example.net\"", "")), "4:7 peer.tokyo.id ",
               "is required, and missing"));
}

TEST_CASE("tables that say nothing, too much or half of something are refused") {
  const Keys keys;
  const std::string more = "\npeer_auth = { ca = \"ca.pem\" }";
  const auto why = [&](std::string_view auth) {
    return mistake(keys, with_auth("auth = { " + std::string(auth) + " }" + more));
  };
  CHECK(starts(why(""), "7:8 peer.tokyo.auth ", "says no way to authenticate"));
  CHECK(starts(why("certificate = \"paris.pem\""), "7:24 peer.tokyo.auth.certificate ", "without its private key"));
  CHECK(starts(why("psk_file = \"good.psk\", key = \"paris.key\""), "7:39 peer.tokyo.auth.key ", "in one way"));
  CHECK(starts(why("psk_file = \"good.psk\", passphrase_file = \"pass\""), "7:51 peer.tokyo.auth.passphrase_file ",
               "without a key"));
  CHECK(starts(why("key = \"raw.key\", intermediates = \"ca.pem\""), "7:43 peer.tokyo.auth.intermediates ",
               "without a certificate"));
  CHECK(starts(why("key = \"raw.key\", pkcs11_module = \"x.so\""), "7:43 peer.tokyo.auth.pkcs11_module ", "pkcs11:"));
  CHECK(starts(why("key = \"raw.key\", signature = \"rsa\""), "7:39 peer.tokyo.auth.signature ",
               "rsa-pss, rsa-pkcs1 or classic"));
  const auto peer = [&](std::string_view table) {
    return mistake(keys, with_auth("auth = { key = \"raw.key\" }\npeer_auth = { " + std::string(table) + " }"));
  };
  CHECK(starts(peer(""), "8:13 peer.tokyo.peer_auth ", "says no way to authenticate: expected one of { ca = "));
  CHECK(starts(peer("ca = \"ca.pem\", psk_file = \"good.psk\""), "8:13 peer.tokyo.peer_auth ", "several ways"));
  CHECK(starts(peer("psk_file = \"good.psk\", crl = \"x.crl\""), "8:44 peer.tokyo.peer_auth.crl ", "stands beside ca"));
  CHECK(starts(peer("ca = \"ca.pem\", revocation = \"strict\""), "8:43 peer.tokyo.peer_auth.revocation ",
               "name a source"));
  CHECK(starts(peer("ca = \"ca.pem\", ocsp = \"https://a.net\""), "8:37 peer.tokyo.peer_auth.ocsp ", "use http"));
  CHECK(starts(peer("public_key = \"AAAA\""), "8:28 peer.tokyo.peer_auth.public_key ", "culvert pubkey"));
  CHECK(starts(mistake(keys, with_auth("auth = { key = \"raw.key\" }")), "4:7 peer.tokyo.peer_auth ",
               "is required, and missing"));
  CHECK(starts(mistake(keys, with_auth("peer_auth = { ca = \"ca.pem\" }")), "4:7 peer.tokyo.auth ",
               "is required, and missing"));
}

TEST_CASE("a key that does not belong to the certificate is refused, and both are named") {
  const Keys keys;
  CHECK(starts(mistake(keys, with_auth(replaced(good_auth, "paris.key", "other.key"))), "7:43 peer.tokyo.auth.key ",
               "'other.key' is not the private key of the certificate CN=paris"));
}

TEST_CASE("a private key file is held to the rules of secrets") {
  const Keys keys;
  keys.write("paris.key", Keys::pem(keys.paris_key, Secret()), 0640);
  CHECK(starts(mistake(keys, with_auth(good_auth)), "7:43 peer.tokyo.auth.key ", "chmod 600"));
  keys.write("paris.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  CHECK(starts(mistake(keys, with_auth(good_auth)), "7:43 peer.tokyo.auth.key ", "paris.key"));
  CHECK(starts(mistake(keys, with_auth(replaced(good_auth, "paris.key", "none.key"))), "7:43 peer.tokyo.auth.key ",
               "does not exist: culvert pki makes one"));
}

TEST_CASE("an encrypted key wants its passphrase, and the right one") {
  const Keys keys;
  const auto with = [&](std::string_view more) {
    return with_auth(replaced(good_auth, "\"paris.key\"", "\"locked.key\"" + std::string(more)));
  };
  CHECK(sound(keys, with(", passphrase_file = \"pass\"")).warnings.empty());
  CHECK(starts(mistake(keys, with("")), "7:43 peer.tokyo.auth.key ", "passphrase"));
  CHECK(starts(mistake(keys, with(", passphrase_file = \"wrong.pass\"")), "7:75 peer.tokyo.auth.passphrase_file ",
               "locked.key"));
  CHECK(starts(mistake(keys, with(", passphrase_file = \"none\"")), "7:75 peer.tokyo.auth.passphrase_file ",
               "does not exist"));
  keys.write("pass", "correct horse\n", 0644);
  CHECK(starts(mistake(keys, with(", passphrase_file = \"pass\"")), "7:75 peer.tokyo.auth.passphrase_file ",
               "chmod 600"));
  const std::string said = mistake(keys, with(", passphrase_file = \"wrong.pass\""));
  CHECK(said.find("battery staple") == std::string::npos);
}

TEST_CASE("files that are no certificate, or no CA, are refused where they are named") {
  const Keys keys;
  CHECK(starts(mistake(keys, with_auth(replaced(good_auth, "\"paris.pem\"", "\"pass\""))),
               "7:24 peer.tokyo.auth.certificate ", "pass"));
  CHECK(starts(mistake(keys, with_auth(replaced(good_auth, "\"ca.pem\"", "[\"ca.pem\", \"none.pem\"]"))),
               "8:31 peer.tokyo.peer_auth.ca ", "'" + keys.file("none.pem").string() + "' does not exist"));
  CHECK(starts(mistake(keys, with_auth(replaced(good_auth, "\"ca.pem\"", "\"paris.pem\""))),
               "8:20 peer.tokyo.peer_auth.ca ", "CN=paris"));
  keys.write("ca.pem", keys.ca->pem(), 0666);
  CHECK(starts(mistake(keys, with_auth(good_auth)), "8:20 peer.tokyo.peer_auth.ca ", "whom we trust"));
}

TEST_CASE("a folder of CAs is all the certificates in it, and an empty one is a mistake") {
  const Keys keys;
  std::filesystem::create_directory(keys.file("cas"));
  const std::string text = with_auth(replaced(good_auth, "\"ca.pem\"", "\"cas\""));
  CHECK(starts(mistake(keys, text), "8:20 peer.tokyo.peer_auth.ca ", "has no certificates"));
  keys.write("cas/a.pem", keys.ca->pem());
  keys.write("cas/b.crt", keys.issue_ca("CN=Second").pem());
  keys.write("cas/README", "not a certificate");
  const Config config = sound(keys, text);
  CHECK(std::get<ike::PeerCertificate>(config.peers[0].auth.theirs).trust->anchors().size() == 2);
}

TEST_CASE("what is sent with our certificate are the intermediates, not the root") {
  const Keys keys;
  crypto::CaRequest request;
  request.subject = *crypto::encode_distinguished_name("CN=Intermediate");
  request.validity = {keys.now - std::chrono::hours(1), keys.now + std::chrono::hours(24 * 200)};
  const auto middle = crypto::issue_intermediate_ca(keys.ca_key, *keys.ca, keys.other_key.public_key(), request);
  REQUIRE(middle.has_value());
  keys.write("middle.pem", middle->pem());
  const Certificate leaf =
      keys.issue(keys.paris_key.public_key(), "CN=paris", {{Keys::Type::dns, "paris.example.net"}});
  keys.write("bundle.pem", leaf.pem() + middle->pem() + keys.ca->pem());
  const auto chain = [&](std::string_view auth) {
    const Config config = sound(keys, with_auth(replaced(good_auth, "certificate = \"paris.pem\"", auth)));
    std::string names;
    for (const auto& certificate : std::get<ike::OwnCertificate>(config.peers[0].auth.ours).chain)
      names += certificate->subject_text() + " ";
    return names;
  };
  CHECK(chain("certificate = \"bundle.pem\"") == "CN=paris CN=Intermediate ");
  CHECK(chain("certificate = \"paris.pem\", intermediates = [\"middle.pem\", \"ca.pem\"]") ==
        "CN=paris CN=Intermediate ");
}

TEST_CASE("what depends on the day is a warning: the other tunnels must start tomorrow, too") {
  const Keys keys;
  const auto dated = [&](int from, int to) {
    keys.write("paris.pem",
               keys.issue(keys.paris_key.public_key(), "CN=paris", {{Keys::Type::dns, "paris.example.net"}},
                          std::chrono::days(from), std::chrono::days(to))
                   .pem());
    return with_auth(good_auth);
  };
  CHECK(starts(warning(keys, dated(-20, -10)), "7:24 peer.tokyo.auth.certificate CN=paris expired on ", "replaced"));
  CHECK(starts(warning(keys, dated(-20, 12)), "7:24 peer.tokyo.auth.certificate CN=paris expires in ", "on "));
  CHECK(
      starts(warning(keys, dated(5, 100)), "7:24 peer.tokyo.auth.certificate CN=paris is not valid before ", "clock"));
  CHECK(sound(keys, dated(-20, 31)).warnings.empty());
}

TEST_CASE("an expiring certificate is announced from 30 days before its last second on") {
  const Keys keys;
  const WatchedCertificate watched{"k", *keys.ca};
  const auto end = keys.ca->not_after();
  CHECK_FALSE(expiry_warning(watched, end - std::chrono::days(30)).has_value());
  CHECK(expiry_warning(watched, end - std::chrono::days(30) + std::chrono::seconds(1))->find("in 29 days") !=
        std::string::npos);
  CHECK(expiry_warning(watched, end - std::chrono::days(1))->find("in 1 day,") != std::string::npos);
  CHECK(expiry_warning(watched, end)->find("within a day") != std::string::npos);
  CHECK(expiry_warning(watched, end + std::chrono::seconds(1))->find("expired on") != std::string::npos);
  CHECK(expiry_warning(watched, keys.ca->not_before() - std::chrono::seconds(1))->find("not valid before") !=
        std::string::npos);
}

TEST_CASE("sources of revocation reach the daemon and ike by one feed, shared by peers that name the same") {
  const Keys keys;
  keys.write_crl("ca.crl");
  const std::string table =
      "{ ca = \"ca.pem\", crl = [\"ca.crl\", \"http://pki.example.net/ca.crl\"], ocsp = "
      "\"http://[2001:db8::1]:81/ocsp\", "
      "revocation = \"strict\" }";
  const std::string more =
      "[peer.osaka]\naddress = \"any\"\nid = \"osaka.example.net\"\nauth = { psk_file = \"good.psk\" }\npeer_auth = " +
      table + "\n[tunnel.u]\npeer = \"osaka\"\ncarry = \"gre\"\ndevice = \"u\"\n";
  const Config config =
      sound(keys, replaced(with_auth(replaced(good_auth, "{ ca = \"ca.pem\" }", table)), "# end", more));
  REQUIRE(config.revocation.size() == 1);
  const RevocationSources& sources = config.revocation[0];
  CHECK(sources.key == "peer.tokyo.peer_auth");
  CHECK(sources.crl_files == std::vector{keys.file("ca.crl")});
  CHECK(sources.crl_urls.at(0).to_string() == "http://pki.example.net/ca.crl");
  CHECK(sources.ocsp->to_string() == "http://[2001:db8::1]:81/ocsp");
  CHECK(sources.feed->policy() == crypto::RevocationPolicy::strict);
  CHECK(sources.feed->asks_ocsp());
  for (const auto& peer : config.peers)
    CHECK(std::get<ike::PeerCertificate>(peer.auth.theirs).revocation == sources.feed);
}

TEST_CASE("the policy is relaxed where a source is named") {
  const Keys keys;
  keys.write_crl("ca.crl");
  const auto with = [&](std::string_view more) {
    return with_auth(replaced(good_auth, "\"ca.pem\"", "\"ca.pem\", crl = \"ca.crl\"" + std::string(more)));
  };
  CHECK(sound(keys, with("")).revocation.at(0).feed->policy() == crypto::RevocationPolicy::relaxed);
  CHECK(starts(mistake(keys, with(", revocation = \"none\"")), "8:59 peer.tokyo.peer_auth.revocation ", "useless"));
}

TEST_CASE("a CRL file that is none is refused, one that is late or a stranger's is a warning") {
  const Keys keys;
  const std::string text = with_auth(replaced(good_auth, "\"ca.pem\"", "\"ca.pem\", crl = \"ca.crl\""));
  CHECK(starts(mistake(keys, text), "8:36 peer.tokyo.peer_auth.crl ", "does not exist"));
  keys.write("ca.crl", "not a list");
  CHECK(starts(mistake(keys, text), "8:36 peer.tokyo.peer_auth.crl ", "ca.crl"));
  keys.write_crl("ca.crl", std::chrono::days(-1));
  CHECK(starts(warning(keys, text), "8:36 peer.tokyo.peer_auth.crl ", "out of date"));
  const Keys others;
  others.write_crl("ca.crl");
  std::filesystem::copy_file(others.file("ca.crl"), keys.file("ca.crl"),
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(starts(warning(keys, text), "8:36 peer.tokyo.peer_auth.crl ", "no CA in `ca`"));
}

TEST_CASE("an identity with a * goes with a CA, and is never ours") {
  const Keys keys;
  for (const char* id : {"*.example.net", "*@example.net", "O=Example,CN=*"}) {
    CAPTURE(id);
    const std::string text = replaced(sound_gre, "tokyo.example.net", id);
    CHECK(starts(mistake(keys, text), "6:6 peer.tokyo.id ", "goes with peer_auth = { ca"));
    CHECK(sound(keys, replaced(with_auth(good_auth), "tokyo.example.net", id)).peers.size() == 1);
  }
  CHECK(sound(keys, replaced(sound_gre, "tokyo.example.net", "O=Example,CN=a*b")).peers.size() == 1);
  for (const char* id : {"gw*.example.net", "*.*.net", "a*@example.net", "**"}) {
    CAPTURE(id);
    CHECK(starts(mistake(keys, replaced(with_auth(good_auth), "tokyo.example.net", id)), "6:6 peer.tokyo.id ",
                 "stands alone, or in front"));
  }
  CHECK(starts(mistake(keys, replaced(sound_gre, "# peer", "local_id = \"*.example.org\"")),
               "8:12 peer.tokyo.local_id ", "no *"));
}

TEST_CASE("a systemd credential is found by its name in the service's folder, and nowhere else") {
  const Keys keys;
  const std::string text = with_auth(replaced(good_auth, "\"paris.key\"", "\"credential:gw-key\""));
  ::unsetenv("CREDENTIALS_DIRECTORY");
  CHECK(starts(mistake(keys, text), "7:43 peer.tokyo.auth.key ", "LoadCredential=gw-key:FILE"));
  std::filesystem::create_directory(keys.file("credentials"));
  keys.write("credentials/gw-key", Keys::pem(keys.paris_key, Secret()), 0440);  // as systemd leaves it beside an ACL
  REQUIRE(::setenv("CREDENTIALS_DIRECTORY", keys.file("credentials").c_str(), 1) == 0);
  CHECK(sound(keys, text).warnings.empty());
  CHECK(starts(mistake(keys, replaced(text, "gw-key", "../paris.key")), "7:43 peer.tokyo.auth.key ", "without a '/'"));
  keys.write("credentials/psk", "a key of twenty-four byt\n", 0400);
  CHECK(sound(keys, replaced(sound_gre, "good.psk", "credential:psk")).peers[0].auth.our_psk()->size() == 24);
  ::unsetenv("CREDENTIALS_DIRECTORY");
}
