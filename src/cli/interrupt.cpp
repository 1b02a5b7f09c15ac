#include "interrupt.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

namespace culvert::cli {
namespace {

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t set = ending_signals();
  fd_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  if (fd_ >= 0) ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

Interrupt::~Interrupt() {
  if (fd_ >= 0) ::close(fd_);
  // Those that came have done their work: unblocking must not let them do it again.
  const timespec at_once{};
  const sigset_t set = ending_signals();
  while (fd_ >= 0 && ::sigtimedwait(&set, nullptr, &at_once) > 0) {
  }
  if (fd_ >= 0) ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace culvert::cli
