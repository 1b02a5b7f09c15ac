// Where the log goes, and how it is written there.
#include "log_output.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "culvert/base/text.h"

namespace culvert::daemon {
namespace {

namespace json = boost::json;
using config::LogFormat;

std::string_view level_name(log::Level level) {
  switch (level) {
    case log::Level::debug:
      return "debug";
    case log::Level::info:
      return "info";
    case log::Level::warn:
      return "warning";
    case log::Level::error:
      break;
  }
  return "error";
}

/// Of syslog(3), which the journal has kept.
int priority_of(log::Level level) {
  constexpr int priorities[] = {7, 6, 4, 3};
  return priorities[static_cast<std::size_t>(level)];
}

/// Whole lines, or the rest of one that a full pipe has cut.
void write_line(std::string text) {
  text += '\n';
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t len = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (len <= 0) return;  // nobody reads the log: that must not stop the gateway
    rest.remove_prefix(static_cast<std::size_t>(len));
  }
}

void send_to_journal(const log::Record& record) {
  std::vector<std::string> fields = journal_fields(record);
  std::vector<iovec> parts;
  for (std::string& field : fields) parts.push_back({field.data(), field.size()});
  if (sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) < 0)
    write_line(fmt::format("{} {}", level_name(record.level), record.message));
}

}  // namespace

void use_log_format(LogFormat format) {
  if (format == LogFormat::automatic)
    format = leads_to_journal(STDERR_FILENO, std::getenv("JOURNAL_STREAM")) ? LogFormat::journald : LogFormat::text;
  if (format == LogFormat::json)
    return log::set_output(
        [](const log::Record& record) { write_line(log_json(record, std::chrono::system_clock::now())); });
  if (format == LogFormat::journald) return log::set_output(send_to_journal);
  log::set_output({});
}

std::string log_json(const log::Record& record, std::chrono::system_clock::time_point now) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count();
  json::object object;
  const auto put = [&](std::string_view name, std::string_view value) {
    object.emplace(json::string_view(name), json::string(printable(value)));
  };
  put("time", fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(milliseconds / 1000), milliseconds % 1000));
  put("level", level_name(record.level));
  put("message", record.message);
  const auto put_known = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) put(name, value);
  };
  put_known("peer", record.about.peer);
  put_known("tunnel", record.about.tunnel);
  put_known("spi", record.about.spi);
  put_known("reason", record.about.reason);
  put_known("event", std::string(event_name(record.about.event)));
  return json::serialize(object);
}

std::vector<std::string> journal_fields(const log::Record& record) {
  std::vector<std::string> fields = {fmt::format("MESSAGE={}", record.message),
                                     fmt::format("PRIORITY={}", priority_of(record.level)),
                                     "SYSLOG_IDENTIFIER=culvertd"};
  const auto put_known = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) fields.push_back(fmt::format("CULVERT_{}={}", name, value));
  };
  put_known("PEER", record.about.peer);
  put_known("TUNNEL", record.about.tunnel);
  put_known("SPI", record.about.spi);
  put_known("REASON", record.about.reason);
  put_known("EVENT", std::string(event_name(record.about.event)));
  return fields;
}

bool leads_to_journal(int fd, const char* journal_stream) noexcept {
  std::uint64_t device = 0, inode = 0;
  struct stat about {};
  return journal_stream && std::sscanf(journal_stream, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
         fstat(fd, &about) == 0 && about.st_dev == device && about.st_ino == inode;
}

}  // namespace culvert::daemon
