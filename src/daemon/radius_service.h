#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "culvert/config/config.h"
#include "culvert/ike/endpoint.h"
#include "culvert/radius/client.h"

namespace culvert::daemon {

/// One radius::Client with its sockets, one a server, each connected so that the kernel drops what others send. Control
/// thread.
class RadiusLine {
 public:
  using Done = std::function<void(radius::Answer answer)>;
  RadiusLine(boost::asio::io_context& io, radius::ClientConfig config, Done done);
  ~RadiusLine();
  RadiusLine(const RadiusLine&) = delete;
  RadiusLine& operator=(const RadiusLine&) = delete;

  /// `done` follows in a turn of its own.
  void ask(std::uint64_t token, radius::Packet request, std::optional<std::size_t> server = std::nullopt);

 private:
  struct Port {
    explicit Port(boost::asio::io_context& io) : socket(io) {}
    boost::asio::ip::udp::socket socket;
    radius::ServerConfig server;
    std::array<std::uint8_t, radius::max_packet_len + 1> buffer{};
  };
  void open(Port& port);
  void receive(std::size_t index);
  void perform(radius::Actions actions);
  void send(std::size_t index, const Bytes& bytes);
  void arm();

  boost::asio::io_context& io_;
  radius::Client client_;
  Done done_;
  std::vector<std::unique_ptr<Port>> ports_;
  boost::asio::steady_timer timer_;
};

/// What logs in by RADIUS (ike::AskRadius), and what is told of it afterwards (RFC 2866). Control thread; owned by
/// Daemon.
class RadiusService {
 public:
  using Answered = std::function<void(std::uint64_t id, ike::RadiusAnswer answer)>;
  RadiusService(boost::asio::io_context& io, const std::vector<config::RadiusSettings>& settings, std::string our_name,
                Answered answered);
  ~RadiusService();

  /// Other servers in place of those of before. Lines to those that are the same go on; who logs in by another one at the
  /// moment has to begin again.
  void replace(const std::vector<config::RadiusSettings>& settings, std::string our_name);
  void ask(ike::AskRadius ask);
  /// A user's session begins, or ends.
  void begin(const ike::UserSession& session);
  void end(const ike::UserSessionEnd& session);
  /// The gateway goes down: one word for each, now.
  void end_all();

 private:
  struct Group {
    config::RadiusSettings settings;
    std::unique_ptr<RadiusLine> access, accounting;
  };
  struct Session {
    ike::UserSession about;
    Group* group = nullptr;
    std::string id;
    TimePoint began{};
    TimePoint next_interim{};
  };
  enum class Status : std::uint32_t { start = 1, stop = 2, interim = 3 };
  [[nodiscard]] Group make_group(const config::RadiusSettings& settings);
  [[nodiscard]] Group* group_of(const std::string& name);
  void report(const Session& session, Status status, std::uint32_t cause = 0);
  void add_nas(radius::Packet& packet, const Group& group, const ike::Path& path) const;
  void arm();

  boost::asio::io_context& io_;
  std::string our_name_;
  Answered answered_;
  std::vector<Group> groups_;
  std::map<std::uint64_t, Session> sessions_;
  boost::asio::steady_timer interim_;
};

/// What an answer of the servers means to ike.
[[nodiscard]] ike::RadiusAnswer answer_of(radius::Answer answer);

}  // namespace culvert::daemon
