// Logins by EAP, RADIUS servers and the file of users.
#include <chrono>

#include "culvert/config/users.h"
#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/eap/client.h"
#include "culvert/eap/server.h"
#include "fixture.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;

namespace {

constexpr std::string_view psk_line = "auth = { psk_file = \"good.psk\" }";

class Files : public Folder {
 public:
  Files() {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    crypto::CaRequest request;
    request.subject = *crypto::encode_distinguished_name("CN=Example");
    request.validity = {now - std::chrono::hours(24), now + std::chrono::hours(24 * 3000)};
    const auto ca_key = *crypto::PrivateKey::generate({}), key = *crypto::PrivateKey::generate({});
    const auto ca = *crypto::issue_self_signed_ca(ca_key, request);
    const crypto::LeafRequest leaf{*crypto::encode_distinguished_name("CN=paris"),
                                   {now - std::chrono::hours(1), now + std::chrono::hours(24 * 300)},
                                   {{crypto::AlternativeName::Type::dns, "paris.example.net"}}};
    write("ca.pem", ca.pem());
    write("paris.pem", crypto::issue_leaf(ca_key, ca, key.public_key(), leaf)->pem());
    write("paris.key", as_text(key.to_pem(Secret())->view()));
    write("users.toml", "[carol]\npassword = \"Ar3etTnp\"\ngroup = \"staff\"\n");
    write("password", "Ar3etTnp\n");
    write("radius.secret", "testing123\n");
  }
  std::expected<Config, std::vector<Diagnostic>> load(std::string_view auth, std::string_view gateway = "",
                                                      std::string_view more = "") {
    std::string text = replaced(sound_gre, psk_line, auth);
    text = replaced(text, "# gateway", gateway);
    return parse(text + std::string(more), file("gw.toml"));
  }
  std::string mistake(std::string_view auth, std::string_view gateway = "", std::string_view more = "") {
    const auto config = load(auth, gateway, more);
    if (config) return "none";
    return all_of(config.error());
  }
};

constexpr std::string_view users = "users = \"users.toml\"";
const std::string ours = "auth = { certificate = \"paris.pem\", key = \"paris.key\" }\n";
const std::string radius_table =
    "[radius.office]\nservers = [\"192.0.2.1\", \"[2001:db8::1]:1645\"]\nsecret_file = \"radius.secret\"\n"
    "accounting = \"192.0.2.1\"\n";

}  // namespace

TEST_CASE("a client logs in by password or by certificate") {
  Files files;
  auto config = files.load(
      "auth = { eap = \"mschapv2\", user = \"carol\", password_file = \"password\" }\npeer_auth = { ca = \"ca.pem\" }");
  REQUIRE_MESSAGE(config, all_of(config.error()));
  const auto* login = config->peers[0].auth.our_eap();
  REQUIRE(login);
  CHECK(login->client->user == "carol");
  CHECK(login->client->nt_hash->size() == 16);
  config = files.load(
      "auth = { eap = \"tls\", certificate = \"paris.pem\", key = \"paris.key\", eap_only = true }\npeer_auth = { ca = "
      "\"ca.pem\" }");
  REQUIRE_MESSAGE(config, all_of(config.error()));
  CHECK(config->peers[0].auth.our_eap()->client->user == "paris.example.net");
  CHECK(config->peers[0].auth.our_eap()->client->tls);
  CHECK(config->peers[0].auth.eap_only);
}

TEST_CASE("a gateway lets users in by methods of its own or by RADIUS servers, and needs no id of them") {
  Files files;
  auto config = files.load(ours + "peer_auth = { eap = [\"tls\", \"mschapv2\"], ca = \"ca.pem\" }", users);
  REQUIRE_MESSAGE(config, all_of(config.error()));
  const auto* server = config->peers[0].auth.peer_eap();
  REQUIRE(server);
  CHECK(server->server->methods == std::vector{eap::Type::tls, eap::Type::mschapv2});
  CHECK(server->server->tls);
  CHECK(config->users->find("carol")->user->group == "staff");
  CHECK(config->users_file->path == files.file("users.toml"));
  config = files.load(ours + "peer_auth = { eap = \"radius\" }", "", radius_table);
  REQUIRE_MESSAGE(config, all_of(config.error()));
  CHECK(config->peers[0].auth.peer_eap()->radius == "office");
  CHECK(config->radius[0].servers[0].to_string() == "192.0.2.1:1812");
  CHECK(config->radius[0].servers[1].to_string() == "[2001:db8::1]:1645");
  CHECK(config->radius[0].accounting[0].port == 1813);
}

TEST_CASE("what does not fit together about EAP is said where it stands") {
  Files files;
  const std::string client = "\npeer_auth = { ca = \"ca.pem\" }";
  const auto says = [](const std::string& text, std::string_view part) {
    CAPTURE(text);
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  };
  says(files.mistake("auth = { eap = \"mschapv2\" }" + client), "auth.user: is required, and missing");
  says(files.mistake("auth = { eap = \"md5\" }" + client), "expected");
  says(files.mistake("auth = { user = \"carol\", psk_file = \"good.psk\" }" + client), "stands without eap");
  says(files.mistake("auth = { eap = \"tls\", user = \"carol\" }" + client), "needs certificate");
  says(files.mistake("auth = { eap = \"mschapv2\", user = \"c\", password_file = \"password\", eap_only = true }" +
                     client),
       "could be guessed");
  says(files.mistake(ours + "peer_auth = { eap = \"mschapv2\" }"), "gateway.users: is required");
  says(files.mistake(ours + "peer_auth = { eap = \"tls\" }", users), "CAs of the users");
  says(files.mistake(ours + "peer_auth = { eap = \"radius\" }"), "there is no [radius.NAME]");
  says(files.mistake(ours + "peer_auth = { eap = [\"radius\", \"tls\"], ca = \"ca.pem\" }", "", radius_table),
       "stands alone");
  says(files.mistake(ours + "peer_auth = { eap = \"mschapv2\", eap_only = true }", users), "too weak to stand alone");
  says(files.mistake(ours + "peer_auth = { eap = \"radius\", radius = \"home\" }", "", radius_table),
       "there is no [radius.home]");
  says(files.mistake(ours + "peer_auth = { eap = \"radius\" }", "",
                     replaced(radius_table, "192.0.2.1", "radius.example")),
       "expected an address");
  says(files.mistake("auth = { psk_file = \"good.psk\" }\npeer_auth = { eap = \"tls\", ca = \"ca.pem\" }", users),
       "needs a certificate of ours");
}

TEST_CASE("the file of users is read whole or not at all, and must be a secret") {
  Files files;
  const auto good = parse_users(
      "[carol]\npassword = \"clientPass\"\n[\"dave@example.net\"]\nnt_hash = \"44ebba8d5312b8d611474411f56989ae\"\n"
      "enabled = false\nexpires = \"2027-01-31\"\n[tls]\ngroup = \"g\"\n",
      "users.toml");
  REQUIRE(good);
  const auto& table = **good;
  // RFC 2759 §9.2: both are the hash of "clientPass".
  CHECK(table.find("carol")->user->nt_hash.equals(table.find("dave@example.net")->user->nt_hash.view()));
  CHECK_FALSE(table.find("dave@example.net")->enabled);
  // 2027-02-01 00:00:00 UTC, date -d.
  CHECK(table.find("dave@example.net")->until == crypto::WallTime(std::chrono::seconds(1801440000)));
  CHECK(table.find("tls")->user->nt_hash.empty());
  CHECK_FALSE(table.find("nobody"));
  for (const std::string text :
       {"carol = 1", "[carol]\npasword = \"x\"", "[carol]\nnt_hash = \"44\"", "[carol]\nexpires = \"2027-02-30\"",
        "[carol]\npassword = \"x\"\nnt_hash = \"44ebba8d5312b8d611474411f56989ae\"", "[\"D\\\\carol\"]", "[carol"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_users(text, "users.toml"));
  }
  files.write("open.toml", "[carol]\n", 0640);
  const auto open = load_users(files.file("open.toml"));
  REQUIRE_FALSE(open);
  CHECK(open.error()[0].message.find("chmod 600") != std::string::npos);
}
