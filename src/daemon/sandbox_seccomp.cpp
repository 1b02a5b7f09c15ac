#include <fmt/format.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "sandbox.h"

namespace culvert::daemon {
namespace {

/// What the whole lab is seen to need, and the relatives that another C library or kernel takes for the same.
constexpr const char* allowed_calls[] = {
    // packets and messages: first, for the filter looks in this order
    "readv", "writev", "read", "write", "recvmmsg", "sendmmsg", "recvmsg", "sendmsg", "recvfrom", "sendto",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "poll", "ppoll", "select", "pselect6",
    // time and threads
    "clock_gettime", "clock_nanosleep", "nanosleep", "clock_getres", "gettimeofday", "time", "futex", "futex_waitv",
    "sched_yield", "timerfd_settime", "timerfd_create", "timerfd_gettime", "eventfd2", "epoll_create1",
    "set_robust_list", "rseq", "sched_getaffinity", "sched_setaffinity", "gettid", "getpid", "getppid", "tgkill",
    "set_tid_address", "setpriority", "getpriority", "sched_getparam", "sched_getscheduler",
    // sockets
    "connect", "bind", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt",
    "shutdown", "socketpair",
    // memory
    "brk", "munmap", "mremap", "madvise", "mlock", "mlock2", "mlockall", "munlock", "munlockall", "msync", "membarrier",
    // files
    "openat", "open", "close", "close_range", "fstat", "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs",
    "lseek", "pread64", "pwrite64", "preadv", "pwritev", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
    "getdents64", "getcwd", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "chmod",
    "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat", "fsync", "fdatasync", "ftruncate", "flock", "fcntl",
    "dup", "dup2", "dup3", "pipe2", "umask", "utimensat", "fadvise64",
    // who we are, signals, the end
    "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid", "getresgid", "capget", "capset", "getrandom",
    "uname", "sysinfo", "getrusage", "prlimit64", "getrlimit", "prctl", "arch_prctl", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "signalfd4", "restart_syscall", "exit", "exit_group", "getcpu",
};

constexpr unsigned long allowed_ioctls[] = {TUNSETIFF, TUNGETIFF, TUNSETOFFLOAD, TUNSETSTEERINGEBPF, TUNGETFEATURES,
                                            SIOCSIFTXQLEN, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFMTU, SIOCGIFFLAGS,
                                            SIOCGIFCONF, FIONBIO, FIONREAD, SIOCOUTQ, 0x5401 /* TCGETS */};
constexpr int allowed_families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};

struct Release {
  void operator()(void* filter) const noexcept { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

/// What is allowed only with certain arguments.
int add_conditions(scmp_filter_ctx filter) {
  int error = 0;
  const auto allow = [&](int call, scmp_arg_cmp condition) {
    const int added = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, condition);
    if (error == 0) error = added;
  };
  for (const unsigned long request : allowed_ioctls) allow(SCMP_SYS(ioctl), SCMP_A1_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(request)));
  for (const int family : allowed_families) allow(SCMP_SYS(socket), SCMP_A0_32(SCMP_CMP_EQ, static_cast<std::uint32_t>(family)));
  // Libraries may still be loaded (name services); memory that was written does not become executable.
  allow(SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, 0));
  allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_WRITE));
  allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_EXEC));
  allow(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  // Its flags stand in memory, where no filter sees them: the C library takes clone instead.
  const int added = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  return error == 0 ? added : error;
}

}  // namespace

Result<void> restrict_system_calls() {
  const auto failed = [](const char* what, int error) {
    return fail(Errc::io, fmt::format("seccomp: {}: {}", what, std::strerror(-error)), -error);
  };
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) return fail(Errc::io, "seccomp: not in this library");
  int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (error == 0) error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree
  if (error != 0) return failed("attributes", error);
  // Speculation is not what this is about, and where the kernel would slow it down for us it is not wanted.
  [[maybe_unused]] const int unhindered = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_SSB, 1);
  for (const char* name : allowed_calls) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) continue;  // newer than this library
    error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0);
    if (error != 0) return failed(name, error);
  }
  error = add_conditions(filter.get());
  if (error != 0) return failed("conditions", error);
  error = seccomp_load(filter.get());
  if (error != 0) return failed("load", error);
  return {};
}

}  // namespace culvert::daemon
