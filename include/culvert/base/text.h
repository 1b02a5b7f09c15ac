#pragma once
#include <string>
#include <string_view>

namespace culvert {

/// `text` for a terminal or a JSON string: well-formed UTF-8 stays as it is; control characters (C0, DEL, C1),
/// characters that change the direction of writing, and bytes that are no UTF-8 become \xNN, byte by byte. Doing it
/// twice changes nothing more. For logs there is log::sanitize, which allows ASCII alone and cuts. Any thread.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace culvert
