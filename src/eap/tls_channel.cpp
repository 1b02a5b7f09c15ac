#include "tls_channel.h"

#include <openssl/err.h>

#include "culvert/base/log.h"

namespace culvert::eap {
namespace {

/// SSL objects point to their channel.
int channel_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int verify_certificate(X509_STORE_CTX* shown, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(shown, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* channel = static_cast<TlsChannel*>(SSL_get_ex_data(ssl, channel_index()));
  if (channel->verify(shown)) return 1;
  X509_STORE_CTX_set_error(shown, X509_V_ERR_CERT_REJECTED);
  return 0;
}

std::string library_reason() {
  const unsigned long error = ERR_peek_last_error();
  const char* reason = error ? ERR_reason_error_string(error) : nullptr;
  ERR_clear_error();
  return reason ? reason : "unknown";
}

Bytes der_of(X509* certificate) {
  Bytes der(static_cast<std::size_t>(std::max(0, i2d_X509(certificate, nullptr))));
  std::uint8_t* to = der.data();
  if (!der.empty()) i2d_X509(certificate, &to);
  return der;
}

constexpr std::size_t max_shown_len = 48 * 1024;  // bytes of certificates, as IKE_AUTH takes of a peer

bool use_own_certificate(SSL_CTX* ctx, const TlsOptions& options) {
  if (options.chain.empty() || !options.key) return false;
  if (SSL_CTX_use_certificate(ctx, options.chain.front()->library_certificate()) != 1) return false;
  for (std::size_t i = 1; i < options.chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, options.chain[i]->library_certificate()) != 1) return false;
  }
  return SSL_CTX_use_PrivateKey(ctx, options.key->library_key()) == 1 && SSL_CTX_check_private_key(ctx) == 1;
}

/// RFC 9325: forward secrecy and AEADs, no compression, no renegotiation; no resumption, so that each login proves a
/// key.
bool set_rules(SSL_CTX* ctx, TlsContext::Side side, bool tls13) {
  SSL_CTX_set_options(
      ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // strongSwan's TLS server does not know RFC 5746. What that prevents needs renegotiation, and data that follows: we
  // have neither.
  if (side == TlsContext::Side::client) SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_max_cert_list(ctx, static_cast<long>(max_shown_len));
  const int mode = SSL_VERIFY_PEER | (side == TlsContext::Side::server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
  SSL_CTX_set_verify(ctx, mode, nullptr);
  SSL_CTX_set_cert_verify_callback(ctx, verify_certificate, nullptr);
  return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(ctx, tls13 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!SHA1") == 1;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::create(Side side, TlsOptions options) {
  if (!options.trust) return fail(Errc::invalid, "EAP-TLS without a CA to check the other end by");
  std::shared_ptr<TlsContext> made(new TlsContext(side, std::move(options)));
  made->context_.reset(SSL_CTX_new(side == Side::server ? TLS_server_method() : TLS_client_method()), SSL_CTX_free);
  SSL_CTX* ctx = made->context_.get();
  if (!ctx || !set_rules(ctx, side, made->options_.tls13))
    return fail(Errc::internal, "the TLS library refuses our settings: " + library_reason());
  if (!use_own_certificate(ctx, made->options_))
    return fail(Errc::invalid, "the TLS library refuses our certificate or key: " + library_reason());
  for (const crypto::Certificate& anchor : made->options_.trust->anchors()) {
    // What a client may choose its certificate by (RFC 5246 §7.4.4).
    if (side == Side::server) SSL_CTX_add_client_CA(ctx, anchor.library_certificate());
  }
  return std::shared_ptr<const TlsContext>(std::move(made));
}

TlsChannel::TlsChannel(std::shared_ptr<const TlsContext> context)
    : context_(std::move(context)), ssl_(SSL_new(context_->library_context()), SSL_free) {
  if (!ssl_) {
    (void)fail("the TLS library has no memory");
    return;
  }
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_ex_data(ssl_.get(), channel_index(), this);
  if (context_->side() == TlsContext::Side::server) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
}

TlsChannel::~TlsChannel() = default;

TlsChannel::State TlsChannel::fail(std::string why) {
  why_ = std::move(why);
  return state_ = State::failed;
}

TlsChannel::State TlsChannel::advance(ByteView bytes, crypto::WallTime now) {
  if (state_ == State::failed) return state_;
  now_ = now;
  ERR_clear_error();
  if (!bytes.empty() && BIO_write(in_, bytes.data(), static_cast<int>(bytes.size())) != static_cast<int>(bytes.size()))
    return fail("the TLS library has no memory");
  if (state_ == State::going_on) {
    const int did = SSL_do_handshake(ssl_.get());
    if (did != 1) {
      if (SSL_get_error(ssl_.get(), did) == SSL_ERROR_WANT_READ) return state_;
      return fail(refused_.empty() ? "the TLS handshake failed: " + library_reason() : refused_);
    }
    if (!verified_) return fail("the TLS handshake ended without a certificate");
    state_ = State::done;
  }
  read_indication();
  return state_;
}

/// Behind the handshake nothing is said but the one byte of RFC 9190 §2.1.1, and alerts.
void TlsChannel::read_indication() {
  std::uint8_t byte[2];
  ERR_clear_error();
  const int did = SSL_read(ssl_.get(), byte, sizeof byte);
  if (did <= 0) {
    if (SSL_get_error(ssl_.get(), did) != SSL_ERROR_WANT_READ) (void)fail("TLS ended: " + library_reason());
    return;
  }
  const bool client = context_->side() == TlsContext::Side::client;
  if (did != 1 || byte[0] != 0 || !client || !is_tls13() || indicated_) {
    (void)fail("application data in EAP-TLS");
    return;
  }
  indicated_ = true;
}

Bytes TlsChannel::take_output() {
  if (!ssl_) return {};
  Bytes bytes(BIO_ctrl_pending(out_));
  if (!bytes.empty() && BIO_read(out_, bytes.data(), static_cast<int>(bytes.size())) != static_cast<int>(bytes.size()))
    bytes.clear();
  return bytes;
}

bool TlsChannel::is_tls13() const noexcept {
  return SSL_version(ssl_.get()) == TLS1_3_VERSION;
}

void TlsChannel::send_success_indication() {
  const std::uint8_t zero = 0;
  if (SSL_write(ssl_.get(), &zero, 1) != 1) (void)fail("TLS does not take a byte: " + library_reason());
}

Secret TlsChannel::msk() const {
  Secret keys(64);  // of 128: what follows is the EMSK, which nobody asks for
  const auto type = static_cast<std::uint8_t>(Type::tls);
  // RFC 9190 §2.3 exports 128 bytes at once; in TLS 1.3 the length is part of the derivation (RFC 8446 §7.5).
  Secret all(128);
  const MutableByteView out = all.mutable_view();
  const auto exported = [&](std::string_view label, const std::uint8_t* context) {
    return SSL_export_keying_material(ssl_.get(), out.data(), out.size(), label.data(), label.size(), context,
                                      context ? 1 : 0, context ? 1 : 0) == 1;
  };
  const bool done = is_tls13() ? exported("EXPORTER_EAP_TLS_Key_Material", &type)
                               : exported("client EAP encryption", nullptr);  // RFC 5216 §2.3 by RFC 5705
  if (!done) return {};
  std::copy_n(all.view().begin(), keys.size(), keys.mutable_view().begin());
  return keys;
}

bool TlsChannel::verify(X509_STORE_CTX* shown) {
  const TlsOptions& options = context_->options();
  std::vector<crypto::Certificate> sent;
  const auto add = [&](X509* certificate) {
    if (sent.size() >= crypto::max_peer_certificates || !certificate) return;
    auto parsed = crypto::Certificate::from_der(der_of(certificate));
    if (parsed) sent.push_back(std::move(*parsed));
    if (!parsed && sent.empty()) refused_ = "its certificate is malformed: " + parsed.error().detail;
  };
  add(X509_STORE_CTX_get0_cert(shown));
  if (sent.empty()) return false;
  STACK_OF(X509)* others = X509_STORE_CTX_get0_untrusted(shown);
  for (int i = 0; i < sk_X509_num(others); ++i) add(sk_X509_value(others, i));
  crypto::VerifyOptions how;
  how.now = now_;
  how.revocation = options.revocation;
  const auto revoked = options.revoked ? options.revoked() : nullptr;
  auto verified = options.trust->verify(sent, how, revoked.get());
  if (!verified) {
    refused_ = "its certificate is refused (" + std::string(crypto::trust_error_name(verified.error().reason)) +
               "): " + verified.error().detail;
    return false;
  }
  if (options.is_expected && !options.is_expected(verified->leaf())) {
    refused_ = "its certificate (" + verified->leaf().name() + ") is not that of the server that we expect";
    return false;
  }
  verified_ = std::move(*verified);
  return true;
}

}  // namespace culvert::eap
