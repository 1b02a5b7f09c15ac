// The profile of a client: its keys stand in no table.
#include <array>

#include "keys.h"

namespace culvert::config {
namespace {

using namespace std::chrono_literals;
using HostBits = ValueReader::HostBits;
using Encapsulation = ike::EncapsulationPreference;
using V = const ValueReader&;
using C = RawClient&;

constexpr std::int64_t max_port = 65535;

constexpr std::array encapsulations = {Choice<Encapsulation>{"udp", Encapsulation::udp},
                                       Choice<Encapsulation>{"auto", Encapsulation::automatic}};
constexpr std::array virtual_addresses = {Choice<VirtualAddress>{"any", {true, true}},
                                          Choice<VirtualAddress>{"ipv4", {true, false}},
                                          Choice<VirtualAddress>{"ipv6", {false, true}}};
constexpr std::array log_levels = {
    Choice<log::Level>{"debug", log::Level::debug}, Choice<log::Level>{"info", log::Level::info},
    Choice<log::Level>{"warn", log::Level::warn}, Choice<log::Level>{"error", log::Level::error}};

constexpr std::string_view link_to_auth = "[table](configuration.md#auth-and-peer_auth)";

constexpr KeySpec<RawClient> client_table[] = {
    {"server", "array of names or addresses", "required", "the gateway, in order of preference",
     [](V v, C c) { c.peer.address = v.peer_addresses(); }},
    {"id", "string", "from the certificate", "who we are; required with `psk_file`",
     [](V v, C c) { c.gateway.id = v.text(); }},
    {"auth", link_to_auth, "required", "how we prove who we are", [](V v, C c) { c.peer.auth = read_auth(v); }},
    {"server_id", "string", "the first `server`", "the identity that the gateway must prove",
     [](V v, C c) { c.peer.id = v.text(); }},
    {"ca", "array of paths", "required without `psk_file`", "CAs of the gateway's certificate: PEM files or folders",
     [](V v, C c) { c.ca = v.texts(); }},
    {"peer_auth", link_to_auth, "by `ca`, or the same `psk_file`",
     "how the gateway must prove who it is, in place of `ca`", [](V v, C c) { c.peer.peer_auth = read_peer_auth(v); }},
    {"routes", "array of prefixes", "all that the gateway grants",
     "what goes through the tunnel, as far as the gateway grants it",
     [](V v, C c) { c.tunnel.remote = v.prefixes(HostBits::refused, false); }},
    {"dns", "boolean", "true", "use the DNS servers and domains that the gateway gives",
     [](V v, C c) { c.dns = v.boolean(); }},
    {"kill_switch", "boolean", "false",
     "nothing leaves this machine but through the tunnel, until `culvert disconnect`",
     [](V v, C c) { c.kill_switch = v.boolean(); }},
    {"virtual_address", "`\"any\"`, `\"ipv4\"`, `\"ipv6\"`", "`\"any\"`",
     "which addresses to ask for; any: one of each family",
     [](V v, C c) { c.peer.virtual_address = v.choice<VirtualAddress>(virtual_addresses); }},
    {"device", "string", "`cv-` and the name of the file", "TUN device, at most 15 characters",
     [](V v, C c) { c.tunnel.device = v.text(); }},
    {"port", "integer 1 … 65535", "500", "the gateway's IKE port",
     [](V v, C c) { c.peer.port = v.integer(1, max_port); }},
    {"nat_port", "integer 1 … 65535", "4500", "the gateway's port of IKE and ESP in UDP",
     [](V v, C c) { c.peer.nat_port = v.integer(1, max_port); }},
    {"tcp_port", "integer 1 … 65535", "none", "the gateway's port for TCP (RFC 9329), used when UDP fails",
     [](V v, C c) { c.peer.tcp_port = v.integer(1, max_port); }},
    {"encapsulation", "`\"udp\"`, `\"auto\"`", "`\"udp\"`", "always in UDP; ESP by itself where no NAT is found",
     [](V v, C c) { c.peer.encapsulation = v.choice<Encapsulation>(encapsulations); }},
    {"ike", "array of proposals", "strong defaults", "as in `[peer.NAME]`", [](V v, C c) { c.peer.ike = v.texts(); }},
    {"esp", "array of proposals", "strong defaults", "as in `[peer.NAME]`", [](V v, C c) { c.peer.esp = v.texts(); }},
    {"liveness", "duration 1s … 1d, or `\"0s\"`", "`\"30s\"`",
     "silence after which the gateway is asked whether it lives; `\"0s\"` never",
     [](V v, C c) { c.peer.liveness = v.duration(1s, 24h, true); }},
    {"retransmit_timeout", "duration 100ms … 1m", "`\"1s\"`", "first; each later one is 1.8 times as long",
     [](V v, C c) { c.peer.retransmit_timeout = v.duration(100ms, 60s); }},
    {"retransmit_tries", "integer 1 … 20", "7", "sends without an answer after which the gateway is lost",
     [](V v, C c) { c.peer.retransmit_tries = v.integer(1, 20); }},
    {"keepalive", "duration 1s … 1h", "`\"20s\"`", "NAT keepalive",
     [](V v, C c) { c.peer.keepalive = v.duration(1s, 1h); }},
    {"mobike", "boolean", "true", "move from network to network without a new login (RFC 4555)",
     [](V v, C c) { c.peer.mobike = v.boolean(); }},
    {"mtu", "integer 576 … 65535", "from the path", "of the device; at least 1280 with IPv6 inside",
     [](V v, C c) { c.tunnel.mtu = v.integer(576, 65535); }},
    {"log_level", "`\"debug\"`, `\"info\"`, `\"warn\"`, `\"error\"`", "`\"info\"`", "how much is logged",
     [](V v, C c) { c.gateway.log_level = v.choice<log::Level>(log_levels); }},
};

}  // namespace

std::span<const KeySpec<RawClient>> client_keys() {
  return client_table;
}

}  // namespace culvert::config
