// The authenticator of EAP-TLS (RFC 5216 §2.1; RFC 9190 §2.1 with TLS 1.3):
//
//   Start                                  -->
//                                          <--  ClientHello
//   ServerHello … Certificate … Finished   -->
//                                          <--  Certificate, … Finished
//   TLS 1.2: Finished; 1.3: one zero byte  -->
//                                          <--  (empty)
//
// Each side's message may be several packets; the other one acknowledges all but the last by an empty one.
#include <openssl/x509.h>

#include "culvert/crypto/distinguished_name.h"
#include "method.h"
#include "tls_channel.h"
#include "tls_fragments.h"

namespace culvert::eap {
namespace {

std::string common_name(const crypto::Certificate& certificate) {
  char text[256];
  const int len = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.library_certificate()), NID_commonName,
                                            text, sizeof text);
  return len > 0 ? std::string(text, static_cast<std::size_t>(len)) : std::string();
}

/// RFC 5216 §5.2: the certificate says who it is by its alternative names or its subject.
bool asserts(const crypto::Certificate& certificate, const std::string& identity) {
  if (certificate.asserts_email(identity) || certificate.asserts_fqdn(identity)) return true;
  if (common_name(certificate) == identity) return true;
  const auto name = crypto::encode_distinguished_name(identity);
  return name && certificate.asserts_dn(*name);
}

/// The user that the certificate names: an e-mail address, a host name, the CN, or its subject.
std::string user_of(const crypto::Certificate& certificate) {
  for (const auto type : {crypto::AlternativeName::Type::email, crypto::AlternativeName::Type::dns}) {
    for (const crypto::AlternativeName& name : certificate.alternative_names())
      if (name.type == type) return name.text;
  }
  std::string name = common_name(certificate);
  return is_usable_identity(as_bytes(name)) ? name : certificate.name();
}

/// RFC 9190 §2.1.7: an anonymous NAI leaves the part in front of the realm empty.
bool is_anonymous(std::string_view identity) {
  return identity.starts_with("@") || identity.starts_with("anonymous");
}

class TlsServer final : public ServerMethod {
 public:
  TlsServer(std::shared_ptr<const TlsContext> context, std::string identity)
      : identity_(std::move(identity)), channel_(std::move(context)) {}

  Type type() const noexcept override { return Type::tls; }
  bool is_slow() const noexcept override { return true; }
  Bytes begin(std::uint8_t) override { return {TlsFragments::flag_start}; }

  Turn on_response(ByteView data, crypto::WallTime now) override {
    switch (fragments_.take(data)) {
      case TlsFragments::In::more:
        if (fragments_.pending()) break;
        return Turn::send({0});
      case TlsFragments::In::acknowledgement:
        return on_acknowledgement();
      case TlsFragments::In::complete:
        if (fragments_.pending()) break;
        return on_message(now);
      case TlsFragments::In::malformed:
      case TlsFragments::In::start:
        break;
    }
    return Turn::failed("a malformed EAP-TLS message");
  }

  Proof take_proof() override { return std::move(proof_); }

 private:
  Turn on_acknowledgement() {
    if (fragments_.pending()) return Turn::send(fragments_.next());
    if (!failure_.empty()) return Turn::failed(failure_);
    if (finished_) return Turn::succeeded();
    return Turn::failed("an empty EAP-TLS message out of order");
  }

  Turn on_message(crypto::WallTime now) {
    if (!failure_.empty()) return Turn::failed(failure_);
    // Behind our Finished it has nothing more to say but that it does not like us.
    const bool was_finished = finished_;
    TlsChannel::State state = channel_.advance(fragments_.message(), now);
    if (was_finished) return Turn::failed(state == TlsChannel::State::failed ? channel_.why() : "TLS out of order");
    if (state == TlsChannel::State::done) state = finish();
    Bytes out = channel_.take_output();
    if (state == TlsChannel::State::failed) {
      failure_ = failure_.empty() ? channel_.why() : failure_;
      if (out.empty()) return Turn::failed(failure_);
    }
    fragments_.send(std::move(out));  // RFC 5216 §2.1.3: an alert goes out before EAP-Failure
    return Turn::send(fragments_.next());
  }

  TlsChannel::State finish() {
    const crypto::VerifiedCertificate& certificate = *channel_.verified();
    if (!is_anonymous(identity_) && !asserts(certificate.leaf(), identity_)) {
      failure_ = "its certificate (" + certificate.leaf().name() + ") does not say that it is " + identity_;
      return TlsChannel::State::failed;
    }
    proof_ = Proof{Type::tls,
                   is_anonymous(identity_) ? user_of(certificate.leaf()) : identity_,
                   {},
                   channel_.msk(),
                   certificate.chain(),
                   certificate.not_after()};
    if (proof_.msk.empty()) {
      failure_ = "the TLS library exports no key";
      return TlsChannel::State::failed;
    }
    if (channel_.is_tls13()) channel_.send_success_indication();
    finished_ = true;
    return TlsChannel::State::done;
  }

  std::string identity_;
  TlsChannel channel_;
  TlsFragments fragments_;
  bool finished_ = false;
  std::string failure_;
  Proof proof_;
};

}  // namespace

std::unique_ptr<ServerMethod> make_tls_server(std::shared_ptr<const TlsContext> context, std::string identity) {
  return std::make_unique<TlsServer>(std::move(context), std::move(identity));
}

}  // namespace culvert::eap
