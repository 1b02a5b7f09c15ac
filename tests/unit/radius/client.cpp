#include "culvert/radius/client.h"

#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

using namespace culvert;
using namespace culvert::radius;
using namespace std::chrono_literals;

namespace {

class Counting : public crypto::RandomSource {
 public:
  void fill(MutableByteView out) override {
    for (std::uint8_t& byte : out) byte = ++last_;
  }

 private:
  std::uint8_t last_ = 0;
};

constexpr TimePoint start{};
const std::string secret_text = "testing123";

/// What a server answers: built with OpenSSL here, not by the code under test.
Bytes answer_to(ByteView request, Code code, std::string_view secret = secret_text) {
  Bytes bytes(38);
  bytes[0] = static_cast<std::uint8_t>(code);
  bytes[1] = request[1];
  bytes[3] = 38;
  std::copy_n(request.begin() + 4, 16, bytes.begin() + 4);
  bytes[20] = 80;
  bytes[21] = 18;
  unsigned len = 16;
  Bytes mac(16);
  HMAC(EVP_md5(), secret.data(), static_cast<int>(secret.size()), bytes.data(), bytes.size(), mac.data(), &len);
  std::copy(mac.begin(), mac.end(), bytes.begin() + 22);
  Bytes hashed = bytes;
  append(hashed, as_bytes(secret));
  EVP_Digest(hashed.data(), hashed.size(), bytes.data() + 4, &len, EVP_md5(), nullptr);
  return bytes;
}

struct Network {
  Counting random;
  Client client;
  std::vector<SendTo> sent;
  std::vector<Answer> answers;
  std::vector<std::string> notices;

  explicit Network(std::size_t servers, std::size_t max_waiting = 1024)
      : client(config(servers, max_waiting), random) {}
  static ClientConfig config(std::size_t servers, std::size_t max_waiting) {
    ClientConfig config;
    for (std::size_t i = 0; i < servers; ++i) {
      config.servers.push_back({{IpAddress::v4(0xc0000201 + static_cast<std::uint32_t>(i)), 1812},
                                std::make_shared<Secret>(Secret::copy_of(as_bytes(secret_text)))});
    }
    config.max_waiting = max_waiting;
    return config;
  }
  void take(Actions actions) {
    for (Action& action : actions) {
      if (auto* send = std::get_if<SendTo>(&action)) sent.push_back(*send);
      if (auto* answer = std::get_if<Answer>(&action)) answers.push_back(std::move(*answer));
      if (auto* notice = std::get_if<Notice>(&action)) notices.push_back(notice->text);
    }
  }
  void ask(TimePoint now, std::uint64_t token, std::optional<std::size_t> server = std::nullopt) {
    Packet packet{Code::access_request, 0, {}, {}};
    packet.add(AttributeType::user_name, "carol");
    take(client.ask(now, token, packet, server));
  }
  /// Lets time pass to the next deadline, as often as there is one; when it ends.
  TimePoint wait() {
    TimePoint now = start;
    for (int i = 0; i < 1000; ++i) {
      const auto next = client.deadline();
      if (!next) return now;
      now = *next;
      take(client.on_deadline(now));
    }
    return now;
  }
};

}  // namespace

TEST_CASE("A request is sent to the first server, and its answer comes back under its token") {
  Network net(2);
  net.ask(start, 7);
  REQUIRE(net.sent.size() == 1);
  CHECK(net.sent[0].server == 0);
  CHECK(net.sent[0].bytes[20] == 80);  // Message-Authenticator is the first attribute
  net.take(net.client.on_datagram(start + 1ms, 0, answer_to(net.sent[0].bytes, Code::access_accept)));
  REQUIRE(net.answers.size() == 1);
  CHECK(net.answers[0].token == 7);
  CHECK(net.answers[0].reply->code == Code::access_accept);
  CHECK_FALSE(net.client.deadline());
  // The same answer again is nobody's.
  net.take(net.client.on_datagram(start + 2ms, 0, answer_to(net.sent[0].bytes, Code::access_accept)));
  CHECK(net.answers.size() == 1);
}

TEST_CASE(
    "A silent server is asked three times with the same bytes, then the next one, and is left alone for a while") {
  Network net(2);
  net.ask(start, 1);
  const TimePoint end = net.wait();
  CHECK(end == start + 28s);  // 2 + 4 + 8 s each
  REQUIRE(net.sent.size() == 6);
  CHECK(net.sent[0].bytes == net.sent[2].bytes);
  CHECK(net.sent[2].server == 0);
  CHECK(net.sent[3].server == 1);
  REQUIRE(net.answers.size() == 1);
  CHECK_FALSE(net.answers[0].reply);
  CHECK(net.notices.size() == 2);
  // Both are dead: they are asked nevertheless. The second one lives again, and is preferred while the first is dead.
  net.ask(end, 2);
  CHECK(net.sent.back().server == 0);
  net.ask(end, 3, 1);
  net.take(net.client.on_datagram(end, 1, answer_to(net.sent.back().bytes, Code::access_reject)));
  CHECK(net.answers.back().reply->code == Code::access_reject);
  CHECK(net.notices.back().find("answers again") != std::string::npos);
  net.ask(end, 4);
  CHECK(net.sent.back().server == 1);
  net.ask(end + 61s, 5);
  CHECK(net.sent.back().server == 0);
}

TEST_CASE("A conversation stays with the server that began it") {
  Network net(2);
  net.ask(start, 1, 1);
  net.wait();
  for (const SendTo& send : net.sent) CHECK(send.server == 1);
  REQUIRE(net.answers.size() == 1);
  CHECK_FALSE(net.answers[0].reply);
}

TEST_CASE("A forged answer is counted, and does not keep the true one out") {
  Network net(1);
  net.ask(start, 1);
  net.take(net.client.on_datagram(start, 0, answer_to(net.sent[0].bytes, Code::access_accept, "another")));
  net.take(net.client.on_datagram(start, 0, Bytes(3)));
  net.take(net.client.on_datagram(start, 9, answer_to(net.sent[0].bytes, Code::access_accept)));
  CHECK(net.answers.empty());
  CHECK(net.client.status(start)[0].forged == 1);
  net.take(net.client.on_datagram(start, 0, answer_to(net.sent[0].bytes, Code::access_accept)));
  CHECK(net.answers.size() == 1);
}

TEST_CASE("A server has 256 requests at once, the others wait, and beyond that they are refused at once") {
  Network net(1, 10);
  for (std::uint64_t i = 0; i < 300; ++i) net.ask(start, i);
  CHECK(net.sent.size() == 256);
  CHECK(net.answers.size() == 300 - 256 - 10);
  net.take(net.client.on_datagram(start, 0, answer_to(net.sent[0].bytes, Code::access_reject)));
  CHECK(net.sent.size() == 257);
  CHECK(net.sent.back().bytes[1] == net.sent[0].bytes[1]);  // the identifier that has become free
  net.wait();
  CHECK(net.answers.size() == 300);
}
