#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/time.h"

namespace culvert::ike {

/// A message of IKE, or what it led to, for who asks why. There is never a key, a nonce, a signature, a cookie, a token
/// or an EAP response in it: contents are told by their kinds alone. A value.
struct TraceEntry {
  enum class Kind : std::uint8_t { sent, received, note } kind = Kind::note;
  std::uint64_t number = 0;  ///< ascending
  TimePoint time{};
  std::string peer;  ///< [peer.NAME] or a client's name; empty while nobody knows
  IkeSpi ours;       ///< of the IKE SA; 0: none
  IkeSpi spi_i, spi_r;
  Endpoint local, remote;
  std::uint8_t exchange = 0;  ///< of IANA's IKEv2 exchange types; 0: a note
  bool response = false;
  std::uint32_t message_id = 0;
  std::uint32_t bytes = 0;      ///< of all its datagrams; 0: not known, of a message that came in fragments
  std::uint16_t datagrams = 1;  ///< more than one: fragments
  std::uint16_t tries = 1;      ///< of a request of ours: how often it has been sent
  std::string text;             ///< payloads in words, or the note; printable ASCII
};

[[nodiscard]] std::string_view exchange_name(std::uint8_t exchange) noexcept;  ///< "IKE_AUTH"; "" of unknown ones

}  // namespace culvert::ike
