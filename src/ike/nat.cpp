#include "nat.h"

#include "keymat.h"

namespace culvert::ike {

std::vector<Payload> nat_payloads(IkeSpi spi_i, IkeSpi spi_r, const Path& path, bool announce,
                                  crypto::RandomSource& random) {
  auto source = make_notify(NotifyType::nat_detection_source_ip, nat_detection_hash(spi_i, spi_r, path.local));
  if (announce) random.fill(source.data);
  auto destination =
      make_notify(NotifyType::nat_detection_destination_ip, nat_detection_hash(spi_i, spi_r, path.remote));
  std::vector<Payload> payloads;
  payloads.emplace_back(std::move(source));
  payloads.emplace_back(std::move(destination));
  return payloads;
}

NatStatus read_nat(std::span<const Payload> payloads, IkeSpi spi_i, IkeSpi spi_r, const Path& path) {
  const Bytes remote_hash = nat_detection_hash(spi_i, spi_r, path.remote);
  const Bytes local_hash = nat_detection_hash(spi_i, spi_r, path.local);
  bool source_seen = false, source_fits = false, destination_seen = false, destination_fits = false;
  for (const Payload& payload : payloads) {
    const auto* notify = std::get_if<NotifyPayload>(&payload);
    if (!notify) continue;
    if (notify->type == NotifyType::nat_detection_source_ip) {
      // A sender that does not know its address sends one for each it has: one that fits is enough (RFC 7296 §2.23).
      source_seen = true;
      source_fits = source_fits || notify->data == remote_hash;
    } else if (notify->type == NotifyType::nat_detection_destination_ip) {
      destination_seen = true;
      destination_fits = destination_fits || notify->data == local_hash;
    }
  }
  NatStatus nat;
  nat.supported = source_seen && destination_seen;
  nat.remote = nat.supported && !source_fits;
  nat.local = nat.supported && !destination_fits;
  return nat;
}

}  // namespace culvert::ike
