#include "payload_table.h"

#include <doctest/doctest.h>

using namespace culvert;
using namespace culvert::ike;

namespace {

using Kind = PayloadProblem::Kind;

std::vector<Payload> init_payloads() {
  return {SaPayload{}, KePayload{}, NoncePayload{Bytes(32)}};
}
NotifyPayload notify(NotifyType type) {
  return {type, ProtocolId::none, {}, {}};
}

}  // namespace

// RFC 7296 §1.2
TEST_CASE("IKE_SA_INIT needs SA, KE and nonce, each once") {
  CHECK_FALSE(check_payloads(MessageKind::init_request, init_payloads()));
  for (std::size_t i = 0; i < 3; ++i) {
    auto payloads = init_payloads();
    payloads.erase(payloads.begin() + static_cast<std::ptrdiff_t>(i));
    const auto problem = check_payloads(MessageKind::init_request, payloads);
    REQUIRE(problem);
    CHECK(problem->kind == Kind::missing);
    payloads = init_payloads();
    payloads.push_back(payloads[i]);
    const auto repeated = check_payloads(MessageKind::init_request, payloads);
    REQUIRE(repeated);
    CHECK(repeated->kind == Kind::repeated);
  }
}

// RFC 7296 §2.6, §2.21: an error or a COOKIE takes the place of the other payloads, in responses alone.
TEST_CASE("a response with an error may lack the rest, a request may not") {
  for (const NotifyType type : {NotifyType::cookie, NotifyType::no_proposal_chosen, NotifyType::invalid_ke_payload}) {
    const std::vector<Payload> payloads{notify(type)};
    CHECK_FALSE(check_payloads(MessageKind::init_response, payloads));
    CHECK(check_payloads(MessageKind::init_request, payloads));
  }
  CHECK(check_payloads(MessageKind::init_response, std::vector<Payload>{notify(NotifyType::initial_contact)}));
  CHECK_FALSE(
      check_payloads(MessageKind::auth_response, std::vector<Payload>{notify(NotifyType::authentication_failed)}));
  CHECK_FALSE(
      check_payloads(MessageKind::create_child_response, std::vector<Payload>{notify(NotifyType::temporary_failure)}));
}

// RFC 7296 §2.5
TEST_CASE("an unknown critical payload is a problem wherever it stands, an unknown one is not") {
  const std::vector<Payload> critical{UnknownPayload{77, true}}, skipped{UnknownPayload{77, false}};
  for (const MessageKind kind :
       {MessageKind::informational, MessageKind::create_child_request, MessageKind::auth_request}) {
    const auto problem = check_payloads(kind, critical);
    REQUIRE(problem);
    CHECK(problem->kind == Kind::unknown_critical);
    CHECK(problem->type == 77);
  }
  CHECK_FALSE(check_payloads(MessageKind::informational, skipped));
}

TEST_CASE("notifies and what the table does not name come in any number") {
  auto payloads = init_payloads();
  for (int i = 0; i < 5; ++i) {
    payloads.emplace_back(notify(NotifyType::nat_detection_source_ip));
    payloads.emplace_back(VendorIdPayload{});
    payloads.emplace_back(CertReqPayload{});
  }
  CHECK_FALSE(check_payloads(MessageKind::init_request, payloads));
  CHECK_FALSE(check_payloads(MessageKind::informational, payloads));
}

TEST_CASE("IKE_AUTH needs IDi; the answer IDr and AUTH; CREATE_CHILD_SA needs SA and nonce") {
  CHECK(check_payloads(MessageKind::auth_request, std::vector<Payload>{AuthPayload{}}));
  CHECK_FALSE(check_payloads(MessageKind::auth_request, std::vector<Payload>{IdPayload{}, AuthPayload{}}));
  IdPayload responder;
  responder.initiator = false;
  CHECK_FALSE(check_payloads(MessageKind::auth_response, std::vector<Payload>{responder, AuthPayload{}}));
  CHECK(check_payloads(MessageKind::auth_response, std::vector<Payload>{IdPayload{}, AuthPayload{}}));
  CHECK(check_payloads(MessageKind::create_child_request, std::vector<Payload>{SaPayload{}}));
  CHECK_FALSE(check_payloads(MessageKind::create_child_request, std::vector<Payload>{SaPayload{}, NoncePayload{}}));
}
