#include <doctest/doctest.h>

#include "pair.h"
#include "tls_fragments.h"
#include "unit/crypto/test_pki.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::eap;
using culvert::eap::test::CountingRandom;
using culvert::eap::test::run;
using culvert::eap::test::Users;
using culvert::test::hex;
using culvert::test::make_ca;
using culvert::test::make_leaf;
using culvert::test::test_now;
using Kind = Step::Kind;
using NameType = crypto::AlternativeName::Type;

namespace {

struct Tls {
  culvert::test::Authority ca = make_ca("CN=Users");
  culvert::test::Holder gateway = make_leaf(ca, "CN=gw", {{NameType::dns, "gw.example.net"}});
  culvert::test::Holder carol = make_leaf(ca, "CN=carol", {{NameType::email, "carol@example.net"}});
  CountingRandom random;

  TlsOptions options(const culvert::test::Holder& own, const culvert::test::Authority& trusted) const {
    TlsOptions made;
    made.key = std::make_shared<crypto::PrivateKey>(own.key);
    made.chain = {std::make_shared<crypto::Certificate>(own.certificate)};
    made.trust = std::make_shared<crypto::TrustStore>(crypto::TrustStore::create({trusted.certificate}).value());
    return made;
  }
  Server server(TlsOptions made) {
    auto config = std::make_shared<ServerConfig>();
    config->methods = {Type::tls};
    config->tls = TlsContext::create(TlsContext::Side::server, std::move(made)).value();
    return Server(config, std::make_shared<Users>(), random);
  }
  Client client(TlsOptions made, std::string user = "carol@example.net") {
    auto config = std::make_shared<ClientConfig>();
    config->method = Type::tls;
    config->user = std::move(user);
    config->tls = TlsContext::create(TlsContext::Side::client, std::move(made)).value();
    return Client(config, random);
  }
  culvert::eap::test::Ending outcome(TlsOptions ours, TlsOptions theirs, std::string user = "carol@example.net",
                                     crypto::WallTime now = test_now) {
    Server one = server(std::move(ours));
    Client other = client(std::move(theirs), std::move(user));
    return run(one, other, now);
  }
};

}  // namespace

TEST_CASE("Both ends of EAP-TLS get the same key, by TLS 1.2 and by TLS 1.3") {
  Tls tls;
  for (const bool tls13 : {false, true}) {
    CAPTURE(tls13);
    TlsOptions ours = tls.options(tls.gateway, tls.ca);
    ours.tls13 = tls13;
    Server server = tls.server(std::move(ours));
    TlsOptions theirs = tls.options(tls.carol, tls.ca);
    theirs.is_expected = [](const crypto::Certificate& leaf) { return leaf.asserts_fqdn("gw.example.net"); };
    Client client = tls.client(std::move(theirs));
    const auto ending = run(server, client, test_now);
    CHECK_MESSAGE(ending.server.kind == Kind::succeeded, ending.server.why);
    CHECK_MESSAGE(ending.client.kind == Kind::succeeded, ending.client.why);
    CHECK(ending.longest <= TlsFragments::fragment_len + 10);
    const Proof proof = server.take_proof(), own = client.take_proof();
    CHECK(proof.user == "carol@example.net");
    CHECK(proof.chain.front() == tls.carol.certificate);
    CHECK(own.chain.front() == tls.gateway.certificate);
    CHECK(proof.msk.size() == 64);
    CHECK(proof.msk.equals(own.msk.view()));
  }
}

TEST_CASE("A certificate of another CA, an expired one, and one that says another name are refused by the server") {
  Tls tls;
  const auto other = make_ca("CN=Others");
  const auto stranger = make_leaf(other, "CN=carol", {{NameType::email, "carol@example.net"}});
  const auto old = make_leaf(tls.ca, "CN=carol", {{NameType::email, "carol@example.net"}},
                             {test_now - 20 * culvert::test::day, test_now - 10 * culvert::test::day});
  const auto ours = tls.options(tls.gateway, tls.ca);
  for (const auto& holder : {stranger, old}) {
    const auto ending = tls.outcome(ours, tls.options(holder, tls.ca));
    CHECK(ending.server.kind == Kind::failed);
    CHECK(ending.client.kind == Kind::failed);
  }
  const auto ending = tls.outcome(ours, tls.options(tls.carol, tls.ca), "dave@example.net");
  CHECK(ending.server.kind == Kind::failed);
  CHECK(ending.server.why.find("does not say that it is dave@example.net") != std::string::npos);
}

TEST_CASE("An anonymous identity is replaced by what the certificate says (RFC 9190 §2.1.7)") {
  Tls tls;
  Server server = tls.server(tls.options(tls.gateway, tls.ca));
  Client client = tls.client(tls.options(tls.carol, tls.ca), "@example.net");
  CHECK(run(server, client, test_now).server.kind == Kind::succeeded);
  CHECK(server.take_proof().user == "carol@example.net");
}

TEST_CASE("A server whose certificate the client does not trust or expect gets an alert and no key") {
  Tls tls;
  const auto other = make_ca("CN=Others");
  auto ending = tls.outcome(tls.options(tls.gateway, tls.ca), tls.options(tls.carol, other));
  CHECK(ending.client.kind == Kind::failed);
  CHECK(ending.server.kind == Kind::failed);
  CHECK(ending.client.why.find("refused (untrusted-issuer)") != std::string::npos);
  TlsOptions theirs = tls.options(tls.carol, tls.ca);
  theirs.is_expected = [](const crypto::Certificate& leaf) { return leaf.asserts_fqdn("other.example.net"); };
  ending = tls.outcome(tls.options(tls.gateway, tls.ca), std::move(theirs));
  CHECK(ending.client.kind == Kind::failed);
}

TEST_CASE("A revoked certificate is refused") {
  Tls tls;
  auto data = std::make_shared<crypto::RevocationData>();
  data->crls.push_back(crypto::issue_crl(tls.ca.key, tls.ca.certificate,
                                         {{tls.carol.certificate.serial(), test_now - culvert::test::day}}, 1,
                                         test_now - culvert::test::day, test_now + culvert::test::day)
                           .value());
  TlsOptions ours = tls.options(tls.gateway, tls.ca);
  ours.revocation = crypto::RevocationPolicy::relaxed;
  ours.revoked = [data] { return data; };
  const auto ending = tls.outcome(std::move(ours), tls.options(tls.carol, tls.ca));
  CHECK(ending.server.kind == Kind::failed);
  CHECK(ending.server.why.find("refused (revoked)") != std::string::npos);
}

TEST_CASE("Fragments come together again in every order that RFC 5216 allows, and in no other") {
  using In = TlsFragments::In;
  TlsFragments out, in;
  Bytes message(3000);
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::uint8_t>(i * 7);
  out.send(message);
  CHECK(in.take(out.next()) == In::more);
  CHECK(in.take(out.next()) == In::more);
  CHECK(out.pending());
  CHECK(in.take(out.next()) == In::complete);
  CHECK_FALSE(out.pending());
  CHECK(in.message() == message);
  CHECK(out.next() == Bytes{0});  // an acknowledgement
  CHECK(TlsFragments().take(hex("20")) == In::start);
  CHECK(TlsFragments().take({}) == In::malformed);
  CHECK(TlsFragments().take(hex("40")) == In::malformed);              // more of nothing
  CHECK(TlsFragments().take(hex("80 0000")) == In::malformed);         // half a length
  CHECK(TlsFragments().take(hex("80 00000002 01")) == In::malformed);  // less than announced
  CHECK(TlsFragments().take(hex("80 00000001 0101")) == In::malformed);
  CHECK(TlsFragments().take(hex("c0 00010001 01")) == In::malformed);  // 65537 bytes
  TlsFragments endless;
  In last = In::more;
  Bytes part(1001, 1);
  part[0] = TlsFragments::flag_more;
  for (int i = 0; i < 70 && last == In::more; ++i) last = endless.take(part);
  CHECK(last == In::malformed);
}

TEST_CASE("A conversation that only acknowledges ends") {
  Tls tls;
  Server server = tls.server(tls.options(tls.gateway, tls.ca));
  Bytes request = server.start();
  Step step = server.on_response(build({Code::response, request[1], Type::identity, {'c'}}), test_now);
  step = server.on_response(build({Code::response, step.packet[1], Type::tls, {0}}), test_now);
  CHECK(step.kind == Kind::failed);
  Server other = tls.server(tls.options(tls.gateway, tls.ca));
  request = other.start();
  step = other.on_response(build({Code::response, request[1], Type::identity, {'c'}}), test_now);
  int rounds = 0;
  for (; step.kind == Kind::send && rounds < 200; ++rounds)
    step =
        other.on_response(build({Code::response, step.packet[1], Type::tls, {TlsFragments::flag_more, 22}}), test_now);
  CHECK(rounds <= max_rounds);
}
