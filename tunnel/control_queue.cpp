#include "control_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace culvert::tunnel {
namespace {

std::size_t bytes_of(const Event& event) noexcept {
  const auto* datagram = std::get_if<ControlDatagram>(&event);
  return datagram ? datagram->bytes.size() : 0;
}

}  // namespace

Result<std::unique_ptr<ControlQueue>> ControlQueue::create() {
  const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return fail(Errc::io, "eventfd of the control queue", errno);
  return std::unique_ptr<ControlQueue>(new ControlQueue(fd));
}

ControlQueue::ControlQueue(int event_fd) : slots_(std::make_unique<Slot[]>(capacity)), event_fd_(event_fd) {
  static_assert((capacity & (capacity - 1)) == 0);
  for (std::size_t i = 0; i < capacity; ++i) slots_[i].turn.store(i, std::memory_order_relaxed);
}

ControlQueue::~ControlQueue() { ::close(event_fd_); }

bool ControlQueue::push(Event event) {
  std::size_t position = tail_.load(std::memory_order_relaxed);
  for (;;) {
    Slot& slot = slots_[position % capacity];
    const std::size_t turn = slot.turn.load(std::memory_order_acquire);
    if (turn == position) {
      if (tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) {
        slot.event = std::move(event);
        slot.turn.store(position + 1, std::memory_order_release);
        return true;
      }
    } else if (turn < position) {
      return false;  // the consumer has not emptied this slot since the last lap
    } else {
      position = tail_.load(std::memory_order_relaxed);
    }
  }
}

bool ControlQueue::push_datagram(const Endpoint& local, const Endpoint& remote, ByteView bytes) {
  if (bytes_.fetch_add(bytes.size(), std::memory_order_relaxed) + bytes.size() > max_bytes) {
    bytes_.fetch_sub(bytes.size(), std::memory_order_relaxed);
    return false;
  }
  // A look ahead of the copy, so that a flood into a full queue costs no allocation.
  const std::size_t position = tail_.load(std::memory_order_relaxed);
  const bool room = slots_[position % capacity].turn.load(std::memory_order_acquire) >= position;
  if (room && push(ControlDatagram{local, remote, Bytes(bytes.begin(), bytes.end())})) return true;
  bytes_.fetch_sub(bytes.size(), std::memory_order_relaxed);
  return false;
}

void ControlQueue::wake() noexcept {
  if (awake_.exchange(true)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_fd_, &one, sizeof one);  // full means that it is readable
}

void ControlQueue::clear_wake() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto taken = ::read(event_fd_, &count, sizeof count);
  awake_.exchange(false);  // an exchange, so that a push whose wake() found it still set is seen by the pops that follow
}

std::optional<Event> ControlQueue::pop() {
  Slot& slot = slots_[head_ % capacity];
  if (slot.turn.load(std::memory_order_acquire) != head_ + 1) return std::nullopt;
  Event event = std::exchange(slot.event, Event{});
  slot.turn.store(head_ + capacity, std::memory_order_release);
  ++head_;
  bytes_.fetch_sub(bytes_of(event), std::memory_order_relaxed);
  return event;
}

}  // namespace culvert::tunnel
