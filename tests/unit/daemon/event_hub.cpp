#include "event_hub.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <string>
#include <vector>

using namespace culvert;
using daemon::EventHub;

namespace {

/// One who watches, at the other end of a pair of sockets.
struct Reader {
  explicit Reader(boost::asio::io_context& io) : socket(io) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    socket.assign(boost::asio::local::stream_protocol(), ends[0]);
    fd = ends[1];
  }
  ~Reader() {
    if (fd >= 0) ::close(fd);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  /// Whole lines that have arrived.
  std::vector<control::EventReport> read() {
    char chunk[65536];
    for (ssize_t len; (len = ::recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0;)
      text.append(chunk, static_cast<std::size_t>(len));
    std::vector<control::EventReport> events;
    for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      const auto event = control::parse_event(text.substr(0, end));
      REQUIRE(event.has_value());
      events.push_back(*event);
    }
    return events;
  }
  EventHub::Socket socket;
  std::string text;
  int fd = -1;
};

control::EventReport about(const std::string& peer, EventKind kind = EventKind::peer_up,
                           const std::string& text = "t") {
  return daemon::make_event({.peer = peer, .event = kind}, text, std::chrono::system_clock::now());
}

}  // namespace

TEST_CASE("an event carries its time in RFC 3339") {
  using namespace std::chrono_literals;
  const auto then = std::chrono::system_clock::time_point(1'000'000'000'123ms);  // date -u -d @1000000000
  CHECK(daemon::make_event({.event = EventKind::reloaded}, "x", then).time == "2001-09-09T01:46:40.123Z");
}

TEST_CASE("who watches one peer hears of it, of its clients and of the end, and of nobody else") {
  boost::asio::io_context io;
  std::vector<bool> changes;
  EventHub hub([&](bool watched) { changes.push_back(watched); });
  hub.publish(about("b"));  // nobody listens
  Reader all(io), one(io);
  hub.add(std::move(all.socket), "");
  hub.add(std::move(one.socket), "b");
  CHECK(hub.is_watched());
  for (const char* peer : {"b", "bb", "b/anna", "a", ""}) hub.publish(about(peer));
  hub.publish(about("", EventKind::stopping));
  CHECK(all.read().size() == 6);
  const auto heard = one.read();
  REQUIRE(heard.size() == 3);
  CHECK(heard[0].peer == "b");
  CHECK(heard[1].peer == "b/anna");
  CHECK(heard[2].event == "stopping");
  hub.close();
  CHECK(changes == std::vector<bool>{true, false});
}

TEST_CASE("who does not read loses what comes last, is told how many, and costs a bounded memory") {
  boost::asio::io_context io;
  EventHub hub([](bool) {});
  Reader slow(io), fast(io);
  hub.add(std::move(slow.socket), "");
  hub.add(std::move(fast.socket), "");
  constexpr std::size_t num_events = 20'000;
  std::size_t by_fast = 0;
  for (std::size_t i = 0; i < num_events; ++i) {
    hub.publish(about("b", EventKind::peer_up, std::string(200, 'x')));
    by_fast += fast.read().size();
  }
  CHECK(by_fast == num_events);  // one does not hold up the other
  std::size_t heard = 0;
  std::uint64_t missed = 0;
  for (int turn = 0; turn < 100 && heard + missed < num_events; ++turn) {
    for (const auto& event : slow.read()) {
      if (event.event == "missed") {
        missed += event.missed.value();
      } else {
        ++heard;
      }
    }
    io.restart();
    io.poll();
  }
  CHECK(missed > num_events / 2);
  CHECK(heard + missed == num_events);
  hub.publish(about("b"));
  CHECK(slow.read().size() == 1);
}

TEST_CASE("only so many may watch, and who goes away makes room") {
  boost::asio::io_context io;
  EventHub hub([](bool) {});
  std::vector<std::unique_ptr<Reader>> readers;
  for (std::size_t i = 0; i <= control::max_watchers; ++i) {
    CHECK(hub.has_room() == (i < control::max_watchers));
    readers.push_back(std::make_unique<Reader>(io));
    hub.add(std::move(readers.back()->socket), "");
  }
  CHECK(hub.num_watchers() == control::max_watchers);
  readers.front().reset();
  io.poll();
  CHECK(hub.has_room());
}
