// INFORMATIONAL, RFC 7296 §1.4, §2.4, §2.25.
//
//   HDR, SK {}                              -->                              (liveness check)
//                                           <--  HDR, SK {}
//   HDR, SK {D(ESP, sender's inbound SPIs)} -->
//                                           <--  HDR, SK {D(ESP, the paired SPIs)}
//   HDR, SK {D(IKE)}                        -->
//                                           <--  HDR, SK {}
#include "association.h"
#include "peer.h"
#include "session.h"

namespace culvert::ike {
namespace {

constexpr std::size_t max_early_deletes = 16;

Bytes spi_bytes(Spi spi) {
  Bytes bytes(4);
  store_be(bytes.data(), spi.value());
  return bytes;
}

}  // namespace

// ---- initiator
// -----------------------------------------------------------------------------------------------------------------

bool Session::begin_delete_child(Task task) {
  send_request(ExchangeType::informational, {DeletePayload{ProtocolId::esp, {spi_bytes(task.spi)}}},
               DeletingChild{std::move(task)});
  return true;
}

/// The answer does not matter: it must be gone on both sides now.
void Session::on_delete_child_response(const DeletingChild& exchange) {
  association_->drop_child(exchange.task.spi);
}

bool Session::begin_probe(const Task& task) {
  std::vector<Payload> payloads;
  if (task.kind == Task::Kind::complain) {
    NotifyPayload complaint = make_notify(NotifyType::invalid_message_id, Bytes(4));
    store_be(complaint.data.data(), task.message_id);
    payloads.emplace_back(std::move(complaint));
  }
  // RFC 4555 §3.8: how does the peer see us by now?
  if (association_->leads() && origin_.nat.local) add_nat_detection(payloads, origin_.path);
  send_request(ExchangeType::informational, payloads, Probing{});
  return true;
}

void Session::send_delete() {
  move_to(State::closing);
  keepalive_at_.reset();
  give_up_at_.reset();
  send_request(ExchangeType::informational, {DeletePayload{ProtocolId::ike, {}}}, DeletingIke{});
}

void Session::send_last_delete() {
  if (state_ != State::closed && association_ && out_) {
    const MessageId id = requests_.idle() ? requests_.id() : MessageId(requests_.id().value() + 1);
    const Header last = header(ExchangeType::informational, false, id);
    const std::vector<Payload> payloads{DeletePayload{ProtocolId::ike, {}}};
    Result<Bytes> datagram = out_->seal(last, payloads);
    if (datagram) {
      trace_sent(origin_.path, last, payloads, {*datagram});
      core_.send(origin_.path, std::move(*datagram));
    }
  }
  close();
}

// ---- responder
// -----------------------------------------------------------------------------------------------------------------

Session::Reply Session::answer_informational(const Message& message) {
  // §2.21.2: the initiator's verdict on our AUTH: it has no IKE SA.
  if (message.find_notify(NotifyType::authentication_failed)) {
    const std::string why = fmt::format(
        "the peer did not accept our AUTH (AUTHENTICATION_FAILED); {}",
        config().auth.our_psk() ? "compare the pre-shared keys and our id"
                                : "it must trust our " + own_auth_text(config().auth.ours) + ", for our id");
    peer_->on_bad_credentials(why);
    return {{}, true, why};
  }
  if (message.find_notify(NotifyType::redirect) && origin_.initiator && config().follow_redirects) {
    on_redirect(message);  // our Delete goes out beside our answer
    return {};
  }
  read_crash_token(message);
  read_auth_lifetime(message);
  Reply reply;
  DeletePayload paired{ProtocolId::esp, {}};
  for (const Payload& payload : message.payloads) {
    const auto* deletion = std::get_if<DeletePayload>(&payload);
    if (!deletion) continue;
    if (deletion->protocol == ProtocolId::ike) return {{}, true, "deleted by the peer"};  // §1.4.1: an empty answer
    if (deletion->protocol == ProtocolId::esp) answer_delete(*deletion, paired);
  }
  if (!paired.spis.empty()) reply.payloads.emplace_back(std::move(paired));
  answer_addresses(message, reply);
  return reply;
}

void Session::answer_delete(const DeletePayload& deletion, DeletePayload& paired) {
  for (const Bytes& bytes : deletion.spis) {
    if (bytes.size() != 4) continue;
    const Spi spi(load_be<std::uint32_t>(bytes.data()));
    ChildSa* child = association_->by_outbound(spi);
    if (!child) {  // §2.25.1: it does not exist: answered without it
      auto* creating = underway<CreatingChild>();
      if (creating && creating->deleted.size() < max_early_deletes) creating->deleted.push_back(spi);
      continue;
    }
    const auto* ours = underway<DeletingChild>();
    if (ours && ours->task.spi == child->inbound) continue;  // §1.4.1, §2.25.1: both delete it at once
    paired.spis.push_back(spi_bytes(child->inbound));
    const ChildConfig& config = *child->config;
    const bool was_live = child->state == ChildSa::State::live;
    association_->drop_child(child->inbound);
    if (was_live && !association_->live_child(config)) peer_->on_child_down(config, "deleted by the peer", false);
  }
}

}  // namespace culvert::ike
