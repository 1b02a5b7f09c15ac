// ESP of a packet, AES-256-GCM with ESN in transport mode: encrypt_batch and decrypt_batch beside a loop that frames
// and calls OpenSSL's EVP once a packet. Both work in place, on the same buffers, with the same framing and replay
// window.
#include <openssl/evp.h>

#include <cstring>
#include <memory>
#include <numeric>

#include "culvert/crypto/aead.h"
#include "culvert/wire/esp.h"
#include "culvert/wire/protocol.h"
#include "data_path_bench.h"
#include "esp_decrypt.h"
#include "esp_encrypt.h"
#include "sa.h"

namespace culvert::bench {
namespace {

using namespace tunnel;

constexpr Spi spi{0x1000};
constexpr std::size_t iv_len = 8, icv_len = 16, around_front = wire::esp_header_len + iv_len;
constexpr std::size_t key_len = 32, salt_len = 4, aad_len = 12;
constexpr std::uint32_t window_size = 4096;

Bytes key_and_salt() {
  Bytes key(key_len + salt_len);
  std::iota(key.begin(), key.end(), std::uint8_t{1});
  return key;
}

ChildSaKeys make_keys() {
  const auto direction = [] { return DirectionKeys{Secret::copy_of(key_and_salt()), {}}; };
  const std::vector<TrafficSelector> any{TrafficSelector::from_prefix(*IpPrefix::parse("0.0.0.0/0"))};
  ChildSaKeys keys;
  keys.inbound_spi = keys.outbound_spi = spi;
  keys.suite = crypto::CipherSuite::aes_gcm_16_256;
  keys.inbound = direction();
  keys.outbound = direction();
  keys.mode = EspMode::transport;
  keys.esn = true;
  keys.local = keys.remote = any;
  keys.replay_window = window_size;
  return keys;
}

/// RFC 4303 and RFC 4106 for one packet at a time: what one writes around EVP, without anything of ours but the
/// formats.
class PlainEsp {
 public:
  explicit PlainEsp(bool seal) : ctx_(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free) {
    const Bytes key = key_and_salt();
    std::memcpy(nonce_.data(), key.data() + key_len, salt_len);
    if (!ctx_ || EVP_CipherInit_ex(ctx_.get(), EVP_aes_256_gcm(), nullptr, key.data(), nullptr, seal) != 1) {
      give_up("EVP");
    }
  }

  void start_over() {
    sequence_ = 0;
    window_ = ReplayWindow(window_size);
  }

  bool seal(Packet& packet) noexcept {
    const std::size_t pad_len = wire::esp_pad_len(packet.len, 4);
    const auto text_len = static_cast<int>(packet.len + pad_len + wire::esp_trailer_len);
    std::uint8_t* text = packet.data;
    std::uint8_t* trailer = packet.push_back(pad_len + wire::esp_trailer_len + icv_len);
    std::uint8_t* header = packet.push_front(around_front);
    if (trailer == nullptr || header == nullptr) return false;
    wire::write_esp_trailer(trailer, pad_len, packet.next_header);
    wire::EspHeader{spi, static_cast<std::uint32_t>(++sequence_)}.write(header);
    store_be(header + wire::esp_header_len, sequence_);
    set_nonce_and_aad(header + wire::esp_header_len, sequence_);
    int len = 0;
    bool ok = EVP_EncryptInit_ex(ctx_.get(), nullptr, nullptr, nullptr, nonce_.data()) == 1;
    ok &= EVP_EncryptUpdate(ctx_.get(), nullptr, &len, aad_.data(), aad_len) == 1;
    ok &= EVP_EncryptUpdate(ctx_.get(), text, &len, text, text_len) == 1;
    ok &= EVP_EncryptFinal_ex(ctx_.get(), text + text_len, &len) == 1;
    ok &= EVP_CIPHER_CTX_ctrl(ctx_.get(), EVP_CTRL_AEAD_GET_TAG, icv_len, text + text_len) == 1;
    return ok;
  }

  bool open(Packet& packet) noexcept {
    if (packet.len < around_front + icv_len + 4 || packet.len % 4 != 0) return false;
    const auto sequence = window_.infer_esn(load_be<std::uint32_t>(packet.data + 4));
    if (!sequence || window_.check(*sequence) != ReplayWindow::Verdict::fresh) return false;
    set_nonce_and_aad(packet.data + wire::esp_header_len, *sequence);
    packet.pop_front(around_front);
    packet.truncate(packet.len - icv_len);
    int len = 0;
    bool ok = EVP_DecryptInit_ex(ctx_.get(), nullptr, nullptr, nullptr, nonce_.data()) == 1;
    ok &= EVP_DecryptUpdate(ctx_.get(), nullptr, &len, aad_.data(), aad_len) == 1;
    ok &= EVP_CIPHER_CTX_ctrl(ctx_.get(), EVP_CTRL_AEAD_SET_TAG, icv_len, packet.data + packet.len) == 1;
    ok &= EVP_DecryptUpdate(ctx_.get(), packet.data, &len, packet.data, static_cast<int>(packet.len)) == 1;
    ok &= EVP_DecryptFinal_ex(ctx_.get(), packet.data, &len) == 1;
    if (!ok || window_.commit(*sequence) != ReplayWindow::Verdict::fresh) return false;
    const auto trailer = wire::EspTrailer::parse(packet.view());
    if (!trailer || trailer->next_header != wire::proto_gre) return false;
    packet.truncate(trailer->payload_len);
    return true;
  }

 private:
  void set_nonce_and_aad(const std::uint8_t* iv, std::uint64_t sequence) noexcept {
    std::memcpy(nonce_.data() + salt_len, iv, iv_len);
    store_be(aad_.data(), spi.value());
    store_be(aad_.data() + 4, sequence);
  }

  std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> ctx_;
  std::array<std::uint8_t, salt_len + iv_len> nonce_{};
  std::array<std::uint8_t, aad_len> aad_{};
  std::uint64_t sequence_ = 0;
  ReplayWindow window_{window_size};
};

/// The packets of one run, of one length, in buffers as the worker's: some 400 KB, which stay in the second-level
/// cache.
class Bench {
 public:
  Bench(std::size_t len, std::size_t batch, bool seal)
      : batch_size_(batch), seal_(seal), plain_(seal), sas_(make_sas()) {
    const std::size_t stride = (packet_headroom + len + packet_tailroom + 127) / 64 * 64;
    const std::size_t num = std::size_t{1} << (len <= 256 ? 10 : 8);
    memory_.resize(num * stride);
    for (std::size_t i = 0; i < memory_.size(); ++i) memory_[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    for (std::size_t i = 0; i < num; ++i) {
      Packet packet = Packet::in_buffer(MutableByteView(memory_).subspan(i * stride, stride), packet_headroom, len);
      packet.next_header = wire::proto_gre;
      packets_.push_back(packet);
    }
    initial_ = memory_;
    if (!seal_) seal_all();
    check_agreement();
  }

  [[nodiscard]] std::size_t num_packets() const noexcept { return packets_.size(); }

  /// What is sealed is in its place already; what is opened was overwritten by the run before, and its numbers are
  /// seen.
  void prepare() {
    if (seal_) return;
    memory_ = initial_;
    sas_.inbound->window = ReplayWindow(window_size);
    plain_.start_over();
  }

  void run_ours() noexcept {
    for (std::size_t first = 0; first < packets_.size(); first += batch_size_) {
      batch_.clear();
      for (std::size_t i = 0; i < batch_size_; ++i) {
        Packet& packet = batch_[batch_.add(packets_[first + i])];
        packet.outbound_sa = sas_.outbound.get();
        packet.inbound_sa = sas_.inbound.get();
      }
      seal_ ? encrypt_batch(batch_) : decrypt_batch(batch_);
      num_done_ += batch_.num_alive();
    }
  }

  void run_plain() noexcept {
    for (Packet packet : packets_) num_done_ += seal_ ? plain_.seal(packet) : plain_.open(packet);
  }

 private:
  static SaPair make_sas() {
    auto made = make_sa_pair(make_keys());
    if (!made) give_up("no SAs");
    return std::move(*made);
  }

  // What is opened was sealed by the plain way.
  void seal_all() {
    PlainEsp sealer(true);
    for (Packet& packet : packets_) {
      if (!sealer.seal(packet)) give_up("cannot seal");
    }
    initial_ = memory_;
  }

  // Both have just begun to count, so they make the same bytes.
  void check_agreement() {
    prepare();
    run_ours();
    const Bytes ours = memory_;
    memory_ = initial_;
    prepare();
    run_plain();
    if (num_done_ != 2 * packets_.size()) give_up("ESP packets were refused");
    if (ours != memory_) give_up("ESP: the two ways do not agree");
  }

  std::size_t batch_size_;
  bool seal_;
  PlainEsp plain_;
  SaPair sas_;
  Bytes memory_, initial_;
  std::vector<Packet> packets_;
  DropCounters drops_;
  PacketBatch batch_{drops_};
  std::size_t num_done_ = 0;
};

Comparison make_case(std::string_view implementation, std::size_t len, std::size_t batch, bool seal) {
  const std::string before(crypto::aead_implementation());
  if (!crypto::select_aead_implementation(implementation)) give_up("an AEAD implementation went missing");
  const auto bench = std::make_shared<Bench>(len, batch, seal);
  if (!crypto::select_aead_implementation(before)) give_up("an AEAD implementation went missing");
  const auto prepare = [bench] { bench->prepare(); };
  return {.num_packets = bench->num_packets(),
          .ours = {prepare, [bench] { bench->run_ours(); }},
          .plain = {prepare, [bench] { bench->run_plain(); }}};
}

}  // namespace

void add_esp_cases() {
  for (const bool seal : {true, false}) {
    for (const std::string_view implementation : crypto::aead_implementations()) {
      for (const std::size_t len : {64, 1400}) {
        for (const std::size_t batch : {1, 16, 64}) {
          const std::string name = std::string(seal ? "esp_encrypt/" : "esp_decrypt/") + std::string(implementation) +
                                   "/" + std::to_string(len) + "/x" + std::to_string(batch);
          add_case(name, "framing and one EVP call a packet",
                   [=] { return make_case(implementation, len, batch, seal); });
        }
      }
    }
  }
}

}  // namespace culvert::bench
