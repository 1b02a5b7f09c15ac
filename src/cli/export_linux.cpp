// What strongSwan's app and NetworkManager plugin read, and our own client.
#include <fmt/format.h>

#include "client_profile.h"
#include "export_text.h"

namespace culvert::cli {

// strongSwan documentation, "VPN Profile Import for the Android VPN Client".
std::string to_sswan(const ClientProfile& profile) {
  const char* type = "ikev2-eap";
  if (profile.auth == ClientAuth::certificate) type = "ikev2-cert";
  if (profile.auth == ClientAuth::eap_tls) type = "ikev2-eap-tls";
  std::string remote =
      fmt::format("\"addr\": {}, \"id\": {}", json_string(profile.server), json_string(profile.server_id));
  // With another port than 500 the app speaks UDP encapsulation there from the start.
  if (profile.port != 500 || profile.nat_port != 4500) remote += fmt::format(", \"port\": {}", profile.nat_port);
  if (!profile.ca.empty()) remote += fmt::format(", \"cert\": \"{}\"", base64_of(profile.ca.front().der()));
  const std::string local = profile.has_certificate() ? fmt::format("\"id\": {}, \"p12\": \"{}\", \"rsa-pss\": true",
                                                                    json_string(profile.local_id), profile.pkcs12)
                                                      : fmt::format("\"eap_id\": {}", json_string(profile.user));
  std::string split;
  for (const IpPrefix& prefix : profile.routes) split += (split.empty() ? "\"" : ", \"") + prefix.to_string() + "\"";
  if (profile.is_full_tunnel() || split.empty())
    split.clear();
  else
    split = fmt::format(",\n  \"split-tunneling\": {{\"subnets\": [{}]}}", split);
  return fmt::format(
      "{{\n  \"uuid\": \"{}\",\n  \"name\": {},\n  \"type\": \"{}\",\n  \"remote\": {{{}}},\n  \"local\": "
      "{{{}}}{}\n}}\n",
      profile.uuid("profile"), json_string(profile.name), type, remote, local, split);
}

// NetworkManager, nm-settings-keyfile(5); the keys of [vpn] are those that strongSwan's src/charon-nm/nm/nm_service.c
// reads.
std::string to_network_manager(const ClientProfile& profile) {
  const std::string stem = profile.file_stem();
  std::string text = fmt::format("[connection]\nid={}\nuuid={}\ntype=vpn\nautoconnect=false\n\n[vpn]\n",
                                 keyfile_value(profile.name), profile.uuid("profile"));
  text += fmt::format("service-type=org.freedesktop.NetworkManager.strongswan\naddress={}\nremote-identity={}\n",
                      keyfile_value(profile.server), keyfile_value(profile.server_id));
  if (profile.port != 500 || profile.nat_port != 4500) text += fmt::format("server-port={}\n", profile.nat_port);
  if (!profile.ca.empty()) text += fmt::format("certificate=/etc/ipsec.d/cacerts/{}.pem\n", stem);
  if (profile.has_certificate()) {
    text += fmt::format(
        "method={}\ncert-source=file\nlocal-identity={}\nusercert=/etc/ipsec.d/certs/{}.pem\n"
        "userkey=/etc/ipsec.d/private/{}.key\n",
        profile.auth == ClientAuth::eap_tls ? "eap-tls" : "cert", keyfile_value(profile.local_id), stem, stem);
  } else {
    // 1: the secret is kept by the user's own keyring, and asked for
    text += fmt::format("method=eap\nuser={}\npassword-flags=1\n", keyfile_value(profile.user));
  }
  text += "virtual=yes\nencap=no\nipcomp=no\nproposal=no\n\n[ipv4]\nmethod=auto\n";
  if (!profile.is_full_tunnel()) text += "never-default=true\n";
  text += "\n[ipv6]\nmethod=auto\n";
  if (!profile.is_full_tunnel()) text += "never-default=true\n";
  return text;
}

std::string to_culvert_profile(const ClientProfile& profile) {
  const std::string stem = profile.file_stem();
  std::string text = fmt::format("server    = [{}]\n", json_string(profile.server));
  if (profile.server_id != profile.server) text += fmt::format("server_id = {}\n", json_string(profile.server_id));
  if (profile.has_certificate()) {
    text += fmt::format("auth      = {{ certificate = \"{0}.pem\", key = \"{0}.key\"{1} }}\n", stem,
                        profile.auth == ClientAuth::eap_tls ? ", eap = \"tls\"" : "");
  } else {
    text += fmt::format("auth      = {{ eap = \"mschapv2\", user = {}, password_file = \"{}.password\" }}\n",
                        json_string(profile.user), stem);
  }
  if (!profile.ca.empty()) text += fmt::format("ca        = [\"{}-ca.pem\"]\n", stem);
  if (profile.port != 500) text += fmt::format("port      = {}\n", profile.port);
  if (profile.nat_port != 4500) text += fmt::format("nat_port  = {}\n", profile.nat_port);
  if (profile.tcp_port != 0) text += fmt::format("tcp_port  = {}\n", profile.tcp_port);
  return text + "dns         = true\nkill_switch = false\n";
}

}  // namespace culvert::cli
