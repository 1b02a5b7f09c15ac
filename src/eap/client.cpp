#include "culvert/eap/client.h"

#include "method.h"

namespace culvert::eap {

Client::Client(std::shared_ptr<const ClientConfig> config, crypto::RandomSource& random)
    : config_(std::move(config)), random_(&random) {
  if (config_->method == Type::tls) {
    method_ = make_tls_client(config_->tls);
  } else {
    method_ = make_mschapv2_client(config_->user, config_->nt_hash, *random_);
  }
}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Step Client::on_packet(ByteView bytes, crypto::WallTime now) {
  if (over_) return give_up("a packet behind the end of the conversation");
  if (++rounds_ > max_rounds) return give_up("it goes on without end");
  const auto packet = parse(bytes);
  if (!packet) return give_up(packet.error().detail);
  switch (packet->code) {
    case Code::request:
      return on_request(*packet, now);
    case Code::success:
      if (!failure_.empty()) return give_up(failure_);
      if (!method_->accepts_success()) return give_up("EAP-Success came before the server had proved itself");
      over_ = true;
      return {Step::Kind::succeeded, {}, {}};
    case Code::failure:
      return give_up(failure_.empty() ? "the server refused us (EAP-Failure)" : failure_);
    case Code::response:
      break;
  }
  return give_up("the server sent an EAP-Response");
}

bool Client::is_slow(ByteView packet) const noexcept {
  return method_->is_slow() && packet.size() > 4 && packet[0] == static_cast<std::uint8_t>(Code::request) &&
         packet[4] == static_cast<std::uint8_t>(method_->type());
}

Proof Client::take_proof() {
  return method_->take_proof();
}

Step Client::on_request(const Packet& packet, crypto::WallTime now) {
  const auto answer = [&](Type type, Bytes data) {
    return Step{Step::Kind::send, build({Code::response, packet.identifier, type, std::move(data)}), {}};
  };
  if (packet.type == Type::identity) {
    const ByteView user = as_bytes(config_->user);
    return answer(Type::identity, Bytes(user.begin(), user.end()));
  }
  if (packet.type == Type::notification) return answer(Type::notification, {});  // RFC 3748 §5.2: must be answered
  // §5.3.1: also to the Expanded Type, which we do not speak.
  if (packet.type != method_->type()) return answer(Type::nak, {static_cast<std::uint8_t>(method_->type())});
  Turn turn = method_->on_request(packet.data, now);
  if (std::string complaint = method_->complaint(); !complaint.empty()) failure_ = std::move(complaint);
  if (turn.kind != Turn::Kind::send) return give_up(std::move(turn.why));
  return answer(method_->type(), std::move(turn.data));
}

Step Client::give_up(std::string why) {
  over_ = true;
  return {Step::Kind::failed, {}, std::move(why)};
}

}  // namespace culvert::eap
