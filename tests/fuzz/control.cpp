// The control protocol, both directions: what parses can be written, and reads the same again.
#include <cstdlib>
#include <string_view>

#include "culvert/control/protocol.h"

using namespace culvert::control;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto request = parse_request(line)) {
    const auto again = parse_request(to_json(*request));
    if (!again || again->command != request->command || again->what != request->what) std::abort();
  }
  if (const auto response = parse_response(line)) {
    const std::string written = to_json(*response);
    const auto again = parse_response(written);
    if (!again || to_json(*again) != written) std::abort();
  }
  return 0;
}
