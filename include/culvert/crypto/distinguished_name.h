#pragma once
#include <string>
#include <string_view>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"

namespace culvert::crypto {

/// Text to a DER Name, RDNs in the order written: "O=Example, CN=gw" is the Name {O=Example, CN=gw}, as strongSwan's
/// configurations and `openssl req -subj` have it (RFC 4514 §2.1 would turn the order around). All else is RFC 4514:
/// attribute types are OpenSSL's short names (any case) or dotted OIDs; "\," "\2C" escapes, "#hex" values and
/// multi-valued RDNs ("CN=a+UID=b") are understood, and blanks around names and values are ignored. Values become
/// PrintableString or IA5String where their attribute demands it (C, serialNumber, DC, emailAddress), else UTF8String.
/// Errc::malformed says where and why.
[[nodiscard]] Result<Bytes> encode_distinguished_name(std::string_view text);

/// A DER Name as text for people, in the order of the Name and with the escapes of RFC 4514, UTF-8, control characters
/// escaped; "#hex" (at most 64 bytes of it) when it is not a Name. encode_distinguished_name gives the Name back.
[[nodiscard]] std::string distinguished_name_text(ByteView der);

/// Equal by the rules of RFC 5280 §7.1: string types, case and inner blanks do not matter. False when either is not a
/// Name.
[[nodiscard]] bool same_distinguished_name(ByteView a, ByteView b);

/// `name` has the attributes of `pattern` in the same order and the same RDNs; a value of "*" in the pattern stands for
/// any, as in strongSwan: "C=DE, O=Example, CN=*". Other values compare as above. False when either is not a Name.
[[nodiscard]] bool matches_distinguished_name(ByteView pattern, ByteView name);

}  // namespace culvert::crypto
