#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/time.h"
#include "culvert/crypto/random.h"
#include "culvert/radius/packet.h"

namespace culvert::radius {

struct ServerConfig {
  Endpoint address;
  std::shared_ptr<const Secret> secret;
};

struct ClientConfig {
  std::vector<ServerConfig> servers;              ///< in order of preference, at least one
  Duration retransmit = std::chrono::seconds(2);  ///< each time after the first doubles, up to 16 s (RFC 5080 §2.2.1)
  int tries = 3;                                  ///< sends to one server before the next one is asked
  Duration dead_time = std::chrono::seconds(60);  ///< that a server without an answer is left alone
  std::size_t max_waiting = 1024;                 ///< requests beyond the 256 that each server may have
};

/// Goes to the server of this number in ClientConfig::servers, each by a socket of its own.
struct SendTo {
  std::size_t server = 0;
  Bytes bytes;
};
/// What a request came to.
struct Answer {
  std::uint64_t token = 0;      ///< as given to ask
  std::size_t server = 0;       ///< who answered
  std::optional<Packet> reply;  ///< nullopt: nobody has, or there was no room
  Secret msk;                   ///< of an Access-Accept that has one
  std::string why;              ///< without a reply, for the operator
};
/// A line for the operator: a server is gone, or back.
struct Notice {
  bool bad = false;
  std::string text;
};
using Action = std::variant<SendTo, Answer, Notice>;
using Actions = std::vector<Action>;

struct ServerStatus {
  Endpoint address;
  bool dead = false;
  std::size_t outstanding = 0;
  std::uint64_t answers = 0, timeouts = 0, forged = 0;
};

/// A client of RADIUS servers (RFC 2865 §2.5, §2.6, RFC 5080): one request each to the first server that lives, the
/// next one when it stays silent. Sans I/O; one thread.
class Client {
 public:
  /// `random` outlives it; its authenticators must not be foreseen.
  Client(ClientConfig config, crypto::RandomSource& random);

  /// `request` has code and attributes. `server`: the one that has begun this conversation (State is its own), no other
  /// is asked; nullopt: anyone. Exactly one Answer follows, here or later.
  [[nodiscard]] Actions ask(TimePoint now, std::uint64_t token, Packet request,
                            std::optional<std::size_t> server = std::nullopt);
  /// A datagram from a server's address. What does not authenticate is counted and ignored: the true answer may still
  /// come.
  [[nodiscard]] Actions on_datagram(TimePoint now, std::size_t server, ByteView bytes);
  [[nodiscard]] Actions on_deadline(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  [[nodiscard]] std::vector<ServerStatus> status(TimePoint now) const;

 private:
  struct Request {
    std::uint64_t token = 0;
    Packet packet;                      ///< as sent, but for what build_request adds
    std::optional<std::size_t> pinned;  ///< this server or none
    std::vector<bool> asked;            ///< which servers have been tried
  };
  struct Outstanding {
    Request request;
    Packet sent;
    Bytes bytes;
    int sends = 0;
    Duration wait{};
    TimePoint due{};
  };
  struct Server {
    ServerConfig config;
    std::map<std::uint8_t, Outstanding> outstanding;
    std::uint8_t next_id = 0;
    std::optional<TimePoint> dead_until;
    bool was_dead = false;  ///< has not answered since
    std::uint64_t answers = 0, timeouts = 0, forged = 0;
  };

  [[nodiscard]] std::optional<std::size_t> choose(const Request& request) const;
  void place(Request request);
  void send(std::size_t server, Request request);
  void on_silence(std::size_t server, std::uint8_t id);
  void mark_dead(Server& server);
  void serve_waiting();
  void give_up(const Request& request, std::string why);

  ClientConfig config_;
  crypto::RandomSource& random_;
  std::vector<Server> servers_;
  std::deque<Request> waiting_;  ///< for a free identifier
  TimePoint now_{};
  Actions actions_;
};

}  // namespace culvert::radius
