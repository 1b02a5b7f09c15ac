// Proposals as people write them: words joined by '-'.
#include "culvert/ike/proposal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

namespace culvert::ike {
namespace {

struct Word {
  std::string_view text;
  Transform transform;
  bool in_ike = true, in_esp = true;
};

constexpr std::uint16_t ke_id(crypto::KeMethod method) {
  return static_cast<std::uint16_t>(method);
}

// The first word of a transform is the one that to_string prints.
constexpr std::array words = std::to_array<Word>({
    {"aes256gcm16", {TransformType::encr, encr_aes_gcm_16, 256}},
    {"aes128gcm16", {TransformType::encr, encr_aes_gcm_16, 128}},
    {"chacha20poly1305", {TransformType::encr, encr_chacha20_poly1305, 0}},
    {"aes256", {TransformType::encr, encr_aes_cbc, 256}},
    {"aes128", {TransformType::encr, encr_aes_cbc, 128}},
    {"sha256", {TransformType::integ, integ_sha2_256_128}},
    {"sha384", {TransformType::integ, integ_sha2_384_192}},
    {"sha512", {TransformType::integ, integ_sha2_512_256}},
    {"prfsha256", {TransformType::prf, prf_hmac_sha2_256}, true, false},
    {"prfsha384", {TransformType::prf, prf_hmac_sha2_384}, true, false},
    {"prfsha512", {TransformType::prf, prf_hmac_sha2_512}, true, false},
    {"prfsha1", {TransformType::prf, prf_hmac_sha1}, true, false},
    {"x25519", {TransformType::ke, ke_id(crypto::KeMethod::x25519)}},
    {"curve25519", {TransformType::ke, ke_id(crypto::KeMethod::x25519)}},
    {"ecp256", {TransformType::ke, ke_id(crypto::KeMethod::ecp256)}},
    {"ecp384", {TransformType::ke, ke_id(crypto::KeMethod::ecp384)}},
    {"ecp521", {TransformType::ke, ke_id(crypto::KeMethod::ecp521)}},
    {"modp2048", {TransformType::ke, ke_id(crypto::KeMethod::modp2048)}},
    {"modp3072", {TransformType::ke, ke_id(crypto::KeMethod::modp3072)}},
    {"modp4096", {TransformType::ke, ke_id(crypto::KeMethod::modp4096)}},
    {"none", {TransformType::ke, ke_none}, false, true},
    {"esn", {TransformType::esn, esn_yes}, false, true},
    {"noesn", {TransformType::esn, esn_no}, false, true},
});
constexpr std::size_t max_word_len = 32;  // of what is compared and printed

/// The least number of letters to insert, drop or replace, and of neighbours to swap (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, above[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above.back();
}

bool belongs(const Word& word, ProtocolId protocol) {
  return protocol == ProtocolId::ike ? word.in_ike : word.in_esp;
}

std::unexpected<Error> unknown_word(std::string_view text, ProtocolId protocol) {
  const std::string_view shown = text.substr(0, max_word_len);
  std::vector<std::pair<std::size_t, std::string_view>> nearest;
  for (const Word& word : words) {
    if (belongs(word, protocol)) nearest.emplace_back(distance(shown, word.text), word.text);
  }
  std::ranges::stable_sort(nearest, {}, &std::pair<std::size_t, std::string_view>::first);
  std::string list;
  for (const auto& [ignored, word] : nearest) list += (list.empty() ? "" : ", ") + std::string(word);
  return fail(Errc::malformed, fmt::format("\"{}\" is no algorithm; the nearest is {}; there are {}", shown,
                                           nearest.front().second, list));
}

Result<Transform> parse_word(std::string_view text, ProtocolId protocol) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  const auto found = std::ranges::find(words, std::string_view(lower), &Word::text);
  if (found == words.end()) return unknown_word(lower, protocol);
  if (!belongs(*found, protocol)) {
    return fail(Errc::malformed, fmt::format("\"{}\" has no place in a proposal for {}", lower,
                                             protocol == ProtocolId::ike ? "IKE" : "ESP"));
  }
  return found->transform;
}

bool has(const Proposal& proposal, TransformType type) {
  return std::ranges::find(proposal.transforms, type, &Transform::type) != proposal.transforms.end();
}
bool encrypts_as_aead(const Transform& transform) {
  return transform.type == TransformType::encr && transform.id != encr_aes_cbc;
}
bool encrypts_as_cbc(const Transform& transform) {
  return transform.type == TransformType::encr && transform.id == encr_aes_cbc;
}

/// RFC 7296 §3.3: AEADs and ciphers that need an integrity algorithm never share a proposal.
Result<void> check_encryption(const Proposal& proposal) {
  const auto aead = std::ranges::find_if(proposal.transforms, encrypts_as_aead);
  const auto cbc = std::ranges::find_if(proposal.transforms, encrypts_as_cbc);
  const bool has_aead = aead != proposal.transforms.end(), has_cbc = cbc != proposal.transforms.end();
  const bool has_integrity = has(proposal, TransformType::integ);
  if (!has_aead && !has_cbc) return fail(Errc::malformed, "no encryption algorithm: name one, e.g. aes256gcm16");
  if (has_aead && has_cbc) {
    return fail(Errc::malformed,
                "aes128 and aes256 (CBC) cannot share a proposal with aes128gcm16, aes256gcm16 and chacha20poly1305: "
                "write two proposals");
  }
  if (has_aead && has_integrity) {
    return fail(
        Errc::malformed,
        "an integrity algorithm (sha256, sha384, sha512) beside an encryption that authenticates by itself: leave "
        "it out; the PRF of IKE is prfsha256, prfsha384 or prfsha512");
  }
  if (has_cbc && !has_integrity)
    return fail(Errc::malformed, "aes128 and aes256 (CBC) need an integrity algorithm: sha256, sha384 or sha512");
  return {};
}

Result<void> complete_ike(Proposal& proposal) {
  if (!has(proposal, TransformType::prf)) {
    if (!has(proposal, TransformType::integ)) {
      return fail(Errc::malformed, "no PRF: name prfsha256, prfsha384 or prfsha512");
    }
    // sha256 → prfsha256 and so on; the numbers of both rows run in the same order.
    std::vector<Transform> implied;
    for (const Transform& transform : proposal.transforms) {
      if (transform.type != TransformType::integ) continue;
      implied.push_back(
          {TransformType::prf, static_cast<std::uint16_t>(transform.id - integ_sha2_256_128 + prf_hmac_sha2_256)});
    }
    proposal.transforms.insert(proposal.transforms.end(), implied.begin(), implied.end());
  }
  if (!has(proposal, TransformType::ke))
    return fail(Errc::malformed, "no key exchange: name one, e.g. x25519 or ecp256");
  return {};
}

void complete_esp(Proposal& proposal) {
  const bool has_group = std::ranges::any_of(proposal.transforms, [](const Transform& transform) {
    return transform.type == TransformType::ke && transform.id != ke_none;
  });
  if (!has_group) std::erase_if(proposal.transforms, [](const Transform& t) { return t.type == TransformType::ke; });
  if (has(proposal, TransformType::esn)) return;
  proposal.transforms.push_back({TransformType::esn, esn_yes});
  proposal.transforms.push_back({TransformType::esn, esn_no});
}

/// Where a type stands among the words of a proposal: encryption, integrity, PRF, key exchange, ESN.
int order(const Transform& transform) {
  switch (transform.type) {
    case TransformType::encr:
      return 0;
    case TransformType::integ:
      return 1;
    case TransformType::prf:
      return 2;
    case TransformType::ke:
      return 3;
    case TransformType::esn:
      return 4;
  }
  return 5;
}

Result<Proposal> parse_proposal(std::string_view text, ProtocolId protocol) {
  Proposal proposal;
  proposal.protocol = protocol;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('-', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty())
      return fail(Errc::malformed,
                  "an empty word: a proposal is words joined by '-', e.g. aes256gcm16-prfsha384-x25519");
    const auto transform = parse_word(word, protocol);
    if (!transform) return std::unexpected(transform.error());
    if (std::ranges::find(proposal.transforms, *transform) != proposal.transforms.end()) {
      return fail(Errc::malformed, fmt::format("\"{}\" stands twice in one proposal", word.substr(0, max_word_len)));
    }
    proposal.transforms.push_back(*transform);
  }
  if (auto checked = check_encryption(proposal); !checked) return std::unexpected(std::move(checked.error()));
  if (protocol == ProtocolId::ike) {
    if (auto completed = complete_ike(proposal); !completed) return std::unexpected(std::move(completed.error()));
  } else {
    complete_esp(proposal);
  }
  std::ranges::stable_sort(proposal.transforms, {}, order);
  return proposal;
}

/// Of our own texts, which are right: a test proves it.
std::vector<Proposal> parse_all(std::initializer_list<std::string_view> texts, ProtocolId protocol) {
  std::vector<Proposal> proposals;
  for (const std::string_view text : texts) {
    auto proposal = parse_proposal(text, protocol);
    if (!proposal) continue;
    proposal->number = static_cast<std::uint8_t>(proposals.size() + 1);
    proposals.push_back(std::move(*proposal));
  }
  return proposals;
}

std::string ke_name(crypto::KeMethod method) {
  return transform_name({TransformType::ke, ke_id(method)});
}

}  // namespace

Result<Proposal> parse_ike_proposal(std::string_view text) {
  return parse_proposal(text, ProtocolId::ike);
}
Result<Proposal> parse_esp_proposal(std::string_view text) {
  return parse_proposal(text, ProtocolId::esp);
}

std::vector<Proposal> default_ike_proposals() {
  return parse_all(
      {
          "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-prfsha512-x25519-ecp384-ecp256-ecp521-modp3072-"
          "modp4096-modp2048",
          "aes256-aes128-sha256-sha384-sha512-prfsha384-prfsha256-prfsha512-x25519-ecp384-ecp256-ecp521-modp3072-"
          "modp4096-modp2048",
      },
      ProtocolId::ike);
}

// PFS with whom it is possible: groups are offered, and "none" keeps the rekeying of peers without PFS (strongSwan's
// default) working.
std::vector<Proposal> default_esp_proposals() {
  return parse_all(
      {
          "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp384-ecp256-ecp521-modp3072-modp4096-modp2048-none-esn-"
          "noesn",
          "aes256-aes128-sha256-sha384-sha512-x25519-ecp384-ecp256-ecp521-modp3072-modp4096-modp2048-none-esn-noesn",
      },
      ProtocolId::esp);
}

std::string to_string(const Proposal& proposal) {
  std::string text;
  for (const Transform& transform : proposal.transforms) {
    if (!text.empty()) text += '-';
    const auto found = std::ranges::find(words, transform, &Word::transform);
    text += found != words.end() ? std::string(found->text) : transform_name(transform);
  }
  return text;
}

std::string to_string(const IkeSuite& suite) {
  return fmt::format("{} {} {}", crypto::info(suite.cipher).name, crypto::prf_name(suite.prf), ke_name(suite.ke));
}

std::string to_string(const EspSuite& suite) {
  std::string text(crypto::info(suite.cipher).name);
  if (suite.ke) text += ' ' + ke_name(*suite.ke);
  return text + (suite.esn ? " ESN" : "");
}

}  // namespace culvert::ike
