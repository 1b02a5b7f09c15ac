// Whom each end refuses, and what both operators read. The peer never learns more than AUTHENTICATION_FAILED.
#include <doctest/doctest.h>

#include "credentials.h"
#include "one_sided.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;
using culvert::test::day;
using culvert::test::test_now;

namespace {

/// `refuser` has something against the other one's credentials; both are as they should be before.
struct Refusal : OneSided {
  explicit Refusal(Side who) : refuser(who) { use_certificates(*this); }
  PeerConfig& culprit() { return config(other(refuser)); }
  PeerConfig& judge() { return config(refuser); }

  void refused_as(const std::string& reason) {
    CAPTURE(reason);
    start();
    run_for(3s);
    CHECK_FALSE(established(a));
    CHECK_FALSE(established(b));
    CHECK(node(a).plane.empty());
    CHECK(node(b).plane.empty());
    std::string lines;
    for (const Report& report : node(refuser).reports) lines += report.text + "\n";
    CAPTURE(lines);
    CHECK(reported(refuser, reason, log::Level::warn));
    CHECK(status(refuser).reason.contains(reason));
    CHECK(status(other(refuser)).reason.contains("AUTHENTICATION_FAILED"));
    CHECK_FALSE(reported(other(refuser), reason));
    std::size_t num_refusals = 0;
    for (const Message& message : messages(refuser)) {
      const NotifyPayload* error = message.first_error();
      if (!error) continue;
      ++num_refusals;
      CHECK(error->type == NotifyType::authentication_failed);
      CHECK(error->data.empty());
      CHECK(message.payloads.size() == 1);
    }
    CHECK(num_refusals > 0);
  }
  Side refuser;
};

constexpr Side both_roles[] = {a, b};

Holder leaf_for(const PeerConfig& config, const Authority& ca, crypto::Validity validity = culvert::test::valid_now()) {
  const std::string name = config.local_id.to_string();
  return culvert::test::make_leaf(ca, "O=Example, CN=" + name, {{crypto::AlternativeName::Type::dns, name}}, validity);
}

std::shared_ptr<RevocationFeed> feed_with(crypto::RevocationPolicy policy, bool asks_ocsp,
                                          std::vector<crypto::RevokedCertificate> revoked) {
  auto feed = std::make_shared<RevocationFeed>(policy, asks_ocsp);
  auto data = std::make_shared<crypto::RevocationData>();
  data->crls.push_back(
      crypto::issue_crl(pki().ca.key, pki().ca.certificate, revoked, 1, test_now - day, test_now + day).value());
  feed->publish(std::move(data));
  return feed;
}

}  // namespace

TEST_CASE("a certificate of a CA that is not trusted is refused in either role") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    simulation.judge().auth.theirs = trusting(pki().other_ca);
    simulation.refused_as("its certificate is refused (untrusted-issuer)");
  }
}

TEST_CASE("a certificate of an impostor with the CA's name is refused in either role") {
  const Authority impostor = culvert::test::make_ca("O=Example, CN=Example CA");
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    simulation.culprit().auth.ours = own(leaf_for(simulation.culprit(), impostor), {impostor.certificate});
    simulation.refused_as("its certificate is refused (");
  }
}

TEST_CASE("a certificate that is over, or not valid yet, is refused in either role") {
  for (const Side refuser : both_roles) {
    Refusal expired(refuser);
    expired.culprit().auth.ours =
        own(leaf_for(expired.culprit(), pki().ca, {test_now - day, test_now - std::chrono::seconds(1)}));
    expired.refused_as("(expired)");
    Refusal early(refuser);
    early.culprit().auth.ours =
        own(leaf_for(early.culprit(), pki().ca, {test_now + std::chrono::hours(1), test_now + 9 * day}));
    early.refused_as("(not-yet-valid)");
  }
}

TEST_CASE("a revoked certificate is refused in either role, and the one beside it is not") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    auto expected = trusting(pki().ca);
    expected.revocation = feed_with(crypto::RevocationPolicy::strict, false,
                                    {{pki().holder(other(refuser)).certificate.serial(), test_now - day}});
    simulation.judge().auth.theirs = expected;
    simulation.refused_as("(revoked)");

    OneSided fine;
    use_certificates(fine);
    expected.revocation = feed_with(crypto::RevocationPolicy::strict, false,
                                    {{pki().holder(refuser).certificate.serial(), test_now - day}});
    fine.config(refuser).auth.theirs = expected;
    CHECK(fine.comes_up());
  }
}

TEST_CASE("without knowledge of revocation the strict policy refuses, and the relaxed one does not") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    auto expected = trusting(pki().ca);
    expected.revocation = std::make_shared<RevocationFeed>(crypto::RevocationPolicy::strict, false);
    simulation.judge().auth.theirs = expected;
    simulation.refused_as("(revocation-unknown)");
    OneSided fine;
    use_certificates(fine);
    expected.revocation = std::make_shared<RevocationFeed>(crypto::RevocationPolicy::relaxed, false);
    fine.config(refuser).auth.theirs = expected;
    CHECK(fine.comes_up());
  }
}

TEST_CASE("responders are asked about a chain that has signed, and what they say counts") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    auto expected = trusting(pki().ca);
    expected.revocation = std::make_shared<RevocationFeed>(crypto::RevocationPolicy::strict, true);
    simulation.judge().auth.theirs = expected;
    const Bytes serial = pki().holder(other(refuser)).certificate.serial();
    simulation.node(refuser).responders = [&](const CheckRevocation&) {
      return feed_with(crypto::RevocationPolicy::strict, true, {{serial, test_now - day}})->snapshot();
    };
    simulation.refused_as("(revoked)");
    REQUIRE_FALSE(simulation.node(refuser).checked.empty());
    CHECK(simulation.node(refuser).checked.front().front() == pki().holder(other(refuser)).certificate);
    CHECK(simulation.node(refuser).checked.front().back() == pki().ca.certificate);

    OneSided fine;
    use_certificates(fine);
    fine.config(refuser).auth.theirs = expected;
    fine.node(refuser).responders = [](const CheckRevocation&) {
      return feed_with(crypto::RevocationPolicy::strict, true, {})->snapshot();
    };
    CHECK(fine.comes_up());
    CHECK(fine.node(refuser).checked.size() == 1);

    Refusal silent(refuser);  // strict, and no responder answers
    silent.judge().auth.theirs = expected;
    silent.refused_as("(revocation-unknown)");
  }
}

TEST_CASE("nobody is asked about a certificate whose owner has not signed") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    auto expected = trusting(pki().ca);
    expected.revocation = std::make_shared<RevocationFeed>(crypto::RevocationPolicy::relaxed, true);
    simulation.judge().auth.theirs = expected;
    OwnCertificate stolen = own(pki().holder(other(refuser)));
    stolen.key = own(pki().holder(refuser)).key;
    simulation.culprit().auth.ours = stolen;
    simulation.refused_as("the signature in its AUTH does not hold");
    CHECK(simulation.node(refuser).checked.empty());
  }
}

TEST_CASE("a certificate that does not assert the identity is refused in either role") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    const Holder other_name =
        culvert::test::make_leaf(pki().ca, "O=Example, CN=" + simulation.culprit().local_id.to_string(),
                                 {{crypto::AlternativeName::Type::dns, "somebody-else.example.net"}});
    simulation.culprit().auth.ours = own(other_name);
    simulation.refused_as("does not say that it is " + simulation.culprit().local_id.to_string());
  }
}

TEST_CASE("an identity that is not the configured one is refused in either role, whatever its certificate says") {
  Refusal responder(b);
  responder.config(a).local_id = *Identity::parse("O=Example, CN=paris.example.net");
  responder.start();
  responder.run_for(3s);
  CHECK_FALSE(responder.established(b));
  CHECK(responder.reported(b, "no configured peer has this identity", log::Level::warn));
  Refusal initiator(a);
  initiator.config(b).local_id = *Identity::parse("O=Example, CN=tokyo.example.net");
  initiator.config(a).remote_id = *Identity::parse("*.example.com");
  initiator.start();
  initiator.run_for(3s);
  CHECK_FALSE(initiator.established(a));
  CHECK(initiator.reported(a, "says it is O=Example,CN=tokyo.example.net, we expect *.example.com", log::Level::warn));
}

TEST_CASE("a certificate outside the name constraints of its CA is refused in either role") {
  crypto::CaRequest request;
  request.permitted.dns = {"example.com"};
  const Authority constrained = culvert::test::make_intermediate(pki().ca, "O=Example, CN=Constrained CA", request);
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    simulation.culprit().auth.ours = own(leaf_for(simulation.culprit(), constrained), {constrained.certificate});
    simulation.refused_as("(name-constraints)");
  }
}

TEST_CASE("an intermediate that was not sent is missed, and helps in any place behind the leaf") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    const Holder leaf = leaf_for(simulation.culprit(), pki().intermediate);
    simulation.culprit().auth.ours = own(leaf);
    simulation.refused_as("(untrusted-issuer)");
    OneSided fine;
    use_certificates(fine);
    fine.config(other(refuser)).auth.ours =
        own(leaf, {pki().other_ca.certificate, pki().holder(refuser).certificate, pki().intermediate.certificate});
    CHECK(fine.comes_up());
  }
}

// RFC 7296 §3.6: the first certificate has the key that signs.
TEST_CASE("certificates with another one in front of the signer's are refused in either role") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    OwnCertificate reversed = own(leaf_for(simulation.culprit(), pki().intermediate), {pki().intermediate.certificate});
    std::swap(reversed.chain[0], reversed.chain[1]);
    simulation.culprit().auth.ours = reversed;
    simulation.refused_as("its certificate");
  }
}

TEST_CASE("a peer without a certificate is refused in either role where one is expected") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    simulation.culprit().auth.ours = OwnCertificate{own(pki().holder(other(refuser))).key, {}};
    simulation.refused_as("it sends no certificate");
    Refusal raw(refuser);
    raw.culprit().auth.ours = own_key(pki().holder(other(refuser)));
    raw.refused_as("it shows a raw public key, where a certificate is expected");
  }
}

TEST_CASE("another raw key than the configured one is refused in either role, sent or not") {
  for (const Side refuser : both_roles) {
    Refusal simulation(refuser);
    use_raw_keys(simulation);
    simulation.culprit().auth.ours = own_key(pki().holder(other(refuser), KeyType::ecdsa_p256));
    simulation.refused_as("which is not the one that is configured");
    Refusal silent(refuser);
    use_raw_keys(silent);
    silent.culprit().auth.ours = OwnCertificate{own(pki().holder(refuser, KeyType::ed25519)).key, {}};
    silent.refused_as("the signature in its AUTH does not hold");
  }
}

TEST_CASE("the wrong way to authenticate is refused in either role, and the line names both ways") {
  for (const Side refuser : both_roles) {
    Refusal shared(refuser);
    shared.culprit().auth.ours = AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("k")))).ours;
    shared.refused_as("expects a certificate");
    Refusal signing(refuser);
    signing.judge().auth.theirs =
        AuthConfig::psk(std::make_shared<const Secret>(Secret::copy_of(as_bytes("k")))).theirs;
    signing.refused_as("it authenticates by a signature, [peer." + signing.judge().name + "] expects a pre-shared key");
  }
}
