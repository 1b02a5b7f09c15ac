// What the clients of phones and laptops propose, replayed from their documents against profile = "native-clients".
// Algorithms are written as strongSwan's log writes them; the numbers are those of IANA's "IKEv2 Parameters".
//
// [apple]   strongSwan documentation, "iOS and macOS": default proposals of iOS 16.5 and macOS 13.4 as received
// [mobile]  what `culvert client export --for ios` writes, in the words of Apple's "VPN.IKEv2" device management
// profile [win]     strongSwan documentation, "Windows Clients"; Microsoft Learn, Set-VpnConnectionIPsecConfiguration
// [aosp11]  Android 11: frameworks/base, services/core/java/com/android/server/connectivity/VpnIkev2Utils.java
// [aosp12]  the same file on the main branch (algorithms of API level 31), ESP with all of
// Ikev2VpnProfile.DEFAULT_ALGORITHMS [app]     strongSwan's app: android_service.c, and proposal.c with what its
// openssl plugin has (abridged: no Camellia, Brainpool)
#include <fmt/format.h>

#include <array>
#include <sstream>

#include "fixture.h"
#include "proposal_select.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;
using ike::Proposal;
using ike::ProtocolId;
using ike::Transform;
using ike::TransformType;

namespace {

struct Algorithm {
  std::string_view name;
  Transform transform;
};
using enum TransformType;
constexpr std::array algorithms = std::to_array<Algorithm>({
    {"DES_CBC", {encr, 2}},
    {"3DES_CBC", {encr, 3}},
    {"NULL", {encr, 11}},
    {"AES_CBC_128", {encr, 12, 128}},
    {"AES_CBC_192", {encr, 12, 192}},
    {"AES_CBC_256", {encr, 12, 256}},
    {"AES_CTR_128", {encr, 13, 128}},
    {"AES_CTR_192", {encr, 13, 192}},
    {"AES_CTR_256", {encr, 13, 256}},
    {"AES_GCM_8_128", {encr, 18, 128}},
    {"AES_GCM_8_192", {encr, 18, 192}},
    {"AES_GCM_8_256", {encr, 18, 256}},
    {"AES_GCM_12_128", {encr, 19, 128}},
    {"AES_GCM_12_192", {encr, 19, 192}},
    {"AES_GCM_12_256", {encr, 19, 256}},
    {"AES_GCM_16_128", {encr, 20, 128}},
    {"AES_GCM_16_192", {encr, 20, 192}},
    {"AES_GCM_16_256", {encr, 20, 256}},
    {"CHACHA20_POLY1305", {encr, 28}},
    {"HMAC_SHA1_96", {integ, 2}},
    {"AES_XCBC_96", {integ, 5}},
    {"AES_CMAC_96", {integ, 8}},
    {"HMAC_SHA2_256_128", {integ, 12}},
    {"HMAC_SHA2_384_192", {integ, 13}},
    {"HMAC_SHA2_512_256", {integ, 14}},
    {"PRF_HMAC_SHA1", {prf, 2}},
    {"PRF_AES128_XCBC", {prf, 4}},
    {"PRF_HMAC_SHA2_256", {prf, 5}},
    {"PRF_HMAC_SHA2_384", {prf, 6}},
    {"PRF_HMAC_SHA2_512", {prf, 7}},
    {"PRF_AES128_CMAC", {prf, 8}},
    {"MODP_1024", {ke, 2}},
    {"MODP_1536", {ke, 5}},
    {"MODP_2048", {ke, 14}},
    {"MODP_3072", {ke, 15}},
    {"MODP_4096", {ke, 16}},
    {"MODP_6144", {ke, 17}},
    {"MODP_8192", {ke, 18}},
    {"ECP_256", {ke, 19}},
    {"ECP_384", {ke, 20}},
    {"ECP_521", {ke, 21}},
    {"CURVE_25519", {ke, 31}},
    {"CURVE_448", {ke, 32}},
    {"NO_EXT_SEQ", {esn, 0}},
    {"EXT_SEQ", {esn, 1}},
});

constexpr std::string_view modern_groups =
    "CURVE_25519/ECP_384/ECP_521/MODP_3072/MODP_4096/ECP_256/MODP_8192";  // [app], ESP

/// "A/B/C" each a proposal.
ike::SaPayload offer(ProtocolId protocol, const std::vector<std::string>& texts) {
  ike::SaPayload sa;
  for (const std::string& text : texts) {
    Proposal proposal;
    proposal.number = static_cast<std::uint8_t>(sa.proposals.size() + 1);
    proposal.protocol = protocol;
    if (protocol == ProtocolId::esp) proposal.spi = {0xc0, 0, 0, 1};
    std::istringstream words(text);
    for (std::string word; std::getline(words, word, '/');) {
      CAPTURE(word);
      const auto found = std::ranges::find(algorithms, std::string_view(word), &Algorithm::name);
      REQUIRE(found != algorithms.end());
      proposal.transforms.push_back(found->transform);
    }
    sa.proposals.push_back(std::move(proposal));
  }
  return sa;
}

ike::PeerConfig native_peer(const Folder& folder) {
  const Config config = sound(
      folder, replaced(replaced(sound_ip, "[\"198.51.100.1\"]", "\"any\""), "# peer", "profile = \"native-clients\""));
  return config.peers.at(0);
}

struct Row {
  std::string_view client;
  std::vector<std::string> offered;
  std::string_view expected;  ///< what the responder answers, with the number of the proposal in front; empty: nothing
};

std::string answered(const Proposal& answer) {
  std::string text = std::to_string(answer.number) + ":";
  for (const Transform& transform : answer.transforms) {
    const auto found = std::ranges::find(algorithms, transform, &Algorithm::transform);
    if (!text.ends_with(':')) text += '/';
    text += found != algorithms.end() ? std::string(found->name) : "?";
  }
  return text;
}

// [win] in one proposal for each of the suites; ENCR by ENCR as Windows orders them.
std::vector<std::string> windows_stock_ike() {
  std::vector<std::string> all;
  for (const char* cipher : {"3DES_CBC", "AES_CBC_128", "AES_CBC_192", "AES_CBC_256"})
    for (const char* sha :
         {"SHA1_96/PRF_HMAC_SHA1", "SHA2_256_128/PRF_HMAC_SHA2_256", "SHA2_384_192/PRF_HMAC_SHA2_384"})
      all.push_back(fmt::format("{}/HMAC_{}/MODP_1024", cipher, sha));
  for (const char* cipher : {"AES_GCM_16_128", "AES_GCM_16_256"})
    for (const char* sha : {"SHA1", "SHA2_256", "SHA2_384"})
      all.push_back(fmt::format("{}/PRF_HMAC_{}/MODP_1024", cipher, sha));
  return all;
}

const std::vector<Row>& ike_rows() {
  static const std::vector<Row> rows = {
      {"iOS 16.5 [apple]",
       {"AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
        "AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256",
        "AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536", "AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024",
        "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024"},
       "2:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256"},
      {"macOS 13.4 [apple]",
       {"AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048"},
       "1:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048"},
      {"our .mobileconfig [mobile]",
       {"AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"},
       "1:AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"},
      {"Windows 11, nothing set [win]", windows_stock_ike(), ""},
      {"Windows 11, NegotiateDH2048_AES256 = 2 [win]",
       {"AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_2048", "AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
        "AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_2048"},
       "3:AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_2048"},
      {"Windows 11, EncryptionMethod AES256, SHA384, ECP384 (our script) [win]",
       {"AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/ECP_384"},
       "1:AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/ECP_384"},
      {"Android 11 [aosp11]",
       {"AES_CBC_128/AES_CBC_192/AES_CBC_256/HMAC_SHA1_96/AES_XCBC_96/HMAC_SHA2_256_128/HMAC_SHA2_384_192/"
        "HMAC_SHA2_512_256/MODP_2048/MODP_1024/PRF_AES128_XCBC/PRF_HMAC_SHA1",
        "AES_GCM_8_128/AES_GCM_8_192/AES_GCM_8_256/AES_GCM_12_128/AES_GCM_12_192/AES_GCM_12_256/AES_GCM_16_128/"
        "AES_GCM_16_192/AES_GCM_16_256/MODP_2048/MODP_1024/PRF_AES128_XCBC/PRF_HMAC_SHA1"},
       "2:AES_GCM_16_256/PRF_HMAC_SHA1/MODP_2048"},
      {"Android 12 and later [aosp12]",
       {"AES_CTR_256/AES_CBC_256/AES_CTR_192/AES_CBC_192/AES_CTR_128/AES_CBC_128/HMAC_SHA2_512_256/HMAC_SHA2_384_192/"
        "HMAC_SHA2_256_128/AES_XCBC_96/AES_CMAC_96/MODP_4096/CURVE_25519/MODP_3072/MODP_2048/PRF_HMAC_SHA2_512/"
        "PRF_HMAC_SHA2_384/PRF_HMAC_SHA2_256/PRF_AES128_XCBC/PRF_AES128_CMAC/PRF_HMAC_SHA1",
        "CHACHA20_POLY1305/AES_GCM_16_256/AES_GCM_12_256/AES_GCM_8_256/AES_GCM_16_192/AES_GCM_12_192/AES_GCM_8_192/"
        "AES_GCM_16_128/AES_GCM_12_128/AES_GCM_8_128/MODP_4096/CURVE_25519/MODP_3072/MODP_2048/PRF_HMAC_SHA2_512/"
        "PRF_HMAC_SHA2_384/PRF_HMAC_SHA2_256/PRF_AES128_XCBC/PRF_AES128_CMAC/PRF_HMAC_SHA1"},
       "2:AES_GCM_16_256/PRF_HMAC_SHA2_512/CURVE_25519"},
      {"the strongSwan app [app]",
       {"AES_CBC_128/AES_CBC_192/AES_CBC_256/HMAC_SHA2_256_128/HMAC_SHA2_384_192/HMAC_SHA2_512_256/HMAC_SHA1_96/"
        "PRF_HMAC_SHA2_256/PRF_HMAC_SHA2_384/PRF_HMAC_SHA2_512/PRF_HMAC_SHA1/ECP_256/ECP_384/ECP_521/CURVE_25519/"
        "CURVE_448/MODP_3072/MODP_4096/MODP_6144/MODP_8192/MODP_2048",
        "AES_GCM_16_128/AES_GCM_16_192/AES_GCM_16_256/CHACHA20_POLY1305/PRF_HMAC_SHA2_256/PRF_HMAC_SHA2_384/"
        "PRF_HMAC_SHA2_512/PRF_HMAC_SHA1/ECP_256/ECP_384/ECP_521/CURVE_25519/CURVE_448/MODP_3072/MODP_4096/MODP_6144/"
        "MODP_8192/MODP_2048"},
       "2:AES_GCM_16_256/PRF_HMAC_SHA2_512/CURVE_25519"},
  };
  return rows;
}

/// ESP as in IKE_AUTH, where key exchanges are not sent.
const std::vector<Row>& esp_rows() {
  static const std::vector<Row> rows = {
      {"iOS 16.5 [apple]",
       {"AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ", "AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ",
        "AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ", "AES_CBC_128/HMAC_SHA1_96/NO_EXT_SEQ",
        "3DES_CBC/HMAC_SHA1_96/NO_EXT_SEQ"},
       "1:AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
      {"macOS 13.4 [apple]",
       {"AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
       "1:AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
      {"our .mobileconfig [mobile]", {"AES_GCM_16_256/NO_EXT_SEQ"}, "1:AES_GCM_16_256/NO_EXT_SEQ"},
      {"Windows 11, nothing set [win]",
       {"AES_CBC_256/HMAC_SHA1_96/NO_EXT_SEQ", "AES_CBC_128/HMAC_SHA1_96/NO_EXT_SEQ",
        "3DES_CBC/HMAC_SHA1_96/NO_EXT_SEQ", "DES_CBC/HMAC_SHA1_96/NO_EXT_SEQ", "NULL/HMAC_SHA1_96/NO_EXT_SEQ"},
       ""},
      {"Windows 11, GCMAES256 (our script) [win]", {"AES_GCM_16_256/NO_EXT_SEQ"}, "1:AES_GCM_16_256/NO_EXT_SEQ"},
      {"Windows 11, SHA256128 and AES256 [win]",
       {"AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
       "1:AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
      {"Android 11 [aosp11]",
       {"AES_CBC_128/AES_CBC_192/AES_CBC_256/HMAC_SHA1_96/HMAC_SHA2_256_128/HMAC_SHA2_384_192/HMAC_SHA2_512_256/"
        "NO_EXT_SEQ",
        "AES_GCM_8_128/AES_GCM_8_192/AES_GCM_8_256/AES_GCM_12_128/AES_GCM_12_192/AES_GCM_12_256/AES_GCM_16_128/"
        "AES_GCM_16_192/AES_GCM_16_256/NO_EXT_SEQ"},
       "2:AES_GCM_16_256/NO_EXT_SEQ"},
      {"Android 12 and later [aosp12]",
       {"AES_CTR_256/AES_CBC_256/AES_CTR_192/AES_CBC_192/AES_CTR_128/AES_CBC_128/HMAC_SHA2_512_256/HMAC_SHA2_384_192/"
        "HMAC_SHA2_256_128/AES_XCBC_96/AES_CMAC_96/NO_EXT_SEQ",
        "CHACHA20_POLY1305/AES_GCM_16_256/AES_GCM_12_256/AES_GCM_8_256/AES_GCM_16_192/AES_GCM_12_192/AES_GCM_8_192/"
        "AES_GCM_16_128/AES_GCM_12_128/AES_GCM_8_128/NO_EXT_SEQ"},
       "2:AES_GCM_16_256/NO_EXT_SEQ"},
      {"Android without AES-GCM in its kernel [aosp12]",
       {"AES_CBC_256/AES_CBC_192/AES_CBC_128/HMAC_SHA2_512_256/HMAC_SHA2_384_192/HMAC_SHA2_256_128/NO_EXT_SEQ"},
       "1:AES_CBC_256/HMAC_SHA2_512_256/NO_EXT_SEQ"},
      {"the strongSwan app [app]",
       {"AES_GCM_16_256/AES_GCM_16_128/CHACHA20_POLY1305/NO_EXT_SEQ",
        "AES_CBC_256/AES_CBC_192/AES_CBC_128/HMAC_SHA2_384_192/HMAC_SHA2_256_128/HMAC_SHA2_512_256/HMAC_SHA1_96/"
        "NO_EXT_SEQ"},
       "1:AES_GCM_16_256/NO_EXT_SEQ"},
  };
  return rows;
}

/// CREATE_CHILD_SA: a rekey that the client begins.
const std::vector<Row>& rekey_rows() {
  static const std::vector<Row> rows = {
      {"iOS 16.5 [apple]",
       {"AES_CBC_256/HMAC_SHA2_256_128/MODP_2048/NO_EXT_SEQ", "AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
       "1:AES_CBC_256/HMAC_SHA2_256_128/MODP_2048/NO_EXT_SEQ"},
      {"macOS 13.4, without a key exchange [apple]",
       {"AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
       "1:AES_CBC_256/HMAC_SHA2_256_128/NO_EXT_SEQ"},
      {"Windows 11, PfsGroup ECP384 (our script) [win]",
       {"AES_GCM_16_256/ECP_384/NO_EXT_SEQ"},
       "1:AES_GCM_16_256/ECP_384/NO_EXT_SEQ"},
      {"the strongSwan app [app]",
       {fmt::format("AES_GCM_16_256/AES_GCM_16_128/CHACHA20_POLY1305/{}/NO_EXT_SEQ", modern_groups),
        "AES_GCM_16_256/AES_GCM_16_128/CHACHA20_POLY1305/NO_EXT_SEQ"},
       "1:AES_GCM_16_256/CURVE_25519/NO_EXT_SEQ"},
  };
  return rows;
}

template <class Choice>
void check_row(const Row& row, const Result<Choice>& choice) {
  CAPTURE(row.client);
  if (row.expected.empty()) {
    REQUIRE_FALSE(choice.has_value());
    CHECK(choice.error().code == Errc::no_match);
  } else {
    REQUIRE_MESSAGE(choice.has_value(), choice.error().detail);
    CHECK(answered(choice->answer) == row.expected);
  }
}

}  // namespace

TEST_CASE("each native client gets the strongest IKE SA of what it proposes") {
  const Folder folder;
  const ike::PeerConfig peer = native_peer(folder);
  for (const Row& row : ike_rows())
    check_row(row,
              ike::choose_ike(peer.ike_proposals, offer(ProtocolId::ike, row.offered), ike::IkeNegotiation::initial));
}

TEST_CASE("each native client gets the strongest child SA of what it proposes") {
  const Folder folder;
  const ike::PeerConfig peer = native_peer(folder);
  for (const Row& row : esp_rows())
    check_row(row,
              ike::choose_esp(peer.esp_proposals, offer(ProtocolId::esp, row.offered), ike::EspNegotiation::ike_auth));
  for (const Row& row : rekey_rows())
    check_row(row, ike::choose_esp(peer.esp_proposals, offer(ProtocolId::esp, row.offered),
                                   ike::EspNegotiation::create_child));
}

TEST_CASE("what stock Windows lacks is said by name") {
  const Folder folder;
  const ike::PeerConfig peer = native_peer(folder);
  const auto choice =
      ike::choose_ike(peer.ike_proposals, offer(ProtocolId::ike, windows_stock_ike()), ike::IkeNegotiation::initial);
  REQUIRE_FALSE(choice.has_value());
  CHECK(choice.error().detail.find("MODP1024") != std::string::npos);
}

TEST_CASE("without the profile nobody is granted a PRF of HMAC-SHA1") {
  const auto sa = offer(ProtocolId::ike, {"AES_GCM_16_256/PRF_HMAC_SHA1/MODP_2048"});
  CHECK_FALSE(ike::choose_ike(ike::default_ike_proposals(), sa, ike::IkeNegotiation::initial).has_value());
}

TEST_CASE("native clients call, name their own selectors, and speak no GRE") {
  const std::string native =
      replaced(replaced(sound_ip, "[\"198.51.100.1\"]", "\"any\""), "# peer", "profile = \"native-clients\"");
  check_mistakes(native,
                 {{"\"any\"", "[\"198.51.100.1\"]", 5, 11, "peer.tokyo.address", "are not called"},
                  {"carry = \"ip\"\ndevice = \"cv-tokyo\"\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.2.0.0/16\"]",
                   "carry = \"gre\"\ndevice = \"cv-tokyo\"", 11, 9, "tunnel.t.carry", "speak no GRE"}});
  const Folder folder;
  const Config config = sound(folder, native);
  REQUIRE(config.peers.at(0).children.front().local.size() == 1);
  CHECK(config.peers[0].children.front().local[0].prefix->to_string() == "10.1.0.0/16");
  CHECK(config.peers[0].start == ike::StartMode::wait);
  CHECK(config.peers[0].liveness == std::chrono::seconds(120));
}
