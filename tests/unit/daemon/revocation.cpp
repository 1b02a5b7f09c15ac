// CRLs are made by crypto/issue (held to OpenSSL in its own tests), OCSP responses by OpenSSL itself.
#include "revocation.h"

#include <doctest/doctest.h>
#include <openssl/ocsp.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <memory>

#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "temp_dir.h"

using namespace culvert;
using namespace std::chrono_literals;
using crypto::Certificate;
using crypto::Crl;
using crypto::PrivateKey;
using daemon::RevocationKeeper;
using daemon::RevocationOptions;
namespace asio = boost::asio;

namespace {

const crypto::WallTime start_time{std::chrono::sys_days(std::chrono::year(2026) / 6 / 1)};

/// A web server of one page after the other: each connection takes the answer that `page` gives for the whole request.
struct WebServer {
  explicit WebServer(asio::io_context& context) : io(context), acceptor(io, {asio::ip::address_v4::loopback(), 0}) {
    accept();
  }

  void accept() {
    auto one = std::make_shared<Connection>(io);
    acceptor.async_accept(one->socket, [this, one](const boost::system::error_code& error) {
      if (error) return;
      accept();
      asio::async_read_until(one->socket, one->received, "\r\n\r\n",
                             [this, one](const boost::system::error_code& failed, std::size_t) {
                               if (!failed) read_body(one);
                             });
    });
  }
  struct Connection {
    explicit Connection(asio::io_context& io) : socket(io) {}
    [[nodiscard]] std::string text() const {
      return {asio::buffers_begin(received.data()), asio::buffers_end(received.data())};
    }
    asio::ip::tcp::socket socket;
    asio::streambuf received;
    std::string answer;
  };
  void read_body(const std::shared_ptr<Connection>& one) {
    const std::string text = one->text();
    const auto head = text.find("\r\n\r\n") + 4;
    const auto at = text.find("Content-Length: ");
    const std::size_t wanted = at == std::string::npos ? 0 : std::stoul(text.substr(at + 16));
    if (text.size() - head >= wanted) return reply(one, text);
    asio::async_read(one->socket, one->received, asio::transfer_exactly(wanted - (text.size() - head)),
                     [this, one](const boost::system::error_code&, std::size_t) { reply(one, one->text()); });
  }
  void reply(const std::shared_ptr<Connection>& one, const std::string& request) {
    ++num_requests;
    const auto body = page(request);
    if (!body) return held.push_back(one);  // never answered
    one->answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body->size()) + "\r\n\r\n" +
                  std::string(body->begin(), body->end());
    asio::async_write(one->socket, asio::buffer(one->answer), [one](const boost::system::error_code&, std::size_t) {});
  }
  [[nodiscard]] config::HttpUrl url(std::string target) const {
    return {"127.0.0.1", acceptor.local_endpoint().port(), std::move(target)};
  }

  asio::io_context& io;
  asio::ip::tcp::acceptor acceptor;
  std::function<std::optional<Bytes>(const std::string& request)> page = [](const std::string&) { return Bytes{}; };
  std::vector<std::shared_ptr<Connection>> held;
  int num_requests = 0;
};

struct Authority {
  explicit Authority(std::string_view name) {
    crypto::CaRequest request;
    request.subject = *crypto::encode_distinguished_name(name);
    request.validity = {start_time - 24h, start_time + 24h * 1000};
    certificate.emplace(*crypto::issue_self_signed_ca(key, request));
  }
  [[nodiscard]] Certificate leaf(std::string_view name) const {
    crypto::LeafRequest request;
    request.subject = *crypto::encode_distinguished_name(name);
    request.validity = {start_time - 1h, start_time + 24h * 100};
    return *crypto::issue_leaf(key, *certificate, PrivateKey::generate({})->public_key(), request);
  }
  [[nodiscard]] Crl crl(std::vector<Certificate> revoked, crypto::WallTime from = start_time,
                        std::chrono::seconds life = 24h * 7) const {
    std::vector<crypto::RevokedCertificate> list;
    for (const auto& each : revoked) list.push_back({each.serial(), from});
    return *crypto::issue_crl(key, *certificate, list, 1, from, from + life);
  }
  PrivateKey key = *PrivateKey::generate({});
  std::optional<Certificate> certificate;
};

/// The DER of what OpenSSL's OCSP responder would say of `certificate`, at the machine's own time.
Bytes ocsp_answer(const Authority& ca, const Certificate& certificate, bool revoked, long life_s = 3600) {
  OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
  X509* issuer = ca.certificate->library_certificate();
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), certificate.library_certificate(), issuer);
  ASN1_TIME* from = X509_gmtime_adj(nullptr, 0);
  ASN1_TIME* until = X509_gmtime_adj(nullptr, life_s);
  OCSP_basic_add1_status(basic, id, revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
                         OCSP_REVOKED_STATUS_UNSPECIFIED, revoked ? from : nullptr, from, until);
  REQUIRE(OCSP_basic_sign(basic, issuer, ca.key.library_key(), EVP_sha256(), nullptr, 0) == 1);
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  unsigned char* der = nullptr;
  const int len = i2d_OCSP_RESPONSE(response, &der);
  REQUIRE(len > 0);
  Bytes bytes(der, der + len);
  OPENSSL_free(der);
  OCSP_RESPONSE_free(response);
  ASN1_TIME_free(until);
  ASN1_TIME_free(from);
  OCSP_CERTID_free(id);
  OCSP_BASICRESP_free(basic);
  return bytes;
}

/// A keeper with one source, and a clock that the test moves.
struct Bench {
  Bench() {
    sources.key = "peer.x.peer_auth";
    sources.trust = std::make_shared<const crypto::TrustStore>(*crypto::TrustStore::create({*ca.certificate}));
  }
  void start(bool ocsp = false) {
    if (ocsp) sources.ocsp = web.url("/ocsp");
    sources.feed = std::make_shared<ike::RevocationFeed>(crypto::RevocationPolicy::strict, ocsp);
    RevocationOptions options;
    options.look_interval = 5ms;
    options.ocsp_timeout = 300ms;
    options.wall_clock = [this] { return now; };
    keeper.emplace(io, std::vector{sources}, std::move(options));
    keeper->start();
  }
  void write(const std::filesystem::path& name, ByteView content) const {
    const auto draft = folder.path() / "draft";
    std::ofstream(draft, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    std::filesystem::rename(draft, folder.path() / name);
  }
  /// Revoked entries of the one published list; -1 when there is none.
  [[nodiscard]] int published() const {
    const auto data = sources.feed->snapshot();
    return data && !data->crls.empty() ? static_cast<int>(data->crls.at(0).num_revoked()) : -1;
  }
  bool run_until(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + 20s;
    while (!done() && std::chrono::steady_clock::now() < limit) io.run_one_for(20ms);
    return done();
  }
  [[nodiscard]] std::string trouble() const { return keeper->report().at(0).trouble; }
  /// How many OCSP responses came with the answer to a check.
  std::size_t check(const std::vector<Certificate>& chain) {
    std::shared_ptr<const crypto::RevocationData> got;
    keeper->check(sources.feed, chain,
                  [&](std::shared_ptr<const crypto::RevocationData> data) { got = std::move(data); });
    REQUIRE(run_until([&] { return got != nullptr; }));
    return got->ocsp.size();
  }

  test::TempDir folder;
  asio::io_context io;
  WebServer web{io};
  Authority ca{"CN=Example"};
  crypto::WallTime now = start_time;
  config::RevocationSources sources;
  std::optional<RevocationKeeper> keeper;
};

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a CRL file is published at the start, and again when it changes") {
  Bench bench;
  const Certificate a = bench.ca.leaf("CN=a"), b = bench.ca.leaf("CN=b");
  bench.write("ca.crl", bench.ca.crl({}).der());
  bench.sources.crl_files = {bench.folder.path() / "ca.crl"};
  bench.start();
  CHECK(bench.published() == 0);
  const std::string pem = bench.ca.crl({a, b}, start_time + 1h).pem();
  bench.write("ca.crl", as_bytes(pem));
  CHECK(bench.run_until([&] { return bench.published() == 2; }));
  CHECK(bench.trouble().empty());
  CHECK(bench.keeper->report().at(0).revoked == 2);
  CHECK(bench.keeper->report().at(0).issuer == "CN=Example");
}

TEST_CASE("a file that breaks, goes, grows old or is somebody else's leaves what was known in force") {
  Bench bench;
  const Certificate a = bench.ca.leaf("CN=a");
  bench.write("ca.crl", bench.ca.crl({a}).der());
  bench.sources.crl_files = {bench.folder.path() / "ca.crl"};
  bench.start();
  REQUIRE(bench.published() == 1);
  const Bytes whole = bench.ca.crl({a}, start_time + 1h).der();
  bench.write("ca.crl", ByteView(whole).first(whole.size() / 2));
  CHECK(bench.run_until([&] { return holds(bench.trouble(), "not a CRL"); }));
  CHECK(bench.published() == 1);
  bench.write("ca.crl", bench.ca.crl({}, start_time - 1h).der());  // from before the revocation
  CHECK(bench.run_until([&] { return holds(bench.trouble(), "is older than the one that is known"); }));
  CHECK(bench.published() == 1);
  bench.write("ca.crl", Authority("CN=Example").crl({}, start_time + 2h).der());  // same name, another key
  CHECK(bench.run_until([&] { return holds(bench.trouble(), "no CA that it is configured for has signed it"); }));
  CHECK(bench.published() == 1);
  std::filesystem::remove(bench.folder.path() / "ca.crl");
  CHECK(bench.run_until([&] { return holds(bench.trouble(), "No such file"); }));
  CHECK(bench.published() == 1);
  bench.write("ca.crl", bench.ca.crl({}, start_time + 3h).der());
  CHECK(bench.run_until([&] { return bench.published() == 0; }));
  CHECK(bench.trouble().empty());
}

TEST_CASE("a list that is out of date is said to be that") {
  Bench bench;
  bench.write("ca.crl", bench.ca.crl({}, start_time, 1h).der());
  bench.sources.crl_files = {bench.folder.path() / "ca.crl"};
  bench.start();
  CHECK(bench.trouble().empty());
  bench.now += 2h;
  CHECK(bench.trouble() == "out of date");
}

TEST_CASE("a CRL address is fetched at the start, before its list is out of date, at least once a day, and on demand") {
  Bench bench;
  const Certificate a = bench.ca.leaf("CN=a");
  std::vector<Certificate> revoked;
  bench.web.page = [&](const std::string& request) {
    CHECK(request.starts_with("GET /ca.crl HTTP/1.1\r\n"));
    return bench.ca.crl(revoked, bench.now, 10h).der();
  };
  bench.sources.crl_urls = {bench.web.url("/ca.crl")};
  bench.start();
  CHECK(bench.published() == -1);
  CHECK(bench.trouble() == "not there yet");
  CHECK(bench.run_until([&] { return bench.published() == 0; }));
  revoked.push_back(a);
  bench.now += 8h;
  bench.io.run_for(50ms);
  CHECK(bench.web.num_requests == 1);
  bench.now += 1h;  // nine tenths of ten hours
  CHECK(bench.run_until([&] { return bench.published() == 1; }));
  CHECK(bench.web.num_requests == 2);
  bench.keeper->refresh();
  CHECK(bench.run_until([&] { return bench.web.num_requests == 3; }));
}

TEST_CASE("an address that fails is tried again, later and later, and its last list stays in force") {
  Bench bench;
  bool broken = false;
  bench.web.page = [&](const std::string&) { return broken ? Bytes{'n', 'o'} : bench.ca.crl({}, bench.now, 1h).der(); };
  bench.sources.crl_urls = {bench.web.url("/ca.crl")};
  bench.start();
  REQUIRE(bench.run_until([&] { return bench.published() == 0; }));
  broken = true;
  bench.now += 55min;
  CHECK(bench.run_until([&] { return !bench.trouble().empty(); }));
  CHECK(holds(bench.trouble(), "not a CRL"));
  CHECK(bench.published() == 0);
  CHECK(bench.web.num_requests == 2);
  for (const auto& [wait, requests] : {std::pair{29s, 2}, {1s, 3}, {59s, 3}, {1s, 4}, {119s, 4}, {1s, 5}}) {
    bench.now += wait;
    bench.io.run_for(60ms);
    CHECK(bench.web.num_requests == requests);
  }
  broken = false;
  bench.now += 1h;
  CHECK(bench.run_until([&] { return bench.trouble().empty(); }));
}

TEST_CASE("two sources with one address fetch it once, and both learn") {
  Bench bench;
  bench.web.page = [&](const std::string&) { return bench.ca.crl({}, bench.now, 1h).der(); };
  bench.sources.crl_urls = {bench.web.url("/ca.crl")};
  bench.sources.feed = std::make_shared<ike::RevocationFeed>(crypto::RevocationPolicy::strict, false);
  config::RevocationSources second = bench.sources;
  second.feed = std::make_shared<ike::RevocationFeed>(crypto::RevocationPolicy::relaxed, false);
  RevocationOptions options;
  options.look_interval = 5ms;
  options.wall_clock = [&] { return bench.now; };
  bench.keeper.emplace(bench.io, std::vector{bench.sources, second}, std::move(options));
  bench.keeper->start();
  CHECK(bench.run_until([&] { return bench.published() == 0 && second.feed->snapshot() != nullptr; }));
  CHECK(bench.web.num_requests == 1);
  CHECK(bench.keeper->report().size() == 1);
}

// OpenSSL stamps its responses with the machine's time, so these tests take place now.
TEST_CASE("a responder is asked for each certificate below the anchor, and its answers are kept") {
  Bench bench;
  bench.now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const Certificate leaf = bench.ca.leaf("CN=a");
  bench.web.page = [&](const std::string& request) {
    CHECK(request.starts_with("POST /ocsp HTTP/1.1\r\n"));
    CHECK(holds(request, "Content-Type: application/ocsp-request\r\n"));
    const std::string body = request.substr(request.find("\r\n\r\n") + 4);
    const auto* der = reinterpret_cast<const unsigned char*>(body.data());
    OCSP_REQUEST* parsed =
        d2i_OCSP_REQUEST(nullptr, &der, static_cast<long>(body.size()));  // OpenSSL reads what we ask
    REQUIRE(parsed != nullptr);
    CHECK(OCSP_request_onereq_count(parsed) == 1);
    OCSP_REQUEST_free(parsed);
    return ocsp_answer(bench.ca, leaf, false);
  };
  bench.start(true);
  CHECK(bench.check({leaf, *bench.ca.certificate}) == 1);
  CHECK(bench.check({leaf, *bench.ca.certificate}) == 1);
  CHECK(bench.web.num_requests == 1);
  bench.keeper->refresh();
  CHECK(bench.check({leaf, *bench.ca.certificate}) == 1);
  CHECK(bench.web.num_requests == 2);
  CHECK(bench.check({*bench.ca.certificate}) == 0);  // the anchor alone: nobody to ask about
  CHECK(bench.web.num_requests == 2);
}

TEST_CASE("an answer about another certificate, by another CA, or none in time, is no answer") {
  Bench bench;
  bench.now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const Certificate leaf = bench.ca.leaf("CN=a"), other = bench.ca.leaf("CN=b");
  const Authority stranger("CN=Example");
  bench.start(true);
  const std::vector chain{leaf, *bench.ca.certificate};
  bench.web.page = [&](const std::string&) { return ocsp_answer(bench.ca, other, false); };
  CHECK(bench.check(chain) == 0);
  bench.web.page = [&](const std::string&) { return ocsp_answer(stranger, leaf, false); };
  CHECK(bench.check(chain) == 0);
  bench.web.page = [&](const std::string&) { return Bytes{1, 2, 3}; };
  CHECK(bench.check(chain) == 0);
  bench.web.page = [&](const std::string&) { return std::optional<Bytes>(); };
  CHECK(bench.check(chain) == 0);
  CHECK(bench.web.num_requests == 4);
  bench.web.page = [&](const std::string&) { return ocsp_answer(bench.ca, leaf, true); };
  CHECK(bench.check(chain) == 1);
}

TEST_CASE("a check comes with the CRLs, and a feed without a responder with them alone") {
  Bench bench;
  bench.write("ca.crl", bench.ca.crl({}).der());
  bench.sources.crl_files = {bench.folder.path() / "ca.crl"};
  bench.start();
  std::size_t num_crls = 0;
  bench.keeper->check(bench.sources.feed, {bench.ca.leaf("CN=a"), *bench.ca.certificate},
                      [&](std::shared_ptr<const crypto::RevocationData> data) { num_crls = data->crls.size(); });
  CHECK(num_crls == 1);
  CHECK(bench.web.num_requests == 0);
}
