#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/crypto/random.h"
#include "culvert/eap/step.h"
#include "culvert/eap/tls.h"

namespace culvert::eap {

/// One who may log in by a password. Immutable.
struct User {
  std::string name;
  std::string group;  ///< empty: none
  Secret nt_hash;     ///< RFC 2759 §8.3
};

/// Where a server finds users. Called on the thread that calls Server, but for EAP-TLS never.
class UserSource {
 public:
  virtual ~UserSource() = default;
  /// nullptr: unknown, disabled, expired, or not to be let in at the moment; the conversation then goes on as with a
  /// wrong password.
  [[nodiscard]] virtual std::shared_ptr<const User> find(std::string_view name) = 0;
};

struct ServerConfig {
  std::vector<Type> methods;              ///< tls, mschapv2; in order of preference
  std::shared_ptr<const TlsContext> tls;  ///< with Type::tls
  int password_tries = 3;                 ///< of one conversation
};

class ServerMethod;

/// The authenticator of one conversation (RFC 3748): asks for the identity, then runs one method. Reads no clock, does
/// no I/O. One thread at a time; it may be moved to another one between calls.
class Server {
 public:
  /// All outlive the conversation.
  Server(std::shared_ptr<const ServerConfig> config, std::shared_ptr<UserSource> users, crypto::RandomSource& random);
  ~Server();
  Server(Server&&) noexcept;
  Server& operator=(Server&&) noexcept;

  /// The first packet: EAP-Request/Identity.
  [[nodiscard]] Bytes start();
  /// The layer below is reliable (IKEv2): what is no answer to our last request ends the conversation.
  [[nodiscard]] Step on_response(ByteView packet, crypto::WallTime now);
  /// on_response takes milliseconds with this packet, and touches neither users nor `random`: for another thread.
  [[nodiscard]] bool is_slow(ByteView packet) const noexcept;
  /// What the peer calls itself, usable (is_usable_identity); empty: it has not said. Proved is Proof::user alone.
  [[nodiscard]] const std::string& identity() const noexcept { return identity_; }
  /// Behind Kind::succeeded, once.
  [[nodiscard]] Proof take_proof();

 private:
  Step on_identity(const Packet& packet, crypto::WallTime now);
  Step on_nak(const Packet& packet, crypto::WallTime now);
  Step begin_method(Type type, crypto::WallTime now);
  Step next_method(ByteView wanted, crypto::WallTime now);
  Step give_up(std::string why);
  Bytes request(Type type, Bytes data);

  std::shared_ptr<const ServerConfig> config_;
  std::shared_ptr<UserSource> users_;
  crypto::RandomSource* random_;
  std::string identity_;
  std::unique_ptr<ServerMethod> method_;
  std::vector<Type> tried_;
  std::uint8_t identifier_ = 0;
  int rounds_ = 0;
  bool method_answered_ = false;  ///< its first request has been answered by no Nak
  bool over_ = false;
};

}  // namespace culvert::eap
