#pragma once
#include <openssl/evp.h>

#include <filesystem>
#include <memory>
#include <string_view>

#include "culvert/base/result.h"
#include "culvert/base/secret.h"

namespace culvert::crypto {

/// See PrivateKey::from_pkcs11.
[[nodiscard]] Result<std::shared_ptr<EVP_PKEY>> load_pkcs11_key(std::string_view uri,
                                                                const std::filesystem::path& module, const Secret& pin);

}  // namespace culvert::crypto
