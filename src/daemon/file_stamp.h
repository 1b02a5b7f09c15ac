#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>

namespace culvert::daemon {

/// What changes when a file does; all zero: it is not there.
struct FileStamp {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t changed_s = 0, changed_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) noexcept = default;

  [[nodiscard]] static FileStamp of(const std::filesystem::path& file) {
    struct stat facts {};
    if (::stat(file.c_str(), &facts) != 0) return {};
    return {facts.st_dev, facts.st_ino, static_cast<std::uint64_t>(facts.st_size), facts.st_ctim.tv_sec,
            facts.st_ctim.tv_nsec};
  }
};

}  // namespace culvert::daemon
