// RFC 7296 §2.13–§2.18 against NIST's ACVP answers: data/ikev2_kdf_acvp_sha256.txt.
#include <doctest/doctest.h>

#include "culvert/crypto/prf.h"
#include "keymat.h"
#include "vectors/ikev2_transcript.h"

namespace culvert::ike {
namespace {

using test::to_hex;
constexpr auto prf = crypto::Prf::hmac_sha2_256;

struct Published : test::Transcript {
  Published() : Transcript("ikev2_kdf_acvp_sha256.txt") {}
  [[nodiscard]] const Bytes& ni() const { return (*this)["ni"]; }
  [[nodiscard]] const Bytes& nr() const { return (*this)["nr"]; }
};

std::string first_of(const Bytes& stream, std::size_t from, std::size_t len) {
  return to_hex(ByteView(stream).subspan(from, len));
}

TEST_CASE("SKEYSEED is what NIST published") {
  const Published acvp;
  CHECK(to_hex(skeyseed(prf, acvp.ni(), acvp.nr(), acvp["g_ir"]).view()) == to_hex(acvp["skeyseed"]));
}

TEST_CASE("prf+ gives NIST's key stream, whole and at every length short of it") {
  const Published acvp;
  const Bytes& stream = acvp["keymat_ike"];
  for (std::size_t len = 0; len <= stream.size(); ++len) {
    const Secret made =
        crypto::prf_plus(prf, acvp["skeyseed"], {acvp.ni(), acvp.nr(), acvp["spi_i"], acvp["spi_r"]}, len);
    REQUIRE(to_hex(made.view()) == first_of(stream, 0, len));
  }
}

TEST_CASE("the seven keys of an IKE SA are cut from NIST's key stream in the RFC's order") {
  const Published acvp;
  const Bytes& stream = acvp["keymat_ike"];
  const IkeSpi spi_i(load_be<std::uint64_t>(acvp["spi_i"].data())), spi_r(load_be<std::uint64_t>(acvp["spi_r"].data()));

  SUBCASE("CBC with an HMAC: SK_a has the length of the integrity key") {
    const IkeSuite suite{crypto::CipherSuite::aes_cbc_128_sha2_256_128, prf, crypto::KeMethod::modp2048};
    const IkeKeys keys = derive_ike_keys(suite, acvp["skeyseed"], acvp.ni(), acvp.nr(), spi_i, spi_r);
    CHECK(to_hex(keys.sk_d.view()) == to_hex(acvp["sk_d"]));
    CHECK(to_hex(keys.sk_ai.view()) == first_of(stream, 32, 32));
    CHECK(to_hex(keys.sk_ar.view()) == first_of(stream, 64, 32));
    CHECK(to_hex(keys.sk_ei.view()) == first_of(stream, 96, 16));
    CHECK(to_hex(keys.sk_er.view()) == first_of(stream, 112, 16));
    CHECK(to_hex(keys.sk_pi.view()) == first_of(stream, 128, 32));
    CHECK(to_hex(keys.sk_pr.view()) == first_of(stream, 160, 32));
  }
  SUBCASE("AEAD: no SK_a, and SK_e is key and salt (RFC 5282 §7.2)") {
    const IkeSuite suite{crypto::CipherSuite::aes_gcm_16_256, prf, crypto::KeMethod::x25519};
    const IkeKeys keys = derive_ike_keys(suite, acvp["skeyseed"], acvp.ni(), acvp.nr(), spi_i, spi_r);
    CHECK(to_hex(keys.sk_d.view()) == to_hex(acvp["sk_d"]));
    CHECK(keys.sk_ai.empty());
    CHECK(keys.sk_ar.empty());
    CHECK(to_hex(keys.sk_ei.view()) == first_of(stream, 32, 36));
    CHECK(to_hex(keys.sk_er.view()) == first_of(stream, 68, 36));
    CHECK(to_hex(keys.sk_pi.view()) == first_of(stream, 104, 32));
    CHECK(to_hex(keys.sk_pr.view()) == first_of(stream, 136, 32));
  }
}

TEST_CASE("child keys are cut from NIST's key stream: initiator to responder first, encryption before integrity") {
  const Published acvp;
  const auto check = [&](const Bytes& stream, ByteView g_ir) {
    const ChildKeys keys =
        derive_child_keys(prf, crypto::CipherSuite::aes_cbc_256_sha2_256_128, acvp["sk_d"], g_ir, acvp.ni(), acvp.nr());
    CHECK(to_hex(keys.initiator_to_responder.encryption.view()) == first_of(stream, 0, 32));
    CHECK(to_hex(keys.initiator_to_responder.integrity.view()) == first_of(stream, 32, 32));
    CHECK(to_hex(keys.responder_to_initiator.encryption.view()) == first_of(stream, 64, 32));
    CHECK(to_hex(keys.responder_to_initiator.integrity.view()) == first_of(stream, 96, 32));
  };
  SUBCASE("without PFS") {
    check(acvp["keymat_child"], {});
  }
  SUBCASE("with PFS") {
    check(acvp["keymat_child_dh"], acvp["g_ir_child"]);
  }
}

TEST_CASE("SKEYSEED of a rekeyed IKE SA is what NIST published") {
  const Published acvp;
  const Secret made = skeyseed_rekey(prf, acvp["sk_d"], acvp["g_ir_child"], acvp.ni(), acvp.nr());
  CHECK(to_hex(made.view()) == to_hex(acvp["skeyseed_rekey"]));
}

}  // namespace
}  // namespace culvert::ike
