// What `culvert capture` makes of packets: the cooked header, the datagrams that the kernel shows together, and lines.
#include <cstdlib>

#include "capture_source.h"
#include "outer_packets.h"
#include "packet_line.h"

using namespace culvert;
using namespace culvert::cli;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  SeenPacket seen;
  const ByteView bytes(data, size);
  const ByteView packet = parse_cooked(bytes, static_cast<std::uint32_t>(size), seen) ? seen.bytes : bytes;
  split_outer(packet, [&](ByteView part) {
    if (part.size() > packet.size()) std::abort();
    for (const char c : packet_line(part, part.size(), true))
      if (c < ' ' || c > '~') std::abort();
  });
  (void)packet_line(packet, packet.size(), false);
  return 0;
}
