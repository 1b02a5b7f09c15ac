#include "file_helper.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "sandbox.h"
#include "temp_dir.h"

using namespace culvert;
using daemon::FileHelper;

TEST_CASE("the helper opens what is in the folders that it was told, for reading, and nothing else") {
  if (daemon::is_sanitized) return;
  const test::TempDir dir;
  for (const char* name : {"conf", "conf-other", "elsewhere"}) std::filesystem::create_directory(dir.path() / name);
  for (const char* name : {"conf/psk", "conf-other/psk", "elsewhere/psk"}) std::ofstream(dir.path() / name) << name;
  std::filesystem::create_symlink(dir.path() / "elsewhere/psk", dir.path() / "conf/link");
  auto helper = FileHelper::start();
  REQUIRE(helper.has_value());
  REQUIRE((*helper)->confine({dir.path() / "conf"}).has_value());

  const int file = (*helper)->open((dir.path() / "conf/psk").c_str());
  REQUIRE(file >= 0);
  char text[16] = "";
  CHECK(read(file, text, sizeof text) == 8);
  CHECK(std::string(text) == "conf/psk");
  CHECK((fcntl(file, F_GETFL) & O_ACCMODE) == O_RDONLY);
  close(file);

  const auto error_of = [&](const std::string& path) {
    const int opened = (*helper)->open((dir.path() / path).c_str());
    const int error = errno;
    if (opened >= 0) close(opened);
    return opened >= 0 ? 0 : error;
  };
  CHECK(error_of("conf/none") == ENOENT);
  CHECK(error_of("elsewhere/psk") == EACCES);
  CHECK(error_of("conf-other/psk") == EACCES);
  CHECK(error_of("conf/../elsewhere/psk") == EACCES);
  CHECK(error_of("conf/link") != 0);  // Landlock: the file that it leads to is elsewhere
  CHECK(error_of("conf/psk") == 0);   // and it goes on
}

TEST_CASE("of a file the folder is known in which it stands, and of a link also where it leads to") {
  const test::TempDir dir;
  std::filesystem::create_directory(dir.path() / "live");
  std::filesystem::create_directory(dir.path() / "archive");
  std::ofstream(dir.path() / "archive/key1") << "x";
  std::filesystem::create_symlink(dir.path() / "archive/key1", dir.path() / "live/key");
  std::vector<std::filesystem::path> folders;
  daemon::add_folders_of(dir.path() / "live/key", folders);
  daemon::add_folders_of(dir.path() / "live/key", folders);
  const std::vector<std::filesystem::path> expected{dir.path() / "live", dir.path() / "archive"};
  CHECK(folders == expected);
  folders.clear();
  daemon::add_folders_of("/etc/hostname", folders);
  CHECK(folders == std::vector<std::filesystem::path>{"/etc/hostname"});
}
