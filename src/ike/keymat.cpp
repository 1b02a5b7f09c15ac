#include "keymat.h"

#include <array>

#include "culvert/crypto/cipher_suite.h"

namespace culvert::ike {
namespace {

/// Cuts a key stream front to back, in the order of the RFC's diagram.
class KeyCutter {
 public:
  explicit KeyCutter(const Secret& stream) : rest_(stream.view()) {}
  Secret next(std::size_t len) {
    const ByteView part = rest_.first(len);
    rest_ = rest_.subspan(len);
    return Secret::copy_of(part);
  }

 private:
  ByteView rest_;
};

std::array<std::uint8_t, 8> to_bytes(IkeSpi spi) {
  std::array<std::uint8_t, 8> bytes{};
  store_be(bytes.data(), spi.value());
  return bytes;
}

}  // namespace

Secret skeyseed(crypto::Prf prf, ByteView ni, ByteView nr, ByteView g_ir) {
  // The key is Ni | Nr whole: shortening it to half the key size each (§2.14) concerns PRFs with keys of a fixed size,
  // which an HMAC is not.
  Bytes key;
  key.reserve(ni.size() + nr.size());
  append(key, ni);
  append(key, nr);
  return crypto::prf(prf, key, {g_ir});
}

Secret skeyseed_rekey(crypto::Prf old_prf, ByteView old_sk_d, ByteView g_ir, ByteView ni, ByteView nr) {
  return crypto::prf(old_prf, old_sk_d, {g_ir, ni, nr});
}

Secret skeyseed_resume(crypto::Prf prf, ByteView old_sk_d, ByteView ni, ByteView nr) {
  return crypto::prf(prf, old_sk_d, {as_bytes("Resumption"), ni, nr});
}

Bytes resumed_auth(crypto::Prf prf, ByteView sk_p, ByteView message) {
  const Secret auth = crypto::prf(prf, sk_p, {message});
  const ByteView octets = auth.view();
  return {octets.begin(), octets.end()};
}

IkeKeys derive_ike_keys(const IkeSuite& suite, ByteView skeyseed, ByteView ni, ByteView nr, IkeSpi spi_i,
                        IkeSpi spi_r) {
  const crypto::CipherSuiteInfo& cipher = crypto::info(suite.cipher);
  const std::size_t prf_len = crypto::prf_len(suite.prf);  // SK_d, SK_pi, SK_pr: the PRF's preferred key length (§2.14)
  const std::size_t integrity_len = cipher.integrity_len;
  const std::size_t encryption_len = std::size_t{cipher.key_len} + cipher.salt_len;
  const auto spi_i_bytes = to_bytes(spi_i);
  const auto spi_r_bytes = to_bytes(spi_r);
  const Secret stream = crypto::prf_plus(suite.prf, skeyseed, {ni, nr, spi_i_bytes, spi_r_bytes},
                                         3 * prf_len + 2 * integrity_len + 2 * encryption_len);
  KeyCutter cut(stream);
  IkeKeys keys;
  keys.sk_d = cut.next(prf_len);
  keys.sk_ai = cut.next(integrity_len);
  keys.sk_ar = cut.next(integrity_len);
  keys.sk_ei = cut.next(encryption_len);
  keys.sk_er = cut.next(encryption_len);
  keys.sk_pi = cut.next(prf_len);
  keys.sk_pr = cut.next(prf_len);
  return keys;
}

ChildKeys derive_child_keys(crypto::Prf prf, crypto::CipherSuite suite, ByteView sk_d, ByteView g_ir, ByteView ni,
                            ByteView nr) {
  const crypto::CipherSuiteInfo& cipher = crypto::info(suite);
  const std::size_t encryption_len = std::size_t{cipher.key_len} + cipher.salt_len;
  const Secret stream = crypto::prf_plus(prf, sk_d, {g_ir, ni, nr}, 2 * (encryption_len + cipher.integrity_len));
  KeyCutter cut(stream);
  ChildKeys keys;
  for (DirectionKeys* direction : {&keys.initiator_to_responder, &keys.responder_to_initiator}) {
    direction->encryption = cut.next(encryption_len);
    direction->integrity = cut.next(cipher.integrity_len);
  }
  return keys;
}

Bytes psk_auth(crypto::Prf prf, ByteView psk, ByteView first_message, ByteView peer_nonce, ByteView sk_p,
               ByteView id_body) {
  const Secret maced_id = crypto::prf(prf, sk_p, {id_body});
  const Secret pad = crypto::prf(prf, psk, {as_bytes("Key Pad for IKEv2")});
  const Secret auth = crypto::prf(prf, pad.view(), {first_message, peer_nonce, maced_id.view()});
  const ByteView octets = auth.view();
  return {octets.begin(), octets.end()};
}

Bytes signed_octets(crypto::Prf prf, ByteView first_message, ByteView peer_nonce, ByteView sk_p, ByteView id_body) {
  const Secret maced_id = crypto::prf(prf, sk_p, {id_body});
  Bytes octets(first_message.begin(), first_message.end());
  append(octets, peer_nonce);
  append(octets, maced_id.view());
  return octets;
}

Bytes nat_detection_hash(IkeSpi spi_i, IkeSpi spi_r, const Endpoint& endpoint) {
  const auto spi_i_bytes = to_bytes(spi_i);
  const auto spi_r_bytes = to_bytes(spi_r);
  std::array<std::uint8_t, 2> port{};
  store_be(port.data(), endpoint.port);
  return crypto::sha1({spi_i_bytes, spi_r_bytes, endpoint.address.bytes(), port});
}

}  // namespace culvert::ike
