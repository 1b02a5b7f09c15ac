// Thousands of road warriors on one machine: each an IKE endpoint of its own with an outer address and sockets of its
// own, against any gateway that gives out addresses. tests/lab/labkit/clients.py and bench/clients drive it.
//
//   lab_clients --outside PREFIX --gateway ADDRESS --count N [--first I] [--liveness SECONDS]
//               (--psk FILE | --ca FILE (--password TEXT | --ca-key FILE))
//
// Client i, from I on, is at the i-th address of PREFIX, which leads to this machine. By --psk they are all
// warriors.example; with --password it is cI, by EAP-MSCHAPv2; with --ca-key cI@lab.example, by a certificate that is
// made before it says "ready". Every second client checks every --liveness seconds whether the gateway lives, the
// others leave that to the gateway.
//
// It takes a command a line, answers each with a line of JSON, and ends with its input:
//
//   call WINDOW         those that are not up, so many at a time, until all are up (60 s at most, then it gives up)
//   wait SECONDS        until all are up, or so long
//   hold SECONDS        stays and answers
//   ping V4 V6          from each client's addresses to these; counts the replies for 3 s more
//   forge V4 V6         the same, but each from the addresses of the one behind it
//   addresses           of each client
//   leave               all, until the gateway has answered all (30 s at most)
//   vanish              all, without a word
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>

#include "client.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/distinguished_name.h"
#include "culvert/crypto/issue.h"
#include "culvert/crypto/private_key.h"
#include "culvert/crypto/random.h"
#include "culvert/crypto/trust.h"
#include "culvert/eap/client.h"
#include "culvert/eap/mschapv2.h"

namespace culvert::lab {
namespace {

using namespace std::chrono_literals;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "lab_clients: {}\n", why);
  std::exit(1);
}

template <class T>
T must(Result<T> result, const std::string& what) {
  if (!result) give_up(what + ": " + result.error().detail);
  return std::move(*result);
}

std::uint32_t number_in(std::string_view text) {
  std::uint32_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{})
    give_up(fmt::format("{} is no number", text));
  return value;
}

IpAddress address_in(std::string_view text) {
  const auto address = IpAddress::parse(text);
  if (!address) give_up(fmt::format("{} is no address", text));
  return *address;
}

Bytes content_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) give_up("cannot read " + file);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Options {
  IpPrefix outside;
  IpAddress gateway;
  std::uint32_t first = 0, count = 0, liveness = 10;
  std::string psk, ca, ca_key, password;
};

Options options_from(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], value = argv[i + 1];
    if (name == "--outside") options.outside = IpPrefix::parse(value).value_or(IpPrefix{});
    if (name == "--gateway") options.gateway = address_in(value);
    if (name == "--first") options.first = number_in(value);
    if (name == "--count") options.count = number_in(value);
    if (name == "--liveness") options.liveness = number_in(value);
    if (name == "--psk") options.psk = value;
    if (name == "--ca") options.ca = value;
    if (name == "--ca-key") options.ca_key = value;
    if (name == "--password") options.password = value;
  }
  const bool has_proof = !options.psk.empty() || !options.ca.empty();
  if (options.count == 0 || !has_proof) give_up("--outside, --gateway, --count and --psk or --ca are needed");
  return options;
}

// ---- who they are ---------------------------------------------------------------------------------------------------

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
    theirs_.trust = std::make_shared<const crypto::TrustStore>(must(crypto::TrustStore::create({*ca_}, {}), "trust"));
    if (!options.ca_key.empty())
      ca_key_ = must(crypto::PrivateKey::from_pem(content_of(options.ca_key), Secret{}), "--ca-key");
    if (!options.password.empty())
      nt_hash_ = std::make_shared<const Secret>(must(eap::nt_password_hash(as_bytes(options.password)), "--password"));
  }

  [[nodiscard]] std::string identity(std::uint32_t i) const {
    return psk_ ? "warriors.example" : fmt::format("c{}@lab.example", i);
  }

  [[nodiscard]] ike::AuthConfig of(std::uint32_t i) const {
    if (psk_) return ike::AuthConfig::psk(psk_);
    if (nt_hash_) {
      auto client = std::make_shared<eap::ClientConfig>();
      client->user = fmt::format("c{}", i);
      client->nt_hash = nt_hash_;
      return {ike::OwnEap{std::move(client)}, theirs_};
    }
    return {certificate(identity(i)), theirs_};
  }

 private:
  [[nodiscard]] ike::OwnCertificate certificate(const std::string& name) const {
    if (!ca_key_) give_up("--password or --ca-key is needed");
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    auto key = must(crypto::PrivateKey::generate({crypto::KeyType::ecdsa_p256}), "key");
    crypto::LeafRequest request;
    request.subject = must(crypto::encode_distinguished_name("CN=" + name), "name");
    request.validity = {now - 1h, now + 24h};
    request.names = {{crypto::AlternativeName::Type::email, name}};
    auto leaf = must(crypto::issue_leaf(*ca_key_, *ca_, key.public_key(), request), "certificate");
    ike::OwnCertificate own;
    own.key = std::make_shared<const crypto::PrivateKey>(std::move(key));
    own.chain.push_back(std::make_shared<const crypto::Certificate>(std::move(leaf)));
    return own;
  }

  std::shared_ptr<const Secret> psk_, nt_hash_;
  std::optional<crypto::Certificate> ca_;
  std::optional<crypto::PrivateKey> ca_key_;
  ike::PeerCertificate theirs_;
};

Client::Config config_of(const Options& options, const Credentials& credentials, std::uint32_t i) {
  ike::PeerConfig peer;
  peer.id = PeerId(0);
  peer.name = "gw";
  peer.local_id = must(ike::Identity::parse(credentials.identity(i)), "identity");
  peer.remote_id = must(ike::Identity::parse("gw.example"), "identity");
  peer.auth = credentials.of(i);
  peer.addresses = {options.gateway.to_string()};
  peer.start = ike::StartMode::wait;
  peer.mobike = false;
  peer.request_v4 = peer.request_v6 = true;
  peer.liveness = i % 2 == 0 ? Duration(std::chrono::seconds(options.liveness)) : Duration::zero();
  peer.ike_proposals = {must(ike::parse_ike_proposal("aes256gcm16-prfsha384-x25519"), "ike")};
  peer.esp_proposals = {must(ike::parse_esp_proposal("aes256gcm16-noesn"), "esp")};
  ike::ChildConfig child;
  child.id = ChildId(0);
  child.name = peer.name;
  child.virtual_local = true;
  for (const char* all : {"0.0.0.0/0", "::/0"}) {
    child.local.push_back({*IpPrefix::parse(all), 0});
    child.remote.push_back({*IpPrefix::parse(all), 0});
  }
  peer.children = {child};
  const std::uint32_t base = load_be<std::uint32_t>(options.outside.network().bytes().data());
  return {std::move(peer), IpAddress::v4(base + 1 + i), options.gateway};
}

// ---- all of them ----------------------------------------------------------------------------------------------------

class Clients {
 public:
  explicit Clients(const Options& options) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    const rlimit files{2 * options.count + 64, 2 * options.count + 64};
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0) give_up("cannot open so many sockets");
    const Credentials credentials(options);
    for (std::uint32_t i = 0; i < options.count; ++i) {
      all_.push_back(std::make_unique<Client>(config_of(options, credentials, options.first + i), counts_));
      for (std::uint32_t which : {0U, 1U}) watch(all_.back()->sockets()[which], 2 * i + which);
    }
    due_.resize(options.count);
    watch(STDIN_FILENO, input_number);
  }

  void run() {
    say("{\"ready\": true}");
    while (!ended_) {
      step(1s);
      while (const auto line = next_line()) {
        obey(*line);
        say(report());
      }
    }
  }

 private:
  static constexpr std::uint64_t input_number = ~std::uint64_t{0};

  static void say(const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }
  void watch(int fd, std::uint64_t number) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = number;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) give_up("epoll");
  }

  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string command, first, second;
    words >> command >> first >> second;
    begin_ = Clock::now();
    before_ = counts_;
    extra_.clear();
    if (command == "call") call(number_in(first));
    if (command == "wait")
      until(begin_ + std::chrono::seconds(number_in(first)), [&] { return num_up() == all_.size(); });
    if (command == "hold") until(begin_ + std::chrono::seconds(number_in(first)), [] { return false; });
    if (command == "ping") ping(address_in(first), address_in(second), 0);
    if (command == "forge") ping(address_in(first), address_in(second), 1);
    if (command == "addresses") list();
    if (command == "leave") leave();
    if (command == "vanish")
      for (std::size_t i = 0; i < all_.size(); ++i) all_[i]->vanish(), plan(i);
  }

  /// Of what happened since the command.
  [[nodiscard]] std::string report() const {
    const std::chrono::duration<double> took = Clock::now() - begin_;
    const auto since = [&](std::uint64_t Counts::*count) { return counts_.*count - before_.*count; };
    return fmt::format(
        "{{\"seconds\": {:.3f}, \"up\": {}, \"came_up\": {}, \"went_down\": {}, \"sent\": {}, \"received\": {}, "
        "\"asked\": {}, \"answered\": {}, \"was_asked\": {}, \"has_answered\": {}, \"repeated\": {}, \"replies\": {}, "
        "\"misled\": {}{}}}",
        took.count(), num_up(), since(&Counts::came_up), since(&Counts::went_down), since(&Counts::sent),
        since(&Counts::received), since(&Counts::asked), since(&Counts::answered), since(&Counts::was_asked),
        since(&Counts::has_answered), since(&Counts::repeated), since(&Counts::replies), since(&Counts::misled),
        extra_);
  }

  [[nodiscard]] std::size_t num_up() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(all_, &Client::is_up, [](const auto& one) -> const Client& { return *one; }));
  }

  void call(std::uint32_t window) {
    const std::size_t up_before = num_up();
    std::size_t called = 0, next = 0;
    until(begin_ + 60s, [&] {
      const std::size_t up = counts_.came_up - before_.came_up;
      for (; next < all_.size() && called < up + window; ++next) {
        if (all_[next]->is_up()) continue;
        all_[next]->call();
        plan(next);
        ++called;
      }
      return up_before + up >= all_.size();
    });
  }

  void leave() {
    for (std::size_t i = 0; i < all_.size(); ++i) all_[i]->leave(), plan(i);
    std::size_t first = 0;
    until(begin_ + 30s, [&] {
      while (first < all_.size() && all_[first]->has_left()) ++first;
      return first == all_.size();
    });
    extra_ =
        fmt::format(", \"left\": {}", std::ranges::count_if(all_, [](const auto& one) { return one->has_left(); }));
  }

  void ping(const IpAddress& v4, const IpAddress& v6, std::size_t ahead) {
    constexpr std::size_t most_under_way = 64;  // what comes back must not overflow anything
    std::size_t num = 0;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      for (const IpAddress& source : all_[(i + ahead) % all_.size()]->addresses()) {
        all_[i]->ping(source, source.is_v4() ? v4 : v6, static_cast<std::uint16_t>(i));
        ++num;
      }
      const auto is_clear = [&] { return num - (counts_.replies - before_.replies) < most_under_way; };
      if (ahead == 0) until(Clock::now() + 100ms, is_clear);
      if (ahead != 0 && i % most_under_way == 0) step(1ms);
    }
    until(Clock::now() + 3s, [&] { return ahead == 0 && counts_.replies - before_.replies == num; });
    extra_ = fmt::format(", \"pings\": {}", num);
  }

  void list() {
    extra_ = ", \"addresses\": [";
    for (std::size_t i = 0; i < all_.size(); ++i) {
      std::string one;
      for (const IpAddress& address : all_[i]->addresses())
        one += fmt::format("{}\"{}\"", one.empty() ? "" : ", ", address.to_string());
      extra_ += fmt::format("{}[{}]", i == 0 ? "" : ", ", one);
    }
    extra_ += "]";
  }

  template <class Done>
  void until(TimePoint end, Done done) {
    while (!done() && Clock::now() < end) step(20ms);
  }

  /// Everything that is due, and what comes within `longest`.
  void step(Duration longest) {
    while (!agenda_.empty() && agenda_.begin()->first <= Clock::now()) {
      const std::size_t i = agenda_.begin()->second;
      all_[i]->on_deadline();
      plan(i);
    }
    Duration wait = agenda_.empty() ? longest : std::min(longest, agenda_.begin()->first - Clock::now());
    wait = std::max(wait, Duration::zero());
    epoll_event events[256];
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
    const int num = ::epoll_wait(epoll_, events, std::size(events), static_cast<int>(ms));
    for (int i = 0; i < num; ++i) {
      const std::uint64_t number = events[i].data.u64;
      if (number == input_number) {
        read_input();
      } else {
        all_[number / 2]->on_readable(number % 2);
        plan(number / 2);
      }
    }
  }

  void plan(std::size_t i) {
    const auto due = all_[i]->deadline();
    if (due == due_[i]) return;
    if (due_[i]) agenda_.erase({*due_[i], i});
    due_[i] = due;
    if (due) agenda_.emplace(*due, i);
  }

  void read_input() {
    char text[256];
    const ssize_t len = ::read(STDIN_FILENO, text, sizeof text);
    if (len <= 0) {
      ended_ = true;
      (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
      return;
    }
    input_.append(text, static_cast<std::size_t>(len));
  }

  std::optional<std::string> next_line() {
    const std::size_t end = input_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    const std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    return line;
  }

  int epoll_;
  Counts counts_, before_;
  TimePoint begin_{};
  std::string extra_, input_;
  std::vector<std::unique_ptr<Client>> all_;
  std::vector<std::optional<TimePoint>> due_;
  std::set<std::pair<TimePoint, std::size_t>> agenda_;
  bool ended_ = false;
};

}  // namespace
}  // namespace culvert::lab

int main(int argc, char** argv) {
  culvert::lab::Clients(culvert::lab::options_from(argc, argv)).run();
}
