#pragma once
#include <memory>
#include <optional>
#include <string>

#include "authentication.h"
#include "culvert/eap/client.h"
#include "culvert/eap/server.h"
#include "culvert/ike/endpoint.h"
#include "message.h"

namespace culvert::ike {

/// A conversation whose server is a RADIUS server: what we carry goes through unread (RFC 3579 §2), but for who the
/// peer says it is.
struct EapRelay {
  std::string servers;
  std::string identity;
  std::uint8_t identifier = 0;  ///< of the last request
  int rounds = 0;
  Bytes state;
  std::optional<std::size_t> server;
};

/// EAP inside IKE_AUTH (RFC 7296 §2.16), from the first IKE_AUTH to the last. Owned by the Handshake. `server` and
/// `client` are shared with the work that runs them on another thread, while nothing else touches them.
struct EapExchange {
  bool begun = false;                ///< initiator: the gateway has answered; responder: always
  bool only = false;                 ///< RFC 5998: the gateway proves itself by the method alone
  const PeerConfig* peer = nullptr;  ///< responder
  Message first;                     ///< responder: the first request; initiator: IDr of the first response
  std::shared_ptr<eap::Server> server;
  std::shared_ptr<eap::Client> client;
  std::optional<EapRelay> relay;
  std::optional<eap::Step> step;  ///< what the packet that is being handled has come to
  bool not_its_fault = false;     ///< `step` failed because our RADIUS servers are silent
  std::optional<RadiusAnswer> accepted;
  std::optional<EapLogin> login;        ///< EAP is over, and good: AUTH follows
  std::string user;                     ///< responder, with `login`: whom the method has proved
  std::vector<std::string> groups;      ///< of the user
  std::optional<VerifiedPeer> gateway;  ///< initiator: it has proved itself by its own AUTH
};

/// Where a conversation finds users: the operator's table, behind the limit of tries.
class UserDesk : public eap::UserSource {
 public:
  UserDesk(class Core& core, const IpAddress& from) : core_(core), from_(from) {}
  [[nodiscard]] std::shared_ptr<const eap::User> find(std::string_view name) override;

 private:
  Core& core_;
  IpAddress from_;
};

}  // namespace culvert::ike
