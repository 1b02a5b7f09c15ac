#pragma once
#include <filesystem>
#include <memory>
#include <vector>

#include "culvert/base/result.h"

namespace culvert::daemon {

/// Where a file stands, and what it is a link to: what folders the helper has to know to open it again. A file directly
/// in a folder that holds all kinds of things (/etc) counts alone.
void add_folders_of(const std::filesystem::path& file, std::vector<std::filesystem::path>& folders);

/// A small process that stays root when the daemon does not, and opens files for it: the configuration and its secrets
/// belong to root, and are to be read again when they change. It can do nothing else: no capability is left to it,
/// Landlock leaves it only the folders that the daemon named when it still was root, and seccomp only what opening a
/// file takes. Ends with the daemon. Control thread.
class FileHelper {
 public:
  /// Forks, so: before there are threads, and before there are secrets in memory.
  [[nodiscard]] static Result<std::unique_ptr<FileHelper>> start();
  ~FileHelper();
  FileHelper(const FileHelper&) = delete;
  FileHelper& operator=(const FileHelper&) = delete;

  /// From here on it opens what is in these folders, for reading. Once.
  [[nodiscard]] Result<void> confine(const std::vector<std::filesystem::path>& folders);
  /// A descriptor, the caller's; -1 with errno set.
  [[nodiscard]] int open(const char* path);

 private:
  explicit FileHelper(int socket) noexcept : socket_(socket) {}
  int socket_;
};

}  // namespace culvert::daemon
