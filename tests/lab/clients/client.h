#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/time.h"
#include "culvert/ike/endpoint.h"
#include "echo.h"

namespace culvert::lab {

constexpr std::uint16_t ike_port = 500, nat_port = 4500;

/// What all clients have seen together.
struct Counts {
  std::uint64_t sent = 0, received = 0;           ///< IKE messages
  std::uint64_t asked = 0, answered = 0;          ///< liveness checks of the clients, and the gateway's answers
  std::uint64_t was_asked = 0, has_answered = 0;  ///< those of the gateway, and the clients' answers
  std::uint64_t repeated = 0;                     ///< INFORMATIONAL requests of the clients that were sent again
  std::uint64_t came_up = 0, went_down = 0;       ///< first child SA of an IKE SA; last one
  std::uint64_t replies = 0;                      ///< to a ping of that client, at its own address
  std::uint64_t misled = 0;                       ///< packets that are not for the client that got them
};

/// A road warrior: a machine with an outer address of its own, ports 500 and 4500 of it, and nothing else in common
/// with the others. One thread.
class Client {
 public:
  struct Config {
    ike::PeerConfig peer;  ///< named "gw"
    IpAddress local, remote;
  };
  Client(Config config, Counts& counts);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void call();    ///< from nothing: what it knew before is forgotten
  void leave();   ///< tells the gateway
  void vanish();  ///< tells nobody; its sockets stay, so that nobody else does
  void on_readable(std::size_t which);
  void on_deadline();
  [[nodiscard]] std::optional<TimePoint> deadline() const;

  [[nodiscard]] const int* sockets() const noexcept { return sockets_; }
  [[nodiscard]] bool is_up() const noexcept { return !esp_.empty(); }
  [[nodiscard]] bool has_left() const;  ///< the gateway has answered
  [[nodiscard]] const std::vector<IpAddress>& addresses() const noexcept { return addresses_; }
  /// From `source`, which may be another one's.
  void ping(const IpAddress& source, const IpAddress& target, std::uint16_t id);

 private:
  [[nodiscard]] ike::Path path(std::uint16_t port) const { return {{config_.local, port}, {config_.remote, port}}; }
  void perform(ike::Actions actions);
  void perform_one(ike::Action& action);
  void send(std::uint16_t port, ByteView bytes, bool marker);
  void on_ike(std::uint16_t port, ByteView message);
  void on_esp(ByteView packet);
  void note_sent(ByteView message);
  void note_received(ByteView message);

  Config config_;
  Counts& counts_;
  int sockets_[2] = {-1, -1};
  std::unique_ptr<ike::IkeEndpoint> endpoint_;
  std::map<Spi, EspPair> esp_;
  std::vector<IpAddress> addresses_;
  /// Message IDs of the last INFORMATIONAL requests, and the IKE SA (its initiator's SPI) that they belong to.
  std::optional<std::uint32_t> last_asked_, last_answered_, last_was_asked_;
  std::uint64_t numbers_of_ = 0;
};

}  // namespace culvert::lab
