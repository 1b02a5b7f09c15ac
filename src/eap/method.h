#pragma once
#include <memory>
#include <string>

#include "culvert/eap/client.h"
#include "culvert/eap/server.h"
#include "culvert/eap/step.h"

namespace culvert::eap {

/// What a method makes of the other end's data.
struct Turn {
  enum class Kind : std::uint8_t {
    send,       ///< `data` goes out
    succeeded,  ///< server: it is over, and good
    failed,     ///< it is over
  } kind = Kind::failed;
  Bytes data;
  std::string why;  ///< of a failure; with Kind::send: of this try

  [[nodiscard]] static Turn send(Bytes data) { return {Kind::send, std::move(data), {}}; }
  [[nodiscard]] static Turn succeeded() { return {Kind::succeeded, {}, {}}; }
  [[nodiscard]] static Turn failed(std::string why) { return {Kind::failed, {}, std::move(why)}; }
};

/// The server's part of a method; owned by its Server.
class ServerMethod {
 public:
  virtual ~ServerMethod() = default;
  [[nodiscard]] virtual Type type() const noexcept = 0;
  /// Data of the first request. `identifier` is that of the packet that it goes into.
  [[nodiscard]] virtual Bytes begin(std::uint8_t identifier) = 0;
  [[nodiscard]] virtual Turn on_response(ByteView data, crypto::WallTime now) = 0;
  [[nodiscard]] virtual bool is_slow() const noexcept { return false; }
  [[nodiscard]] virtual Proof take_proof() = 0;
};

/// The client's part; owned by its Client.
class ClientMethod {
 public:
  virtual ~ClientMethod() = default;
  [[nodiscard]] virtual Type type() const noexcept = 0;
  [[nodiscard]] virtual Turn on_request(ByteView data, crypto::WallTime now) = 0;
  [[nodiscard]] virtual bool is_slow() const noexcept { return false; }
  /// The method itself is content with the server: without this an EAP-Success is forged or premature (RFC 3748 §4.2,
  /// §7.12).
  [[nodiscard]] virtual bool accepts_success() const noexcept = 0;
  /// Why it is not, when it knows better than that it came too early.
  [[nodiscard]] virtual std::string complaint() const { return {}; }
  [[nodiscard]] virtual Proof take_proof() = 0;
};

[[nodiscard]] std::unique_ptr<ServerMethod> make_mschapv2_server(int tries, std::shared_ptr<UserSource> users,
                                                                 crypto::RandomSource& random);
[[nodiscard]] std::unique_ptr<ServerMethod> make_tls_server(std::shared_ptr<const TlsContext> context,
                                                            std::string identity);
[[nodiscard]] std::unique_ptr<ClientMethod> make_mschapv2_client(std::string user,
                                                                 std::shared_ptr<const Secret> nt_hash,
                                                                 crypto::RandomSource& random);
[[nodiscard]] std::unique_ptr<ClientMethod> make_tls_client(std::shared_ptr<const TlsContext> context);

}  // namespace culvert::eap
