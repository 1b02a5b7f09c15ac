// A script for Windows 10 and 11. Commands: Microsoft Learn, module VpnClient. Everything that is not ours stands in
// one block of assignments, in single quotes; below it no text is put together.
#include <fmt/format.h>

#include "client_profile.h"
#include "export_text.h"

namespace culvert::cli {
namespace {

std::string list(const std::vector<std::string>& values) {
  std::string text = "@(";
  for (const std::string& value : values) text += (text.size() > 2 ? ", " : "") + powershell_string(value);
  return text + ")";
}

/// Windows gives IPv6 no default route of its own, and takes none: 2000::/3 is what stands for it.
std::vector<std::string> routes(const ClientProfile& profile) {
  std::vector<std::string> texts;
  for (const IpPrefix& prefix : profile.routes) {
    const bool is_default = prefix.length == 0;
    if (is_default && prefix.address.is_v4()) continue;
    texts.push_back(is_default ? "2000::/3" : prefix.to_string());
  }
  return texts;
}

// A machine's certificate lies with the computer, that of EAP-TLS with the person.
constexpr std::string_view import_key = R"($secret = Read-Host -AsSecureString -Prompt 'Passphrase of the certificate'
$flags = if ($eapTls) { 'UserKeySet,PersistKeySet' } else { 'MachineKeySet,PersistKeySet' }
$place = if ($eapTls) { 'CurrentUser' } else { 'LocalMachine' }
$own = New-Object System.Security.Cryptography.X509Certificates.X509Certificate2 -ArgumentList ([Convert]::FromBase64String($pkcs12)), $secret, $flags
$store = New-Object System.Security.Cryptography.X509Certificates.X509Store -ArgumentList 'My', $place
$store.Open('ReadWrite')
$store.Add($own)
$store.Close()
)";

// The gateway's CA must lie with the computer: IKEv2 looks nowhere else.
constexpr std::string_view import_ca = R"(foreach ($text in $ca) {
  $bytes = [Convert]::FromBase64String($text)
  $certificate = New-Object System.Security.Cryptography.X509Certificates.X509Certificate2 -ArgumentList @(,$bytes)
  $folder = if ($certificate.Subject -eq $certificate.Issuer) { 'Root' } else { 'CA' }
  $store = New-Object System.Security.Cryptography.X509Certificates.X509Store -ArgumentList $folder, 'LocalMachine'
  $store.Open('ReadWrite')
  $store.Add($certificate)
  $store.Close()
}
)";

constexpr std::string_view connect =
    R"(if (Get-VpnConnection -Name $name -AllUserConnection -ErrorAction SilentlyContinue) {
  Remove-VpnConnection -Name $name -AllUserConnection -Force
}
$more = @{}
if ($eapTls) { $more['EapConfigXmlStream'] = (New-EapConfiguration -Tls -UserCertificate).EapConfigXmlStream }
Add-VpnConnection -Name $name -ServerAddress $server -TunnelType Ikev2 -AuthenticationMethod $method -EncryptionLevel Maximum -SplitTunneling:$split -AllUserConnection -Force @more
Set-VpnConnectionIPsecConfiguration -ConnectionName $name -EncryptionMethod AES256 -IntegrityCheckMethod SHA384 -DHGroup ECP384 -CipherTransformConstants GCMAES256 -AuthenticationTransformConstants GCMAES256 -PfsGroup ECP384 -AllUserConnection -Force
foreach ($route in $routes) {
  Add-VpnConnectionRoute -ConnectionName $name -DestinationPrefix $route -AllUserConnection
}
)";

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";  // without it PowerShell 5 takes the file for ANSI

}  // namespace

std::string to_powershell(const ClientProfile& profile) {
  std::vector<std::string> ca;
  for (const crypto::Certificate& one : profile.ca) ca.push_back(base64_of(one.der()));
  std::string text(byte_order_mark);
  text +=
      "#Requires -Version 5.1\n"
      "#Requires -RunAsAdministrator\n"
      "# powershell -ExecutionPolicy Bypass -File THIS\n"
      "$ErrorActionPreference = 'Stop'\n\n";
  text += fmt::format("$name = {}\n", powershell_string(profile.name));
  text += fmt::format("$server = {}\n", powershell_string(profile.server));
  text += fmt::format("$user = {}\n", powershell_string(profile.user));
  text += fmt::format("$method = '{}'\n", profile.auth == ClientAuth::certificate ? "MachineCertificate" : "Eap");
  text += fmt::format("$eapTls = ${}\n", profile.auth == ClientAuth::eap_tls);
  text += fmt::format("$split = ${}\n", !profile.is_full_tunnel());
  text += fmt::format("$routes = {}\n", list(routes(profile)));
  text += fmt::format("$ca = {}\n", list(ca));
  if (profile.has_certificate()) text += fmt::format("$pkcs12 = {}\n", powershell_string(profile.pkcs12));
  text += '\n';
  text += import_ca;
  if (profile.has_certificate()) text += import_key;
  text += connect;
  text += "Write-Host 'Ready:' $name\n";
  if (!profile.has_certificate()) text += "Write-Host 'Windows asks for the password of:' $user\n";
  return text;
}

}  // namespace culvert::cli
