// The other end is a cloud or a vendor's box: what its documents require.
#include "profiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

namespace culvert::config {
namespace {

using namespace std::chrono_literals;
using Words = std::string_view;

// AWS: no ESN; key exchange groups 2, 5 and 14–24; of the IKE SA at most 28,800 s, of child SAs at most 3,600 s.
constexpr std::array aws_ike = {Words("aes256gcm16-prfsha384-ecp384"), Words("aes256-sha384-ecp384-modp2048"),
                                Words("aes256-sha256-ecp256-modp2048"), Words("aes128-sha256-modp2048")};
constexpr std::array aws_esp = {Words("aes256gcm16-ecp384-modp2048-noesn"), Words("aes128gcm16-ecp256-modp2048-noesn"),
                                Words("aes256-sha256-ecp384-modp2048-noesn"),
                                Words("aes128-sha256-ecp256-modp2048-noesn")};
// Azure: a rekey that it begins has no PFS unless the connection's policy names a group, hence `none`.
constexpr std::array azure_ike = {Words("aes256gcm16-prfsha384-ecp384-ecp256-modp2048"),
                                  Words("aes256-sha384-ecp384-ecp256-modp2048"),
                                  Words("aes256-sha256-ecp384-ecp256-modp2048")};
constexpr std::array azure_esp = {Words("aes256gcm16-ecp384-ecp256-modp2048-none-noesn"),
                                  Words("aes128gcm16-ecp384-ecp256-modp2048-none-noesn"),
                                  Words("aes256-sha256-ecp384-ecp256-modp2048-none-noesn")};
// Google: whoever initiates chooses, so with more than one algorithm a role a rekey may change it.
constexpr std::array gcp_ike = {Words("aes256gcm16-prfsha384-ecp384")};
constexpr std::array gcp_esp = {Words("aes256gcm16-ecp384-noesn")};
constexpr std::array fortigate_ike = {Words("aes256gcm16-prfsha384-ecp521-ecp384-modp2048"),
                                      Words("aes256-sha256-ecp521-ecp384-modp2048"),
                                      Words("aes128-sha256-ecp521-ecp384-modp2048")};
constexpr std::array fortigate_esp = {Words("aes256gcm16-ecp521-ecp384-modp2048-noesn"),
                                      Words("aes256-sha256-ecp521-ecp384-modp2048-noesn"),
                                      Words("aes128-sha256-ecp521-ecp384-modp2048-noesn")};
constexpr std::array cisco_ike = {Words("aes256gcm16-prfsha512-prfsha384-prfsha256-ecp384-ecp256-modp2048"),
                                  Words("aes256-sha512-sha384-sha256-ecp256-ecp521-ecp384-modp2048")};
constexpr std::array cisco_esp = {Words("aes256gcm16-ecp384-ecp256-modp2048-none-noesn"),
                                  Words("aes256-sha256-ecp384-ecp256-modp2048-none-noesn")};

// Phones and laptops with what their systems bring: strength first, and among equals what is fast. Android 11 has no
// PRF but HMAC-SHA1; macOS rekeys its child SAs without a key exchange, hence `none`. The lifetimes are longer than
// those of the clients, who rekey by their own clocks: Windows behind a NAT refuses a rekey that the gateway begins.
constexpr std::array native_ike = {
    Words("aes256gcm16-chacha20poly1305-prfsha512-prfsha384-prfsha256-prfsha1-"
          "x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048"),
    Words("aes256-sha512-sha384-sha256-prfsha512-prfsha384-prfsha256-prfsha1-"
          "x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048"),
    Words("aes128gcm16-prfsha512-prfsha384-prfsha256-prfsha1-x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048"),
    Words("aes128-sha512-sha384-sha256-prfsha512-prfsha384-prfsha256-prfsha1-"
          "x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048")};
constexpr std::array native_esp = {
    Words("aes256gcm16-chacha20poly1305-x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048-none-esn-noesn"),
    Words("aes256-sha512-sha384-sha256-x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048-none-esn-noesn"),
    Words("aes128gcm16-x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048-none-esn-noesn"),
    Words("aes128-sha512-sha384-sha256-x25519-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048-none-esn-noesn")};

constexpr Profile aws = {.word = "aws",
                         .vendor = "AWS Site-to-Site VPN",
                         .ike = aws_ike,
                         .esp = aws_esp,
                         .ike_lifetime = 8h,
                         .child_lifetime = 1h,
                         .liveness = 10s,
                         .mss = 1406,
                         .replay_window = 1024,
                         .gre = false,
                         .single_pair = true,
                         .single_cipher = false};
constexpr Profile azure = {.word = "azure",
                           .vendor = "Azure VPN Gateway",
                           .ike = azure_ike,
                           .esp = azure_esp,
                           .ike_lifetime = 8h,
                           .child_lifetime = 27000s,
                           .liveness = 15s,
                           .mss = 1350,
                           .replay_window = 0,
                           .gre = false,
                           .single_pair = true,
                           .single_cipher = false};
constexpr Profile gcp = {.word = "gcp",
                         .vendor = "Google Cloud VPN",
                         .ike = gcp_ike,
                         .esp = gcp_esp,
                         .ike_lifetime = 10h,
                         .child_lifetime = 3h,
                         .liveness = 20s,
                         .mss = 1360,
                         .replay_window = 0,
                         .gre = false,
                         .single_pair = true,
                         .single_cipher = true};
constexpr Profile fortigate = {.word = "fortigate",
                               .vendor = "FortiGate",
                               .ike = fortigate_ike,
                               .esp = fortigate_esp,
                               .ike_lifetime = 24h,
                               .child_lifetime = 12h,
                               .liveness = 20s,
                               .mss = 0,
                               .replay_window = 0,
                               .gre = true,
                               .single_pair = false,
                               .single_cipher = false};
constexpr Profile cisco = {.word = "cisco",
                           .vendor = "Cisco IOS XE",
                           .ike = cisco_ike,
                           .esp = cisco_esp,
                           .ike_lifetime = 24h,
                           .child_lifetime = 1h,
                           .liveness = 10s,
                           .mss = 1360,
                           .replay_window = 0,
                           .gre = true,
                           .single_pair = false,
                           .single_cipher = false};
constexpr Profile native_clients = {.word = "native-clients",
                                    .vendor = "the clients of Windows, macOS, iOS and Android",
                                    .ike = native_ike,
                                    .esp = native_esp,
                                    .ike_lifetime = 30h,
                                    .child_lifetime = 28h,
                                    .liveness = 120s,
                                    .mss = 0,
                                    .replay_window = 0,
                                    .gre = false,
                                    .single_pair = false,
                                    .single_cipher = false,
                                    .clients = true};
constexpr std::array choices = {
    Choice<const Profile*>{aws.word, &aws},     Choice<const Profile*>{azure.word, &azure},
    Choice<const Profile*>{gcp.word, &gcp},     Choice<const Profile*>{fortigate.word, &fortigate},
    Choice<const Profile*>{cisco.word, &cisco}, Choice<const Profile*>{native_clients.word, &native_clients}};

template <class T, class U>
void fill(Field<T>& field, U value, Position at) {
  if (field.present) return;
  field = {T(std::move(value)), true, at};
}

void fill(List<std::string>& list, std::span<const std::string_view> words, Position at) {
  if (list.present) return;
  list = {std::vector<Located<std::string>>{}, true, at};
  for (const std::string_view word : words) list.value->push_back({std::string(word), at});
}

void fill_peer(RawPeer& peer, const Profile& profile) {
  const Position at = peer.profile.at;
  fill(peer.ike, profile.ike, at);
  fill(peer.esp, profile.esp, at);
  fill(peer.ike_lifetime, profile.ike_lifetime, at);
  fill(peer.child_lifetime, profile.child_lifetime, at);
  fill(peer.liveness, profile.liveness, at);
}

bool is_default_route(const IpPrefix& prefix) {
  return prefix.length == 0;
}

/// Everything to everything, and nothing is routed unless it is named: such a tunnel's routes come from BGP or from
/// `routes`. A tunnel that names its nets keeps them.
void fill_selectors(RawTunnel& tunnel, Position at) {
  const std::vector<Located<IpPrefix>> any = {{*IpPrefix::parse("0.0.0.0/0"), at}};
  fill(tunnel.local, any, at);
  fill(tunnel.remote, any, at);
  const bool everything = tunnel.remote.value && std::ranges::any_of(*tunnel.remote.value, [](const auto& prefix) {
                            return is_default_route(prefix.value);
                          });
  if (everything) fill(tunnel.routes, std::vector<Located<IpPrefix>>{}, at);
}

void fill_tunnel(RawTunnel& tunnel, const Profile& profile, Position at) {
  if (tunnel.carry.value == tunnel::Carry::ip && !profile.clients) fill_selectors(tunnel, at);
  if (profile.mss != 0 && tunnel.clamp_mss.value.value_or(true)) fill(tunnel.mss, profile.mss, at);
  if (profile.replay_window != 0) fill(tunnel.replay_window, profile.replay_window, at);
}

void check_carry(const RawTunnel& tunnel, const Profile& profile, Findings& findings) {
  if (tunnel.carry.value != tunnel::Carry::gre || profile.gre) return;
  findings.error(tunnel.carry.at, tunnel.key("carry"),
                 profile.clients
                     ? fmt::format("{} speak no GRE: use carry = \"ip\"", profile.vendor)
                     : fmt::format("{} carries no GRE: use carry = \"ip\", with BGP over the addresses of the device",
                                   profile.vendor));
}

/// A second word for one role would let a rekey choose otherwise than the first exchange did.
void check_single_cipher(const RawPeer& peer, const Profile& profile, Findings& findings) {
  for (const auto& [list, name] : {std::pair{&peer.ike, "ike"}, std::pair{&peer.esp, "esp"}}) {
    if (!list->value || list->value->size() < 2) continue;
    findings.warn(list->at, peer.key(name),
                  fmt::format("{} advises one proposal: with several, whoever begins a rekey may change the algorithms",
                              profile.vendor));
  }
}

/// Nobody calls a phone.
void check_clients(const RawPeer& peer, const Profile& profile, Findings& findings) {
  if (!profile.clients || !peer.address.value || peer.address.value->any) return;
  findings.error(peer.address.at, peer.key("address"),
                 fmt::format("{} call, and are not called: address = \"any\"", profile.vendor));
}

}  // namespace

std::span<const Choice<const Profile*>> profile_choices() {
  return choices;
}

void apply_profiles(RawFile& file, Findings& findings) {
  std::map<std::string_view, const RawPeer*> with_profile;
  for (RawPeer& peer : file.peers) {
    if (!peer.profile.present) continue;
    with_profile.emplace(peer.name, &peer);
    if (!peer.profile.value) continue;
    const Profile& profile = **peer.profile.value;
    if (profile.single_cipher) check_single_cipher(peer, profile, findings);
    check_clients(peer, profile, findings);
    fill_peer(peer, profile);
  }
  std::map<std::string_view, const RawTunnel*> first_of;
  for (RawTunnel& tunnel : file.tunnels) {
    const auto peer = tunnel.peer.value ? with_profile.find(*tunnel.peer.value) : with_profile.end();
    if (peer == with_profile.end()) continue;
    if (!peer->second->profile.value) {
      if (tunnel.carry.value == tunnel::Carry::ip) fill_selectors(tunnel, tunnel.at);  // one mistake, one message
      continue;
    }
    const Profile& profile = **peer->second->profile.value;
    check_carry(tunnel, profile, findings);
    fill_tunnel(tunnel, profile, peer->second->profile.at);
    const auto [first, is_new] = first_of.try_emplace(peer->first, &tunnel);
    if (is_new || !profile.single_pair) continue;
    findings.error(
        tunnel.peer.at, tunnel.key("peer"),
        fmt::format("{} allows one pair of SAs a connection, and tunnel {} ({}) has it: route more nets "
                    "into that one",
                    profile.vendor, first->second->name, findings.place(first->second->at)));
  }
}

}  // namespace culvert::config
