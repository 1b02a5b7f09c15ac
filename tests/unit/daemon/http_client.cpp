// Against servers of a few bytes on loopback: what they say is written here by the grammar of RFC 9112.
#include "http_client.h"

#include <doctest/doctest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <optional>
#include <string>

using namespace culvert;
using daemon::HttpClient;
using daemon::HttpRequest;
namespace asio = boost::asio;

namespace {

/// Takes one connection, reads up to the end of the header, answers with `text`, and closes unless told to hold.
struct Server {
  Server(asio::io_context& io, std::string text, bool hold = false, bool v6 = false)
      : acceptor(io, v6 ? asio::ip::tcp::endpoint(asio::ip::address_v6::loopback(), 0)
                        : asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        socket(io),
        answer(std::move(text)),
        hold_open(hold) {
    acceptor.async_accept(socket, [this](const boost::system::error_code& error) {
      if (error) return;
      asio::async_read_until(socket, received, "\r\n\r\n",
                             [this](const boost::system::error_code& failed, std::size_t) {
                               if (!failed) reply();
                             });
    });
  }
  void reply() {
    asio::async_write(socket, asio::buffer(answer), [this](const boost::system::error_code&, std::size_t) {
      boost::system::error_code ignored;
      if (!hold_open) socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    });
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor.local_endpoint().port(); }
  [[nodiscard]] std::string request() const {
    return {asio::buffers_begin(received.data()), asio::buffers_end(received.data())};
  }

  asio::ip::tcp::acceptor acceptor;
  asio::ip::tcp::socket socket;
  asio::streambuf received;
  std::string answer;
  bool hold_open;
};

HttpRequest to(std::string host, std::uint16_t port) {
  HttpRequest request;
  request.url.host = std::move(host);
  request.url.port = port;
  request.url.target = "/ca.crl";
  request.timeout = std::chrono::seconds(20);
  return request;
}

/// Runs until the answer is there.
Result<Bytes> fetched(asio::io_context& io, HttpClient& client, HttpRequest request) {
  std::optional<Result<Bytes>> result;
  client.fetch(std::move(request), [&](Result<Bytes> got) { result = std::move(got); });
  CHECK_FALSE(result.has_value());  // always later
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!result && std::chrono::steady_clock::now() < limit) io.run_one_for(std::chrono::milliseconds(50));
  REQUIRE(result.has_value());
  return std::move(*result);
}

std::string answer_to(std::string text, std::size_t max_len = 1000) {
  asio::io_context io;
  Server server(io, std::move(text));
  HttpClient client(io);
  HttpRequest request = to("127.0.0.1", server.port());
  request.max_len = max_len;
  const auto result = fetched(io, client, std::move(request));
  return result ? "BODY " + std::string(as_text(*result)) : result.error().detail;
}

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a body arrives whole, by length, by chunks and by the end of the connection") {
  CHECK(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") == "BODY hello");
  CHECK(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n") ==
        "BODY hello");
  CHECK(answer_to("HTTP/1.0 200 OK\r\n\r\nhello") == "BODY hello");
}

TEST_CASE("a request is a GET of the target at the host, and a POST when it has a body") {
  asio::io_context io;
  HttpClient client(io, [](const std::string& name) -> Result<std::vector<IpAddress>> {
    CHECK(name == "pki.test");
    return std::vector{*IpAddress::parse("127.0.0.1")};
  });
  Server get(io, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(fetched(io, client, to("pki.test", get.port())).has_value());
  CHECK(get.request().starts_with("GET /ca.crl HTTP/1.1\r\n"));
  CHECK(holds(get.request(), "Host: pki.test:" + std::to_string(get.port()) + "\r\n"));
  Server post(io, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  HttpRequest request = to("pki.test", post.port());
  request.body = {'a', 'b', 'c'};
  request.content_type = "application/ocsp-request";
  REQUIRE(fetched(io, client, std::move(request)).has_value());
  CHECK(post.request().starts_with("POST /ca.crl HTTP/1.1\r\n"));
  CHECK(holds(post.request(), "Content-Type: application/ocsp-request\r\n"));
  CHECK(holds(post.request(), "Content-Length: 3\r\n"));
  CHECK(post.request().ends_with("\r\n\r\nabc"));
}

TEST_CASE("the next address is tried when one does not listen, IPv6 and IPv4") {
  asio::io_context io;
  Server server(io, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, true);
  HttpClient client(io, [](const std::string&) -> Result<std::vector<IpAddress>> {
    return std::vector{*IpAddress::parse("127.0.0.1"), *IpAddress::parse("::1")};
  });
  const auto result = fetched(io, client, to("both.test", server.port()));
  REQUIRE(result.has_value());
  CHECK(as_text(*result) == "ok");
}

TEST_CASE("a redirect is not followed, and the message says where it led") {
  CHECK(holds(answer_to("HTTP/1.1 301 Moved\r\nLocation: http://b.test/\r\nContent-Length: 0\r\n\r\n"),
              "redirects to http://b.test/, and redirects are not followed"));
}

TEST_CASE("anything but 200 is an error that names the status") {
  CHECK(holds(answer_to("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"), "the server says 404 Not Found"));
  CHECK(holds(answer_to("HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx"), "206"));
}

TEST_CASE("an answer that is too long, cut short or no HTTP is an error") {
  CHECK(
      holds(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x')), "longer than 1000"));
  CHECK(holds(answer_to("HTTP/1.0 200 OK\r\n\r\n" + std::string(5000, 'x')), "longer than 1000"));
  CHECK(holds(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), "no HTTP answer"));
  CHECK(holds(answer_to("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"), "longer than"));
  CHECK(holds(answer_to("SSH-2.0-OpenSSH_9.2\r\n"), "no HTTP answer"));
  CHECK(holds(answer_to(""), "no HTTP answer"));
}

TEST_CASE("a server that says nothing is given up in time, and one that is not there at once") {
  asio::io_context io;
  HttpClient client(io);
  Server silent(io, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel", true);
  HttpRequest request = to("127.0.0.1", silent.port());
  request.timeout = std::chrono::milliseconds(200);
  const auto late = fetched(io, client, std::move(request));
  REQUIRE_FALSE(late.has_value());
  CHECK(holds(late.error().detail, "no whole answer within 0.2 s"));
  std::uint16_t closed = 0;
  {
    Server gone(io, "");
    closed = gone.port();
  }
  const auto refused = fetched(io, client, to("127.0.0.1", closed));
  REQUIRE_FALSE(refused.has_value());
  CHECK(holds(refused.error().detail, "no connection: 127.0.0.1: Connection refused"));
}

TEST_CASE("a name that does not resolve is said to be that") {
  asio::io_context io;
  HttpClient client(io, [](const std::string&) -> Result<std::vector<IpAddress>> {
    return fail(Errc::not_found, "Name or service not known");
  });
  const auto result = fetched(io, client, to("nowhere.test", 80));
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().detail ==
        "http://nowhere.test/ca.crl: nowhere.test does not resolve: Name or service not known");
}

TEST_CASE("a client that goes takes its transfers with it") {
  asio::io_context io;
  Server server(io, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel", true);
  bool called = false;
  {
    HttpClient client(io);
    client.fetch(to("127.0.0.1", server.port()), [&](Result<Bytes>) { called = true; });
    for (int i = 0; i < 10; ++i) io.run_one_for(std::chrono::milliseconds(10));
  }
  io.run_for(std::chrono::milliseconds(50));
  CHECK_FALSE(called);
}
