#pragma once
#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/eap/step.h"
#include "culvert/eap/tls.h"

namespace culvert::eap {

/// One TLS connection in memory: bytes in, bytes out. One thread at a time.
class TlsChannel {
 public:
  /// The context outlives it.
  explicit TlsChannel(std::shared_ptr<const TlsContext> context);
  ~TlsChannel();
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  enum class State : std::uint8_t { going_on, done, failed };
  /// Feeds the other end's bytes (none: begins); what goes out is in `take_output`, also an alert after a failure.
  [[nodiscard]] State advance(ByteView bytes, crypto::WallTime now);
  [[nodiscard]] Bytes take_output();
  [[nodiscard]] const std::string& why() const noexcept { return why_; }
  [[nodiscard]] bool is_tls13() const noexcept;
  /// RFC 9190 §2.1.1: server, done: the one byte of zero that tells the client that nothing more comes.
  void send_success_indication();
  /// Client: it has come.
  [[nodiscard]] bool has_success_indication() const noexcept { return indicated_; }
  /// 64 bytes; RFC 5216 §2.3, RFC 9190 §2.3. Empty when the library refuses.
  [[nodiscard]] Secret msk() const;
  [[nodiscard]] std::optional<crypto::VerifiedCertificate>& verified() noexcept { return verified_; }

  /// For the context's callback.
  [[nodiscard]] bool verify(X509_STORE_CTX* shown);

 private:
  void read_indication();
  State fail(std::string why);

  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  BIO* in_ = nullptr;   ///< owned by ssl_
  BIO* out_ = nullptr;  ///< owned by ssl_
  State state_ = State::going_on;
  crypto::WallTime now_{};
  std::optional<crypto::VerifiedCertificate> verified_;
  std::string refused_;  ///< why the certificate was
  std::string why_;
  bool indicated_ = false;
};

}  // namespace culvert::eap
