#include "culvert/radius/client.h"

#include <algorithm>
#include <bit>

namespace culvert::radius {
namespace {

constexpr std::size_t num_identifiers = 256;
constexpr Duration longest_wait = std::chrono::seconds(16);

}  // namespace

Client::Client(ClientConfig config, crypto::RandomSource& random) : config_(std::move(config)), random_(random) {
  for (const ServerConfig& server : config_.servers) {
    servers_.emplace_back().config = server;
    servers_.back().next_id = static_cast<std::uint8_t>(random_.u32());
  }
}

Actions Client::ask(TimePoint now, std::uint64_t token, Packet request, std::optional<std::size_t> server) {
  now_ = now;
  if (server && *server >= servers_.size()) server.reset();
  place({token, std::move(request), server, std::vector<bool>(servers_.size())});
  return std::exchange(actions_, {});
}

/// The server to ask: alive before dead, in order; nullopt: all have been tried.
std::optional<std::size_t> Client::choose(const Request& request) const {
  if (request.pinned) return request.asked[*request.pinned] ? std::nullopt : request.pinned;
  for (const bool dead : {false, true}) {
    for (std::size_t i = 0; i < servers_.size(); ++i) {
      const bool is_dead = servers_[i].dead_until && now_ < *servers_[i].dead_until;
      if (!request.asked[i] && is_dead == dead) return i;
    }
  }
  return std::nullopt;
}

void Client::place(Request request) {
  const auto server = choose(request);
  if (!server) return give_up(request, "no RADIUS server answers");
  if (servers_[*server].outstanding.size() < num_identifiers) return send(*server, std::move(request));
  if (waiting_.size() >= config_.max_waiting) return give_up(request, "too many requests wait for RADIUS servers");
  waiting_.push_back(std::move(request));
}

void Client::send(std::size_t index, Request request) {
  Server& server = servers_[index];
  while (server.outstanding.contains(server.next_id)) ++server.next_id;
  const std::uint8_t id = server.next_id++;
  request.asked[index] = true;
  Outstanding made;
  made.sent = request.packet;
  made.sent.identifier = id;
  random_.fill(made.sent.authenticator);
  auto bytes = build_request(made.sent, server.config.secret->view());
  if (!bytes) return give_up(request, bytes.error().detail);
  made.request = std::move(request);
  made.bytes = std::move(*bytes);
  made.sends = 1;
  made.wait = config_.retransmit;
  made.due = now_ + made.wait;
  actions_.emplace_back(SendTo{index, made.bytes});
  server.outstanding.emplace(id, std::move(made));
}

Actions Client::on_datagram(TimePoint now, std::size_t index, ByteView bytes) {
  now_ = now;
  if (index >= servers_.size() || bytes.size() < 2) return {};
  Server& server = servers_[index];
  const auto found = server.outstanding.find(bytes[1]);
  if (found == server.outstanding.end()) return {};  // late, or nobody's
  const ByteView secret = server.config.secret->view();
  auto reply = open_reply(bytes, found->second.sent, secret);
  if (!reply) {
    // Ever more rarely: a server with another secret is worth a line, a forger is not worth a log.
    if (std::has_single_bit(++server.forged))
      actions_.emplace_back(Notice{
          true, "RADIUS server " + server.config.address.to_string() + ": answer ignored: " + reply.error().detail});
    return std::exchange(actions_, {});
  }
  Outstanding done = std::move(found->second);
  server.outstanding.erase(found);
  ++server.answers;
  server.dead_until.reset();
  if (std::exchange(server.was_dead, false))
    actions_.emplace_back(Notice{false, "RADIUS server " + server.config.address.to_string() + " answers again"});
  Answer answer{done.request.token, index, std::nullopt, {}, {}};
  if (reply->code == Code::access_accept) answer.msk = master_session_key(*reply, done.sent.authenticator, secret);
  answer.reply = std::move(*reply);
  actions_.emplace_back(std::move(answer));
  serve_waiting();
  return std::exchange(actions_, {});
}

Actions Client::on_deadline(TimePoint now) {
  now_ = now;
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    std::vector<std::uint8_t> due;
    for (const auto& [id, outstanding] : servers_[i].outstanding)
      if (outstanding.due <= now) due.push_back(id);
    for (const std::uint8_t id : due) on_silence(i, id);
  }
  serve_waiting();
  return std::exchange(actions_, {});
}

void Client::on_silence(std::size_t index, std::uint8_t id) {
  Server& server = servers_[index];
  Outstanding& outstanding = server.outstanding.at(id);
  if (outstanding.sends < config_.tries) {
    ++outstanding.sends;
    outstanding.wait = std::min(outstanding.wait * 2, longest_wait);
    outstanding.due = now_ + outstanding.wait;
    actions_.emplace_back(SendTo{index, outstanding.bytes});  // RFC 2865 §2.5: identifier and authenticator stay
    return;
  }
  Request request = std::move(outstanding.request);
  server.outstanding.erase(id);
  ++server.timeouts;
  mark_dead(server);
  place(std::move(request));
}

void Client::mark_dead(Server& server) {
  server.dead_until = now_ + config_.dead_time;
  if (std::exchange(server.was_dead, true)) return;
  actions_.emplace_back(Notice{true, "RADIUS server " + server.config.address.to_string() + " does not answer"});
}

void Client::serve_waiting() {
  for (std::size_t num = waiting_.size(); num > 0; --num) {
    Request request = std::move(waiting_.front());
    waiting_.pop_front();
    place(std::move(request));
  }
}

void Client::give_up(const Request& request, std::string why) {
  actions_.emplace_back(Answer{request.token, 0, std::nullopt, {}, std::move(why)});
}

std::optional<TimePoint> Client::deadline() const {
  std::optional<TimePoint> first;
  for (const Server& server : servers_) {
    for (const auto& [id, outstanding] : server.outstanding)
      if (!first || outstanding.due < *first) first = outstanding.due;
  }
  return first;
}

std::vector<ServerStatus> Client::status(TimePoint now) const {
  std::vector<ServerStatus> all;
  for (const Server& server : servers_) {
    const bool dead = server.dead_until && now < *server.dead_until;
    all.push_back(
        {server.config.address, dead, server.outstanding.size(), server.answers, server.timeouts, server.forged});
  }
  return all;
}

}  // namespace culvert::radius
