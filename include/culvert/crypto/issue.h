#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/private_key.h"
#include "culvert/crypto/revocation.h"

namespace culvert::crypto {

struct Validity {
  WallTime not_before{};
  WallTime not_after{};  ///< the last second; after not_before, before the year 10000
};

/// Subtrees of RFC 5280 §4.2.1.10. A DNS name stands for itself and all below it; an e-mail entry is an address, a host
/// ("example.net") or a domain (".example.net").
struct NameSubtrees {
  std::vector<std::string> dns;
  std::vector<std::string> email;
  std::vector<IpPrefix> ip;
  [[nodiscard]] bool empty() const noexcept { return dns.empty() && email.empty() && ip.empty(); }
};

struct CaRequest {
  Bytes subject;  ///< DER Name (encode_distinguished_name), not empty
  Validity validity;
  std::optional<unsigned> path_length;  ///< how many CAs may follow; none: unlimited
  NameSubtrees permitted;
  NameSubtrees excluded;
};

struct LeafRequest {
  Bytes subject;  ///< DER Name; may be the empty Name (30 00), then the alternative names are critical
  Validity validity;
  std::vector<AlternativeName> names;  ///< dns, email, ip, uri
  bool server = false;                 ///< serverAuth beside ipsecIKE: Windows and Apple clients want it of a gateway
  bool client = false;                 ///< clientAuth beside ipsecIKE: of a user
};

struct RevokedCertificate {
  Bytes serial;  ///< as Certificate::serial
  WallTime revoked_at{};
};

/// Self-signed CA. Serial numbers are random, of 16 bytes (RFC 5280 §4.1.2.2: positive, at most 20). SHA2-256,
/// -384 or -512 by the signing key's strength; RSA keys sign by PKCS#1 v1.5, which every peer reads. Errc::invalid: a
/// field that can't be.
[[nodiscard]] Result<Certificate> issue_self_signed_ca(const PrivateKey& key, const CaRequest& request);
[[nodiscard]] Result<Certificate> issue_intermediate_ca(const PrivateKey& ca_key, const Certificate& ca,
                                                        const PublicKey& key, const CaRequest& request);
/// Errc::invalid also when `ca_key` is not the key of `ca`, or the leaf would outlive it.
[[nodiscard]] Result<Certificate> issue_leaf(const PrivateKey& ca_key, const Certificate& ca, const PublicKey& key,
                                             const LeafRequest& request);
/// `number` grows with each list of a CA (RFC 5280 §5.2.3). The revoked ones as a whole: those of `issue_crl` before
/// too.
[[nodiscard]] Result<Crl> issue_crl(const PrivateKey& ca_key, const Certificate& ca,
                                    const std::vector<RevokedCertificate>& revoked, std::uint64_t number,
                                    WallTime this_update, WallTime next_update);
/// The entries of a list, to add to them.
[[nodiscard]] std::vector<RevokedCertificate> revoked_certificates(const Crl& crl);

}  // namespace culvert::crypto
