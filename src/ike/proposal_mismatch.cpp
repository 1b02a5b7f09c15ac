#include "proposal_mismatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace culvert::ike {
namespace {

constexpr std::size_t max_names = 8, max_described = 3, max_described_len = 160;

/// The transforms of one type that any of the proposals has, each once, at most `max`: a peer may offer thousands.
std::vector<Transform> distinct(std::span<const Proposal> proposals, TransformType type, std::size_t max) {
  std::vector<Transform> all;
  for (const Proposal& proposal : proposals) {
    for (const Transform& transform : proposal.transforms) {
      if (transform.type != type || std::ranges::find(all, transform) != all.end()) continue;
      if (all.size() == max) return all;
      all.push_back(transform);
    }
  }
  return all;
}

std::string names_of(std::span<const Proposal> proposals, TransformType type) {
  const auto transforms = distinct(proposals, type, max_names + 1);
  if (transforms.empty()) return "none";
  std::string text;
  for (std::size_t i = 0; i < std::min(transforms.size(), max_names); ++i) {
    text += (i == 0 ? "" : ", ") + transform_name(transforms[i]);
  }
  return transforms.size() > max_names ? text + " and more" : text;
}

bool has_type(std::span<const Proposal> proposals, TransformType type) {
  return std::ranges::any_of(proposals, [type](const Proposal& one) {
    return std::ranges::find(one.transforms, type, &Transform::type) != one.transforms.end();
  });
}

bool has_transform(std::span<const Proposal> proposals, const Transform& transform) {
  return std::ranges::any_of(proposals, [&](const Proposal& one) {
    return std::ranges::find(one.transforms, transform) != one.transforms.end();
  });
}

/// Those of ours (there are few) that the peer has too, in any of its proposals.
std::vector<Transform> common_of(std::span<const Proposal> configured, std::span<const Proposal> offered,
                                 TransformType type) {
  auto common = distinct(configured, type, std::numeric_limits<std::size_t>::max());
  std::erase_if(common, [&](const Transform& one) { return !has_transform(offered, one); });
  return common;
}

/// Key exchange may be left out of ESP proposals, which is the same as "none".
bool both_do_without(std::span<const Proposal> configured, std::span<const Proposal> offered, TransformType type,
                     Terms terms) {
  if (type != TransformType::ke || terms.protocol != ProtocolId::esp) return false;
  const Transform none{TransformType::ke, ke_none};
  const auto does_without = [&](std::span<const Proposal> side) {
    return !has_type(side, type) || has_transform(side, none);
  };
  return does_without(configured) && does_without(offered);
}

/// A type in which the two sides, all their proposals together, have nothing in common; said in words.
std::optional<std::string> nothing_in_common(std::span<const Proposal> configured, std::span<const Proposal> offered,
                                             TransformType type, Terms terms) {
  if (!common_of(configured, offered, type).empty() || both_do_without(configured, offered, type, terms))
    return std::nullopt;
  if (type == TransformType::integ) {
    // Beside an AEAD that both have, integrity does not matter.
    const auto encr = common_of(configured, offered, TransformType::encr);
    if (encr.empty() || std::ranges::any_of(encr, is_aead)) return std::nullopt;
  }
  return fmt::format("no {} we accept: it offered {}, we allow {}", transform_type_name(type), names_of(offered, type),
                     names_of(configured, type));
}

}  // namespace

bool is_negotiated(TransformType type, Terms terms) noexcept {
  switch (type) {
    case TransformType::encr:
    case TransformType::integ:
      return true;
    case TransformType::prf:
      return terms.protocol == ProtocolId::ike;
    case TransformType::ke:
      return terms.with_ke;
    case TransformType::esn:
      return terms.protocol == ProtocolId::esp;
  }
  return false;
}

bool is_aead(const Transform& encryption) noexcept {
  return encryption.id == encr_aes_gcm_16 || encryption.id == encr_chacha20_poly1305;
}

std::vector<Transform> transforms_of(const Proposal& proposal, TransformType type) {
  std::vector<Transform> found;
  std::ranges::copy_if(proposal.transforms, std::back_inserter(found),
                       [type](const Transform& one) { return one.type == type; });
  return found;
}

std::optional<std::string> unacceptable(const Proposal& theirs, Terms terms) {
  const std::string_view wanted = terms.protocol == ProtocolId::ike ? "IKE" : "ESP";
  if (theirs.protocol != terms.protocol) {
    return fmt::format("it is for protocol {}, not for {}", static_cast<unsigned>(theirs.protocol), wanted);
  }
  if (theirs.spi.size() != terms.spi_len)
    return fmt::format("its SPI has {} bytes instead of {}", theirs.spi.size(), terms.spi_len);
  // RFC 4303 §2.1: ESP SPIs 0 to 255 are reserved. RFC 7296 §3.1: an IKE SPI is not zero.
  const std::size_t num_leading = terms.spi_len == 4 ? 3 : terms.spi_len;
  const ByteView spi = theirs.spi;
  if (terms.spi_len != 0 && std::ranges::all_of(spi.first(num_leading), [](std::uint8_t byte) { return byte == 0; })) {
    return "its SPI is one of the reserved ones";
  }
  for (const Transform& transform : theirs.transforms) {
    // RFC 7296 §3.3.6: a proposal with a transform type that we do not understand MUST be considered unacceptable.
    const bool ignored = transform.type == TransformType::ke;
    if (!ignored && !is_negotiated(transform.type, terms)) {
      return fmt::format("transform type {} has no place in a proposal for {}", static_cast<unsigned>(transform.type),
                         wanted);
    }
  }
  return std::nullopt;
}

std::string describe_mismatch(std::span<const Proposal> configured, std::span<const Proposal> offered, Terms terms) {
  const std::string subject = terms.protocol == ProtocolId::ike ? "its proposal " : "its ESP proposal ";
  std::vector<Proposal> usable;
  std::string first_reason = "is missing";
  for (const Proposal& theirs : offered) {
    if (auto reason = unacceptable(theirs, terms)) {
      if (usable.empty() && first_reason == "is missing") first_reason = "cannot be used: " + *reason;
    } else {
      usable.push_back(theirs);
    }
  }
  if (usable.empty()) return subject + first_reason;

  std::string reasons;
  for (const TransformType type :
       {TransformType::encr, TransformType::integ, TransformType::prf, TransformType::ke, TransformType::esn}) {
    if (!is_negotiated(type, terms)) continue;
    const auto reason = nothing_in_common(configured, usable, type, terms);
    if (reason) reasons += (reasons.empty() ? "has " : "; and ") + *reason;
  }
  if (!reasons.empty()) return subject + reasons;
  return subject + "has no combination we accept: it offered " + describe_set(usable, terms) + "; we allow " +
         describe_set(configured, terms);
}

std::string describe_set(std::span<const Proposal> proposals, Terms terms) {
  std::string text;
  for (std::size_t i = 0; i < std::min(proposals.size(), max_described); ++i) {
    Proposal shown = proposals[i];
    std::erase_if(shown.transforms, [&](const Transform& transform) { return !is_negotiated(transform.type, terms); });
    std::string words = to_string(shown);
    if (words.size() > max_described_len) words = words.substr(0, max_described_len) + "…";
    text += (i == 0 ? "" : " or ") + words;
  }
  if (proposals.size() > max_described) text += fmt::format(" and {} more", proposals.size() - max_described);
  return text.empty() ? "nothing" : text;
}

}  // namespace culvert::ike
