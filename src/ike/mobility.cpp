// The notifications of RFC 4555 §4 as bytes.
//
//   ADDITIONAL_IP4_ADDRESS, ADDITIONAL_IP6_ADDRESS   4 or 16 bytes
//   NO_ADDITIONAL_ADDRESSES, UPDATE_SA_ADDRESSES     nothing
//   COOKIE2                                          8 … 64 bytes, copied as they are into the response
//   NO_NATS_ALLOWED                                  source address | destination address | source port | destination
//   port
#include "mobility.h"

#include <algorithm>

namespace culvert::ike {
namespace {

constexpr std::size_t min_cookie2_len = 8, max_cookie2_len = 64;

void take_address(AddressNotifies& said, const NotifyPayload& notify, std::size_t len) {
  said.listed = true;
  const auto address = notify.data.size() == len ? IpAddress::from_bytes(notify.data) : std::nullopt;
  if (!address || address->is_unspecified() || address->is_multicast() || address->is_loopback()) return;
  const bool known = std::ranges::find(said.additional, *address) != said.additional.end();
  if (!known && said.additional.size() < max_additional_addresses) said.additional.push_back(*address);
}

}  // namespace

AddressNotifies read_addresses(const Message& message) {
  AddressNotifies said;
  for (const Payload& payload : message.payloads) {
    const auto* notify = std::get_if<NotifyPayload>(&payload);
    if (!notify) continue;
    switch (notify->type) {
      case NotifyType::mobike_supported:
        said.supported = true;
        break;
      case NotifyType::update_sa_addresses:
        said.update = true;
        break;
      case NotifyType::unacceptable_addresses:
        said.unacceptable = true;
        break;
      case NotifyType::unexpected_nat_detected:
        said.unexpected_nat = true;
        break;
      case NotifyType::nat_detection_source_ip:
      case NotifyType::nat_detection_destination_ip:
        said.nat_detection = true;
        break;
      case NotifyType::additional_ip4_address:
        take_address(said, *notify, 4);
        break;
      case NotifyType::additional_ip6_address:
        take_address(said, *notify, 16);
        break;
      case NotifyType::no_additional_addresses:
        said.listed = true;
        break;
      case NotifyType::cookie2:
        if (notify->data.size() >= min_cookie2_len && notify->data.size() <= max_cookie2_len)
          said.cookie2 = notify->data;
        break;
      default:
        break;
    }
  }
  return said;
}

void add_address_list(std::vector<Payload>& payloads, const std::vector<IpAddress>& addresses) {
  for (const IpAddress& address : addresses) {
    const auto type = address.is_v4() ? NotifyType::additional_ip4_address : NotifyType::additional_ip6_address;
    payloads.emplace_back(make_notify(type, Bytes(address.bytes().begin(), address.bytes().end())));
  }
  if (addresses.empty()) payloads.emplace_back(make_notify(NotifyType::no_additional_addresses));
}

NotifyPayload no_nats_allowed(const Path& path) {
  Bytes data;
  append(data, path.local.address.bytes());
  append(data, path.remote.address.bytes());
  const std::size_t ports = data.size();
  data.resize(ports + 4);
  store_be(&data[ports], path.local.port);
  store_be(&data[ports + 2], path.remote.port);
  return make_notify(NotifyType::no_nats_allowed, std::move(data));
}

bool no_nat_between(const Message& message, const Path& path) {
  const NotifyPayload* notify = message.find_notify(NotifyType::no_nats_allowed);
  return !notify || notify->data == no_nats_allowed({path.remote, path.local}).data;
}

}  // namespace culvert::ike
