#include "keys.h"

#include <array>
#include <limits>

#include "profiles.h"
#include "routing_tables.h"

namespace culvert::config {
namespace {

using namespace std::chrono_literals;
using HostBits = ValueReader::HostBits;

constexpr std::array log_levels = {
    Choice<log::Level>{"debug", log::Level::debug}, Choice<log::Level>{"info", log::Level::info},
    Choice<log::Level>{"warn", log::Level::warn}, Choice<log::Level>{"error", log::Level::error}};
constexpr std::array log_formats = {
    Choice<LogFormat>{"auto", LogFormat::automatic}, Choice<LogFormat>{"text", LogFormat::text},
    Choice<LogFormat>{"json", LogFormat::json}, Choice<LogFormat>{"journald", LogFormat::journald}};
constexpr std::array start_modes = {Choice<ike::StartMode>{"always", ike::StartMode::always},
                                    Choice<ike::StartMode>{"on-traffic", ike::StartMode::on_traffic},
                                    Choice<ike::StartMode>{"wait", ike::StartMode::wait}};
constexpr std::array aeads = {Choice<std::string_view>{"auto", "auto"}, Choice<std::string_view>{"openssl", "openssl"},
                              Choice<std::string_view>{"aesni-avx2", "aesni-avx2"},
                              Choice<std::string_view>{"vaes256", "vaes256"},
                              Choice<std::string_view>{"vaes512", "vaes512"}};
using Encapsulation = ike::EncapsulationPreference;
constexpr std::array encapsulations = {Choice<Encapsulation>{"udp", Encapsulation::udp},
                                       Choice<Encapsulation>{"auto", Encapsulation::automatic},
                                       Choice<Encapsulation>{"raw", Encapsulation::raw}};
constexpr std::array unique_policies = {Choice<ike::UniquePolicy>{"replace", ike::UniquePolicy::replace},
                                        Choice<ike::UniquePolicy>{"keep", ike::UniquePolicy::keep},
                                        Choice<ike::UniquePolicy>{"never", ike::UniquePolicy::never}};
constexpr std::array childless_policies = {Choice<ike::ChildlessPolicy>{"allow", ike::ChildlessPolicy::allow},
                                           Choice<ike::ChildlessPolicy>{"prefer", ike::ChildlessPolicy::prefer},
                                           Choice<ike::ChildlessPolicy>{"never", ike::ChildlessPolicy::never}};
constexpr std::array virtual_addresses = {Choice<VirtualAddress>{"any", {true, true}},
                                          Choice<VirtualAddress>{"ipv4", {true, false}},
                                          Choice<VirtualAddress>{"ipv6", {false, true}}};
constexpr std::array carries = {Choice<tunnel::Carry>{"gre", tunnel::Carry::gre},
                                Choice<tunnel::Carry>{"ip", tunnel::Carry::ip}};
constexpr std::array tunnel_modes = {Choice<TunnelMode>{"auto", TunnelMode::automatic},
                                     Choice<TunnelMode>{"tunnel", TunnelMode::tunnel},
                                     Choice<TunnelMode>{"transport", TunnelMode::transport}};

constexpr std::int64_t max_port = 65535;
constexpr std::int64_t max_gre_key = std::numeric_limits<std::uint32_t>::max();

using V = const ValueReader&;

constexpr KeySpec<RawGateway> gateway_table[] = {
    {"id", "string", "from `auth`; required without it",
     "our IKE identity: FQDN, e-mail, IP address, DN (`\"CN=gw,O=Example\"`) or key id (`\"keyid:…\"`)",
     [](V v, RawGateway& g) { g.id = v.text(); }, ReloadEffect::reauthenticates},
    {"auth", auth_type, "none", "how we prove who we are, to every peer that has no `auth` of its own",
     [](V v, RawGateway& g) { g.auth = read_auth(v); }, ReloadEffect::reauthenticates},
    {"peer_auth", auth_type, "none", "how every peer that has no `peer_auth` of its own must prove who it is",
     [](V v, RawGateway& g) { g.peer_auth = read_peer_auth(v); }, ReloadEffect::reauthenticates},
    {"users", "path", "none", "file of mode 0600 with the users who may log in by EAP; read again when it changes",
     [](V v, RawGateway& g) { g.users = v.text(); }},
    {"listen", "array of addresses", "`[\"0.0.0.0\", \"::\"]`", "where `port` and `nat_port` are opened (UDP)",
     [](V v, RawGateway& g) { g.listen = v.addresses(); }, ReloadEffect::restart},
    {"port", "integer 1 … 65535", "500", "IKE port", [](V v, RawGateway& g) { g.port = v.integer(1, max_port); },
     ReloadEffect::restart},
    {"nat_port", "integer 1 … 65535", "4500", "port of IKE and ESP in UDP (NAT-T); not the same as `port`",
     [](V v, RawGateway& g) { g.nat_port = v.integer(1, max_port); }, ReloadEffect::restart},
    {"tcp_port", "integer 1 … 65535", "none",
     "port where IKE and ESP are taken in TCP (RFC 9329), for peers in networks that block UDP; often 443 or 4500",
     [](V v, RawGateway& g) { g.tcp_port = v.integer(1, max_port); }, ReloadEffect::restart},
    {"workers", "`\"auto\"` or integer 1 … 256", "`\"auto\"`", "data-path threads; auto is one a core",
     [](V v, RawGateway& g) { g.workers = v.integer_or("auto", 0, 1, 256); }, ReloadEffect::restart},
    {"busy_poll_us", "integer 0 … 1000", "0",
     "microseconds that an idle worker keeps looking for packets before it sleeps: shorter round trips for CPU time",
     [](V v, RawGateway& g) { g.busy_poll_us = v.integer(0, 1000); }, ReloadEffect::restart},
    {"aead", "`\"auto\"`, `\"openssl\"`, `\"aesni-avx2\"`, `\"vaes256\"`, `\"vaes512\"`", "`\"auto\"`",
     "implementation of AES-GCM; auto is the fastest that this CPU has",
     [](V v, RawGateway& g) { g.aead = v.choice<std::string_view>(aeads); }, ReloadEffect::restart},
    {"fwmark", "integer 1 … 4294967295", "none",
     "mark (SO_MARK) on all packets that culvertd sends to peers, IKE and ESP, for `ip rule` and nftables: see "
     "[routing.md](routing.md#policy-routing)",
     [](V v, RawGateway& g) { g.fwmark = v.integer(1, std::numeric_limits<std::uint32_t>::max()); }},
    {"log_level", "`\"debug\"`, `\"info\"`, `\"warn\"`, `\"error\"`", "`\"info\"`", "how much is logged",
     [](V v, RawGateway& g) { g.log_level = v.choice<log::Level>(log_levels); }},
    {"log_format", "`\"auto\"`, `\"text\"`, `\"json\"`, `\"journald\"`", "`\"auto\"`",
     "text or JSON on standard error, or the journal with fields, see [logs.md](logs.md); auto: the journal when "
     "standard error leads there, else text",
     [](V v, RawGateway& g) { g.log_format = v.choice<LogFormat>(log_formats); }},
    {"control_socket", "path", "`/run/culvert/control.sock`", "what the `culvert` command talks to",
     [](V v, RawGateway& g) { g.control_socket = v.text(); }, ReloadEffect::restart},
    {"control_group", "string", "`\"culvert\"`", "group that may use the socket beside root, when it exists",
     [](V v, RawGateway& g) { g.control_group = v.text(); }, ReloadEffect::restart},
    {"user", "string", "`\"culvert\"`", "what culvertd becomes when it has started as root and this user exists",
     [](V v, RawGateway& g) { g.user = v.text(); }, ReloadEffect::restart},
    {"sandbox", "boolean", "true", "system calls (seccomp) and files (Landlock) are restricted to what a gateway needs",
     [](V v, RawGateway& g) { g.sandbox = v.boolean(); }, ReloadEffect::restart},
    {"state_dir", "path", "`/run/culvert`", "what must be cleaned up after a crash is remembered here",
     [](V v, RawGateway& g) { g.state_dir = v.text(); }, ReloadEffect::restart},
    {"redirect", "name or address", "none",
     "gateway that callers are sent to where they follow redirects (RFC 5685); also by `culvert redirect`",
     [](V v, RawGateway& g) { g.redirect = v.text(); }},
    {"metrics", "address with or without a port, or `\"unix:PATH\"`", "none",
     "where `/metrics` is served over HTTP, for Prometheus: see [metrics.md](metrics.md); the port is 9475 when it is "
     "left out",
     [](V v, RawGateway& g) { g.metrics = v.text(); }},
    {"metrics_from", "array of prefixes", "this machine alone",
     "who else may ask for `metrics`; required when that is no loopback address",
     [](V v, RawGateway& g) { g.metrics_from = v.prefixes(HostBits::refused, false); }},
    {"crash_detection", "boolean", "true",
     "after a crash peers that speak RFC 6290 know at once; needs a `state_dir` that outlives it",
     [](V v, RawGateway& g) { g.crash_detection = v.boolean(); }, ReloadEffect::restart},
    {"allow_key_export", "boolean", "false",
     "root may have the keys of running SAs for a while, by `culvert capture --keys`, and read the traffic with them",
     [](V v, RawGateway& g) { g.allow_key_export = v.boolean(); }},
};

constexpr KeySpec<RawPeer> peer_table[] = {
    {"address", "array of names or addresses, or `\"any\"`", "required",
     "in order of preference; `\"any\"`: the peer initiates, from anywhere",
     [](V v, RawPeer& p) { p.address = v.peer_addresses(); }, ReloadEffect::reconnects},
    {"port", "integer 1 … 65535", "500", "the peer's IKE port",
     [](V v, RawPeer& p) { p.port = v.integer(1, max_port); }, ReloadEffect::reconnects},
    {"nat_port", "integer 1 … 65535", "4500", "the peer's port of IKE and ESP in UDP (NAT-T)",
     [](V v, RawPeer& p) { p.nat_port = v.integer(1, max_port); }, ReloadEffect::reconnects},
    {"tcp_port", "integer 1 … 65535", "none",
     "the peer's port for TCP (RFC 9329): used when UDP fails, and left as soon as UDP works again (with `mobike`)",
     [](V v, RawPeer& p) { p.tcp_port = v.integer(1, max_port); }},
    {"id", "string", "with one `public_key`: its key id; else required",
     "the identity the peer must prove; with `ca` it may have a `*`: `\"*.example.net\"`, `\"*@example.net\"`, "
     "`\"O=Example,CN=*\"`",
     [](V v, RawPeer& p) { p.id = v.text(); }, ReloadEffect::reauthenticates},
    {"profile", "`\"aws\"`, `\"azure\"`, `\"gcp\"`, `\"fortigate\"`, `\"cisco\"`, `\"native-clients\"`", "none",
     "what that vendor requires, for each key that is left out: see [clouds.md](clouds.md) and "
     "[native-clients.md](native-clients.md)",
     [](V v, RawPeer& p) { p.profile = v.choice<const Profile*>(profile_choices()); }, ReloadEffect::reauthenticates},
    {"local_id", "string", "`gateway.id`, or from `auth`", "our identity towards this peer",
     [](V v, RawPeer& p) { p.local_id = v.text(); }, ReloadEffect::reauthenticates},
    {"auth", auth_type, "`gateway.auth`", "how we prove who we are to this peer",
     [](V v, RawPeer& p) { p.auth = read_auth(v); }, ReloadEffect::reauthenticates},
    {"peer_auth", auth_type, "with `auth = { psk_file = … }`: the same key; else `gateway.peer_auth`",
     "how this peer must prove who it is", [](V v, RawPeer& p) { p.peer_auth = read_peer_auth(v); }, ReloadEffect::reauthenticates},
    {"start", "`\"always\"`, `\"on-traffic\"`, `\"wait\"`", "`\"always\"`; `\"wait\"` when address is `\"any\"`",
     "who brings it up, when", [](V v, RawPeer& p) { p.start = v.choice<ike::StartMode>(start_modes); }},
    {"ike", "array of proposals", "strong defaults", "e.g. `[\"aes256gcm16-prfsha384-x25519\"]`",
     [](V v, RawPeer& p) { p.ike = v.texts(); }, ReloadEffect::rekeys},
    {"esp", "array of proposals", "strong defaults",
     "e.g. `[\"aes256gcm16-x25519-esn\"]`; `esn` / `noesn`, both when neither is named",
     [](V v, RawPeer& p) { p.esp = v.texts(); }, ReloadEffect::rekeys},
    {"encapsulation", "`\"udp\"`, `\"auto\"`, `\"raw\"`", "`\"udp\"`",
     "always in UDP 4500; raw ESP (IP protocol 50) where no NAT is found; raw or nothing",
     [](V v, RawPeer& p) { p.encapsulation = v.choice<Encapsulation>(encapsulations); }, ReloadEffect::reauthenticates},
    {"ike_lifetime", "duration 1s … 30d", "`\"4h\"`", "rekey of the IKE SA",
     [](V v, RawPeer& p) { p.ike_lifetime = v.duration(1s, 720h); }},
    {"reauth_lifetime", "duration 1s … 30d, or `\"0s\"`", "`\"0s\"`",
     "how long an authentication counts (RFC 4478): a new IKE SA takes over in time, without loss; `\"0s\"` for ever",
     [](V v, RawPeer& p) { p.reauth_lifetime = v.duration(1s, 720h, true); }},
    {"child_lifetime", "duration 1s … 30d", "`\"1h\"`", "rekey of child SAs, by time",
     [](V v, RawPeer& p) { p.child_lifetime = v.duration(1s, 720h); }},
    {"child_bytes", "size, at least 1024", "none", "rekey of child SAs, by bytes",
     [](V v, RawPeer& p) { p.child_bytes = v.size(1024); }},
    {"child_packets", "integer, at least 10", "none", "rekey of child SAs, by packets",
     [](V v, RawPeer& p) { p.child_packets = v.size(10); }},
    {"rekey_jitter", "0 … 0.5", "0.1", "random part by which a rekey comes early",
     [](V v, RawPeer& p) { p.rekey_jitter = v.fraction(0, 0.5); }},
    {"liveness", "duration 1s … 1d, or `\"0s\"`", "`\"30s\"`",
     "silence after which the peer is asked whether it lives; `\"0s\"` never",
     [](V v, RawPeer& p) { p.liveness = v.duration(1s, 24h, true); }},
    {"retransmit_timeout", "duration 100ms … 1m", "`\"1s\"`", "first; each later one is 1.8 times as long",
     [](V v, RawPeer& p) { p.retransmit_timeout = v.duration(100ms, 60s); }},
    {"retransmit_tries", "integer 1 … 20", "7", "sends without an answer after which the peer is lost",
     [](V v, RawPeer& p) { p.retransmit_tries = v.integer(1, 20); }},
    {"fragment_size", "integer 576 … 65535, or 0", "1280",
     "IP datagrams that a longer IKE message is cut into (RFC 7383), when the peer can do it too; 0: never",
     [](V v, RawPeer& p) { p.fragment_size = v.integer(0, 65535); }},
    {"probe_interval", "duration 1s … 1h, or `\"0s\"`", "`\"10s\"`",
     "how often its tunnels are asked, from inside, whether traffic passes; `\"0s\"` never: see [control.md](control.md)",
     [](V v, RawPeer& p) { p.probe_interval = v.duration(1s, 1h, true); }},
    {"path_mtu_discovery", "boolean", "true",
     "find the MTU of the path by authenticated probes (RFC 8899), and let the tunnels' MTU follow it, but for those with `mtu`",
     [](V v, RawPeer& p) { p.path_mtu_discovery = v.boolean(); }},
    {"mobike", "boolean", "true", "addresses of either end may change while the tunnel stays up (RFC 4555)",
     [](V v, RawPeer& p) { p.mobike = v.boolean(); }},
    {"local_address", "array of addresses", "the kernel's choice",
     "ours to use towards this peer, in order of preference; each must be one that `gateway.listen` covers",
     [](V v, RawPeer& p) { p.local_address = v.addresses(); }},
    {"keepalive", "duration 1s … 1h", "`\"20s\"`", "NAT keepalive when we are behind a NAT",
     [](V v, RawPeer& p) { p.keepalive = v.duration(1s, 1h); }},
    {"unique", "`\"replace\"`, `\"keep\"`, `\"never\"`", "`\"replace\"`",
     "a second IKE SA with this identity replaces the first; is refused from another address; stands beside it",
     [](V v, RawPeer& p) { p.unique = v.choice<ike::UniquePolicy>(unique_policies); }},
    {"resumption", "boolean", "false",
     "session tickets (RFC 5723): a lost IKE SA comes back without a key exchange, which follows a little later",
     [](V v, RawPeer& p) { p.resumption = v.boolean(); }},
    {"follow_redirects", "boolean", "false",
     "go to another gateway where the peer says so (RFC 5685); that one must prove the same `id`",
     [](V v, RawPeer& p) { p.follow_redirects = v.boolean(); }},
    {"childless", "`\"allow\"`, `\"prefer\"`, `\"never\"`", "`\"allow\"`",
     "IKE SA without a child (RFC 6023): accepted; asked for, every child then has a key exchange of its own; refused",
     [](V v, RawPeer& p) { p.childless = v.choice<ike::ChildlessPolicy>(childless_policies); }},
    {"pool", "array of `[pool.NAME]`", "none",
     "address = `\"any\"`: everybody who authenticates is a client of his own, with addresses of the first of these "
     "that "
     "he may use and that has some left: see [road-warriors.md](road-warriors.md)",
     [](V v, RawPeer& p) { p.pool = v.texts(); }, ReloadEffect::in_place},
    {"max_clients", "integer 1 … 100000", "1000", "with `pool`: how many may be connected",
     [](V v, RawPeer& p) { p.max_clients = v.integer(1, 100000); }},
    {"virtual_address", "`\"any\"`, `\"ipv4\"`, `\"ipv6\"`", "none",
     "we are a client of this gateway: ask it for addresses (any: of both families, one is enough), DNS servers and "
     "domains; what it grants decides about the routes",
     [](V v, RawPeer& p) { p.virtual_address = v.choice<VirtualAddress>(virtual_addresses); }, ReloadEffect::reconnects},
};

constexpr KeySpec<RawTunnel> tunnel_table[] = {
    {"peer", "string", "required", "a `[peer.NAME]`", [](V v, RawTunnel& t) { t.peer = v.text(); },
     ReloadEffect::remakes},
    {"carry", "`\"gre\"` or `\"ip\"`", "required", "routed GRE inside ESP, or plain ESP tunnel mode",
     [](V v, RawTunnel& t) { t.carry = v.choice<tunnel::Carry>(carries); }, ReloadEffect::remakes},
    {"device", "string", "required", "TUN device, at most 15 characters; one tunnel a device",
     [](V v, RawTunnel& t) { t.device = v.text(); }, ReloadEffect::remakes},
    {"mode", "`\"auto\"`, `\"tunnel\"`, `\"transport\"`", "`\"auto\"`",
     "auto: gre without `source`/`destination` asks for transport and lives with tunnel; everything else is tunnel "
     "mode",
     [](V v, RawTunnel& t) { t.mode = v.choice<TunnelMode>(tunnel_modes); }, ReloadEffect::renegotiates},
    {"key", "integer 0 … 2³²−1", "none", "GRE key (RFC 2890); carry = \"gre\"",
     [](V v, RawTunnel& t) { t.gre_key = v.integer(0, max_gre_key); }, ReloadEffect::remakes},
    {"sequence", "boolean", "false", "GRE sequence numbers; carry = \"gre\"",
     [](V v, RawTunnel& t) { t.sequence = v.boolean(); }, ReloadEffect::remakes},
    {"checksum", "boolean", "false", "GRE checksum; carry = \"gre\"",
     [](V v, RawTunnel& t) { t.checksum = v.boolean(); }, ReloadEffect::remakes},
    {"source", "address", "the IKE addresses",
     "our GRE endpoint inside ESP tunnel mode; only with `destination`; carry = \"gre\"",
     [](V v, RawTunnel& t) { t.source = v.address(); }, ReloadEffect::remakes},
    {"destination", "address", "the IKE addresses",
     "the peer's GRE endpoint inside ESP tunnel mode; only with `source`; carry = \"gre\"",
     [](V v, RawTunnel& t) { t.destination = v.address(); }, ReloadEffect::remakes},
    {"local", "array of prefixes", "required for ip; everything with a cloud's `profile`",
     "traffic selectors of our side; carry = \"ip\"",
     [](V v, RawTunnel& t) { t.local = v.prefixes(HostBits::refused, false); }, ReloadEffect::renegotiates},
    {"remote", "array of prefixes", "required for ip; everything with a cloud's `profile`",
     "traffic selectors of the peer's side; carry = \"ip\"",
     [](V v, RawTunnel& t) { t.remote = v.prefixes(HostBits::refused, false); }, ReloadEffect::renegotiates},
    {"address", "array of prefixes", "`[]`", "of the device, with their host bits",
     [](V v, RawTunnel& t) { t.address = v.prefixes(HostBits::allowed, true); }},
    {"routes", "array of prefixes", "gre: `[]`; ip: `remote`", "routes into the device",
     [](V v, RawTunnel& t) { t.routes = v.prefixes(HostBits::refused, true); }},
    {"table", "name or integer 1 … 4294967295, or `\"off\"`", "`\"main\"`",
     "routing table of `routes`: its number, or its name in `/etc/iproute2/rt_tables`; off: none are made",
     [](V v, RawTunnel& t) { t.table = read_routing_table(v); }},
    {"metric", "integer 0 … 3999999999", "0 (IPv6: 1024)",
     "of `routes`: among equal prefixes of a table the lowest is used",
     [](V v, RawTunnel& t) { t.metric = v.integer(0, max_route_metric); }},
    {"fail_closed", "boolean", "true",
     "behind `routes` and the nets of `address` stands an unreachable route each, which outlives a crash",
     [](V v, RawTunnel& t) { t.fail_closed = v.boolean(); }},
    {"mtu", "integer 576 … 65535", "from the path and the overhead", "of the device; at least 1280 with IPv6 inside",
     [](V v, RawTunnel& t) { t.mtu = v.integer(576, 65535); }},
    {"probe", "address", "of a net of two hosts in `address`: the other one",
     "an address behind the tunnel that answers ping: asked whether traffic passes, where the peer is no culvert",
     [](V v, RawTunnel& t) { t.probe = v.address(); }},
    {"clamp_mss", "boolean", "true", "clamp TCP MSS to what fits",
     [](V v, RawTunnel& t) { t.clamp_mss = v.boolean(); }},
    {"mss", "integer 500 … 65495", "what fits", "highest TCP MSS that `clamp_mss` lets through, over IPv4 and IPv6",
     [](V v, RawTunnel& t) { t.mss = v.integer(500, 65495); }},
    {"copy_dscp", "boolean", "true", "inner DSCP to the outer header",
     [](V v, RawTunnel& t) { t.copy_dscp = v.boolean(); }},
    {"replay_window", "integer 64 … 65536", "4096", "packets",
     [](V v, RawTunnel& t) { t.replay_window = v.integer(64, 65536); }},
    {"up", "array of strings", "none",
     "program with its arguments that is run, as root and without a shell, when the tunnel has come up: see "
     "[hooks.md](hooks.md)",
     [](V v, RawTunnel& t) { t.up = v.texts(); }},
    {"down", "array of strings", "none", "the same when it has gone down",
     [](V v, RawTunnel& t) { t.down = v.texts(); }},
};

constexpr KeySpec<RawRadius> radius_table[] = {
    {"servers", "array of addresses", "required", "in order of preference, with a port where it is not 1812",
     [](V v, RawRadius& r) { r.servers = v.texts(); }},
    {"secret_file", "path", "required", "file of mode 0600 with the secret that the servers know us by",
     [](V v, RawRadius& r) { r.secret_file = v.text(); }},
    {"accounting", "array of addresses", "none", "who is told of sessions, with a port where it is not 1813",
     [](V v, RawRadius& r) { r.accounting = v.texts(); }},
    {"interim", "duration 60s … 24h", "`\"10m\"`", "between two reports of a session that goes on",
     [](V v, RawRadius& r) { r.interim = v.duration(1min, 24h); }},
    {"nas_id", "string", "our identity", "NAS-Identifier", [](V v, RawRadius& r) { r.nas_id = v.text(); }},
    {"timeout", "duration 500ms … 10s", "`\"2s\"`", "until a request is sent again; doubles each time",
     [](V v, RawRadius& r) { r.timeout = v.duration(500ms, 10s); }},
    {"tries", "integer 1 … 5", "3", "sends to one server before the next one is asked",
     [](V v, RawRadius& r) { r.tries = v.integer(1, 5); }},
    {"dead_time", "duration 1s … 1h", "`\"60s\"`", "that a silent server is left alone, while another one answers",
     [](V v, RawRadius& r) { r.dead_time = v.duration(1s, 1h); }},
};

constexpr std::pair<std::string_view, std::string_view> hints[] = {
    {"psk",
     "secrets never stand in the TOML; write the key to a file of mode 0600 and name it: auth = { psk_file = \"FILE\" "
     "}"},
    {"secret",
     "secrets never stand in the TOML; write the key to a file of mode 0600 and name it: auth = { psk_file = \"FILE\" "
     "}"},
    {"password",
     "secrets never stand in the TOML; write the key to a file of mode 0600 and name it: auth = { psk_file = \"FILE\" "
     "}"},
    {"certificate",
     "ours stands in auth = { certificate = \"FILE\", key = \"FILE\" }, and what the peer's is checked by in peer_auth "
     "= { ca = \"FILE\" }"},
    {"cert",
     "ours stands in auth = { certificate = \"FILE\", key = \"FILE\" }, and what the peer's is checked by in peer_auth "
     "= { ca = \"FILE\" }"},
    {"ca", "what the peer's certificate is checked by stands in peer_auth = { ca = \"FILE\" }"},
    {"cacerts", "what the peer's certificate is checked by stands in peer_auth = { ca = \"FILE\" }"},
    {"crl", "it stands in peer_auth = { ca = \"FILE\", crl = \"FILE or http://…\" }"},
    {"ocsp", "it stands in peer_auth = { ca = \"FILE\", ocsp = \"http://…\" }"},
    {"public_key",
     "the peer's stands in peer_auth = { public_key = \"…\" }; ours follows from auth = { key = \"FILE\" }"},
    {"private_key", "the key stands in a file of mode 0600: auth = { key = \"FILE\" }"},
    {"passphrase", "secrets never stand in the TOML; write it to a file of mode 0600: passphrase_file = \"FILE\""},
    {"pin", "secrets never stand in the TOML; write it to a file of mode 0600: passphrase_file = \"FILE\""},
    {"eap", "it stands in auth = { eap = \"…\" } of who logs in, and in peer_auth = { eap = \"…\" } of the gateway"},
    {"local_ts", "traffic selectors are called local and remote, and stand in [tunnel.NAME]"},
    {"remote_ts", "traffic selectors are called local and remote, and stand in [tunnel.NAME]"},
    {"dpd_delay", "it is called liveness"},
    {"dpd", "it is called liveness"},
    {"fwmark",
     "it stands in [gateway]: the mark of the packets that culvertd sends. For marked packets to go into a tunnel: "
     "table = N, and 'ip rule add fwmark MARK lookup N'"},
    {"post_up", "it is called up: an array of strings, the program and its arguments; there is no shell"},
    {"postup", "it is called up: an array of strings, the program and its arguments; there is no shell"},
    {"post_down", "it is called down: an array of strings, the program and its arguments; there is no shell"},
    {"updown", "there are two keys, up and down: arrays of strings, the program and its arguments; there is no shell"},
    {"mark", "it is called fwmark, and stands in [gateway]: the mark of the packets that culvertd sends"},
    {"mark_out", "it is called fwmark, and stands in [gateway]: the mark of the packets that culvertd sends"},
    {"set_mark_out", "it is called fwmark, and stands in [gateway]: the mark of the packets that culvertd sends"},
};

}  // namespace

std::span<const KeySpec<RawGateway>> gateway_keys() {
  return gateway_table;
}
std::span<const KeySpec<RawPeer>> peer_keys() {
  return peer_table;
}
std::span<const KeySpec<RawTunnel>> tunnel_keys() {
  return tunnel_table;
}

std::span<const KeySpec<RawRadius>> radius_keys() {
  return radius_table;
}

std::string_view hint_for_unknown(std::string_view key) {
  for (const auto& [name, hint] : hints) {
    if (name == key) return hint;
  }
  return {};
}

}  // namespace culvert::config
