#pragma once
#include <optional>
#include <utility>

#include "culvert/base/bytes.h"

namespace culvert::eap {

/// TLS messages cut into EAP-TLS packets and put together again (RFC 5216 §2.1.5, §3.1). One conversation's.
///
///   |     Flags     |      TLS Message Length (with flag L)         | TLS Data ...
class TlsFragments {
 public:
  static constexpr std::uint8_t flag_length = 0x80, flag_more = 0x40, flag_start = 0x20;
  static constexpr std::size_t max_message = 64 * 1024;  ///< bytes that we put together
  /// TLS bytes of a packet that we send: with IKE's own overhead it fits any path without another fragmentation.
  static constexpr std::size_t fragment_len = 1024;

  enum class In : std::uint8_t {
    malformed,
    acknowledgement,  ///< no data, nothing else
    more,             ///< to be acknowledged
    complete,         ///< message() has it
    start,            ///< the server's EAP-TLS/Start
  };
  [[nodiscard]] In take(ByteView data);
  [[nodiscard]] Bytes message() { return std::exchange(in_, {}); }

  /// Sets what goes out next; nothing must be pending.
  void send(Bytes message) {
    out_ = std::move(message);
    sent_ = 0;
  }
  [[nodiscard]] bool pending() const noexcept { return sent_ < out_.size(); }
  /// The next packet's data: a fragment, or an acknowledgement when there is none.
  [[nodiscard]] Bytes next();

 private:
  Bytes in_;
  std::optional<std::uint32_t> announced_;
  bool collecting_ = false;
  Bytes out_;
  std::size_t sent_ = 0;
};

}  // namespace culvert::eap
