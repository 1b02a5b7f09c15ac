// Exchange and payload names from RFC 7296 §3.1, §3.2 and IANA's "IKEv2 Parameters".
#include "trace.h"

#include <doctest/doctest.h>

#include "culvert/ike/proposal.h"

using namespace culvert;
using namespace culvert::ike;

namespace {

constexpr auto t0 = TimePoint() + std::chrono::hours(1);

TraceEntry entry(std::string peer, std::uint64_t ours, std::string text, const char* remote = "192.0.2.1") {
  TraceEntry made;
  made.peer = std::move(peer);
  made.ours = IkeSpi(ours);
  made.remote.address = *IpAddress::parse(remote);
  made.text = std::move(text);
  return made;
}

std::vector<std::string> texts(const std::vector<TraceEntry>& entries) {
  std::vector<std::string> all;
  for (const auto& one : entries) all.push_back(one.text);
  return all;
}

const auto nowhere = [](const IpAddress&) { return false; };

}  // namespace

TEST_CASE("payloads are told by their kinds, and nothing that is secret is in the words") {
  const std::string secret = "SEKRETsekret0123";
  const Bytes data(secret.begin(), secret.end());
  Bytes eap = {2, 1, 0, 21, 26};
  append(eap, data);
  const std::vector<Payload> payloads = {
      KePayload{31, data},
      NoncePayload{data},
      AuthPayload{2, data},
      AuthPayload{14, data},
      NotifyPayload{NotifyType::cookie, ProtocolId::none, {}, data},
      NotifyPayload{NotifyType::cookie2, ProtocolId::none, {}, data},
      NotifyPayload{NotifyType::qcd_token, ProtocolId::none, {}, data},
      NotifyPayload{NotifyType::ticket_opaque, ProtocolId::none, {}, data},
      NotifyPayload{static_cast<NotifyType>(40960), ProtocolId::none, data, data},
      VendorIdPayload{data},
      CertPayload{4, data},
      CertReqPayload{4, data},
      EapPayload{eap},
      CpPayload{CfgType::request, {{CfgAttributeType::internal_ip4_address, data}}},
      DeletePayload{ProtocolId::esp, {data, {0x12, 0x34, 0x56, 0x78}}},
      UnknownPayload{99, true},
  };
  const std::string text = describe(payloads);
  CHECK(text ==
        "KE(x25519), nonce, AUTH(shared key), AUTH(signature), N(COOKIE), N(COOKIE2), N(QCD_TOKEN), N(TICKET_OPAQUE), "
        "N(notify 40960), V, CERT(16 bytes), CERTREQ, EAP(response, MSCHAPv2), CP(request, 1 attributes), "
        "D(? 0x12345678), payload 99 (critical)");
  CHECK_FALSE(text.contains("SEKRET"));
}

TEST_CASE("algorithms, identities and what a notify asks for are told") {
  const auto proposal = parse_ike_proposal("aes256gcm16-prfsha384-x25519");
  REQUIRE(proposal.has_value());
  const std::string id = "paris.example\x1b[31m";
  const std::vector<Payload> payloads = {SaPayload{{*proposal}}, IdPayload{true, 2, {}, Bytes(id.begin(), id.end())},
                                         NotifyPayload{NotifyType::invalid_ke_payload, ProtocolId::none, {}, {0, 19}},
                                         NotifyPayload{NotifyType::authentication_failed, ProtocolId::none, {}, {}},
                                         DeletePayload{ProtocolId::ike, {}}};
  const std::string text = describe(payloads);
  CHECK(text.contains("SA(aes256gcm16-prfsha384-x25519)"));
  CHECK(text.contains("IDi(paris.example"));
  CHECK(text.contains("N(AUTHENTICATION_FAILED)"));
  CHECK(text.contains("is wanted"));
  CHECK(text.contains("D(IKE SA)"));
  for (const char c : text) CHECK((c >= 0x20 && c < 0x7f));
  CHECK(exchange_name(34) == "IKE_SA_INIT");
  CHECK(exchange_name(37) == "INFORMATIONAL");
  CHECK(exchange_name(99).empty());
}

TEST_CASE("the words of a message have an end, however many payloads it has") {
  const std::vector<Payload> many(60, SaPayload{std::vector<Proposal>(60, default_ike_proposals().front())});
  CHECK(describe(many).size() < 1100);
}

TEST_CASE("who asks for a peer gets its messages, its clients' and all of the same IKE SAs, in their order") {
  Trace trace;
  trace.add(Trace::Share::strangers, entry("", 1, "init, before anybody knew who it was"));
  trace.add(Trace::Share::strangers, entry("", 2, "init of another"));
  trace.add(Trace::Share::conversations, entry("tokyo", 1, "auth"));
  trace.add(Trace::Share::small_talk, entry("tokyo", 1, "nothing"));
  trace.add(Trace::Share::conversations, entry("tokyo/anna", 3, "client"));
  trace.add(Trace::Share::conversations, entry("tokyo2", 4, "other"));
  trace.add(Trace::Share::strangers, entry("", 0, "refused", "203.0.113.9"));
  const auto at_9 = [](const IpAddress& address) { return address == *IpAddress::parse("203.0.113.9"); };
  CHECK(texts(trace.entries("tokyo", nowhere)) ==
        std::vector<std::string>{"init, before anybody knew who it was", "auth", "nothing", "client"});
  CHECK(texts(trace.entries("tokyo", at_9)).back() == "refused");
  CHECK(trace.entries("", nowhere).size() == 7);
  CHECK(trace.entries("osaka", nowhere).empty());
}

TEST_CASE("the memory has a bound, and neither strangers nor small talk drive out the rest") {
  Trace trace;
  trace.add(Trace::Share::conversations, entry("tokyo", 1, "the one that counts"));
  for (int i = 0; i < 20'000; ++i) {
    trace.add(Trace::Share::strangers, entry("", 0, std::string(200, 'x')));
    trace.add(Trace::Share::small_talk, entry("osaka", 2, "nothing"));
  }
  CHECK(texts(trace.entries("tokyo", nowhere)) == std::vector<std::string>{"the one that counts"});
  for (int i = 0; i < 20'000; ++i) trace.add(Trace::Share::conversations, entry("osaka", 2, std::string(200, 'y')));
  CHECK(trace.num_bytes() <= Trace::budgets[0] + Trace::budgets[1] + Trace::budgets[2]);
  CHECK(trace.num_bytes() > Trace::budgets[0] / 2);
  CHECK(trace.entries("tokyo", nowhere).empty());
}

TEST_CASE("of strangers a few a second are kept") {
  Trace trace;
  int kept = 0;
  for (int ms = 0; ms < 10'000; ++ms) kept += trace.admits_stranger(t0 + std::chrono::milliseconds(ms));
  CHECK(kept >= 500);
  CHECK(kept <= 560);
}
