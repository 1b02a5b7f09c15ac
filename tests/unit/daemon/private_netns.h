#pragma once
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace culvert::test {

/// Puts the calling thread into a network namespace of its own, and back. `ok()` is false where that takes rights we
/// lack.
class PrivateNetns {
 public:
  PrivateNetns() : old_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    ok_ = old_ >= 0 && unshare(CLONE_NEWNET) == 0;
  }
  ~PrivateNetns() {
    if (ok_) (void)!setns(old_, CLONE_NEWNET);
    if (old_ >= 0) close(old_);
  }
  PrivateNetns(const PrivateNetns&) = delete;
  PrivateNetns& operator=(const PrivateNetns&) = delete;
  [[nodiscard]] bool ok() const noexcept { return ok_; }

 private:
  int old_;
  bool ok_ = false;
};

}  // namespace culvert::test
