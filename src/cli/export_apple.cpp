// A configuration profile of iOS and macOS. Keys: Apple, "Device Management: TopLevel, VPN.IKEv2, CertificateRoot,
// CertificatePKCS12"; which of them go together: strongSwan documentation, "Apple IKEv2 Configuration Profile".
#include <fmt/format.h>

#include "client_profile.h"
#include "export_text.h"

namespace culvert::cli {
namespace {

/// The entries of one <dict>, in order.
class Dict {
 public:
  Dict& text(std::string_view key, std::string_view value) {
    return raw(key, "<string>" + xml_text(value) + "</string>");
  }
  Dict& number(std::string_view key, int value) { return raw(key, fmt::format("<integer>{}</integer>", value)); }
  Dict& data(std::string_view key, std::string_view base64) { return raw(key, fmt::format("<data>{}</data>", base64)); }
  Dict& raw(std::string_view key, std::string_view xml) {
    body_ += fmt::format("<key>{}</key>\n{}\n", key, xml);
    return *this;
  }
  [[nodiscard]] std::string xml() const { return "<dict>\n" + body_ + "</dict>"; }

 private:
  std::string body_;
};

Dict payload(const ClientProfile& profile, std::string_view type, std::string_view part) {
  Dict dict;
  const std::string uuid = profile.uuid(part);
  dict.text("PayloadType", type).number("PayloadVersion", 1).text("PayloadUUID", uuid);
  dict.text("PayloadIdentifier", "culvert." + profile.uuid("profile") + "." + std::string(part));
  return dict;
}

/// One suite, which is what Apple's client then proposes and nothing else. With GCM the integrity algorithm is the PRF.
std::string suite(int minutes) {
  return Dict()
      .text("EncryptionAlgorithm", "AES-256-GCM")
      .text("IntegrityAlgorithm", "SHA2-384")
      .number("DiffieHellmanGroup", 20)
      .number("LifeTimeInMinutes", minutes)
      .xml();
}

std::string ikev2(const ClientProfile& profile) {
  Dict dict;
  dict.text("RemoteAddress", profile.server).text("RemoteIdentifier", profile.server_id);
  dict.text("LocalIdentifier", profile.has_certificate() ? profile.local_id : profile.user);
  dict.text("AuthenticationMethod", "Certificate");  // of the gateway
  dict.number("ExtendedAuthEnabled", profile.auth == ClientAuth::certificate ? 0 : 1);
  if (profile.has_certificate()) {
    dict.text("PayloadCertificateUUID", profile.uuid("key"));
    if (!profile.ca_name.empty()) {  // CertificateType demands the issuer's name
      dict.text("CertificateType", profile.key_type);
      dict.text("ServerCertificateIssuerCommonName", profile.ca_name);
    }
  } else {
    dict.text("AuthName", profile.user);  // the password is asked for
  }
  dict.text("ServerCertificateCommonName", profile.server_id);
  dict.number("EnablePFS", 1).text("DeadPeerDetectionRate", "Medium");
  dict.raw("IKESecurityAssociationParameters", suite(480)).raw("ChildSecurityAssociationParameters", suite(60));
  return dict.xml();
}

}  // namespace

std::string to_mobileconfig(const ClientProfile& profile) {
  Dict vpn = payload(profile, "com.apple.vpn.managed", "vpn");
  vpn.text("PayloadDisplayName", profile.name).text("UserDefinedName", profile.name).text("VPNType", "IKEv2");
  vpn.raw("IKEv2", ikev2(profile));
  std::string content = vpn.xml() + "\n";
  for (std::size_t i = 0; i < profile.ca.size(); ++i) {
    const crypto::Certificate& ca = profile.ca[i];
    Dict dict = payload(profile, ca.is_self_issued() ? "com.apple.security.root" : "com.apple.security.pkcs1",
                        fmt::format("ca{}", i));
    content += dict.text("PayloadDisplayName", ca.name()).data("PayloadContent", base64_of(ca.der())).xml() + "\n";
  }
  if (profile.has_certificate()) {
    Dict dict = payload(profile, "com.apple.security.pkcs12", "key");
    content += dict.text("PayloadDisplayName", profile.user).data("PayloadContent", profile.pkcs12).xml() + "\n";
  }
  Dict top = payload(profile, "Configuration", "profile");
  top.text("PayloadDisplayName", profile.name).raw("PayloadContent", "<array>\n" + content + "</array>");
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
         "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
         "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
         "<plist version=\"1.0\">\n" +
         top.xml() + "\n</plist>\n";
}

}  // namespace culvert::cli
