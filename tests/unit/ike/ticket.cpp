// Tickets of session resumption, RFC 5723.
#include "ticket.h"

#include <doctest/doctest.h>

#include "keymat.h"
#include "wire_bytes.h"

using namespace culvert;
using namespace culvert::ike;
using culvert::test::to_hex;

namespace {

TicketState make_state(UnixSeconds now) {
  TicketState state;
  state.sk_d = Secret::copy_of(Bytes(32, 0xD1));
  state.credential = Secret::copy_of(Bytes(32, 0xC2));
  state.sa = {1, 2, 3};
  state.id_i = {2, 0, 0, 0, 'a'};
  state.id_r = {2, 0, 0, 0, 'b'};
  state.authenticated = now - 5;
  state.expires = now + ticket_lifetime;
  return state;
}

constexpr UnixSeconds start = 1'800'000'000;

}  // namespace

TEST_CASE("a ticket opens to what was sealed, until it expires, and not before it was made") {
  TicketBox box(crypto::system_random(), {});
  CHECK(box.rotate(start));
  CHECK_FALSE(box.rotate(start + 1));
  const Bytes ticket = box.seal(make_state(start));
  REQUIRE_FALSE(ticket.empty());
  const auto state = box.open(start + 10, ticket);
  REQUIRE(state);
  CHECK(state->sk_d.equals(Bytes(32, 0xD1)));
  CHECK(state->credential.equals(Bytes(32, 0xC2)));
  CHECK(state->sa == Bytes{1, 2, 3});
  CHECK(state->id_i == Bytes{2, 0, 0, 0, 'a'});
  CHECK(state->id_r == Bytes{2, 0, 0, 0, 'b'});
  CHECK(state->authenticated == start - 5);
  CHECK(box.open(start + ticket_lifetime - 1, ticket));
  CHECK_FALSE(box.open(start + ticket_lifetime, ticket));
  CHECK_FALSE(box.open(start - 6, ticket));
  CHECK(box.seal(make_state(start)) != ticket);
}

TEST_CASE("no bit of a ticket can be changed, and none left out") {
  TicketBox box(crypto::system_random(), {});
  CHECK(box.rotate(start));
  const Bytes ticket = box.seal(make_state(start));
  for (std::size_t i = 0; i < ticket.size(); ++i) {
    Bytes changed = ticket;
    changed[i] ^= 1;
    CHECK_FALSE(box.open(start, changed));
    CHECK_FALSE(box.open(start, ByteView(ticket).first(i)));
  }
  Bytes longer = ticket;
  longer.push_back(0);
  CHECK_FALSE(box.open(start, longer));
  CHECK_FALSE(box.open(start, Bytes(5000, 1)));
}

TEST_CASE("keys outlive the daemon, change with time, and the one before still opens") {
  TicketBox box(crypto::system_random(), {});
  CHECK(box.rotate(start));
  const Bytes first = box.seal(make_state(start));
  TicketBox next(crypto::system_random(), box.save().view());
  CHECK_FALSE(next.rotate(start + 60));
  CHECK(next.open(start + 60, first));
  const Bytes late = next.seal(make_state(start + ticket_lifetime - 1));
  CHECK(next.rotate(start + ticket_lifetime));
  CHECK(next.open(start + ticket_lifetime, late));
  CHECK(next.rotate(start + 2 * ticket_lifetime));
  CHECK_FALSE(next.open(start + 2 * ticket_lifetime - 2, late));  // its key is gone
  CHECK(next.save().size() == 1 + 2 * 48);
}

TEST_CASE("what a daemon finds in place of its keys does no harm") {
  for (std::size_t len : {0, 1, 2, 48, 49, 50, 97, 98, 1000}) {
    for (std::uint8_t fill : {0, 1, 255}) {
      TicketBox box(crypto::system_random(), Bytes(len, fill));
      CHECK(box.rotate(start));
      CHECK(box.open(start, box.seal(make_state(start))));
    }
  }
}

TEST_CASE("a ticket is used once") {
  TicketBox box(crypto::system_random(), {});
  CHECK(box.rotate(start));
  const Bytes ticket = box.seal(make_state(start)), other = box.seal(make_state(start));
  box.spend(ticket);
  CHECK_FALSE(box.open(start, ticket));
  CHECK(box.open(start, other));
}

TEST_CASE("a ticket that would be too long is not made") {
  TicketBox box(crypto::system_random(), {});
  CHECK(box.rotate(start));
  TicketState state = make_state(start);
  state.id_i.resize(2000);
  CHECK(box.seal(state).empty());
}

// Python: hmac.new(bytes([0xD1]*32), b"Resumption" + bytes(range(16)) + bytes(range(16, 48)), "sha256")
TEST_CASE("SKEYSEED of a resumption is that of RFC 5723 §5.1, as Python computes it") {
  Bytes ni(16), nr(32);
  for (std::uint8_t i = 0; i < 16; ++i) ni[i] = i;
  for (std::uint8_t i = 0; i < 32; ++i) nr[i] = static_cast<std::uint8_t>(16 + i);
  const Secret seed = skeyseed_resume(crypto::Prf::hmac_sha2_256, Bytes(32, 0xD1), ni, nr);
  CHECK(to_hex(seed.view()) == "63ca968a308ffc058861431e5dd58329643cd86e43d075004fbaffe36878055d");
}
