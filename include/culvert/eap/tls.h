#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "culvert/base/result.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/private_key.h"
#include "culvert/crypto/trust.h"

struct ssl_ctx_st;

namespace culvert::eap {

/// Our end of EAP-TLS (RFC 5216; RFC 9190 with TLS 1.3), and what the other end has to show.
struct TlsOptions {
  std::shared_ptr<const crypto::PrivateKey> key;                  ///< of chain.front()
  std::vector<std::shared_ptr<const crypto::Certificate>> chain;  ///< ours first, then intermediates; without the root
  std::shared_ptr<const crypto::TrustStore> trust;                ///< what the other end's certificate must lead to
  crypto::RevocationPolicy revocation = crypto::RevocationPolicy::none;
  /// What is known of revocation at the time of the handshake; may be empty. Called on pool threads.
  std::function<std::shared_ptr<const crypto::RevocationData>()> revoked;
  /// Client: the server's certificate is that of the server that we mean (RFC 5216 §5.2). Empty: any that `trust`
  /// accepts. Called on pool threads.
  std::function<bool(const crypto::Certificate&)> is_expected;
  bool tls13 = true;  ///< offered and taken, beside TLS 1.2
};

/// A library context made of them: immutable, for any number of conversations on any threads.
class TlsContext {
 public:
  enum class Side : std::uint8_t { client, server };
  /// Errc::invalid: key and certificate do not fit, or the library refuses them.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> create(Side side, TlsOptions options);
  [[nodiscard]] Side side() const noexcept { return side_; }
  [[nodiscard]] const TlsOptions& options() const noexcept { return options_; }
  [[nodiscard]] ssl_ctx_st* library_context() const noexcept { return context_.get(); }

 private:
  TlsContext(Side side, TlsOptions options) : side_(side), options_(std::move(options)) {}
  Side side_;
  TlsOptions options_;
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace culvert::eap
