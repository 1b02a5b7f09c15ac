// The SA payload, RFC 7296 §3.3: proposals, their transforms, the transforms' attributes. Parse and build.
#include "payloads.h"

namespace culvert::ike {
namespace {

constexpr std::uint8_t last_substructure = 0, more_proposals = 2, more_transforms = 3;
constexpr std::size_t proposal_header_len = 8, transform_header_len = 8;
constexpr std::uint16_t attribute_key_length = 14, attribute_format_tv = 0x8000;

// §3.3.5: Transform attributes.
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |A|       Attribute Type        |    AF=0  Attribute Length     |
// |F|                             |    AF=1  Attribute Value      |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |                   AF=0  Attribute Value                       |
// |                   AF=1  Not Transmitted                       |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
PayloadError parse_attributes(Reader reader, Transform& transform) {
  while (!reader.empty()) {
    const auto type = reader.u16();
    const auto value_or_length = reader.u16();
    if (!type || !value_or_length) return "transform attribute is cut off";
    const bool is_tv = (*type & attribute_format_tv) != 0;
    if (!is_tv && !reader.skip(*value_or_length)) return "transform attribute length";
    const bool is_key_length = is_tv && (*type & ~attribute_format_tv) == attribute_key_length;
    if (!is_key_length || *value_or_length == 0 || transform.key_bits != 0) {
      transform.unknown_attribute = true;  // §3.3.6: makes this transform unacceptable, not the message
      continue;
    }
    transform.key_bits = *value_or_length;
  }
  return nullptr;
}

// §3.3.2
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Last Substruc |   RESERVED    |        Transform Length       |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |Transform Type |   RESERVED    |          Transform ID         |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                      Transform Attributes                     ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
std::expected<Transform, PayloadError> parse_transform(Reader& reader, bool is_last) {
  if (reader.remaining() < transform_header_len) return std::unexpected("transform is cut off");
  const std::uint8_t more = *reader.u8();
  (void)reader.u8();
  const std::uint16_t length = *reader.u16();
  Transform transform;
  transform.type = static_cast<TransformType>(*reader.u8());
  (void)reader.u8();
  transform.id = *reader.u16();
  if (more != (is_last ? last_substructure : more_transforms))
    return std::unexpected("last-substructure field of a transform");
  if (length < transform_header_len) return std::unexpected("transform length");
  const auto attributes = reader.take(length - transform_header_len);
  if (!attributes) return std::unexpected("transform length");
  if (const PayloadError error = parse_attributes(Reader(*attributes), transform)) return std::unexpected(error);
  return transform;
}

bool spi_len_fits(ProtocolId protocol, std::size_t len) {
  switch (protocol) {
    case ProtocolId::ike:
      return len == 0 || len == 8;  // §3.3.1: 0 in IKE_SA_INIT, 8 in a rekey
    case ProtocolId::ah:
    case ProtocolId::esp:
      return len == 4;
    default:
      return true;  // a protocol that we don't know: its proposal is never chosen
  }
}

// §3.3.1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Last Substruc |   RESERVED    |         Proposal Length       |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// | Proposal Num  |  Protocol ID  |    SPI Size   |Num  Transforms|
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// ~                        SPI (variable)                         ~
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |                        <Transforms>                           |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
std::expected<Proposal, PayloadError> parse_proposal(Reader& reader) {
  if (reader.remaining() < proposal_header_len) return std::unexpected("proposal is cut off");
  const std::uint8_t more = *reader.u8();
  (void)reader.u8();
  const std::uint16_t length = *reader.u16();
  if (length < proposal_header_len) return std::unexpected("proposal length");
  const auto body = reader.take(length - 4U);
  if (!body) return std::unexpected("proposal length");
  if (more != (reader.empty() ? last_substructure : more_proposals)) {
    return std::unexpected("last-substructure field of a proposal");
  }

  Reader inner(*body);
  Proposal proposal;
  proposal.number = *inner.u8();
  proposal.protocol = static_cast<ProtocolId>(*inner.u8());
  const std::uint8_t spi_len = *inner.u8();
  const std::uint8_t num_transforms = *inner.u8();
  const auto spi = inner.take(spi_len);
  if (!spi || !spi_len_fits(proposal.protocol, spi_len)) return std::unexpected("SPI size of a proposal");
  proposal.spi.assign(spi->begin(), spi->end());
  if (num_transforms > max_transforms) return std::unexpected("too many transforms");
  for (std::size_t i = 0; i < num_transforms; ++i) {
    auto transform = parse_transform(inner, i + 1 == num_transforms);
    if (!transform) return std::unexpected(transform.error());
    proposal.transforms.push_back(*transform);
  }
  if (!inner.empty()) return std::unexpected("number of transforms");
  return proposal;
}

void write_transform(Writer& writer, const Transform& transform, bool is_last) {
  writer.u8(is_last ? last_substructure : more_transforms);
  writer.u8(0);
  const auto length = writer.length16(2);
  writer.u8(static_cast<std::uint8_t>(transform.type));
  writer.u8(0);
  writer.u16(transform.id);
  if (transform.key_bits != 0) {
    writer.u16(attribute_format_tv | attribute_key_length);
    writer.u16(transform.key_bits);
  }
}

void write_proposal(Writer& writer, const Proposal& proposal, bool is_last) {
  writer.u8(is_last ? last_substructure : more_proposals);
  writer.u8(0);
  const auto length = writer.length16(2);
  writer.u8(proposal.number);
  writer.u8(static_cast<std::uint8_t>(proposal.protocol));
  writer.u8(static_cast<std::uint8_t>(proposal.spi.size()));
  writer.u8(static_cast<std::uint8_t>(proposal.transforms.size()));
  writer.bytes(proposal.spi);
  for (std::size_t i = 0; i < proposal.transforms.size(); ++i) {
    write_transform(writer, proposal.transforms[i], i + 1 == proposal.transforms.size());
  }
}

}  // namespace

std::expected<SaPayload, PayloadError> parse_sa(ByteView body) {
  Reader reader(body);
  SaPayload sa;
  if (reader.empty()) return std::unexpected("SA payload without a proposal");
  while (!reader.empty()) {
    if (sa.proposals.size() == max_proposals) return std::unexpected("too many proposals");
    auto proposal = parse_proposal(reader);
    if (!proposal) return std::unexpected(proposal.error());
    sa.proposals.push_back(std::move(*proposal));
  }
  // §3.3.1: an offer counts from 1 by ones; an answer is one proposal with the number of the chosen one.
  if (sa.proposals.front().number == 0 || (sa.proposals.size() > 1 && sa.proposals.front().number != 1)) {
    return std::unexpected("number of the first proposal");
  }
  for (std::size_t i = 1; i < sa.proposals.size(); ++i) {
    if (sa.proposals[i].number != sa.proposals[i - 1].number + 1) return std::unexpected("numbers of the proposals");
  }
  return sa;
}

void write_sa(Writer& writer, const SaPayload& sa) {
  for (std::size_t i = 0; i < sa.proposals.size(); ++i) {
    write_proposal(writer, sa.proposals[i], i + 1 == sa.proposals.size());
  }
}

}  // namespace culvert::ike
