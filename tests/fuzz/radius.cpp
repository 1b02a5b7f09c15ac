// What may come from the address of a RADIUS server.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "culvert/radius/packet.h"

using namespace culvert;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  const auto packet = radius::parse(bytes);
  if (packet) {
    (void)packet->eap();
    (void)packet->framed_ipv4();
    (void)packet->framed_ipv6();
    (void)packet->text(radius::AttributeType::filter_id);
    (void)radius::master_session_key(*packet, packet->authenticator, as_bytes("secret"));
  }
  radius::Packet request{radius::Code::access_request, size > 1 ? data[1] : std::uint8_t(0), {}, {}};
  request.authenticator.fill(7);
  if (radius::open_reply(bytes, request, as_bytes("a secret that nobody finds"))) std::abort();
  return 0;
}
