// The authenticator of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02):
//
//   Challenge (ours)              -->
//                                 <--  Response (peer's challenge, NT-Response, user name)
//   Success (S=…: our proof)      -->                     or   Failure (E=691 R=1 C=new challenge)  -->
//                                 <--  Success                 <--  Response again, or Failure: it gives up
#include <sodium.h>

#include "method.h"
#include "method_mschapv2.h"

namespace culvert::eap {
namespace {

constexpr std::string_view server_name = "culvert";
/// RFC 2759 §4: Peer-Challenge 16, reserved 8, NT-Response 24, flags 1.
constexpr std::size_t response_len = 49;

class MsChapServer final : public ServerMethod {
 public:
  MsChapServer(int tries, std::shared_ptr<UserSource> users, crypto::RandomSource& random)
      : tries_(tries), users_(std::move(users)), random_(random), decoy_(nt_hash_len) {
    random_.fill(decoy_.mutable_view());
  }

  Type type() const noexcept override { return Type::mschapv2; }

  Bytes begin(std::uint8_t identifier) override {
    id_ = identifier;
    random_.fill(challenge_);
    const std::uint8_t size = challenge_.size();
    return build_chap(OpCode::challenge, id_, {ByteView(&size, 1), challenge_, as_bytes(server_name)});
  }

  Turn on_response(ByteView data, crypto::WallTime) override {
    const auto message = parse_chap(data);
    if (!message) return Turn::failed("a malformed MSCHAPv2 message");
    if (proved_) {
      // It acknowledges our proof; a Failure says that our proof is none to it.
      if (message->code == OpCode::success) return Turn::succeeded();
      return Turn::failed("it does not take our own proof: its password for this user is another one");
    }
    if (message->code == OpCode::failure && refused_) return Turn::failed(refusal_);
    if (message->code != OpCode::response) return Turn::failed("an MSCHAPv2 message out of order");
    return on_proof(*message);
  }

  Proof take_proof() override { return std::move(proof_); }

 private:
  Turn on_proof(const ChapMessage& message) {
    Reader reader(message.data);
    const auto size = reader.u8();
    const auto response = reader.take(response_len);
    const ByteView name = reader.rest();
    // The MS-CHAPv2-ID of a second try differs among clients; the challenge says what is answered.
    if (!response || *size != response_len || !is_usable_identity(name))
      return Turn::failed("a malformed MSCHAPv2 response");
    const std::string_view user_name = without_domain(as_text(name));
    const std::shared_ptr<const User> user = users_->find(user_name);
    const bool usable = user && user->nt_hash.size() == nt_hash_len;
    MsChapChallenge peer;
    std::copy_n(response->begin(), peer.size(), peer.begin());
    // Who is unknown takes as long as who is known.
    auto proof = mschap_proof(usable ? user->nt_hash.view() : decoy_.view(), challenge_, peer, user_name);
    if (!proof) return Turn::failed(proof.error().detail);
    const bool holds = sodium_memcmp(response->data() + 24, proof->nt_response.data(), proof->nt_response.size()) == 0;
    if (!usable || !holds) return refuse(user_name);
    proved_ = true;
    proof_ = Proof{Type::mschapv2, user->name, user->group, std::move(proof->msk), {}, std::nullopt};
    return Turn::send(
        build_chap(OpCode::success, id_, {as_bytes(proof->authenticator_response), as_bytes(" M=Welcome")}));
  }

  /// RFC 2759 §6. The same words for an unknown user and for a wrong password.
  Turn refuse(std::string_view user_name) {
    refused_ = true;
    refusal_ = "wrong password, or no such user: " + std::string(user_name);
    if (--tries_ < 0) return Turn::failed(refusal_);  // it was told that there is no more
    const bool again = tries_ > 0;
    random_.fill(challenge_);
    std::string text = again ? "E=691 R=1 C=" : "E=691 R=0 C=";
    for (const std::uint8_t byte : challenge_) {
      text += "0123456789ABCDEF"[byte >> 4];
      text += "0123456789ABCDEF"[byte & 15];
    }
    text += " V=3 M=Authentication failed";
    Turn turn = Turn::send(build_chap(OpCode::failure, id_, {as_bytes(text)}));
    turn.why = refusal_;
    return turn;
  }

  int tries_;
  std::shared_ptr<UserSource> users_;
  crypto::RandomSource& random_;
  Secret decoy_;  ///< the hash of those who do not exist
  MsChapChallenge challenge_{};
  std::uint8_t id_ = 0;
  bool proved_ = false;
  bool refused_ = false;
  std::string refusal_;
  Proof proof_;
};

}  // namespace

std::unique_ptr<ServerMethod> make_mschapv2_server(int tries, std::shared_ptr<UserSource> users,
                                                   crypto::RandomSource& random) {
  return std::make_unique<MsChapServer>(tries, std::move(users), random);
}

}  // namespace culvert::eap
