#include "culvert/eap/mschapv2.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <memory>

#include "md4.h"

namespace culvert::eap {
namespace {

using Sha1 = std::array<std::uint8_t, 20>;

Sha1 sha1(std::initializer_list<ByteView> parts) {
  Sha1 digest{};
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(ctx.get(), EVP_sha1(), nullptr);
  for (const ByteView part : parts) EVP_DigestUpdate(ctx.get(), part.data(), part.size());
  EVP_DigestFinal_ex(ctx.get(), digest.data(), nullptr);
  return digest;
}

/// One code point of strict UTF-8; nullopt at what is none.
std::optional<char32_t> take_code_point(Reader& text) {
  const std::uint8_t first = *text.u8();
  if (first < 0x80) return first;
  const int more = first >= 0xf0 && first <= 0xf4 ? 3 : first >= 0xe0 ? 2 : 1;
  if (first < 0xc2 || first > 0xf4) return std::nullopt;
  char32_t point = first & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    const auto next = text.u8();
    if (!next || (*next & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (*next & 0x3f);
  }
  constexpr std::array<char32_t, 4> smallest{0, 0x80, 0x800, 0x10000};
  if (point < smallest[static_cast<std::size_t>(more)] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
    return std::nullopt;
  return point;
}

void put_le16(MutableByteView out, std::size_t& at, std::uint32_t unit) {
  out[at++] = static_cast<std::uint8_t>(unit);
  out[at++] = static_cast<std::uint8_t>(unit >> 8);
}

/// RFC 2759 §8.6: 56 bits of key, a parity bit put behind each seven.
std::array<std::uint8_t, 8> des_key(const std::uint8_t* bits) {
  std::uint64_t all = 0;
  for (int i = 0; i < 7; ++i) all = all << 8 | bits[i];
  std::array<std::uint8_t, 8> key;
  for (unsigned i = 0; i < 8; ++i) key[i] = static_cast<std::uint8_t>((all >> (49 - 7 * i) & 0x7f) << 1);
  return key;
}

/// DES of one block. OpenSSL 3's default provider has it as Triple-DES alone: with three equal keys that is DES.
bool des_encrypt(const std::uint8_t* bits, ByteView clear, std::uint8_t* out) {
  const auto key = des_key(bits);
  std::array<std::uint8_t, 24> three;
  for (std::size_t i = 0; i < three.size(); ++i) three[i] = key[i % 8];
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> ctx(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int len = 0;
  const bool done = ctx && EVP_EncryptInit_ex(ctx.get(), EVP_des_ede3_ecb(), nullptr, three.data(), nullptr) == 1 &&
                    EVP_CIPHER_CTX_set_padding(ctx.get(), 0) == 1 &&
                    EVP_EncryptUpdate(ctx.get(), out, &len, clear.data(), static_cast<int>(clear.size())) == 1 &&
                    len == 8;
  sodium_memzero(three.data(), three.size());
  return done;
}

/// ChallengeResponse (§8.5): three DES keys from the hash and five zeros.
bool challenge_response(ByteView challenge, ByteView nt_hash, NtResponse& out) {
  std::array<std::uint8_t, 21> z{};
  std::copy(nt_hash.begin(), nt_hash.end(), z.begin());
  const bool done = des_encrypt(z.data(), challenge, out.data()) &&
                    des_encrypt(z.data() + 7, challenge, out.data() + 8) &&
                    des_encrypt(z.data() + 14, challenge, out.data() + 16);
  sodium_memzero(z.data(), z.size());
  return done;
}

/// GenerateAuthenticatorResponse (§8.7).
std::string authenticator_response(ByteView hash_hash, ByteView nt_response, ByteView challenge) {
  const Sha1 first = sha1({hash_hash, nt_response, as_bytes("Magic server to client signing constant")});
  const Sha1 digest = sha1({first, challenge, as_bytes("Pad to make it do more than one iteration")});
  std::string text = "S=";
  for (const std::uint8_t byte : digest) {
    text += "0123456789ABCDEF"[byte >> 4];
    text += "0123456789ABCDEF"[byte & 15];
  }
  return text;
}

/// RFC 3079 §3.4: GetMasterKey, then GetAsymmetricStartKey for both directions.
Secret master_session_key(ByteView hash_hash, ByteView nt_response) {
  const Sha1 master = sha1({hash_hash, nt_response, as_bytes("This is the MPPE Master Key")});
  const ByteView master_key = ByteView(master).first(16);
  std::array<std::uint8_t, 40> pad1{}, pad2;
  pad2.fill(0xf2);
  const Sha1 receive =
      sha1({master_key, pad1,
            as_bytes("On the client side, this is the send key; on the server side, it is the receive key."), pad2});
  const Sha1 send =
      sha1({master_key, pad1,
            as_bytes("On the client side, this is the receive key; on the server side, it is the send key."), pad2});
  Secret msk(64);
  std::copy_n(receive.begin(), 16, msk.mutable_view().begin());
  std::copy_n(send.begin(), 16, msk.mutable_view().begin() + 16);
  return msk;
}

}  // namespace

Result<Secret> nt_password_hash(ByteView password) {
  constexpr std::size_t max_units = 256;  // RFC 2759 §8.3: 0 to 256 unicode characters
  Secret utf16(2 * (max_units + 1));
  std::size_t len = 0;
  for (Reader text(password); !text.empty();) {
    const auto point = take_code_point(text);
    if (!point) return fail(Errc::malformed, "a password that is not UTF-8");
    if (*point >= 0x10000) {
      put_le16(utf16.mutable_view(), len, 0xd7c0 + (*point >> 10));
      put_le16(utf16.mutable_view(), len, 0xdc00 + (*point & 0x3ff));
    } else {
      put_le16(utf16.mutable_view(), len, *point);
    }
    if (len > 2 * max_units) return fail(Errc::malformed, "a password of more than 256 characters");
    if (len == 2 * max_units && !text.empty()) return fail(Errc::malformed, "a password of more than 256 characters");
  }
  auto digest = md4(utf16.view().first(len));
  Secret hash = Secret::copy_of(digest);
  sodium_memzero(digest.data(), digest.size());
  return hash;
}

std::string_view without_domain(std::string_view user) noexcept {
  const std::size_t slash = user.rfind('\\');
  return slash == std::string_view::npos ? user : user.substr(slash + 1);
}

Result<MsChapProof> mschap_proof(ByteView nt_hash, const MsChapChallenge& authenticator, const MsChapChallenge& peer,
                                 std::string_view user) {
  if (nt_hash.size() != nt_hash_len) return fail(Errc::invalid, "an NT hash that has not 16 bytes");
  const Sha1 digest = sha1({peer, authenticator, as_bytes(without_domain(user))});
  const ByteView challenge = ByteView(digest).first(8);  // ChallengeHash, §8.2
  MsChapProof proof;
  if (!challenge_response(challenge, nt_hash, proof.nt_response))
    return fail(Errc::internal, "the cryptographic library has no Triple-DES");
  auto hash_hash = md4(nt_hash);
  proof.authenticator_response = authenticator_response(hash_hash, proof.nt_response, challenge);
  proof.msk = master_session_key(hash_hash, proof.nt_response);
  sodium_memzero(hash_hash.data(), hash_hash.size());
  return proof;
}

}  // namespace culvert::eap
