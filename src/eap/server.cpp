#include "culvert/eap/server.h"

#include <algorithm>

#include "method.h"

namespace culvert::eap {

Server::Server(std::shared_ptr<const ServerConfig> config, std::shared_ptr<UserSource> users,
               crypto::RandomSource& random)
    : config_(std::move(config)), users_(std::move(users)), random_(&random) {}
Server::~Server() = default;
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;

Bytes Server::start() {
  identifier_ = static_cast<std::uint8_t>(random_->u32());
  return request(Type::identity, {});
}

Step Server::on_response(ByteView bytes, crypto::WallTime now) {
  if (over_) return give_up("a packet behind the end of the conversation");
  if (++rounds_ > max_rounds) return give_up("it goes on without end");
  const auto packet = parse(bytes);
  if (!packet) return give_up(packet.error().detail);
  if (packet->code != Code::response || packet->identifier != identifier_)
    return give_up("it sent what is no response to our request");
  if (!method_) return on_identity(*packet, now);
  if (packet->type == Type::nak) return on_nak(*packet, now);
  if (packet->type != method_->type()) return give_up("it answered by another method than it was asked by");
  method_answered_ = true;
  Turn turn = method_->on_response(packet->data, now);
  switch (turn.kind) {
    case Turn::Kind::send:
      return {Step::Kind::send, request(method_->type(), std::move(turn.data)), std::move(turn.why)};
    case Turn::Kind::succeeded:
      over_ = true;
      return {Step::Kind::succeeded, build({Code::success, identifier_, {}, {}}), {}};
    case Turn::Kind::failed:
      break;
  }
  return give_up(std::move(turn.why));
}

bool Server::is_slow(ByteView packet) const noexcept {
  // Type stands behind the header of four bytes; a Nak begins another method, which takes a challenge from `random`.
  return method_ && method_->is_slow() && packet.size() > 4 && packet[4] == static_cast<std::uint8_t>(method_->type());
}

Proof Server::take_proof() {
  return method_->take_proof();
}

Step Server::on_identity(const Packet& packet, crypto::WallTime now) {
  if (packet.type != Type::identity) return give_up("it did not say who it is");
  // RFC 3748 §5.1: what stands behind a NUL is not part of the identity.
  const ByteView identity(packet.data.begin(), std::ranges::find(packet.data, 0));
  if (!is_usable_identity(identity)) return give_up("its EAP identity is empty, too long or not text");
  identity_ = as_text(identity);
  return next_method({}, now);
}

/// RFC 3748 §5.3.1: the peer does not want this method, and names those that it would take; 0 is none.
Step Server::on_nak(const Packet& packet, crypto::WallTime now) {
  if (method_answered_) return give_up("it refused the method in the midst of it");
  if (packet.data.empty()) return give_up("it takes none of our methods");
  return next_method(packet.data, now);
}

/// `wanted` empty: what we like most.
Step Server::next_method(ByteView wanted, crypto::WallTime now) {
  for (const Type type : config_->methods) {
    const bool acceptable = wanted.empty() || std::ranges::count(wanted, static_cast<std::uint8_t>(type)) > 0;
    if (acceptable && std::ranges::count(tried_, type) == 0) return begin_method(type, now);
  }
  return give_up("it takes none of our methods");
}

Step Server::begin_method(Type type, crypto::WallTime) {
  tried_.push_back(type);
  if (type == Type::tls) {
    method_ = make_tls_server(config_->tls, identity_);
  } else {
    method_ = make_mschapv2_server(config_->password_tries, users_, *random_);
  }
  Bytes first = method_->begin(static_cast<std::uint8_t>(identifier_ + 1));
  return {Step::Kind::send, request(type, std::move(first)), {}};
}

Step Server::give_up(std::string why) {
  over_ = true;
  return {Step::Kind::failed, build({Code::failure, identifier_, {}, {}}), std::move(why)};
}

Bytes Server::request(Type type, Bytes data) {
  return build({Code::request, ++identifier_, type, std::move(data)});
}

}  // namespace culvert::eap
