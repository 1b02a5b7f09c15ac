// The peer of EAP-TLS; see tls_server.cpp for the messages.
#include "method.h"
#include "tls_channel.h"
#include "tls_fragments.h"

namespace culvert::eap {
namespace {

class TlsClient final : public ClientMethod {
 public:
  explicit TlsClient(std::shared_ptr<const TlsContext> context) : channel_(std::move(context)) {}

  Type type() const noexcept override { return Type::tls; }
  bool is_slow() const noexcept override { return true; }

  Turn on_request(ByteView data, crypto::WallTime now) override {
    const auto in = fragments_.take(data);
    const bool starts = in == TlsFragments::In::start;
    if (starts == started_ || (fragments_.pending() && in != TlsFragments::In::acknowledgement))
      return Turn::failed("the server sent an EAP-TLS message out of order");
    switch (in) {
      case TlsFragments::In::start:
        started_ = true;
        return advance({}, now);
      case TlsFragments::In::more:
        return Turn::send({0});
      case TlsFragments::In::acknowledgement:
        if (!fragments_.pending()) break;
        return Turn::send(fragments_.next());
      case TlsFragments::In::complete:
        return advance(fragments_.message(), now);
      case TlsFragments::In::malformed:
        break;
    }
    return Turn::failed("the server sent a malformed EAP-TLS message");
  }

  bool accepts_success() const noexcept override { return accepted_; }
  std::string complaint() const override { return complaint_; }
  Proof take_proof() override { return std::move(proof_); }

 private:
  Turn advance(const Bytes& message, crypto::WallTime now) {
    const TlsChannel::State state = channel_.advance(message, now);
    Bytes out = channel_.take_output();
    accepted_ = false;
    if (state == TlsChannel::State::failed) {
      complaint_ = channel_.why();  // RFC 5216 §2.1.3: our alert goes out, or the server's is acknowledged
    } else if (state == TlsChannel::State::done && (!channel_.is_tls13() || channel_.has_success_indication())) {
      accept();
    }
    fragments_.send(std::move(out));
    return Turn::send(fragments_.next());
  }

  void accept() {
    const crypto::VerifiedCertificate& certificate = *channel_.verified();
    proof_ = Proof{Type::tls, {}, {}, channel_.msk(), certificate.chain(), certificate.not_after()};
    accepted_ = !proof_.msk.empty();
  }

  TlsChannel channel_;
  TlsFragments fragments_;
  bool started_ = false;
  bool accepted_ = false;
  std::string complaint_;
  Proof proof_;
};

}  // namespace

std::unique_ptr<ClientMethod> make_tls_client(std::shared_ptr<const TlsContext> context) {
  return std::make_unique<TlsClient>(std::move(context));
}

}  // namespace culvert::eap
