#pragma once
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/crypto/certificate.h"

namespace culvert::cli {

enum class ClientAuth : std::uint8_t {
  password,     ///< EAP-MSCHAPv2; the password is typed in by the user
  certificate,  ///< IKE's own AUTH
  eap_tls,      ///< EAP with the certificate
};

/// What a client must know to reach a gateway; each format says it in its own words. Every text is check_exportable.
struct ClientProfile {
  std::string name;       ///< of the connection, for people
  std::string server;     ///< host name or address
  std::string server_id;  ///< the identity that the gateway proves
  std::string user;
  ClientAuth auth = ClientAuth::password;
  std::string local_id;                 ///< IKE identity of a certificate
  std::vector<crypto::Certificate> ca;  ///< what the gateway's certificate is below
  std::string ca_name;                  ///< CN of whoever issued the gateway's certificate; may be empty
  std::string pkcs12;                   ///< of the certificate, base64
  std::string key_type;                 ///< of the certificate, in Apple's words: "RSA", "ECDSA256", …
  std::vector<IpPrefix> routes;         ///< what the gateway leads to
  std::uint16_t port = 500, nat_port = 4500;
  std::uint16_t tcp_port = 0;  ///< IKE and ESP in TCP (RFC 9329); 0: none
  std::string doubt;  ///< why the gateway, as it is configured, would not let this client in; empty: none is known

  [[nodiscard]] bool has_certificate() const noexcept { return auth != ClientAuth::password; }
  /// All traffic of a family, or some nets.
  [[nodiscard]] bool is_full_tunnel() const noexcept;
  /// "…" for one part of the profile; the same for the same gateway and user.
  [[nodiscard]] std::string uuid(std::string_view part) const;
  /// Where the files that a profile for Linux points to are expected: "culvert-1a2b3c4d".
  [[nodiscard]] std::string file_stem() const;
};

[[nodiscard]] std::string to_mobileconfig(const ClientProfile& profile);     ///< iOS and macOS: property list in XML
[[nodiscard]] std::string to_powershell(const ClientProfile& profile);       ///< Windows 10 and 11
[[nodiscard]] std::string to_sswan(const ClientProfile& profile);            ///< strongSwan's app: JSON
[[nodiscard]] std::string to_network_manager(const ClientProfile& profile);  ///< keyfile of its strongSwan plugin
[[nodiscard]] std::string to_culvert_profile(const ClientProfile& profile);  ///< for `culvert connect`: TOML

}  // namespace culvert::cli
