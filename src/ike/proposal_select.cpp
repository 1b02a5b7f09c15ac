// What two gateways agree on: RFC 7296 §2.7 and §3.3.6.
#include "proposal_select.h"

#include <algorithm>
#include <array>

#include "proposal_mismatch.h"

namespace culvert::ike {
namespace {

constexpr std::array negotiated_types{TransformType::encr, TransformType::integ, TransformType::prf, TransformType::ke,
                                      TransformType::esn};

/// One transform of each type, chosen from a pair of proposals; `rank` is where each stands in our order of preference.
struct Match {
  const Proposal* offered = nullptr;
  std::vector<Transform> transforms;
  std::array<std::size_t, negotiated_types.size()> rank{};
};

std::optional<Transform> find_type(const std::vector<Transform>& transforms, TransformType type) {
  const auto found = std::ranges::find(transforms, type, &Transform::type);
  if (found == transforms.end()) return std::nullopt;
  return *found;
}

/// The first of ours that the peer offers too, with its place among ours. A type that one side leaves out is `absent`
/// there.
std::optional<std::pair<Transform, std::size_t>> first_common(const Proposal& ours, const Proposal& theirs,
                                                              TransformType type, std::optional<Transform> absent) {
  auto mine = transforms_of(ours, type);
  auto offered = transforms_of(theirs, type);
  if (mine.empty() && absent) mine.push_back(*absent);
  if (offered.empty() && absent) offered.push_back(*absent);
  for (std::size_t i = 0; i < mine.size(); ++i) {
    if (std::ranges::find(offered, mine[i]) != offered.end()) return std::pair(mine[i], i);
  }
  return std::nullopt;
}

/// One of our proposals against one of the peer's.
std::optional<Match> match(const Proposal& ours, const Proposal& theirs, Terms terms) {
  Match result;
  result.offered = &theirs;
  bool aead = false;
  for (std::size_t i = 0; i < negotiated_types.size(); ++i) {
    const TransformType type = negotiated_types[i];
    if (!is_negotiated(type, terms)) continue;
    // RFC 5282 §8: beside an AEAD stands no integrity transform, or NONE. RFC 7296 §3.3.6 wants it in the answer when
    // it was offered.
    std::optional<Transform> absent;
    const bool integrity_of_aead = type == TransformType::integ && aead;
    if (integrity_of_aead) absent = Transform{TransformType::integ, integ_none};
    if (type == TransformType::ke && terms.protocol == ProtocolId::esp) absent = Transform{TransformType::ke, ke_none};

    const auto common = first_common(ours, theirs, type, absent);
    if (!common) return std::nullopt;
    if (type == TransformType::encr) aead = is_aead(common->first);
    result.rank[i] = common->second;
    if (find_type(theirs.transforms, type)) result.transforms.push_back(common->first);
  }
  return result;
}

/// The best pair: our first proposal that fits anything decides, within it our order of transforms, then the peer's
/// order of proposals.
std::optional<Match> best_match(std::span<const Proposal> configured, std::span<const Proposal> offered, Terms terms) {
  for (const Proposal& ours : configured) {
    std::optional<Match> best;
    for (const Proposal& theirs : offered) {
      if (unacceptable(theirs, terms)) continue;
      auto found = match(ours, theirs, terms);
      if (found && (!best || found->rank < best->rank)) best = std::move(found);
    }
    if (best) return best;
  }
  return std::nullopt;
}

Proposal answer_of(const Match& match) {
  return {match.offered->number, match.offered->protocol, {}, match.transforms};
}

std::optional<crypto::CipherSuite> cipher_of(const std::vector<Transform>& transforms) {
  using enum crypto::CipherSuite;
  struct Row {
    std::uint16_t encr, bits, integ;
    crypto::CipherSuite suite;
  };
  static constexpr std::array rows = std::to_array<Row>({
      {encr_aes_gcm_16, 128, integ_none, aes_gcm_16_128},
      {encr_aes_gcm_16, 256, integ_none, aes_gcm_16_256},
      {encr_chacha20_poly1305, 0, integ_none, chacha20_poly1305},
      {encr_aes_cbc, 128, integ_sha2_256_128, aes_cbc_128_sha2_256_128},
      {encr_aes_cbc, 128, integ_sha2_384_192, aes_cbc_128_sha2_384_192},
      {encr_aes_cbc, 128, integ_sha2_512_256, aes_cbc_128_sha2_512_256},
      {encr_aes_cbc, 256, integ_sha2_256_128, aes_cbc_256_sha2_256_128},
      {encr_aes_cbc, 256, integ_sha2_384_192, aes_cbc_256_sha2_384_192},
      {encr_aes_cbc, 256, integ_sha2_512_256, aes_cbc_256_sha2_512_256},
  });
  const auto encr = find_type(transforms, TransformType::encr);
  const auto integ = find_type(transforms, TransformType::integ);
  if (!encr) return std::nullopt;
  const std::uint16_t integ_id = integ ? integ->id : integ_none;
  for (const Row& row : rows) {
    if (row.encr == encr->id && row.bits == encr->key_bits && row.integ == integ_id) return row.suite;
  }
  return std::nullopt;
}

std::optional<crypto::Prf> prf_of(const std::vector<Transform>& transforms) {
  const auto transform = find_type(transforms, TransformType::prf);
  if (!transform) return std::nullopt;
  switch (transform->id) {
    case prf_hmac_sha2_256:
      return crypto::Prf::hmac_sha2_256;
    case prf_hmac_sha2_384:
      return crypto::Prf::hmac_sha2_384;
    case prf_hmac_sha2_512:
      return crypto::Prf::hmac_sha2_512;
    case prf_hmac_sha1:
      return crypto::Prf::hmac_sha1;
    default:
      return std::nullopt;
  }
}

std::optional<crypto::KeMethod> ke_of(const std::vector<Transform>& transforms) {
  const auto transform = find_type(transforms, TransformType::ke);
  return transform ? ke_method(transform->id) : std::nullopt;
}

Result<IkeChoice> ike_choice(Proposal answer, ByteView peer_spi) {
  const auto cipher = cipher_of(answer.transforms);
  const auto prf = prf_of(answer.transforms);
  const auto ke = ke_of(answer.transforms);
  if (!cipher || !prf || !ke) return fail(Errc::no_match, "its proposal names an algorithm this build does not have");
  IkeChoice choice{std::move(answer), {*cipher, *prf, *ke}, {}};
  if (peer_spi.size() == 8) choice.peer_spi = IkeSpi(load_be<std::uint64_t>(peer_spi.data()));
  return choice;
}

Result<EspChoice> esp_choice(Proposal answer, ByteView peer_spi) {
  const auto cipher = cipher_of(answer.transforms);
  const auto esn = find_type(answer.transforms, TransformType::esn);
  const auto ke = find_type(answer.transforms, TransformType::ke);
  const bool known_ke = !ke || ke->id == ke_none || ke_method(ke->id);
  if (!cipher || !esn || !known_ke)
    return fail(Errc::no_match, "its ESP proposal names an algorithm this build does not have");
  EspChoice choice{std::move(answer), {*cipher, ke ? ke_method(ke->id) : std::nullopt, esn->id == esn_yes}, {}};
  if (peer_spi.size() == 4) choice.peer_spi = Spi(load_be<std::uint32_t>(peer_spi.data()));
  return choice;
}

std::vector<Proposal> number(std::vector<Proposal> proposals, const Bytes& spi) {
  for (std::size_t i = 0; i < proposals.size(); ++i) {
    proposals[i].number = static_cast<std::uint8_t>(i + 1);
    proposals[i].spi = spi;
  }
  return proposals;
}

Bytes to_bytes(IkeSpi spi) {
  Bytes bytes(8);
  store_be(bytes.data(), spi.value());
  return bytes;
}

Bytes to_bytes(Spi spi) {
  Bytes bytes(4);
  store_be(bytes.data(), spi.value());
  return bytes;
}

/// The initiator's check of an answer, to be read as a proposal of one transform a type. Gives what was agreed, cleaned
/// of what does not count.
Result<Proposal> checked_answer(std::span<const Proposal> offered, const SaPayload& answer, Terms terms) {
  if (answer.proposals.size() != 1)
    return fail(Errc::no_match, "its answer holds several proposals instead of the one it chose");
  Proposal chosen = answer.proposals.front();
  if (auto reason = unacceptable(chosen, terms)) return fail(Errc::no_match, "its answer: " + *reason);
  const auto ours = std::ranges::find_if(
      offered, [&](const Proposal& one) { return one.number == chosen.number && one.protocol == chosen.protocol; });
  if (ours == offered.end()) return fail(Errc::no_match, "its answer has the number of no proposal of ours");
  std::erase_if(chosen.transforms, [&](const Transform& transform) { return !is_negotiated(transform.type, terms); });
  for (const Transform& transform : chosen.transforms) {
    if (std::ranges::count(chosen.transforms, transform.type, &Transform::type) > 1) {
      return fail(Errc::no_match, "its answer holds several transforms of one type");
    }
  }
  auto found = match(*ours, chosen, terms);
  if (!found)
    return fail(Errc::no_match, "its answer is not what we offered: it answered " +
                                    describe_set(answer.proposals, terms) + ", we offered " +
                                    describe_set({&*ours, 1}, terms));
  chosen.transforms = std::move(found->transforms);
  return chosen;
}

}  // namespace

std::vector<Proposal> offer_ike(std::span<const Proposal> configured, IkeNegotiation negotiation, IkeSpi spi) {
  return number({configured.begin(), configured.end()}, negotiation == IkeNegotiation::rekey ? to_bytes(spi) : Bytes{});
}

std::vector<Proposal> offer_esp(std::span<const Proposal> configured, EspNegotiation negotiation, Spi spi) {
  std::vector<Proposal> offered;
  for (Proposal proposal : configured) {
    if (negotiation == EspNegotiation::ike_auth) {
      std::erase_if(proposal.transforms,
                    [](const Transform& transform) { return transform.type == TransformType::ke; });
    }
    if (std::ranges::find(offered, proposal.transforms, &Proposal::transforms) == offered.end())
      offered.push_back(std::move(proposal));
  }
  return number(std::move(offered), to_bytes(spi));
}

Result<IkeChoice> accept_ike(std::span<const Proposal> offered, const SaPayload& answer, IkeNegotiation negotiation) {
  auto chosen = checked_answer(offered, answer, ike_terms(negotiation));
  if (!chosen) return std::unexpected(std::move(chosen.error()));
  const Bytes spi = std::exchange(chosen->spi, {});
  return ike_choice(std::move(*chosen), spi);
}

Result<EspChoice> accept_esp(std::span<const Proposal> offered, const SaPayload& answer, EspNegotiation negotiation) {
  auto chosen = checked_answer(offered, answer, esp_terms(negotiation));
  if (!chosen) return std::unexpected(std::move(chosen.error()));
  const Bytes spi = std::exchange(chosen->spi, {});
  return esp_choice(std::move(*chosen), spi);
}

Result<IkeChoice> choose_ike(std::span<const Proposal> configured, const SaPayload& offered,
                             IkeNegotiation negotiation) {
  const Terms terms = ike_terms(negotiation);
  const auto best = best_match(configured, offered.proposals, terms);
  if (!best) return fail(Errc::no_match, describe_mismatch(configured, offered.proposals, terms));
  return ike_choice(answer_of(*best), best->offered->spi);
}

Result<EspChoice> choose_esp(std::span<const Proposal> configured, const SaPayload& offered,
                             EspNegotiation negotiation) {
  const Terms terms = esp_terms(negotiation);
  const auto best = best_match(configured, offered.proposals, terms);
  if (!best) return fail(Errc::no_match, describe_mismatch(configured, offered.proposals, terms));
  return esp_choice(answer_of(*best), best->offered->spi);
}

std::optional<crypto::KeMethod> ke_method(std::uint16_t id) noexcept {
  switch (const auto method = static_cast<crypto::KeMethod>(id)) {
    case crypto::KeMethod::modp2048:
    case crypto::KeMethod::modp3072:
    case crypto::KeMethod::modp4096:
    case crypto::KeMethod::ecp256:
    case crypto::KeMethod::ecp384:
    case crypto::KeMethod::ecp521:
    case crypto::KeMethod::x25519:
      return method;
  }
  return std::nullopt;
}

std::optional<crypto::KeMethod> preferred_ke(std::span<const Proposal> proposals) {
  for (const Proposal& proposal : proposals) {
    for (const Transform& transform : transforms_of(proposal, TransformType::ke)) {
      if (const auto method = ke_method(transform.id)) return method;
    }
  }
  return std::nullopt;
}

bool offers_ke(std::span<const Proposal> proposals, crypto::KeMethod method) {
  const Transform wanted{TransformType::ke, static_cast<std::uint16_t>(method)};
  return std::ranges::any_of(proposals, [&](const Proposal& proposal) {
    return std::ranges::find(proposal.transforms, wanted) != proposal.transforms.end();
  });
}

KeFit ke_fit(std::optional<crypto::KeMethod> selected, const KePayload* payload) noexcept {
  if (!selected) return KeFit::unused;
  if (payload == nullptr || payload->method != static_cast<std::uint16_t>(*selected)) return KeFit::wrong;
  return KeFit::fits;
}

KePayload ke_payload(const crypto::KeyExchange& ke) {
  const ByteView value = ke.public_value();
  return {static_cast<std::uint16_t>(ke.method()), Bytes(value.begin(), value.end())};
}

NotifyPayload invalid_ke_payload(crypto::KeMethod wanted) {
  NotifyPayload notify = make_notify(NotifyType::invalid_ke_payload, Bytes(2));
  store_be(notify.data.data(), static_cast<std::uint16_t>(wanted));
  return notify;
}

std::optional<crypto::KeMethod> wanted_ke(const NotifyPayload& notify) noexcept {
  if (notify.type != NotifyType::invalid_ke_payload || notify.data.size() != 2) return std::nullopt;
  return ke_method(load_be<std::uint16_t>(notify.data.data()));
}

}  // namespace culvert::ike
