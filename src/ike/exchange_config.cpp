// Addresses inside, RFC 7296 §2.19: a client asks for them in IKE_AUTH, its traffic selectors are all addresses, and
// the gateway narrows them to what it gives.
//
//   HDR, SK {IDi, [CERT,] [IDr,] AUTH, CP(CFG_REQUEST), SAi2, TSi, TSr}  -->
//                                           <--  HDR, SK {IDr, [CERT,] AUTH, CP(CFG_REPLY), SAr2, TSi, TSr}
//                                           <--  HDR, SK {IDr, [CERT,] AUTH, N(INTERNAL_ADDRESS_FAILURE)}   (the IKE SA
//                                           stays, there is no child)
//
// They belong to the client's Peer, not to an IKE SA: they outlive rekeys, moves and reauthentication. A client that
// comes back asks for what it had, and a gateway that has lost its memory gives it when it is free.
#include "association.h"
#include "clients.h"
#include "config_payload.h"
#include "peer.h"
#include "session.h"
#include "traffic_selector.h"

namespace culvert::ike {
namespace {

const CpPayload* find_cp(const Message& message, CfgType type) {
  const auto* cp = message.find<CpPayload>();
  return cp && cp->type == type ? cp : nullptr;
}

AddressRequest request_in(const Message& message) {
  const CpPayload* cp = find_cp(message, CfgType::request);
  return cp ? read_request(*cp) : AddressRequest{};
}

IpPrefix host(const IpAddress& address) {
  return {address, static_cast<std::uint8_t>(address.bits())};
}

}  // namespace

// ---- gateway
// --------------------------------------------------------------------------------------------------------------------

/// Whose IKE SA this becomes: that of the configured peer, or of one of its clients. nullptr: there are too many.
Peer* Session::admit_client(Peer& claimed, const UserGrant& who, const Message& message) {
  if (!claimed.is_template()) return &claimed;
  Peer* client = core_.clients().admit(claimed, who, request_in(message), answering_->path.remote);
  if (!client)
    core_.report_limited("clients of " + claimed.config().name, log::Level::warn, claimed.about(),
                         fmt::format("{}: {} is refused: it has {} clients already (max_clients)", claimed.label(),
                                     log::sanitize(who.user.to_string()), claimed.config().max_clients));
  return client;
}

/// Who the client is: what authentication has found out beside its identity, or that alone.
UserGrant Session::grant_of(const AuthenticatedPeer& proof, const std::optional<UserGrant>& granted) {
  return granted ? *granted : UserGrant{proof.identity(), {}, {}};
}

/// CFG_REPLY, or why there is none and no child either (§2.19: the IKE SA stays). False: no child.
bool Session::answer_configuration(const UserGrant& who, const Message& message, std::vector<Payload>& payloads) {
  if (!peer_->client()) return true;
  const AddressRequest asked = request_in(message);
  const auto assigned = core_.clients().assign(*peer_, who, asked);
  if (assigned) {
    payloads.emplace_back(make_reply(peer_->client()->net, asked));
    return true;
  }
  core_.report_limited("child " + config().name, log::Level::warn,
                       about(assigned.error().why).as(EventKind::child_failed),
                       fmt::format("{}: {}", label(), assigned.error().why));
  payloads.emplace_back(assigned.error().notify);
  return false;
}

// ---- client
// ---------------------------------------------------------------------------------------------------------------------

void Session::ask_configuration(std::vector<Payload>& payloads) const {
  if (peer_->gives_addresses())
    payloads.emplace_back(make_request(config().request_v4, config().request_v6, peer_->virtual_net()));
}

/// False: without an address there is nothing that this IKE SA could be good for; it is being closed.
bool Session::read_configuration(const Message& message) {
  if (!peer_->gives_addresses()) return true;
  const auto give_up = [&](const std::string& why) {
    if (handshake_->offer) core_.release_esp_spi(handshake_->offer->spi);
    handshake_.reset();
    association_->close_with_delete(why);
    return false;
  };
  const CpPayload* cp = find_cp(message, CfgType::reply);
  const auto net = cp ? read_reply(*cp) : VirtualNet{};
  if (!net) return give_up(net.error());
  if (net->addresses.empty()) {
    const NotifyPayload* error = message.first_error();
    return give_up(error ? "peer refused: " + PeerRefusal{error->type}.to_string()
                         : std::string("it gives us no address; virtual_address asks for one"));
  }
  peer_->use_virtual_net(*net);
  return true;
}

/// Our selectors in IKE_AUTH, before we know our addresses: all, for the gateway to narrow (§2.19).
void Session::widen_offer(ChildOffer& offer) const {
  if (!offer.config->virtual_local) return;
  offer.local.clear();
  for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
    const bool asked = family == IpFamily::v4 ? config().request_v4 : config().request_v6;
    if (asked) offer.local.push_back(TrafficSelector::from_prefix({IpAddress::any(family), 0}));
  }
}

/// The answer is ours only if we can send from one of our addresses by it.
void Session::check_own_addresses(std::expected<ChildAgreement, std::string>& agreement) const {
  if (!agreement || !agreement->config->virtual_local) return;
  std::vector<TrafficSelector> ours;
  for (const IpAddress& address : peer_->virtual_net().addresses)
    ours.push_back(TrafficSelector::from_prefix(host(address)));
  if (narrow(agreement->local, ours).empty())
    agreement = std::unexpected(
        fmt::format("it narrows our side to {}, and gives us {}", to_string(agreement->local), to_string(ours)));
}

// ---- Peer
// -----------------------------------------------------------------------------------------------------------------------

void Peer::set_selectors(const ChildConfig& child, std::vector<SelectorSpec> local, std::vector<SelectorSpec> remote) {
  for (ChildConfig& ours : config_.children) {
    if (ours.id != child.id) continue;
    ours.local = std::move(local);
    ours.remote = std::move(remote);
  }
}

void Peer::use_virtual_net(VirtualNet net) {
  for (ChildConfig& child : config_.children) {
    if (!child.virtual_local) continue;
    child.local.clear();
    for (const IpAddress& address : net.addresses) child.local.push_back({host(address), 0});
  }
  if (net == virtual_net_) return;
  virtual_net_ = std::move(net);
  std::string addresses;
  for (const IpAddress& address : virtual_net_.addresses)
    addresses += (addresses.empty() ? "" : ", ") + address.to_string();
  core_.report(log::Level::info, about(), fmt::format("{}: it gives us {}", label(), addresses));
  core_.emit(UseVirtualNet{config_.id, virtual_net_});
}

void Peer::forget_virtual_net() {
  if (std::exchange(virtual_net_, {}) != VirtualNet{}) core_.emit(UseVirtualNet{config_.id, std::nullopt});
}

void Peer::kick(const std::string& reason) {
  core_.touch(*this);
  for (std::size_t i = 0; i < associations_.size(); ++i) associations_[i]->close_with_delete(reason);
  core_.end_lingering(config_.id);
}

}  // namespace culvert::ike
