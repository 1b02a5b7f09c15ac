#include "openssl_x509.h"

#include <openssl/pem.h>

#include <ctime>

#include "algorithm_identifier.h"

namespace culvert::crypto {

ByteView string_bytes(const ASN1_STRING* string) noexcept {
  if (!string) return {};
  return {ASN1_STRING_get0_data(string), static_cast<std::size_t>(ASN1_STRING_length(string))};
}

Bytes name_bytes(const X509_NAME* name) {
  const std::uint8_t* der = nullptr;
  std::size_t len = 0;
  if (!name || X509_NAME_get0_der(name, &der, &len) != 1) return {};
  return {der, der + len};
}

std::optional<WallTime> wall_time(const ASN1_TIME* time) noexcept {
  std::tm parts{};
  if (!time || ASN1_TIME_to_tm(time, &parts) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(parts.tm_year + 1900),
                                         std::chrono::month(static_cast<unsigned>(parts.tm_mon + 1)),
                                         std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(parts.tm_hour) + std::chrono::minutes(parts.tm_min) +
         std::chrono::seconds(parts.tm_sec);
}

std::string pem_text(std::string_view label, ByteView der) {
  using BioHandle = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
  const BioHandle out(BIO_new(BIO_s_mem()));
  if (!out ||
      PEM_write_bio(out.get(), std::string(label).c_str(), "", der.data(), static_cast<long>(der.size())) <= 0) {
    ERR_clear_error();
    return {};
  }
  char* text = nullptr;
  const long len = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(len)};
}

bool is_strong(const X509_ALGOR* algorithm) {
  return parse_algorithm_identifier(encode(algorithm, i2d_X509_ALGOR)).has_value();
}

}  // namespace culvert::crypto
