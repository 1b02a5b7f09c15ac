#include "culvert/crypto/distinguished_name.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/objects.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <vector>

#include "openssl_handle.h"

namespace culvert::crypto {
namespace {

constexpr std::size_t max_text_len = 4096;
constexpr std::size_t max_shown_len = 64;
constexpr unsigned long string_types = (B_ASN1_DIRECTORYSTRING) | (B_ASN1_IA5STRING);

struct Attribute {
  std::string type;
  Bytes value;
  bool is_der = false;      // "#hex": the value is a whole DER string
  bool joins_next = false;  // a '+' follows: the next attribute is of the same RDN
};

std::unexpected<Error> malformed(std::size_t at, std::string why) {
  return fail(Errc::malformed, "distinguished name, character " + std::to_string(at + 1) + ": " + std::move(why));
}

std::optional<std::uint8_t> hex_pair(std::string_view text) {
  std::uint8_t byte = 0;
  std::size_t len = 0;
  if (text.size() < 2 || sodium_hex2bin(&byte, 1, text.data(), 2, nullptr, &len, nullptr) != 0 || len != 1)
    return std::nullopt;
  return byte;
}

// RFC 4514 §3, but the RDNs in the order of the Name:
//   distinguishedName = [ relativeDistinguishedName *( COMMA relativeDistinguishedName ) ]
//   relativeDistinguishedName = attributeTypeAndValue *( PLUS attributeTypeAndValue )
//   attributeTypeAndValue = attributeType EQUALS attributeValue
//   attributeValue = string / hexstring
class TextParser {
 public:
  explicit TextParser(std::string_view text) : text_(text) {}

  Result<std::vector<Attribute>> parse() {
    std::vector<Attribute> attributes;
    do {
      Result<Attribute> attribute = parse_attribute();
      if (!attribute) return std::unexpected(attribute.error());
      attributes.push_back(std::move(*attribute));
    } while (at_++ < text_.size());  // steps over the separator
    return attributes;
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
  [[nodiscard]] bool at_separator() const { return at_end() || text_[at_] == ',' || text_[at_] == '+'; }
  void skip_blanks() {
    while (!at_end() && text_[at_] == ' ') ++at_;
  }

  Result<Attribute> parse_attribute() {
    Attribute attribute;
    skip_blanks();
    const std::size_t start = at_;
    while (!at_end() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.' || text_[at_] == '-'))
      ++at_;
    attribute.type = text_.substr(start, at_ - start);
    if (attribute.type.empty()) return malformed(at_, "expected an attribute type such as CN or O");
    skip_blanks();
    if (at_end() || text_[at_] != '=') return malformed(at_, "expected '=' behind " + attribute.type);
    ++at_;
    skip_blanks();
    attribute.is_der = !at_end() && text_[at_] == '#';
    Result<Bytes> value = attribute.is_der ? parse_hex_value() : parse_string_value();
    if (!value) return std::unexpected(value.error());
    attribute.value = std::move(*value);
    attribute.joins_next = !at_end() && text_[at_] == '+';
    return attribute;
  }

  Result<Bytes> parse_hex_value() {
    Bytes value;
    ++at_;
    while (const auto byte = hex_pair(text_.substr(at_))) {
      value.push_back(*byte);
      at_ += 2;
    }
    skip_blanks();
    if (value.empty() || !at_separator()) return malformed(at_, "expected pairs of hex digits behind '#'");
    return value;
  }

  Result<Bytes> parse_string_value() {
    Bytes value;
    std::size_t kept = 0;  // behind the last character that is no unescaped blank
    while (!at_separator()) {
      const char c = text_[at_];
      if (c == '\\') {
        const Result<std::uint8_t> escaped = parse_escape();
        if (!escaped) return std::unexpected(escaped.error());
        value.push_back(*escaped);
        kept = value.size();
        continue;
      }
      if (std::string_view("\"<>;").find(c) != std::string_view::npos || c == '\0') {
        return malformed(at_, "this character needs a '\\' before it");
      }
      value.push_back(static_cast<std::uint8_t>(c));
      if (c != ' ') kept = value.size();
      ++at_;
    }
    value.resize(kept);
    if (value.empty()) return malformed(at_, "empty value");
    return value;
  }

  Result<std::uint8_t> parse_escape() {
    const std::size_t start = at_++;
    if (const auto byte = hex_pair(text_.substr(at_))) {
      at_ += 2;
      return *byte;
    }
    if (at_end() || std::string_view(" \"#+,;<=>\\").find(text_[at_]) == std::string_view::npos) {
      return malformed(start, "'\\' stands before a special character or two hex digits");
    }
    return static_cast<std::uint8_t>(text_[at_++]);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

using ObjectHandle = std::unique_ptr<ASN1_OBJECT, FreeWith<ASN1_OBJECT_free>>;

// OBJ_txt2obj takes dotted numbers too, but knows short names in one spelling only; RFC 4514 §3 wants them without
// regard to case.
ObjectHandle find_attribute_type(std::string type) {
  ObjectHandle found(OBJ_txt2obj(type.c_str(), 0));
  if (found) return found;
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::toupper(c); });
  found.reset(OBJ_txt2obj(type.c_str(), 0));
  if (found) return found;
  static constexpr std::array<std::string_view, 5> mixed{"emailAddress", "serialNumber", "dnQualifier", "street",
                                                         "title"};
  for (const std::string_view name : mixed) {
    const auto same = [](unsigned char a, unsigned char b) { return a == std::toupper(b); };
    if (std::equal(type.begin(), type.end(), name.begin(), name.end(), same)) found.reset(OBJ_txt2obj(name.data(), 0));
  }
  return found;
}

Result<void> add_attribute(X509_NAME* name, const Attribute& attribute, bool joins_previous) {
  const ObjectHandle object = find_attribute_type(attribute.type);
  if (!object) {
    ERR_clear_error();
    return fail(Errc::malformed, "distinguished name: unknown attribute type '" + attribute.type + "'");
  }
  const std::uint8_t* value = attribute.value.data();
  int len = static_cast<int>(attribute.value.size());
  // A lone "*" is a pattern's (matches_distinguished_name), also where the attribute's own type has no such character.
  int type = as_text(attribute.value) == "*" ? V_ASN1_UTF8STRING : MBSTRING_UTF8;
  using TypeHandle = std::unique_ptr<ASN1_TYPE, FreeWith<ASN1_TYPE_free>>;
  TypeHandle der;
  if (attribute.is_der) {
    const std::uint8_t* end = value;
    der.reset(d2i_ASN1_TYPE(nullptr, &end, len));
    if (!der || end != value + len || (ASN1_tag2bit(der->type) & string_types) == 0) {
      ERR_clear_error();
      return fail(Errc::malformed, "distinguished name: the hex value of " + attribute.type + " is not a DER string");
    }
    type = der->type;
    value = ASN1_STRING_get0_data(der->value.asn1_string);
    len = ASN1_STRING_length(der->value.asn1_string);
  }
  if (X509_NAME_add_entry_by_OBJ(name, object.get(), type, value, len, -1, joins_previous ? -1 : 0) != 1) {
    return openssl_failure(Errc::malformed, "distinguished name: value of " + attribute.type);
  }
  return {};
}

NameHandle decode(ByteView der) {
  const std::uint8_t* end = der.data();
  NameHandle name(d2i_X509_NAME(nullptr, &end, static_cast<long>(der.size())));
  if (name && end != der.data() + der.size()) name.reset();
  ERR_clear_error();
  return name;
}

/// One attribute of a Name on its own, for a comparison by the rules of Names.
NameHandle alone(const X509_NAME_ENTRY* entry) {
  NameHandle name(X509_NAME_new());
  if (name && X509_NAME_add_entry(name.get(), entry, -1, 0) != 1) name.reset();
  return name;
}

bool is_any(const X509_NAME_ENTRY* entry) {
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
  return ASN1_STRING_length(value) == 1 && ASN1_STRING_get0_data(value)[0] == '*';
}

bool matches_attribute(const X509_NAME_ENTRY* pattern, const X509_NAME_ENTRY* entry) {
  if (X509_NAME_ENTRY_set(pattern) != X509_NAME_ENTRY_set(entry)) return false;
  if (OBJ_cmp(X509_NAME_ENTRY_get_object(pattern), X509_NAME_ENTRY_get_object(entry)) != 0) return false;
  if (is_any(pattern)) return true;
  const NameHandle left = alone(pattern);
  const NameHandle right = alone(entry);
  return left && right && X509_NAME_cmp(left.get(), right.get()) == 0;
}

}  // namespace

Result<Bytes> encode_distinguished_name(std::string_view text) {
  if (text.size() > max_text_len) return fail(Errc::malformed, "distinguished name of more than 4096 characters");
  Result<std::vector<Attribute>> attributes = TextParser(text).parse();
  if (!attributes) return std::unexpected(attributes.error());
  const NameHandle name(X509_NAME_new());
  if (!name) return openssl_failure(Errc::internal, "X509_NAME_new");
  bool joins_previous = false;
  for (const Attribute& attribute : *attributes) {
    if (Result<void> added = add_attribute(name.get(), attribute, joins_previous); !added) {
      return std::unexpected(added.error());
    }
    joins_previous = attribute.joins_next;
  }
  std::uint8_t* der = nullptr;
  const int len = i2d_X509_NAME(name.get(), &der);
  if (len < 0) return openssl_failure(Errc::internal, "i2d_X509_NAME");
  Bytes bytes(der, der + len);
  OPENSSL_free(der);
  return bytes;
}

std::string distinguished_name_text(ByteView der) {
  constexpr unsigned long style = XN_FLAG_RFC2253 & ~(XN_FLAG_DN_REV | ASN1_STRFLGS_ESC_MSB);
  const NameHandle name = decode(der);
  using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (!name || !out || X509_NAME_print_ex(out.get(), name.get(), 0, style) < 0) {
    ERR_clear_error();
    const ByteView shown = der.first(std::min(der.size(), max_shown_len));
    std::string hex(1 + 2 * shown.size() + 1, '#');
    sodium_bin2hex(hex.data() + 1, hex.size() - 1, shown.data(), shown.size());
    hex.pop_back();
    return hex;
  }
  char* text = nullptr;
  const long len = BIO_get_mem_data(out.get(), &text);
  return len > 0 ? std::string(text, static_cast<std::size_t>(len)) : std::string();
}

bool same_distinguished_name(ByteView a, ByteView b) {
  const NameHandle left = decode(a);
  const NameHandle right = decode(b);
  return left && right && X509_NAME_cmp(left.get(), right.get()) == 0;
}

bool matches_distinguished_name(ByteView pattern, ByteView name) {
  const NameHandle left = decode(pattern);
  const NameHandle right = decode(name);
  const int count = left ? X509_NAME_entry_count(left.get()) : 0;
  if (!left || !right || X509_NAME_entry_count(right.get()) != count) return false;
  for (int i = 0; i < count; ++i) {
    if (!matches_attribute(X509_NAME_get_entry(left.get(), i), X509_NAME_get_entry(right.get(), i))) return false;
  }
  return true;
}

}  // namespace culvert::crypto
