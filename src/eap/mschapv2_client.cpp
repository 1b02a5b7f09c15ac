// The peer of EAP-MSCHAPv2; see mschapv2_server.cpp for the messages.
#include <sodium.h>

#include "method.h"
#include "method_mschapv2.h"

namespace culvert::eap {
namespace {

class MsChapClient final : public ClientMethod {
 public:
  MsChapClient(std::string user, std::shared_ptr<const Secret> nt_hash, crypto::RandomSource& random)
      : user_(std::move(user)), nt_hash_(std::move(nt_hash)), random_(random) {}

  Type type() const noexcept override { return Type::mschapv2; }

  Turn on_request(ByteView data, crypto::WallTime) override {
    const auto message = parse_chap(data);
    if (!message || data.size() < 4) return Turn::failed("the server sent a malformed MSCHAPv2 message");
    switch (message->code) {
      case OpCode::challenge:
        return on_challenge(*message);
      case OpCode::success:
        return on_success(*message);
      case OpCode::failure:
        return on_failure(*message);
      case OpCode::response:
        break;
    }
    return Turn::failed("the server sent an MSCHAPv2 message out of order");
  }

  bool accepts_success() const noexcept override { return server_proved_; }
  std::string complaint() const override { return complaint_; }
  Proof take_proof() override { return std::move(proof_); }

 private:
  Turn on_challenge(const ChapMessage& message) {
    Reader reader(message.data);
    const auto size = reader.u8();
    const auto challenge = reader.take(16);
    // One answer for one challenge: a second one would let a server collect pairs of them.
    if (!challenge || *size != challenge->size() || !expected_.empty())
      return Turn::failed("the server sent a malformed or second MSCHAPv2 challenge");
    MsChapChallenge theirs, ours;
    std::copy(challenge->begin(), challenge->end(), theirs.begin());
    random_.fill(ours);
    auto proof = mschap_proof(nt_hash_ ? nt_hash_->view() : ByteView(), theirs, ours, user_);
    if (!proof) return Turn::failed(proof.error().detail);
    expected_ = std::move(proof->authenticator_response);
    proof_ = Proof{Type::mschapv2, user_, {}, std::move(proof->msk), {}, std::nullopt};
    const std::uint8_t size_of_response = 49, flags = 0;
    const std::array<std::uint8_t, 8> reserved{};
    return Turn::send(build_chap(
        OpCode::response, message.id,
        {ByteView(&size_of_response, 1), ours, reserved, proof->nt_response, ByteView(&flags, 1), as_bytes(user_)}));
  }

  /// RFC 2759 §5: the server's proof; what stands behind it is for people.
  Turn on_success(const ChapMessage& message) {
    const ByteView shown = message.data.first(std::min(message.data.size(), expected_.size()));
    const bool holds = !expected_.empty() && shown.size() == expected_.size() &&
                       sodium_memcmp(shown.data(), expected_.data(), shown.size()) == 0;
    if (!holds) return Turn::failed("the server does not know our password, and only pretends to");
    server_proved_ = true;
    return Turn::send({static_cast<std::uint8_t>(OpCode::success)});
  }

  Turn on_failure(const ChapMessage& message) {
    server_proved_ = false;
    const std::string_view text = as_text(message.data);
    const bool wrong = text.starts_with("E=691");
    complaint_ = wrong ? "the server refused our user name or password"
                       : "the server refused us: " + std::string(text.substr(0, 64));
    return Turn::send({static_cast<std::uint8_t>(OpCode::failure)});
  }

  std::string user_;
  std::shared_ptr<const Secret> nt_hash_;
  crypto::RandomSource& random_;
  std::string expected_;  ///< the server's proof; empty until we have answered
  bool server_proved_ = false;
  std::string complaint_;
  Proof proof_;
};

}  // namespace

std::unique_ptr<ClientMethod> make_mschapv2_client(std::string user, std::shared_ptr<const Secret> nt_hash,
                                                   crypto::RandomSource& random) {
  return std::make_unique<MsChapClient>(std::move(user), std::move(nt_hash), random);
}

}  // namespace culvert::eap
