#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::control {

/// A message of IKE, or a note on what it led to (`culvert trace`).
struct TraceReport {
  std::string time;           ///< RFC 3339, UTC, milliseconds
  std::string kind;           ///< "sent", "received", "note"
  std::string peer;           ///< [peer.NAME], or a client's name; empty while nobody knows
  std::string local, remote;  ///< endpoints "192.0.2.1:500"; empty of a note
  std::string spi_i, spi_r;   ///< "0x…"
  std::string exchange;       ///< "IKE_AUTH"; empty of a note
  bool response = false;
  std::uint32_t message_id = 0;
  std::uint32_t bytes = 0;      ///< of IKE, all datagrams together; 0: not known
  std::uint32_t datagrams = 0;  ///< more than one: fragments
  std::uint32_t tries = 0;      ///< of what we send: how often it has been sent
  std::string text;             ///< payloads in words, or the note
};

/// What `culvert trace --json` prints: one object on one line. Pure; any thread.
[[nodiscard]] std::string to_json(const std::vector<TraceReport>& trace);

}  // namespace culvert::control
