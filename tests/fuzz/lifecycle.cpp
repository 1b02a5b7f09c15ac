// What strangers send in place of a ticket (RFC 5723) or of another gateway (RFC 5685), and what a daemon may find in
// place of its ticket keys.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "culvert/base/ip.h"
#include "redirect.h"
#include "ticket.h"

using namespace culvert;
using namespace culvert::ike;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (const auto target = parse_redirect(bytes)) {
    if (!IpAddress::parse(target->gateway) && !is_gateway_name(target->gateway)) std::abort();
    // An IPv4 address may stand as a name; otherwise what was read is what would be written.
    if (!IpAddress::parse(target->gateway) && redirect_data(target->gateway, target->nonce) != Bytes(data, data + size))
      std::abort();
  }
  constexpr UnixSeconds now = 1'800'000'000;
  TicketBox box(crypto::system_random(), bytes);
  (void)box.rotate(now);
  if (box.open(now, bytes)) std::abort();  // nobody can have sealed it
  return 0;
}
