#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "culvert/base/log.h"
#include "culvert/config/config.h"

namespace culvert::daemon {

/// From now on lines go there. What the journal does not take (it is not running) goes to stderr as text.
void use_log_format(config::LogFormat format);

/// One object without the newline, as docs/schema/log.json has it.
[[nodiscard]] std::string log_json(const log::Record& record, std::chrono::system_clock::time_point now);
/// "MESSAGE=…", "PRIORITY=4", "CULVERT_PEER=…": what sd_journal_sendv takes.
[[nodiscard]] std::vector<std::string> journal_fields(const log::Record& record);
/// Whether this descriptor is the stream that JOURNAL_STREAM of the environment names (systemd.exec(5)); nullptr: there
/// is none.
[[nodiscard]] bool leads_to_journal(int fd, const char* journal_stream) noexcept;

}  // namespace culvert::daemon
