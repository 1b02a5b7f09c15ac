// Inside the SK payload: the fuzzer's bytes are the plaintext (suite | first payload | payloads, padding, pad length),
// sealed with a key that we know, then opened as a session would: what a peer that holds the keys can do to us.
#include <array>

#include "culvert/crypto/cipher_suite.h"
#include "ike_exercise.h"

using namespace culvert;
using namespace culvert::ike;
using fuzz::require;

namespace {

const Header header{
    IkeSpi(0x1122334455667788), IkeSpi(0x99aabbccddeeff00), ExchangeType::ike_auth, true, false, MessageId(1)};

SkProtection& protection(std::uint8_t choice) {
  using enum crypto::CipherSuite;
  static constexpr std::array suites{aes_gcm_16_128, chacha20_poly1305, aes_cbc_128_sha2_256_128,
                                     aes_cbc_256_sha2_512_256};
  static std::array<std::optional<SkProtection>, suites.size()> all;
  const std::size_t i = choice % suites.size();
  if (!all[i]) {
    const auto& cipher = crypto::info(suites[i]);
    all[i].emplace(
        *SkProtection::create(suites[i], Bytes(cipher.key_len + cipher.salt_len, 1), Bytes(cipher.integrity_len, 2)));
  }
  return *all[i];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  SkProtection& key = protection(data[0]);
  const auto first = static_cast<PayloadType>(data[1]);
  // CBC wants whole blocks: zeros in front are not possible, so the end is cut.
  const bool cbc = data[0] % 4 >= 2;
  const ByteView plaintext(data + 2, cbc ? (size - 2) / 16 * 16 : size - 2);
  const auto datagram = key.seal_plaintext(header, first, plaintext);
  if (!datagram) return 0;
  const auto message = parse(*datagram);
  require(message.has_value() && message->encrypted.has_value());
  const auto payloads = key.open(*datagram, *message);
  if (plaintext.empty()) {
    require(!payloads.has_value());
    return 0;
  }
  require(payloads.has_value() || payloads.error().authentic);
  if (payloads) fuzz::exercise_all(*payloads);

  Bytes forged = *datagram;
  forged[header_len + 4 + data[size - 1] % (forged.size() - header_len - 4)] ^= 0x80;
  const auto opened = key.open(forged, *message);
  require(!opened.has_value() && !opened.error().authentic);
  return 0;
}
