#include "qr_code.h"

#include <fmt/format.h>
#include <qrencode.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace culvert::cli {
namespace {

constexpr int quiet_zone = 4;  // modules, ISO/IEC 18004 §5.3.8
constexpr std::size_t max_len = 2953;

struct FreeCode {
  void operator()(QRcode* code) const noexcept { QRcode_free(code); }
};

bool is_bright(const QRcode& code, int x, int y) {
  const bool inside = x >= 0 && y >= 0 && x < code.width && y < code.width;
  return !inside || (code.data[y * code.width + x] & 1) == 0;
}

}  // namespace

Result<std::string> qr_code(std::string_view data, bool color) {
  const std::unique_ptr<QRcode, FreeCode> code(
      data.size() > max_len ? nullptr
                            : QRcode_encodeData(static_cast<int>(data.size()),
                                                reinterpret_cast<const unsigned char*>(data.data()), 0, QR_ECLEVEL_L));
  if (!code && (data.size() > max_len || errno == ERANGE)) {
    return fail(Errc::exhausted, fmt::format("{} bytes are too long for a QR code, which holds {}: use --out FILE",
                                             data.size(), max_len));
  }
  if (!code) return fail(Errc::internal, fmt::format("QR code: {}", std::strerror(errno)));
  std::string text;
  for (int y = -quiet_zone; y < code->width + quiet_zone; y += 2) {
    if (color) text += "\x1b[40;97m";
    for (int x = -quiet_zone; x < code->width + quiet_zone; ++x) {
      const bool upper = is_bright(*code, x, y), lower = is_bright(*code, x, y + 1);
      text += upper ? (lower ? "█" : "▀") : (lower ? "▄" : " ");
    }
    text += color ? "\x1b[0m\n" : "\n";
  }
  return text;
}

}  // namespace culvert::cli
