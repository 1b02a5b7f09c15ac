#include "file_helper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "culvert/base/capabilities.h"
#include "sandbox.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_request_len = 65536;
/// Of the daemon: a file on a network that does not answer must not hold it for good.
constexpr timeval give_up_after{5, 0};

/// Sends a number, and a descriptor with it unless that is -1.
bool answer(int socket, int error, int descriptor) {
  iovec part{&error, sizeof error};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) >= 0;
}

/// The number, or ECONNRESET; the descriptor, or -1.
int take_answer(int socket, int& descriptor) {
  descriptor = -1;
  int error = ECONNRESET;
  iovec part{&error, sizeof error};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof error) return ECONNRESET;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  return error;
}

bool restrict_calls() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) return false;
  bool done = true;
  for (const char* name : {"recvfrom", "recvmsg", "sendmsg", "openat", "open", "close", "exit_group", "exit",
                           "rt_sigreturn", "restart_syscall", "munmap", "mmap", "brk", "futex", "newfstatat", "readlink"})
    done = done && seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 0) == 0;
  done = done && seccomp_load(filter) == 0;
  seccomp_release(filter);
  return done;
}

/// Landlock says the same where there is one, and knows of links, too.
bool is_in(const std::filesystem::path& file, const std::vector<std::filesystem::path>& folders) {
  if (!file.is_absolute() || file.lexically_normal() != file) return false;
  return std::ranges::any_of(folders, [&](const std::filesystem::path& folder) {
    return file == folder || file.native().starts_with(folder.native() + "/");
  });
}

std::vector<std::filesystem::path> folders_of(std::string_view request) {
  std::vector<std::filesystem::path> folders;
  while (!request.empty()) {
    const std::size_t end = std::min(request.find('\0'), request.size());
    folders.emplace_back(request.substr(0, end));
    request.remove_prefix(std::min(end + 1, request.size()));
  }
  return folders;
}

/// True: the process is locked in.
bool lock_in(const std::vector<std::filesystem::path>& folders) {
  const auto restricted = restrict_files(folders, {}, Needs::nothing_else);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  give_up_capabilities();
  return restricted && restrict_calls();
}

[[noreturn]] void serve(int socket) {
  // Signals are the daemon's; without it this one has no reason to be.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NAME, "culvertd-files");
  static char request[max_request_len + 1];
  std::vector<std::filesystem::path> folders;
  if (!answer(socket, 0, -1)) ::_exit(1);
  while (true) {
    const ssize_t len = ::recv(socket, request, max_request_len, 0);
    if (len <= 0) ::_exit(0);
    const auto used = static_cast<std::size_t>(len);
    request[used] = '\0';
    if (folders.empty()) {
      folders = folders_of({request, used});
      const bool confined = lock_in(folders);
      if (!answer(socket, confined ? 0 : EPERM, -1) || !confined) ::_exit(1);
      continue;
    }
    const bool allowed = is_in(request, folders);
    const int file = allowed ? ::open(request, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    const int error = !allowed ? EACCES : file < 0 ? errno : 0;
    const bool told = answer(socket, error, file);
    if (file >= 0) ::close(file);
    if (!told) ::_exit(0);
  }
}

}  // namespace

void add_folders_of(const std::filesystem::path& file, std::vector<std::filesystem::path>& folders) {
  constexpr std::ptrdiff_t own_depth = 3;  // "/", "etc", "culvert"
  std::error_code error;
  const auto named = std::filesystem::absolute(file).lexically_normal();
  const auto real = std::filesystem::canonical(named, error);
  for (const auto& path : {named, error ? named : real}) {
    const auto folder = path.parent_path();
    const auto& wanted = std::distance(folder.begin(), folder.end()) >= own_depth ? folder : path;
    if (std::ranges::find(folders, wanted) == folders.end()) folders.push_back(wanted);
  }
}

Result<std::unique_ptr<FileHelper>> FileHelper::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(Errc::io, fmt::format("helper for files: {}", std::strerror(errno)), errno);
  const pid_t child = ::fork();
  if (child < 0) return fail(Errc::io, fmt::format("helper for files: {}", std::strerror(errno)), errno);
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO + 1);  // all others go: a device lives as long as somebody has it open
    ::syscall(SYS_close_range, STDERR_FILENO + 2, ~0U, 0);
    serve(STDERR_FILENO + 1);
  }
  ::close(ends[1]);
  ::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &give_up_after, sizeof give_up_after);
  int none = -1;
  std::unique_ptr<FileHelper> helper(new FileHelper(ends[0]));
  // It may still have sockets open until then that were passed to us.
  if (take_answer(ends[0], none) != 0) return fail(Errc::io, "helper for files: it does not start");
  return helper;
}

FileHelper::~FileHelper() {
  ::close(socket_);
}

Result<void> FileHelper::confine(const std::vector<std::filesystem::path>& folders) {
  std::string request;
  for (const auto& folder : folders) request += folder.string() + '\0';
  int none = -1;
  if (request.size() > max_request_len || ::send(socket_, request.data(), request.size(), MSG_NOSIGNAL) < 0 ||
      take_answer(socket_, none) != 0)
    return fail(Errc::io, "helper for files: it cannot be confined");
  return {};
}

int FileHelper::open(const char* path) {
  const std::string wanted = std::filesystem::absolute(path).lexically_normal().string();
  if (wanted.size() > max_request_len || ::send(socket_, wanted.data(), wanted.size(), MSG_NOSIGNAL) < 0) {
    errno = EACCES;
    return -1;
  }
  int descriptor = -1;
  const int error = take_answer(socket_, descriptor);
  if (error == 0 && descriptor >= 0) return descriptor;
  if (error == ECONNRESET) ::shutdown(socket_, SHUT_RDWR);  // an answer that comes late would be taken for the next one's
  errno = error == 0 ? EACCES : error;
  return -1;
}

}  // namespace culvert::daemon
