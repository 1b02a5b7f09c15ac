#pragma once
#include <span>
#include <string>

#include "culvert/base/bytes.h"
#include "culvert/base/result.h"
#include "culvert/base/secret.h"
#include "culvert/crypto/certificate.h"
#include "culvert/crypto/private_key.h"

namespace culvert::crypto {

/// What phones and laptops import (RFC 7292): the key, its certificate and the CAs above it, encrypted by `passphrase`
/// (not empty, UTF-8) with 3DES and SHA-1: Apple's and Windows' importers before 2022 read nothing newer. So the
/// passphrase carries all of the strength: at least 100 bits of it, or a file that is as secret as the key.
/// Errc::invalid: the key is not the certificate's; Errc::unsupported: it stays in a token. Any thread.
[[nodiscard]] Result<Secret> make_pkcs12(const PrivateKey& key, const Certificate& certificate,
                                         std::span<const Certificate> above, const std::string& name,
                                         const Secret& passphrase);

/// The last CN of the issuer in UTF-8; empty when it has none.
[[nodiscard]] std::string issuer_common_name(const Certificate& certificate);

}  // namespace culvert::crypto
