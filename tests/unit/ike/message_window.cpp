#include "message_window.h"

#include <doctest/doctest.h>

#include <chrono>

using namespace culvert;
using namespace culvert::ike;
using namespace std::chrono_literals;

namespace {

const TimePoint start = TimePoint{} + 1000s;
const RetransmitPolicy policy{1s, 2.0, 3};

Header response(ExchangeType exchange, std::uint32_t id) {
  return {IkeSpi(1), IkeSpi(2), exchange, false, true, MessageId(id)};
}

}  // namespace

TEST_CASE("one request is under way at a time, and its ID is taken once it is answered") {
  RequestWindow window;
  CHECK(window.idle());
  window.sent(start, ExchangeType::informational, {{1, 2, 3}}, policy);
  CHECK_FALSE(window.idle());
  CHECK(window.id().value() == 0);
  window.answered();
  CHECK(window.idle());
  CHECK(window.id().value() == 1);
}

TEST_CASE("a response must have the ID and the exchange of the request under way") {
  RequestWindow window(MessageId(5));
  CHECK_FALSE(window.answers(response(ExchangeType::informational, 5)));
  window.sent(start, ExchangeType::informational, {{1}}, policy);
  CHECK(window.answers(response(ExchangeType::informational, 5)));
  CHECK_FALSE(window.answers(response(ExchangeType::informational, 4)));
  CHECK_FALSE(window.answers(response(ExchangeType::informational, 6)));
  CHECK_FALSE(window.answers(response(ExchangeType::create_child_sa, 5)));
  Header request = response(ExchangeType::informational, 5);
  request.response = false;
  CHECK_FALSE(window.answers(request));
}

TEST_CASE("each wait is longer by the factor, and after the last one the peer is lost") {
  RequestWindow window;
  window.sent(start, ExchangeType::ike_auth, {{1}}, policy);
  CHECK(window.deadline() == start + 1s);
  CHECK(window.on_deadline(start + 999ms) == RequestWindow::Due::nothing);
  CHECK(window.on_deadline(start + 1s) == RequestWindow::Due::resend);
  CHECK(window.deadline() == start + 3s);
  CHECK(window.on_deadline(start + 3s) == RequestWindow::Due::resend);
  CHECK(window.deadline() == start + 7s);
  CHECK(window.num_sent() == 3);
  CHECK(window.on_deadline(start + 7s) == RequestWindow::Due::lost);
}

TEST_CASE("while a response waits for some work no other is taken and nothing is sent again, until it is let go") {
  RequestWindow window;
  window.sent(start, ExchangeType::create_child_sa, {{1}}, policy);
  window.hold();
  CHECK_FALSE(window.idle());
  CHECK_FALSE(window.answers(response(ExchangeType::create_child_sa, 0)));
  CHECK_FALSE(window.deadline().has_value());
  CHECK(window.on_deadline(start + 100s) == RequestWindow::Due::nothing);
  window.release();
  CHECK(window.answers(response(ExchangeType::create_child_sa, 0)));
  CHECK(window.on_deadline(start + 100s) == RequestWindow::Due::resend);
  window.hold();
  window.answered();
  window.sent(start, ExchangeType::informational, {{2}}, policy);
  CHECK(window.answers(response(ExchangeType::informational, 1)));
}

TEST_CASE("a new IKE_SA_INIT takes the place of the one under way and starts its tries again, still with ID 0") {
  RequestWindow window;
  window.sent(start, ExchangeType::ike_sa_init, {{1}}, policy);
  CHECK(window.on_deadline(start + 1s) == RequestWindow::Due::resend);
  window.sent(start + 2s, ExchangeType::ike_sa_init, {{2}}, policy);
  CHECK(window.num_sent() == 1);
  CHECK(window.id().value() == 0);
  CHECK(window.deadline() == start + 3s);
  CHECK(window.datagrams() == std::vector<Bytes>{{2}});
}

TEST_CASE("the same request again gets the cached response, and only byte for byte") {
  ResponseWindow window;
  const Bytes request{1, 2, 3};
  CHECK(window.judge(MessageId(0), request) == ResponseWindow::Verdict::fresh);
  window.answered(ResponseWindow::digest_of(request), {{9, 9}});
  CHECK(window.expected().value() == 1);
  CHECK(window.judge(MessageId(0), request) == ResponseWindow::Verdict::repeated);
  CHECK(window.cached() == std::vector<Bytes>{{9, 9}});
  CHECK(window.judge(MessageId(0), Bytes{1, 2, 4}) == ResponseWindow::Verdict::changed);
  CHECK(window.judge(MessageId(1), Bytes{4}) == ResponseWindow::Verdict::fresh);
  CHECK(window.judge(MessageId(2), Bytes{4}) == ResponseWindow::Verdict::ahead);
}

TEST_CASE("a request older than the last one is stale") {
  ResponseWindow window;
  window.answered(ResponseWindow::digest_of(Bytes{1}), {{8}});
  window.answered(ResponseWindow::digest_of(Bytes{2}), {{9}});
  CHECK(window.judge(MessageId(0), Bytes{1}) == ResponseWindow::Verdict::stale);
  CHECK(window.judge(MessageId(1), Bytes{2}) == ResponseWindow::Verdict::repeated);
}
