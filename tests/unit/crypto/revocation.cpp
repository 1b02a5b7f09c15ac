#include "culvert/crypto/revocation.h"

#include <doctest/doctest.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "openssl_x509.h"
#include "test_pki.h"

using namespace culvert;
using namespace culvert::crypto;
using namespace culvert::test;

namespace {

Crl make_crl(const Authority& ca, const std::vector<Certificate>& revoked, WallTime from = test_now - day,
             WallTime until = test_now + 7 * day) {
  std::vector<RevokedCertificate> entries;
  for (const Certificate& certificate : revoked) entries.push_back({certificate.serial(), from});
  return issue_crl(ca.key, ca.certificate, entries, 1, from, until).value();
}

/// The list as it is, signed by somebody else, who even claims the true CA's key identifier.
Crl forge(const Crl& crl, const Authority& forger) {
  const CrlHandle copy(X509_CRL_dup(crl.library_crl()));
  REQUIRE(X509_CRL_sign(copy.get(), forger.key.library_key(), EVP_sha256()) > 0);
  return Crl::from_file_content(encode(copy.get(), i2d_X509_CRL)).value();
}

struct Answer {
  int status = V_OCSP_CERTSTATUS_GOOD;
  WallTime from = test_now - std::chrono::hours(1);
  std::optional<WallTime> until = test_now + std::chrono::hours(1);
  const EVP_MD* digest = EVP_sha256();
  unsigned long flags = 0;
};

using TimeHandle = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;

TimeHandle generalized(WallTime time) {
  return TimeHandle(ASN1_GENERALIZEDTIME_set(nullptr, static_cast<time_t>(time.time_since_epoch().count())));
}

/// What a responder that is `signer` answers, made with OpenSSL as its own responder (openssl ocsp) makes it.
Bytes ocsp_answer(const Certificate& certificate, const Certificate& issuer, const PrivateKey& key,
                  const Certificate& signer, const Answer& answer = {}) {
  const std::unique_ptr<OCSP_BASICRESP, FreeWith<OCSP_BASICRESP_free>> basic(OCSP_BASICRESP_new());
  const std::unique_ptr<OCSP_CERTID, FreeWith<OCSP_CERTID_free>> id(
      OCSP_cert_to_id(EVP_sha1(), certificate.library_certificate(), issuer.library_certificate()));
  const TimeHandle from = generalized(answer.from);
  const TimeHandle until = answer.until ? generalized(*answer.until) : nullptr;
  const TimeHandle revoked = answer.status == V_OCSP_CERTSTATUS_REVOKED ? generalized(answer.from) : nullptr;
  REQUIRE(OCSP_basic_add1_status(basic.get(), id.get(), answer.status, 0, revoked.get(), from.get(), until.get()));
  const EVP_MD* digest = key.public_key().type() == KeyType::ed25519 ? nullptr : answer.digest;
  REQUIRE(OCSP_basic_sign(basic.get(), signer.library_certificate(), key.library_key(), digest, nullptr,
                          answer.flags) == 1);
  const std::unique_ptr<OCSP_RESPONSE, FreeWith<OCSP_RESPONSE_free>> response(
      OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
  return encode(response.get(), i2d_OCSP_RESPONSE);
}

Holder make_responder(const Authority& ca, const char* usage, WallTime until = test_now + 10 * day) {
  return make_with(ca, {{NID_ext_key_usage, usage}}, {test_now - 10 * day, until});
}

struct Scene {
  Authority root = make_ca("O=Example,CN=Root");
  Authority middle = make_intermediate(root, "O=Example,CN=Middle");
  Holder leaf = make_leaf(middle, "CN=gw", {{AlternativeName::Type::dns, "gw.example.net"}});
  TrustStore store = TrustStore::create({root.certificate}, {middle.certificate}).value();

  [[nodiscard]] std::string judged(RevocationPolicy policy, const RevocationData& data, WallTime now = test_now) const {
    VerifyOptions options;
    options.now = now;
    options.revocation = policy;
    return verdict(store, {leaf.certificate}, options, &data);
  }
  [[nodiscard]] OcspResponse answer(const Answer& answer = {}) const {
    return OcspResponse::from_der(
               ocsp_answer(leaf.certificate, middle.certificate, middle.key, middle.certificate, answer))
        .value();
  }
};

using enum RevocationPolicy;

}  // namespace

TEST_CASE("a revoked leaf is refused under relaxed and strict policy, and not looked at under none") {
  const Scene scene;
  const RevocationData data{{make_crl(scene.middle, {scene.leaf.certificate}), make_crl(scene.root, {})}, {}};
  CHECK(scene.judged(strict, data) == "revoked");
  CHECK(scene.judged(relaxed, data) == "revoked");
  CHECK(scene.judged(none, data) == "ok");
}

TEST_CASE("a revoked intermediate is refused") {
  const Scene scene;
  const RevocationData data{{make_crl(scene.middle, {}), make_crl(scene.root, {scene.middle.certificate})}, {}};
  CHECK(scene.judged(strict, data) == "revoked");
  CHECK(scene.judged(relaxed, data) == "revoked");
}

TEST_CASE("strict policy wants to know of each certificate below the anchor, relaxed says what it does not know") {
  const Scene scene;
  const RevocationData all{{make_crl(scene.middle, {}), make_crl(scene.root, {})}, {}};
  CHECK(scene.judged(strict, all) == "ok");
  CHECK(scene.judged(strict, {{make_crl(scene.middle, {})}, {}}) == "revocation-unknown");
  CHECK(scene.judged(strict, {{make_crl(scene.root, {})}, {}}) == "revocation-unknown");
  CHECK(scene.judged(strict, {}) == "revocation-unknown");
  CHECK(scene.judged(relaxed, {}) == "ok");
  VerifyOptions options;
  options.now = test_now;
  const auto unknown = scene.store.verify(std::vector{scene.leaf.certificate}, options, nullptr);
  REQUIRE(unknown);
  CHECK(unknown->revocation_note().find("revocation unknown") != std::string::npos);
  const auto known = scene.store.verify(std::vector{scene.leaf.certificate}, options, &all);
  REQUIRE(known);
  CHECK(known->revocation_checked());
}

TEST_CASE("an expired CRL is no knowledge, but what it lists stays revoked") {
  const Scene scene;
  const Crl root_crl = make_crl(scene.root, {});
  const Crl old = make_crl(scene.middle, {}, test_now - 9 * day, test_now - 2 * day);
  const Crl old_with_leaf = make_crl(scene.middle, {scene.leaf.certificate}, test_now - 9 * day, test_now - 2 * day);
  const Crl future = make_crl(scene.middle, {}, test_now + day, test_now + 2 * day);
  CHECK(scene.judged(strict, {{root_crl, old}, {}}) == "revocation-unknown");
  CHECK(scene.judged(relaxed, {{root_crl, old}, {}}) == "ok");
  CHECK(scene.judged(relaxed, {{root_crl, old_with_leaf}, {}}) == "revoked");
  CHECK(scene.judged(strict, {{root_crl, future}, {}}) == "revocation-unknown");
  const Crl fresh = make_crl(scene.middle, {scene.leaf.certificate});
  CHECK(scene.judged(strict, {{root_crl, old, fresh}, {}}) == "revoked");
  CHECK(scene.judged(strict, {{fresh, root_crl, future}, {}}) == "revoked");
}

TEST_CASE("a forged CRL neither revokes nor hides the true one") {
  const Scene scene;
  const Authority forger = make_ca("O=Example,CN=Middle");
  const Crl root_crl = make_crl(scene.root, {});
  const Crl accuses =
      forge(make_crl(scene.middle, {scene.leaf.certificate}, test_now - day, test_now + 9 * day), forger);
  const Crl acquits = forge(make_crl(scene.middle, {}, test_now - std::chrono::hours(1), test_now + 9 * day), forger);
  const Crl truth = make_crl(scene.middle, {scene.leaf.certificate});
  CHECK(scene.judged(relaxed, {{root_crl, accuses}, {}}) == "ok");
  CHECK(scene.judged(strict, {{root_crl, accuses}, {}}) == "revocation-unknown");
  CHECK(scene.judged(relaxed, {{acquits, root_crl, truth}, {}}) == "revoked");
  CHECK(scene.judged(relaxed, {{truth, root_crl, acquits}, {}}) == "revoked");
  CHECK(scene.judged(strict, {{root_crl, acquits, make_crl(scene.middle, {}), accuses}, {}}) == "ok");
  CHECK(!accuses.is_signed_by(scene.middle.certificate));
  CHECK(truth.is_signed_by(scene.middle.certificate));
  CHECK(!truth.is_signed_by(scene.root.certificate));
  // Very many of them cost no more than a bounded time, and no acceptance.
  CHECK(scene.judged(relaxed, {std::vector<Crl>(200, accuses), {}}) == "revocation-unknown");
}

TEST_CASE("a good OCSP response stands in for a CRL, a revoked one counts beside it") {
  const Scene scene;
  const Crl root_crl = make_crl(scene.root, {});
  CHECK(scene.judged(strict, {{root_crl}, {scene.answer()}}) == "ok");
  const OcspResponse revoked = scene.answer({.status = V_OCSP_CERTSTATUS_REVOKED});
  CHECK(scene.judged(strict, {{root_crl}, {revoked}}) == "revoked");
  CHECK(scene.judged(relaxed, {{}, {revoked}}) == "revoked");
  CHECK(scene.judged(none, {{}, {revoked}}) == "ok");
  CHECK(scene.judged(relaxed, {{root_crl, make_crl(scene.middle, {})}, {revoked}}) == "revoked");
  const OcspResponse unknown = scene.answer({.status = V_OCSP_CERTSTATUS_UNKNOWN});
  CHECK(scene.judged(strict, {{root_crl}, {unknown}}) == "revocation-unknown");
  // The newer word counts.
  const OcspResponse newer = scene.answer({.from = test_now - std::chrono::minutes(1)});
  CHECK(scene.judged(strict, {{root_crl}, {revoked, newer}}) == "ok");
  CHECK(scene.judged(strict, {{root_crl}, {newer, revoked}}) == "ok");
}

TEST_CASE("an OCSP response has to be fresh, of strong hash, and of this certificate") {
  const Scene scene;
  const auto judged = [&](const Answer& answer) {
    const auto status = check_ocsp(scene.answer(answer), scene.leaf.certificate, scene.middle.certificate, test_now);
    return status ? std::string(status->status == OcspStatus::Status::good ? "good" : "other") : status.error().detail;
  };
  CHECK(judged({}) == "good");
  CHECK(judged({.until = std::nullopt}) == "good");
  CHECK(judged({.from = test_now - 2 * day, .until = std::nullopt}).find("expired") != std::string::npos);
  CHECK(judged({.from = test_now - 2 * day, .until = test_now - day}).find("expired") != std::string::npos);
  CHECK(judged({.from = test_now + day, .until = test_now + 2 * day}).find("future") != std::string::npos);
  CHECK(judged({.from = test_now + std::chrono::minutes(4)}) == "good");  // clocks differ a little
  CHECK(judged({.digest = EVP_sha1()}).find("weak") != std::string::npos);
  const Holder other = make_leaf(scene.middle, "CN=other");
  CHECK(check_ocsp(scene.answer(), other.certificate, scene.middle.certificate, test_now).error().code ==
        Errc::no_match);
}

TEST_CASE("an OCSP response counts when the issuer signed it or delegated that, and from nobody else") {
  const Scene scene;
  const auto judged = [&](const Holder& responder) {
    const auto response = OcspResponse::from_der(
        ocsp_answer(scene.leaf.certificate, scene.middle.certificate, responder.key, responder.certificate));
    const auto status = check_ocsp(response.value(), scene.leaf.certificate, scene.middle.certificate, test_now);
    return status ? "good" : status.error().detail;
  };
  CHECK(judged(make_responder(scene.middle, "OCSPSigning")) == "good");
  CHECK(judged(make_responder(scene.middle, "serverAuth")).find("no OCSPSigning") != std::string::npos);
  CHECK(judged(make_responder(scene.middle, "OCSPSigning", test_now - day)).find("expired") != std::string::npos);
  CHECK(judged(make_responder(scene.root, "OCSPSigning")).find("not issued by") != std::string::npos);
  const Authority forger = make_ca("O=Example,CN=Middle");
  CHECK(judged(make_responder(forger, "OCSPSigning")).find("not issued by") != std::string::npos);
  CHECK(judged({scene.leaf.key, scene.leaf.certificate}).find("no OCSPSigning") != std::string::npos);
  CHECK(judged({forger.key, forger.certificate}).find("does not hold") != std::string::npos);

  Bytes changed = ocsp_answer(scene.leaf.certificate, scene.middle.certificate, scene.middle.key,
                              scene.middle.certificate, {.flags = OCSP_NOCERTS});
  changed.back() ^= 1;  // of the signature
  const OcspResponse response = OcspResponse::from_der(changed).value();
  CHECK(check_ocsp(response, scene.leaf.certificate, scene.middle.certificate, test_now).error().code ==
        Errc::authentication);
}

TEST_CASE("an OCSP request names the certificate as openssl's own responder reads it") {
  const Scene scene;
  const Bytes request = ocsp_request(scene.leaf.certificate, scene.middle.certificate).value();
  const std::uint8_t* end = request.data();
  const std::unique_ptr<OCSP_REQUEST, FreeWith<OCSP_REQUEST_free>> parsed(
      d2i_OCSP_REQUEST(nullptr, &end, static_cast<long>(request.size())));
  REQUIRE(parsed);
  REQUIRE(OCSP_request_onereq_count(parsed.get()) == 1);
  OCSP_CERTID* id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(parsed.get(), 0));
  const std::unique_ptr<OCSP_CERTID, FreeWith<OCSP_CERTID_free>> wanted(OCSP_cert_to_id(
      EVP_sha1(), scene.leaf.certificate.library_certificate(), scene.middle.certificate.library_certificate()));
  CHECK(OCSP_id_cmp(id, wanted.get()) == 0);
}

// The CRLs are python-cryptography's.
TEST_CASE("CRLs that are indirect, broken or signed weakly are refused when they are read") {
  const auto read = [](const char* file) {
    const auto crl = Crl::from_file_content(published(std::filesystem::path("x509/custom") / file));
    return crl ? "ok" : crl.error().detail;
  };
  CHECK(read("crl_idp_fullname_indirect_crl.pem") == "indirect CRL");
  CHECK(read("crl_md2_unknown_crit_entry_ext.pem").find("weak") != std::string::npos);
  CHECK(read("valid_signature_cert.pem").find("not a CRL") != std::string::npos);
  CHECK(read("crl_delta_crl_indicator.pem") == "ok");
  CHECK(Crl::from_file_content({}).error().code == Errc::malformed);
  const Authority ca = make_ca("CN=Root");
  const Bytes der = make_crl(ca, {ca.certificate}).der();
  for (std::size_t len = 0; len < der.size(); ++len) CHECK(!Crl::from_file_content(ByteView(der).first(len)));
}
