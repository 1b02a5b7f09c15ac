#include <doctest/doctest.h>

#include "pair.h"
#include "vectors/hex.h"

using namespace culvert;
using namespace culvert::eap;
using culvert::eap::test::CountingRandom;
using culvert::eap::test::nt_hash;
using culvert::eap::test::run;
using culvert::eap::test::Users;
using culvert::test::hex;
using Kind = Step::Kind;

namespace {

constexpr crypto::WallTime now{};

struct Both {
  CountingRandom random;
  std::shared_ptr<Users> users = std::make_shared<Users>();
  std::shared_ptr<ServerConfig> config = std::make_shared<ServerConfig>(ServerConfig{{Type::mschapv2}, nullptr, 3});
  Both() { users->add("carol", "Ar3etTnp", "staff"); }
  Server server() { return Server(config, users, random); }
  Client client(std::string user, std::string_view password) {
    return Client(std::make_shared<ClientConfig>(ClientConfig{Type::mschapv2, std::move(user), nt_hash(password), {}}),
                  random);
  }
};

Bytes response(ByteView request, Type type, Bytes data) {
  return build({Code::response, request[1], type, std::move(data)});
}

/// A server that has sent its MSCHAPv2 challenge.
Step challenged(Server& server, std::string_view identity = "carol") {
  const Bytes first = server.start();
  return server.on_response(response(first, Type::identity, Bytes(identity.begin(), identity.end())), now);
}

}  // namespace

TEST_CASE("An EAP packet comes back as it was built, and broken ones are refused") {
  const Bytes bytes = build({Code::request, 7, Type::identity, {1, 2, 3}});
  CHECK(bytes == hex("01 07 0008 01 010203"));
  const auto packet = parse(bytes);
  REQUIRE(packet);
  CHECK(packet->identifier == 7);
  CHECK(packet->data == Bytes{1, 2, 3});
  for (std::size_t len = 0; len < bytes.size(); ++len) CHECK_FALSE(parse(ByteView(bytes).first(len)));
  CHECK(parse(hex("01 07 0006 01 01 ffff"))->data == Bytes{1});  // RFC 3748 §4.1: padding behind Length
  CHECK_FALSE(parse(hex("05 07 0004")));
  CHECK_FALSE(parse(hex("01 07 0004")));
  CHECK_FALSE(parse(hex("03 07 0005 00")));
  CHECK(parse(hex("03 07 0004"))->code == Code::success);
  CHECK_FALSE(parse(Bytes(max_packet_len + 1)));
}

TEST_CASE("Both ends of MSCHAPv2 prove the password and get the same key") {
  Both both;
  Server server = both.server();
  Client client = both.client("carol", "Ar3etTnp");
  const auto ending = run(server, client, now);
  CHECK(ending.server.kind == Kind::succeeded);
  CHECK(ending.client.kind == Kind::succeeded);
  const Proof ours = server.take_proof(), theirs = client.take_proof();
  CHECK(ours.user == "carol");
  CHECK(ours.group == "staff");
  CHECK(ours.msk.size() == 64);
  CHECK(ours.msk.equals(theirs.msk.view()));
}

TEST_CASE("A wrong password and an unknown user get the same packets") {
  Both both;
  std::vector<std::vector<std::size_t>> lengths;
  for (const std::string user : {"carol", "david"}) {
    Server server = both.server();
    Client client = both.client(user, "wrong");
    const auto ending = run(server, client, now);
    CHECK(ending.server.kind == Kind::failed);
    CHECK(ending.client.kind == Kind::failed);
    CHECK(ending.client.why == "the server refused our user name or password");
    lengths.push_back({static_cast<std::size_t>(ending.packets), ending.longest});
  }
  CHECK(lengths.front() == lengths.back());
}

TEST_CASE("A client may try another password, but not for ever") {
  Both both;
  Server server = both.server();
  Step step = challenged(server);
  Bytes guess = hex("02 00 003b 31");  // an MSCHAPv2 Response that cannot hold
  guess.resize(5 + 49);
  append(guess, as_bytes("carol"));
  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    step = server.on_response(response(step.packet, Type::mschapv2, guess), now);
    REQUIRE(step.kind == Kind::send);
    const std::string text(as_text(ByteView(step.packet).subspan(9)));
    CHECK(text.starts_with(i < 2 ? "E=691 R=1 C=" : "E=691 R=0 C="));
  }
  CHECK(server.on_response(response(step.packet, Type::mschapv2, guess), now).kind == Kind::failed);
  CHECK(both.users->asked.size() == 4);
}

TEST_CASE("A server that does not know the password is not believed") {
  Both both;
  both.users->add("carol", "another");
  Server server = both.server();
  Client client = both.client("carol", "Ar3etTnp");
  Bytes request = server.start();
  Step step = client.on_packet(request, now);
  step = client.on_packet(server.on_response(step.packet, now).packet, now);
  REQUIRE(step.kind == Kind::send);
  // Instead of E=691 a forged Success: RFC 2759 §5.
  Bytes forged = hex("03 01 002e");
  append(forged, as_bytes("S=407A5589115FD0D6209F510FE9C04566932CDA56"));
  step = client.on_packet(build({Code::request, 9, Type::mschapv2, forged}), now);
  CHECK(step.kind == Kind::failed);
}

TEST_CASE("EAP-Success before the server has proved itself is not believed") {
  Both both;
  Client client = both.client("carol", "Ar3etTnp");
  CHECK(client.on_packet(build({Code::success, 1, {}, {}}), now).kind == Kind::failed);
  Client other = both.client("carol", "Ar3etTnp");
  Server server = both.server();
  Step step = other.on_packet(challenged(server).packet, now);
  REQUIRE(step.kind == Kind::send);
  CHECK(other.on_packet(build({Code::success, 2, {}, {}}), now).kind == Kind::failed);
}

TEST_CASE("A client answers one challenge alone") {
  Both both;
  Client client = both.client("carol", "Ar3etTnp");
  Server server = both.server();
  const Bytes challenge = challenged(server).packet;
  CHECK(client.on_packet(challenge, now).kind == Kind::send);
  CHECK(client.on_packet(challenge, now).kind == Kind::failed);
}

TEST_CASE("A client refuses other methods by a Nak that names its own (RFC 3748 §5.3.1)") {
  Both both;
  Client client = both.client("carol", "Ar3etTnp");
  const Step step = client.on_packet(hex("01 05 0016 04 10 00112233445566778899aabbccddeeff"), now);  // MD5-Challenge
  CHECK(step.packet == hex("02 05 0006 03 1a"));
}

TEST_CASE("A server takes a Nak at the start alone, and each method once") {
  Both both;
  Server server = both.server();
  Step step = challenged(server);
  CHECK(server.on_response(response(step.packet, Type::nak, {26}), now).kind == Kind::failed);
  Server other = both.server();
  step = challenged(other);
  Step refused = other.on_response(response(step.packet, Type::nak, {0}), now);
  CHECK(refused.kind == Kind::failed);
  CHECK(refused.packet[0] == 4);
}

TEST_CASE("What is no answer to our request ends the conversation") {
  Both both;
  for (const Bytes& bytes : {hex("02 ff 0009 01 6361726f"), hex("01 02 0006 01 61"), hex("02 02"), Bytes(),
                             hex("02 02 0005 01"), hex("02 02 0006 1a 00")}) {
    Server server = both.server();
    (void)server.start();
    CHECK(server.on_response(bytes, now).kind == Kind::failed);
  }
  Server server = both.server();
  const Step failed = server.on_response(response(server.start(), Type::identity, hex("61 0a")), now);
  CHECK(failed.kind == Kind::failed);  // a line feed in an identity
}

TEST_CASE("Every truncation of an MSCHAPv2 response is refused without asking for a user") {
  Both both;
  Client client = both.client("carol", "Ar3etTnp");
  Server first = both.server();
  const Bytes challenge = challenged(first).packet;
  const Bytes good = client.on_packet(challenge, now).packet;
  for (std::size_t len = 5; len + 5 < good.size(); ++len) {
    both.random = {};
    Server server = both.server();
    const Step step = challenged(server);
    Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(len));
    cut[1] = step.packet[1];
    store_be(cut.data() + 2, static_cast<std::uint16_t>(len));
    CHECK(server.on_response(cut, now).kind == Kind::failed);
  }
  CHECK(both.users->asked.empty());
}
