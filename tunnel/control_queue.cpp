#include "control_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace culvert::tunnel {

Result<std::unique_ptr<ControlQueue>> ControlQueue::create() {
  FileDescriptor fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd) return fail(Errc::io, "eventfd of the control queue", errno);
  return std::unique_ptr<ControlQueue>(new ControlQueue(std::move(fd)));
}

ControlQueue::ControlQueue(FileDescriptor event_fd)
    : notices_(capacity), datagrams_(capacity), event_fd_(std::move(event_fd)) {}

bool ControlQueue::push_notice(Event event) noexcept {
  return notices_.push(std::move(event));
}

bool ControlQueue::push_datagram(const Endpoint& local, const Endpoint& remote, ByteView bytes) {
  if (!datagrams_.has_room()) return false;  // ahead of the copy, so that a flood into a full ring costs no allocation
  const std::size_t before = bytes_.fetch_add(bytes.size(), std::memory_order_relaxed);
  if (before + bytes.size() <= max_bytes &&
      datagrams_.push(ControlDatagram{local, remote, Bytes(bytes.begin(), bytes.end())})) {
    return true;
  }
  bytes_.fetch_sub(bytes.size(), std::memory_order_relaxed);
  return false;
}

void ControlQueue::wake() noexcept {
  if (awake_.exchange(true)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_fd(), &one, sizeof one);  // full means that it is readable
}

void ControlQueue::clear_wake() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto taken = ::read(event_fd(), &count, sizeof count);
  awake_.exchange(
      false);  // an exchange, so that a push whose wake() found it still set is seen by the pops that follow
}

std::optional<Event> ControlQueue::pop() noexcept {
  if (auto notice = notices_.pop()) return notice;
  auto datagram = datagrams_.pop();
  if (!datagram) return std::nullopt;
  bytes_.fetch_sub(datagram->bytes.size(), std::memory_order_relaxed);
  return Event{std::move(*datagram)};
}

}  // namespace culvert::tunnel
