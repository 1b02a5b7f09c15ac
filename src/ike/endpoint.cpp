#include "culvert/ike/endpoint.h"

namespace culvert::ike {

struct IkeEndpoint::Impl {
  EndpointOptions options;
  std::vector<PeerConfig> peers;
  crypto::RandomSource& random;
};

IkeEndpoint::IkeEndpoint(EndpointOptions options, std::vector<PeerConfig> peers, crypto::RandomSource& random)
    : impl_(new Impl{options, std::move(peers), random}) {}
IkeEndpoint::~IkeEndpoint() = default;

Actions IkeEndpoint::start(TimePoint) { return {}; }
Actions IkeEndpoint::on_datagram(TimePoint, const Path&, ByteView) { return {}; }
Actions IkeEndpoint::on_deadline(TimePoint) { return {}; }
std::optional<TimePoint> IkeEndpoint::deadline() const { return std::nullopt; }
Actions IkeEndpoint::on_addresses(TimePoint, PeerId, std::vector<Path>, std::string) { return {}; }
Actions IkeEndpoint::on_acquire(TimePoint, ChildId, const TrafficSelector&, const TrafficSelector&) { return {}; }
Actions IkeEndpoint::on_child_event(TimePoint, Spi, ChildEvent) { return {}; }
void IkeEndpoint::on_inbound_traffic(TimePoint, Spi) {}
Actions IkeEndpoint::on_hint(TimePoint, const Path&) { return {}; }
Result<Actions> IkeEndpoint::up(TimePoint, std::string_view) { return Actions{}; }
Result<Actions> IkeEndpoint::down(TimePoint, std::string_view) { return Actions{}; }
Result<Actions> IkeEndpoint::rekey(TimePoint, std::string_view, RekeyWhat) { return Actions{}; }
Actions IkeEndpoint::shut_down(TimePoint) { return {}; }
std::vector<PeerStatus> IkeEndpoint::status(TimePoint) const { return {}; }

}  // namespace culvert::ike
