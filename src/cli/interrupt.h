#pragma once

namespace culvert::cli {

/// While it lives, SIGINT and SIGTERM do not end the process: they make a descriptor readable. One at a time, before
/// there are other threads.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }  ///< -1 when the kernel has none to give

 private:
  int fd_ = -1;
};

}  // namespace culvert::cli
