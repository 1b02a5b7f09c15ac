#include "resolver.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace culvert;
using daemon::Resolver;
using daemon::ResolverOptions;

namespace {

IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}
const std::vector<IpAddress> everywhere = {address("0.0.0.0"), address("::")};

struct Answer {
  PeerId peer;
  std::vector<ike::Path> paths;
  std::string why;
};

/// A resolver and what it answered. Nothing here leaves the machine: literals are loopback addresses, names go to
/// `lookup`.
struct Bench {
  explicit Bench(ResolverOptions options)
      : resolver(io, std::move(options), [this](PeerId peer, std::vector<ike::Path> paths, std::string why) {
          answers.push_back({peer, std::move(paths), std::move(why)});
        }) {}
  void run_until(std::size_t num_answers) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (answers.size() < num_answers && std::chrono::steady_clock::now() < limit)
      io.run_one_for(std::chrono::milliseconds(100));
    REQUIRE(answers.size() >= num_answers);
  }
  boost::asio::io_context io;
  std::vector<Answer> answers;
  Resolver resolver;
};

ResolverOptions options_with(std::function<Result<std::vector<IpAddress>>(const std::string&)> lookup) {
  ResolverOptions options;
  options.listen = everywhere;
  options.lookup = std::move(lookup);
  return options;
}

Result<std::vector<IpAddress>> no_lookup(const std::string& name) {
  return fail(Errc::not_found, "unexpected lookup of " + name);
}

}  // namespace

TEST_CASE("literals become paths in the order of the configuration, each with the address the kernel sends from") {
  Bench bench(options_with(no_lookup));
  bench.resolver.resolve(PeerId(3), {"127.0.0.9", "::1", "127.0.0.9"}, 1500);
  CHECK(bench.answers.empty());  // never from within the call
  bench.run_until(1);
  CHECK(bench.answers[0].peer == PeerId(3));
  REQUIRE(bench.answers[0].paths.size() == 2);  // the same address twice is one path
  CHECK(bench.answers[0].paths[0] == ike::Path{{address("127.0.0.1"), 500}, {address("127.0.0.9"), 1500}});
  CHECK(bench.answers[0].paths[1] == ike::Path{{address("::1"), 500}, {address("::1"), 1500}});
}

TEST_CASE("the source is the address we listen on when the configuration names one") {
  CHECK(daemon::local_address_towards({address("127.0.0.1"), 500}, {address("127.0.0.5")}).value() ==
        address("127.0.0.5"));
  const auto none = daemon::local_address_towards({address("::1"), 500}, {address("127.0.0.5")});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == Errc::no_match);
  CHECK(none.error().detail.find("no IPv6 address") != std::string::npos);
  // TEST-NET-1 is on no host: the kernel cannot send from it.
  CHECK_FALSE(daemon::local_address_towards({address("127.0.0.1"), 500}, {address("192.0.2.77")}).has_value());
}

TEST_CASE("names are looked up, and what does not resolve is said in words") {
  Bench bench(options_with([](const std::string& name) -> Result<std::vector<IpAddress>> {
    if (name == "good.example.net") return std::vector{address("127.0.0.7"), address("::1")};
    return fail(Errc::not_found, "Name or service not known");
  }));
  bench.resolver.resolve(PeerId(0), {"bad.example.net", "good.example.net"}, 500);
  bench.resolver.resolve(PeerId(1), {"bad.example.net"}, 500);
  bench.run_until(2);
  std::ranges::sort(bench.answers, {}, &Answer::peer);
  REQUIRE(bench.answers[0].paths.size() == 2);
  CHECK(bench.answers[0].paths[0].remote.address == address("127.0.0.7"));
  CHECK(bench.answers[1].paths.empty());
  CHECK(bench.answers[1].why == "bad.example.net does not resolve: Name or service not known");
}

TEST_CASE("a name server that does not answer delays neither the control thread nor other peers, nor the end") {
  struct Gate {
    std::mutex mutex;
    std::condition_variable opened;
    bool open = false;
  };
  const auto gate = std::make_shared<Gate>();
  {
    Bench bench(options_with([gate](const std::string& name) -> Result<std::vector<IpAddress>> {
      if (name == "slow.example.net") {
        std::unique_lock lock(gate->mutex);
        gate->opened.wait(lock, [&] { return gate->open; });
      }
      return std::vector{address("127.0.0.7")};
    }));
    bench.resolver.resolve(PeerId(0), {"slow.example.net"}, 500);
    bench.resolver.resolve(PeerId(1), {"fast.example.net"}, 500);
    bench.resolver.resolve(PeerId(2), {"127.0.0.8"}, 500);
    bench.run_until(2);
    CHECK(std::ranges::none_of(bench.answers, [](const Answer& answer) { return answer.peer == PeerId(0); }));
  }  // goes without waiting
  const std::lock_guard lock(gate->mutex);
  gate->open = true;
  gate->opened.notify_all();
}

TEST_CASE("asking again while a lookup is under way gives one answer, and lookups queue beyond the limit") {
  std::atomic<int> running = 0, most = 0;
  auto options = options_with([&](const std::string&) -> Result<std::vector<IpAddress>> {
    const int now = ++running;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // long enough for the others to start, if they may
    --running;
    return std::vector{address("127.0.0.7")};
  });
  options.max_lookups = 2;
  Bench bench(std::move(options));
  for (std::uint32_t peer = 0; peer < 20; ++peer) {
    bench.resolver.resolve(PeerId(peer), {"name.example.net"}, 500);
    bench.resolver.resolve(PeerId(peer), {"name.example.net"}, 500);
  }
  bench.run_until(20);
  bench.io.poll();
  CHECK(bench.answers.size() == 20);
  CHECK(most <= 2);
}

TEST_CASE("an address that must not be used is refused in words, and no name is more than 16 addresses") {
  auto options = options_with([](const std::string&) -> Result<std::vector<IpAddress>> {
    std::vector<IpAddress> many;
    for (std::uint32_t i = 1; i <= 100; ++i) many.push_back(IpAddress::v4(0x7f000000 + i));
    return many;
  });
  options.refuse = [](const IpAddress& remote) -> std::optional<std::string> {
    if (remote == address("127.0.0.1")) return "127.0.0.1 leads into ourselves";
    return std::nullopt;
  };
  Bench bench(std::move(options));
  bench.resolver.resolve(PeerId(0), {"127.0.0.1"}, 500);
  bench.resolver.resolve(PeerId(1), {"many.example.net"}, 500);
  bench.run_until(2);
  std::ranges::sort(bench.answers, {}, &Answer::peer);
  CHECK(bench.answers[0].paths.empty());
  CHECK(bench.answers[0].why == "127.0.0.1 leads into ourselves");
  CHECK(bench.answers[1].paths.size() == 16);
}

TEST_CASE("no thread is needed for a peer without an address") {
  Bench bench(options_with(no_lookup));
  bench.resolver.resolve(PeerId(0), {}, 500);
  bench.run_until(1);
  CHECK(bench.answers[0].paths.empty());
  CHECK_FALSE(bench.answers[0].why.empty());
}
