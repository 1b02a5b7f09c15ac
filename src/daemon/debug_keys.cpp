#include "debug_keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "culvert/base/log.h"

namespace culvert::daemon {
namespace {

std::string hex(ByteView bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

struct Names {
  const char* encryption;
  const char* integrity;
};

// Spelled as in tshark 4.0's tables (packet-isakmp.c, packet-ipsec.c).
std::optional<Names> ike_names(crypto::CipherSuite suite) {
  using enum crypto::CipherSuite;
  switch (suite) {
    case aes_gcm_16_128:
      return Names{"AES-GCM-128 with 16 octet ICV [RFC5282]", "NONE [RFC4306]"};
    case aes_gcm_16_256:
      return Names{"AES-GCM-256 with 16 octet ICV [RFC5282]", "NONE [RFC4306]"};
    case aes_cbc_128_sha2_256_128:
      return Names{"AES-CBC-128 [RFC3602]", "HMAC_SHA2_256_128 [RFC4868]"};
    case aes_cbc_128_sha2_384_192:
      return Names{"AES-CBC-128 [RFC3602]", "HMAC_SHA2_384_192 [RFC4868]"};
    case aes_cbc_128_sha2_512_256:
      return Names{"AES-CBC-128 [RFC3602]", "HMAC_SHA2_512_256 [RFC4868]"};
    case aes_cbc_256_sha2_256_128:
      return Names{"AES-CBC-256 [RFC3602]", "HMAC_SHA2_256_128 [RFC4868]"};
    case aes_cbc_256_sha2_384_192:
      return Names{"AES-CBC-256 [RFC3602]", "HMAC_SHA2_384_192 [RFC4868]"};
    case aes_cbc_256_sha2_512_256:
      return Names{"AES-CBC-256 [RFC3602]", "HMAC_SHA2_512_256 [RFC4868]"};
    case chacha20_poly1305:
      break;
  }
  return std::nullopt;
}

std::optional<Names> esp_names(crypto::CipherSuite suite) {
  using enum crypto::CipherSuite;
  switch (suite) {
    case aes_gcm_16_128:
    case aes_gcm_16_256:
      return Names{"AES-GCM with 16 octet ICV [RFC4106]", "NULL"};
    case aes_cbc_128_sha2_256_128:
    case aes_cbc_256_sha2_256_128:
      return Names{"AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]"};
    case aes_cbc_128_sha2_384_192:
    case aes_cbc_256_sha2_384_192:
      return Names{"AES-CBC [RFC3602]", "HMAC-SHA-384-192 [RFC4868]"};
    case aes_cbc_128_sha2_512_256:
    case aes_cbc_256_sha2_512_256:
      return Names{"AES-CBC [RFC3602]", "HMAC-SHA-512-256 [RFC4868]"};
    case chacha20_poly1305:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> tshark_ike_line(const ike::DebugIkeKeys& keys) {
  auto names = ike_names(keys.cipher);
  if (!names) return std::nullopt;
  const std::string unchecked =
      fmt::format("ANY {}-bits of Authentication [No Checking]", 8 * crypto::info(keys.cipher).icv_len);
  if (!crypto::info(keys.cipher).is_aead && keys.sk_ai.empty()) names->integrity = unchecked.c_str();
  return fmt::format("uat:ikev2_decryption_table:{:016x},{:016x},{},{},\"{}\",{},{},\"{}\"", keys.spi_i.value(),
                     keys.spi_r.value(), hex(keys.sk_ei.view()), hex(keys.sk_er.view()), names->encryption,
                     hex(keys.sk_ai.view()), hex(keys.sk_ar.view()), names->integrity);
}

std::optional<std::string> tshark_esp_line(IpFamily outer, Spi spi, crypto::CipherSuite suite,
                                           const DirectionKeys& keys) {
  auto names = esp_names(suite);
  if (!names) return std::nullopt;
  const std::string unchecked = fmt::format("ANY {} bit authentication [no checking]", 8 * crypto::info(suite).icv_len);
  if (!crypto::info(suite).is_aead && keys.integrity.empty()) names->integrity = unchecked.c_str();
  const std::string integrity = keys.integrity.empty() ? "" : "0x" + hex(keys.integrity.view());
  return fmt::format("uat:esp_sa:\"{}\",\"*\",\"*\",\"0x{:08x}\",\"{}\",\"0x{}\",\"{}\",\"{}\"",
                     outer == IpFamily::v4 ? "IPv4" : "IPv6", spi.value(), names->encryption,
                     hex(keys.encryption.view()), names->integrity, integrity);
}

Result<DebugKeys> DebugKeys::open(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(Errc::io, fmt::format("--debug-keys {}: {}", file.string(), std::strerror(errno)), errno);
  DebugKeys keys(fd);
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0)
    return fail(Errc::invalid,
                fmt::format("--debug-keys {}: must be a regular file of ours with mode 0600", file.string()));
  log::warn(
      "DEBUG KEYS: every key of every SA is written to {}: whoever reads that file reads the traffic. Never do this in "
      "earnest.",
      file.string());
  return keys;
}

DebugKeys::DebugKeys(DebugKeys&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DebugKeys::~DebugKeys() {
  if (fd_ >= 0) close(fd_);
}

void DebugKeys::add(const ike::DebugIkeKeys& keys) const {
  const auto line = tshark_ike_line(keys);
  if (!line) return log::warn("debug keys: tshark 4.0 cannot open an IKE SA with {}", crypto::info(keys.cipher).name);
  append(*line);
}

void DebugKeys::add(const ChildSaKeys& keys) const {
  const IpFamily outer = keys.remote_endpoint.address.family();
  const auto inbound = tshark_esp_line(outer, keys.inbound_spi, keys.suite, keys.inbound);
  const auto outbound = tshark_esp_line(outer, keys.outbound_spi, keys.suite, keys.outbound);
  if (!inbound || !outbound)
    return log::warn("debug keys: tshark 4.0 cannot open ESP with {}", crypto::info(keys.suite).name);
  append(*inbound + "\n" + *outbound);
}

void DebugKeys::append(const std::string& line) const {
  const std::string text = line + "\n";
  if (write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    log::warn("debug keys: {}", std::strerror(errno));
}

}  // namespace culvert::daemon
