// An initiator that sets up many IKE SAs with their first child SA, one peer each, so many at a time, against any
// responder. It carries no traffic: what is measured is the responder, by whoever starts this (bench/setups).
//
//   ike_load --local ADDRESS --remote ADDRESS --peers N [--first I] [--in-flight W] (--psk FILE | --ca FILE --ca-key
//   FILE)
//
// Peer i, from I on, calls itself cI.example and the responder gw.example; its nets are 10.X.Y.Z/32 towards
// 172.16.0.0/12. With a CA each peer gets a P-256 certificate of its own before the clock starts. Says "ready", waits
// for a line, and prints one line of JSON when all are up; then it answers on until its input ends.
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "culvert/crypto/certificate.h"
#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/crypto/private_key.h"
#include "culvert/crypto/random.h"
#include "culvert/crypto/trust.h"
#include "culvert/ike/endpoint.h"

namespace {

using namespace culvert;
using namespace std::chrono_literals;

constexpr std::uint16_t ike_port = 500, nat_port = 4500;
constexpr std::size_t marker_len = 4;  // RFC 3948 §2.2

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "ike_load: {}\n", why);
  std::exit(1);
}

template <class T>
T must(Result<T> result, const std::string& what) {
  if (!result) give_up(what + ": " + result.error().detail);
  return std::move(*result);
}

struct Options {
  IpAddress local, remote;
  std::uint32_t first = 0, peers = 0, in_flight = 64;
  std::string psk, ca, ca_key;
};

Options options_from(int argc, char** argv) {
  Options options;
  const auto number = [](std::string_view text) {
    std::uint32_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{}) give_up("not a number");
    return value;
  };
  const auto address = [](std::string_view text) {
    const auto parsed = IpAddress::parse(text);
    if (!parsed) give_up("not an address");
    return *parsed;
  };
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], value = argv[i + 1];
    if (name == "--local") options.local = address(value);
    if (name == "--remote") options.remote = address(value);
    if (name == "--first") options.first = number(value);
    if (name == "--peers") options.peers = number(value);
    if (name == "--in-flight") options.in_flight = number(value);
    if (name == "--psk") options.psk = value;
    if (name == "--ca") options.ca = value;
    if (name == "--ca-key") options.ca_key = value;
  }
  if (options.peers == 0 || (options.psk.empty() && (options.ca.empty() || options.ca_key.empty())))
    give_up("--local, --remote, --peers and --psk (or --ca and --ca-key) are needed");
  return options;
}

Bytes content_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) give_up("cannot read " + file);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// How each peer proves itself, and what it asks of the responder.
class Credentials {
 public:
  explicit Credentials(const Options& options) {
    if (!options.psk.empty()) {
      Bytes text = content_of(options.psk);
      while (!text.empty() && text.back() == '\n') text.pop_back();
      psk_ = std::make_shared<const Secret>(Secret::copy_of(text));
      return;
    }
    ca_ = must(crypto::Certificate::from_file_content(content_of(options.ca)), "--ca").front();
    ca_key_ = must(crypto::PrivateKey::from_pem(content_of(options.ca_key), Secret{}), "--ca-key");
    trust_ = std::make_shared<const crypto::TrustStore>(must(crypto::TrustStore::create({*ca_}, {}), "trust"));
  }

  [[nodiscard]] ike::AuthConfig of(const std::string& name) const {
    if (psk_) return ike::AuthConfig::psk(psk_);
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    auto key = must(crypto::PrivateKey::generate({crypto::KeyType::ecdsa_p256}), "key");
    crypto::LeafRequest request;
    request.subject = must(crypto::encode_distinguished_name("CN=" + name), "name");
    request.validity = {now - 1h, now + 24h};
    request.names = {{crypto::AlternativeName::Type::dns, name}};
    auto leaf = must(crypto::issue_leaf(*ca_key_, *ca_, key.public_key(), request), "certificate");
    ike::OwnCertificate own;
    own.key = std::make_shared<const crypto::PrivateKey>(std::move(key));
    own.chain.push_back(std::make_shared<const crypto::Certificate>(std::move(leaf)));
    ike::PeerCertificate theirs;
    theirs.trust = trust_;
    return {own, theirs, true};
  }

 private:
  std::shared_ptr<const Secret> psk_;
  std::optional<crypto::Certificate> ca_;
  std::optional<crypto::PrivateKey> ca_key_;
  std::shared_ptr<const crypto::TrustStore> trust_;
};

std::vector<ike::PeerConfig> peers_from(const Options& options) {
  const Credentials credentials(options);
  std::vector<ike::PeerConfig> peers;
  for (std::uint32_t i = options.first; i < options.first + options.peers; ++i) {
    ike::PeerConfig peer;
    peer.id = PeerId(i);
    peer.name = fmt::format("c{}", i);
    const std::string name = peer.name + ".example";
    peer.local_id = must(ike::Identity::parse(name), "identity");
    peer.remote_id = must(ike::Identity::parse("gw.example"), "identity");
    peer.auth = credentials.of(name);
    peer.addresses = {options.remote.to_string()};
    peer.start = ike::StartMode::wait;
    peer.mobike = false;
    peer.encapsulation = ike::EncapsulationPreference::udp;  // charon's ESP in user space has nothing else
    peer.ike_proposals = {must(ike::parse_ike_proposal("aes256gcm16-prfsha384-x25519"), "ike")};
    peer.esp_proposals = {must(ike::parse_esp_proposal("aes256gcm16-noesn"), "esp")};
    ike::ChildConfig child;
    child.id = ChildId(i);
    child.name = peer.name;
    child.local = {
        ike::SelectorSpec{*IpPrefix::parse(fmt::format("10.{}.{}.{}/32", 16 + i / 62500, i / 250 % 250, i % 250)), 0}};
    child.remote = {ike::SelectorSpec{*IpPrefix::parse("172.16.0.0/12"), 0}};
    peer.children = {child};
    peers.push_back(std::move(peer));
  }
  return peers;
}

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), endpoint_({}, peers_from(options), crypto::system_random()) {
    for (const std::uint16_t port : {ike_port, nat_port}) sockets_.push_back({port, open_socket(port)});
  }

  void run() {
    perform(endpoint_.start(Clock::now()));
    fmt::print("ready\n");
    std::fflush(stdout);
    (void)std::getchar();
    const TimePoint begin = Clock::now(), until = begin + 300s;
    while (up_ < options_.peers && Clock::now() < until) {
      while (next_ < options_.peers && next_ - up_ < options_.in_flight)
        perform(must(endpoint_.up(Clock::now(), fmt::format("c{}", options_.first + next_++)), "up"));
      step();
    }
    const std::chrono::duration<double> took = Clock::now() - begin;
    fmt::print("{{\"peers\": {}, \"up\": {}, \"seconds\": {:.3f}, \"retransmitted\": {}}}\n", options_.peers, up_,
               took.count(), sent_ > 2 * up_ ? sent_ - 2 * up_ : 0);
    std::fflush(stdout);
    for (pollfd input{STDIN_FILENO, POLLIN, 0}; ::poll(&input, 1, 0) == 0;) step();
  }

 private:
  [[nodiscard]] int open_socket(std::uint16_t port) const {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int room = 4 << 20;
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    const sockaddr_in at = address_of({options_.local, port});
    if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) give_up("cannot bind its ports");
    return fd;
  }
  static sockaddr_in address_of(const Endpoint& end) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(end.port);
    std::memcpy(&at.sin_addr, end.address.bytes().data(), 4);
    return at;
  }

  void step() {
    wait();
    if (const auto deadline = endpoint_.deadline(); deadline && *deadline <= Clock::now())
      perform(endpoint_.on_deadline(Clock::now()));
  }

  void wait() {
    pollfd polled[] = {{sockets_[0].second, POLLIN, 0}, {sockets_[1].second, POLLIN, 0}};
    ::poll(polled, 2, 20);
    for (const auto& [port, fd] : sockets_) {
      std::uint8_t datagram[65536];
      for (;;) {
        const ssize_t len = ::recv(fd, datagram, sizeof datagram, 0);
        if (len <= 0) break;
        const std::size_t skip = port == nat_port ? marker_len : 0;
        if (static_cast<std::size_t>(len) <= skip) continue;
        const ike::Path path{{options_.local, port}, {options_.remote, port}};
        perform(
            endpoint_.on_datagram(Clock::now(), path, ByteView(datagram, static_cast<std::size_t>(len)).subspan(skip)));
      }
    }
  }

  void perform(ike::Actions actions) {
    for (ike::Action& action : actions) {
      if (const auto* datagram = std::get_if<ike::SendDatagram>(&action)) send(*datagram);
      if (std::holds_alternative<ike::InstallChild>(action)) ++up_;
      if (const auto* wanted = std::get_if<ike::ResolveAddresses>(&action)) {
        const ike::Path path{{options_.local, ike_port}, {options_.remote, ike_port}};
        perform(endpoint_.on_addresses(Clock::now(), wanted->peer, {path}, ""));
      }
      if (auto* compute = std::get_if<ike::Compute>(&action)) {
        auto result = compute->work(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
        perform(endpoint_.on_computed(Clock::now(), compute->id, std::move(result)));
      }
      if (const auto* report = std::get_if<ike::Report>(&action);
          report && report->level >= log::Level::warn && num_warnings_++ < 5)
        fmt::print(stderr, "{}\n", report->text);
    }
  }

  void send(const ike::SendDatagram& datagram) {
    ++sent_;
    const bool nat = datagram.path.local.port == nat_port;
    Bytes bytes(nat ? marker_len : 0);
    bytes.insert(bytes.end(), datagram.bytes.begin(), datagram.bytes.end());
    const sockaddr_in to = address_of(datagram.path.remote);
    (void)::sendto(sockets_[nat ? 1 : 0].second, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                   sizeof to);
  }

  Options options_;
  ike::IkeEndpoint endpoint_;
  std::vector<std::pair<std::uint16_t, int>> sockets_;
  std::uint32_t up_ = 0, next_ = 0, sent_ = 0, num_warnings_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Load(options_from(argc, argv)).run();
}
