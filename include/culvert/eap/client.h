#pragma once
#include <memory>
#include <optional>
#include <string>

#include "culvert/crypto/random.h"
#include "culvert/eap/step.h"
#include "culvert/eap/tls.h"

namespace culvert::eap {

/// Who we are towards an EAP server, by one method.
struct ClientConfig {
  Type method = Type::mschapv2;
  std::string user;                       ///< EAP identity, and the user of MSCHAPv2
  std::shared_ptr<const Secret> nt_hash;  ///< Type::mschapv2
  std::shared_ptr<const TlsContext> tls;  ///< Type::tls
};

class ClientMethod;

/// The peer of one conversation (RFC 3748): answers by the one method that the configuration names, and believes
/// EAP-Success only when that method is content. Reads no clock, does no I/O. One thread at a time.
class Client {
 public:
  /// Both outlive the conversation.
  Client(std::shared_ptr<const ClientConfig> config, crypto::RandomSource& random);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  /// A request, EAP-Success or EAP-Failure.
  [[nodiscard]] Step on_packet(ByteView packet, crypto::WallTime now);
  /// on_packet takes milliseconds with this packet, and does not touch `random`: for another thread.
  [[nodiscard]] bool is_slow(ByteView packet) const noexcept;
  /// Behind Kind::succeeded, once.
  [[nodiscard]] Proof take_proof();

 private:
  Step on_request(const Packet& packet, crypto::WallTime now);
  Step give_up(std::string why);

  std::shared_ptr<const ClientConfig> config_;
  crypto::RandomSource* random_;
  std::unique_ptr<ClientMethod> method_;
  std::string failure_;  ///< what the method has found; the server still has the last word
  int rounds_ = 0;
  bool over_ = false;
};

}  // namespace culvert::eap
