#pragma once
#include <string>

#include "culvert/base/bytes.h"

namespace culvert::cli {

/// What an IP packet is, in one line for people: "10.1.0.2.41000 > 10.2.0.2.443 tcp S, 60 bytes". Any bytes, also the
/// beginning of a packet alone; nothing of them gets into the line but numbers. `outer`: UDP is taken for IKE and ESP.
/// Any thread.
[[nodiscard]] std::string packet_line(ByteView packet, std::size_t original_len, bool outer);

}  // namespace culvert::cli
