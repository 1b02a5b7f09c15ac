#include "sandbox.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <thread>

#include "temp_dir.h"

using namespace culvert;
using daemon::restrict_files;
using daemon::restrict_system_calls;

namespace {

/// What `inside` returns in a process of its own, which nothing here gets out of: 0 … 255; -1: it was killed.
int in_a_process(const std::function<int()>& inside) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(inside());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// errno of a call that fails behind the filter, 0 of one that does not, 255: there is no filter.
int behind_the_filter(const std::function<long()>& call) {
  return in_a_process([&] {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!restrict_system_calls()) return 255;
    return call() < 0 ? errno : 0;
  });
}

}  // namespace

TEST_CASE("what a gateway has no business with is refused behind the filter") {
  if (daemon::is_sanitized) return;
  SUBCASE("to execute a program") {
    char path[] = "/bin/true";
    char* argv[] = {path, nullptr};
    char* env[] = {nullptr};
    CHECK(behind_the_filter([&] { return long{execve(path, argv, env)}; }) == EPERM);
    CHECK(behind_the_filter([&] { return syscall(SYS_execveat, AT_FDCWD, path, argv, env, 0); }) == EPERM);
  }
  SUBCASE("to make a process") {
    CHECK(behind_the_filter([] { return syscall(SYS_fork); }) == EPERM);
    CHECK(behind_the_filter([] { return syscall(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0); }) == EPERM);
    CHECK(behind_the_filter([] { return syscall(SYS_clone3, nullptr, 0); }) == ENOSYS);
  }
  SUBCASE("to trace, mount, enter namespaces, load what runs in the kernel") {
    CHECK(behind_the_filter([] { return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }) == EPERM);
    CHECK(behind_the_filter([] { return long{mount("none", "/tmp", "tmpfs", 0, nullptr)}; }) == EPERM);
    CHECK(behind_the_filter([] { return long{unshare(CLONE_NEWUSER)}; }) == EPERM);
    CHECK(behind_the_filter([] { return syscall(SYS_bpf, 0, nullptr, 0); }) == EPERM);
    CHECK(behind_the_filter([] { return syscall(SYS_init_module, nullptr, 0, ""); }) == EPERM);
    CHECK(behind_the_filter([] { return syscall(SYS_keyctl, 0, 0); }) == EPERM);
    CHECK(behind_the_filter([] { return syscall(SYS_io_uring_setup, 1, nullptr); }) == EPERM);
    CHECK(behind_the_filter([] { return syscall(SYS_open_by_handle_at, AT_FDCWD, nullptr, 0); }) == EPERM);
  }
  SUBCASE("sockets of families, and requests to devices, that it does not use") {
    CHECK(behind_the_filter([] { return long{socket(AF_PACKET, SOCK_RAW, 0)}; }) == EPERM);
    CHECK(behind_the_filter([] { return long{socket(AF_VSOCK, SOCK_STREAM, 0)}; }) == EPERM);
    CHECK(behind_the_filter([] { return long{ioctl(0, 0x5412 /* TIOCSTI */, "x")}; }) == EPERM);
  }
  SUBCASE("memory that was written to become code") {
    const auto page = [](int protection) {
      return mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    };
    CHECK(behind_the_filter([&] { return page(PROT_READ | PROT_WRITE | PROT_EXEC) == MAP_FAILED ? -1L : 0L; }) == EPERM);
    CHECK(behind_the_filter([&] { return long{mprotect(page(PROT_READ | PROT_WRITE), 4096, PROT_READ | PROT_EXEC)}; }) ==
          EPERM);
  }
}

TEST_CASE("what a gateway does is not refused behind the filter") {
  if (daemon::is_sanitized) return;
  CHECK(behind_the_filter([] { return long{socket(AF_INET6, SOCK_DGRAM, 0)}; }) == 0);
  CHECK(behind_the_filter([] { return long{socket(AF_NETLINK, SOCK_RAW, 0)}; }) == 0);
  CHECK(behind_the_filter([] { return long{open("/dev/null", O_RDWR)}; }) == 0);
  CHECK(behind_the_filter([] {
          long seen = -1;
          std::thread([&] { seen = 0; }).join();
          return seen;
        }) == 0);
  CHECK(behind_the_filter([] { return long{ioctl(0, TUNGETIFF, nullptr)}; }) != EPERM);
}

TEST_CASE("threads that are there already are behind the filter, too") {
  if (daemon::is_sanitized) return;
  CHECK(in_a_process([] {
          prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
          int go[2], result = 0;
          if (pipe(go) != 0) return 254;
          std::thread other([&] {
            char byte = 0;
            (void)!read(go[0], &byte, 1);
            result = unshare(CLONE_NEWUSER) < 0 ? errno : 0;
          });
          if (!restrict_system_calls()) return 255;
          (void)!write(go[1], "x", 1);
          other.join();
          return result;
        }) == EPERM);
}

TEST_CASE("only what was named can be opened, and only folders named for that written to") {
  if (daemon::is_sanitized) return;
  const test::TempDir dir;
  for (const char* name : {"secret", "readable", "writable"}) {
    std::filesystem::create_directory(dir.path() / name);
    std::ofstream(dir.path() / name / "file") << "x";
  }
  const auto opens = [&](const char* file, int flags) {
    return in_a_process([&] {
      const auto done = restrict_files({dir.path() / "readable"}, {dir.path() / "writable"});
      if (!done) return 255;
      if (!*done) return 254;  // no Landlock
      return open((dir.path() / file).c_str(), flags, 0600) < 0 ? errno : 0;
    });
  };
  if (opens("readable/file", O_RDONLY) == 254) return;
  CHECK(opens("readable/file", O_RDONLY) == 0);
  CHECK(opens("readable/file", O_WRONLY) == EACCES);
  CHECK(opens("readable/new", O_WRONLY | O_CREAT) == EACCES);
  CHECK(opens("secret/file", O_RDONLY) == EACCES);
  CHECK(opens("writable/file", O_RDWR | O_TRUNC) == 0);
  CHECK(opens("writable/new", O_WRONLY | O_CREAT) == 0);
  CHECK(opens("readable/../secret/file", O_RDONLY) == EACCES);
  CHECK(opens("../../etc/hostname", O_RDONLY) != EACCES);  // names are looked up by what stands there
}
