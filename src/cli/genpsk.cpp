#include "genpsk.h"

#include <array>

#include "new_file.h"

namespace culvert::cli {
namespace {

constexpr std::size_t psk_len = 32;

}  // namespace

Result<Secret> make_psk_line() {
  if (sodium_init() < 0) return fail(Errc::internal, "libsodium does not start");
  constexpr int variant = sodium_base64_VARIANT_ORIGINAL;
  constexpr std::size_t text_len = sodium_base64_ENCODED_LEN(psk_len, variant) - 1;  // it counts the NUL
  Secret key(psk_len);
  randombytes_buf(key.mutable_view().data(), key.size());
  Secret line(2 + text_len + 1);
  const MutableByteView out = line.mutable_view();
  out[0] = '0';
  out[1] = 's';
  sodium_bin2base64(reinterpret_cast<char*>(out.data()) + 2, text_len + 1, key.view().data(), key.size(), variant);
  out.back() = '\n';  // in place of the NUL
  return line;
}

Result<void> write_psk_file(const std::filesystem::path& file, ByteView line) {
  return write_new_file(file, line, secret_mode);
}

}  // namespace culvert::cli
