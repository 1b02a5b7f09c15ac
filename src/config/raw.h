#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/log.h"
#include "culvert/base/time.h"
#include "culvert/crypto/trust.h"
#include "culvert/eap/packet.h"
#include "culvert/ike/config.h"
#include "culvert/tunnel/data_plane.h"
#include "syntax.h"

namespace culvert::config {

// The file as typed values with their positions: what read.cpp makes of the syntax tree and validate.cpp turns into a
// Config. Each field is of the right type and in its range; how fields fit together is not checked yet.

/// "peer.tokyo.start"; a name that TOML would quote is quoted.
[[nodiscard]] std::string dotted(std::string_view parent, std::string_view key);

/// A key of the file. `present` without a value: it was there, but wrong, and that is reported already.
template <class T>
struct Field {
  std::optional<T> value;
  bool present = false;
  Position at;  ///< of the value; of the key when the value has none
};

template <class T>
struct Located {
  T value;
  Position at;
};
template <class T>
using List = Field<std::vector<Located<T>>>;

/// An array of host names and addresses, or "any".
struct PeerAddresses {
  bool any = false;
  std::vector<Located<std::string>> names;
};

enum class TunnelMode : std::uint8_t { automatic, tunnel, transport };

/// How we sign for a peer that knows RFC 7427.
enum class SignatureChoice : std::uint8_t { rsa_pss, rsa_pkcs1, classic };

/// `auth`: how we prove who we are.
struct RawAuth {
  Position at;
  Field<std::string> psk_file, certificate, key, passphrase_file, pkcs11_module;
  List<std::string> intermediates;
  Field<SignatureChoice> signature;
  Field<eap::Type> eap;
  Field<std::string> user, password_file;
  List<std::string> ca;  ///< of EAP-TLS
  Field<bool> eap_only;
};

/// `peer_auth`: how the peer must prove who it is.
struct RawPeerAuth {
  Position at;
  Field<std::string> psk_file;
  List<std::string> public_key;
  List<std::string> ca, intermediates, crl;
  Field<std::string> ocsp;
  Field<crypto::RevocationPolicy> revocation;
  List<std::string> eap;
  Field<std::string> radius;
  Field<bool> eap_only;
};

struct RawGateway {
  Position at;
  Field<std::string> id;
  List<IpAddress> listen;
  Field<std::int64_t> port, nat_port, tcp_port;
  Field<std::int64_t> workers;  ///< 0: "auto"
  Field<std::int64_t> busy_poll_us;
  Field<std::int64_t> fwmark;
  Field<std::string_view> aead;  ///< one of the words of the reference
  Field<log::Level> log_level;
  Field<LogFormat> log_format;
  Field<std::string> control_socket, control_group, state_dir, user;
  Field<bool> sandbox;
  Field<RawAuth> auth;
  Field<RawPeerAuth> peer_auth;
  Field<bool> crash_detection, allow_key_export;
  Field<std::string> users;
  Field<std::string> redirect;
  Field<std::string> metrics;
  List<IpPrefix> metrics_from;
};

/// What a peer is asked for.
struct VirtualAddress {
  bool v4 = false, v6 = false;
};

struct RawPool {
  std::string name;
  Position at;
  List<IpPrefix> addresses, exclude, allow;
  List<IpAddress> dns;
  List<std::string> domains, users, groups;

  [[nodiscard]] std::string key(std::string_view field) const { return dotted(dotted("pool", name), field); }
};

struct Profile;  // profiles.h

struct RawPeer {
  std::string name;
  Position at;
  Field<const Profile*> profile;
  Field<PeerAddresses> address;
  Field<std::int64_t> port, nat_port, tcp_port;
  Field<std::string> id, local_id;
  Field<RawAuth> auth;
  Field<RawPeerAuth> peer_auth;
  Field<ike::StartMode> start;
  List<std::string> ike, esp;
  Field<ike::EncapsulationPreference> encapsulation;
  Field<Duration> ike_lifetime, child_lifetime;
  Field<std::uint64_t> child_bytes, child_packets;
  Field<double> rekey_jitter;
  Field<Duration> reauth_lifetime;
  Field<Duration> liveness, retransmit_timeout, keepalive, probe_interval;
  Field<std::int64_t> retransmit_tries, fragment_size;
  Field<bool> mobike, path_mtu_discovery;
  List<IpAddress> local_address;
  Field<ike::UniquePolicy> unique;
  Field<bool> resumption, follow_redirects;
  Field<ike::ChildlessPolicy> childless;
  List<std::string> pool;
  Field<std::int64_t> max_clients;
  Field<VirtualAddress> virtual_address;

  [[nodiscard]] std::string key(std::string_view field) const { return dotted(dotted("peer", name), field); }
};

struct RawTunnel {
  std::string name;
  Position at;
  Field<std::string> peer;
  Field<tunnel::Carry> carry;
  Field<std::string> device;
  Field<TunnelMode> mode;
  Field<std::int64_t> gre_key;  ///< of GRE
  Field<bool> sequence, checksum;
  Field<IpAddress> source, destination, probe;
  List<IpPrefix> local, remote, address, routes;
  Field<std::int64_t> mtu, mss;
  Field<std::uint32_t> table;  ///< 0: "off"
  Field<std::int64_t> metric;
  Field<bool> fail_closed, clamp_mss, copy_dscp;
  Field<std::int64_t> replay_window;
  List<std::string> up, down;

  // What complete_tunnels has filled in.
  bool from_pools = false;         ///< `remote` is that of the peer's pools
  bool virtual_local = false;      ///< `local` is what the peer gives us
  bool routes_as_granted = false;  ///< …and the routes are what it grants

  [[nodiscard]] std::string key(std::string_view field) const { return dotted(dotted("tunnel", name), field); }
};

/// A user, of the file of users.
struct RawUser {
  Position at;
  Field<std::string> password, nt_hash, group, expires;
  Field<bool> enabled;
};

/// RADIUS servers that stand for each other.
struct RawRadius {
  std::string name;
  Position at;
  List<std::string> servers, accounting;
  Field<std::string> secret_file, nas_id;
  Field<Duration> timeout, dead_time, interim;
  Field<std::int64_t> tries;

  [[nodiscard]] std::string key(std::string_view field) const { return dotted(dotted("radius", name), field); }
};

/// A client's profile: a gateway, and a little of ourselves.
struct RawClient {
  RawGateway gateway;
  RawPeer peer;
  RawTunnel tunnel;
  List<std::string> ca;
  Field<bool> dns, kill_switch;
};

struct RawFile {
  std::optional<RawGateway> gateway;
  std::vector<RawPeer> peers;  ///< in the order of the file
  std::vector<RawTunnel> tunnels;
  std::vector<RawRadius> radius;
  std::vector<RawPool> pools;
};

}  // namespace culvert::config
