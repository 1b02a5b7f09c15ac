#include "ike_sockets.h"

#include <linux/sock_diag.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace culvert::tunnel {
namespace {

// Between looks at strangers when very many come; longer when the kernel keeps nearly all of them back. Few are seen at
// once.
constexpr std::chrono::milliseconds rest_time{4}, long_rest_time{20};

}  // namespace

IkeSockets::IkeSockets()
    : room_(std::make_unique_for_overwrite<std::uint8_t[]>(socket_batch_size * slot_len)), slots_(socket_batch_size) {
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i].buffer = {room_.get() + i * slot_len, slot_len};
}

void IkeSockets::add(std::vector<UdpSocket> group, PortKind kind) {
  auto lane = Lane::sessions;
  for (UdpSocket& socket : group) {
    items_.push_back({std::move(socket), kind, std::exchange(lane, Lane::strangers)});
    if (items_.back().lane == Lane::strangers) [[maybe_unused]]
      const bool ours = filter_.attach(items_.back().socket.fd(), kind);
  }
}

Result<void> IkeSockets::watch(int epoll) {
  epoll_ = epoll;
  timer_ = FileDescriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  bool watched = timer_ && ::epoll_ctl(epoll, EPOLL_CTL_ADD, timer_.get(), &event) == 0;
  for (const Item& item : items_) watched = watched && ::epoll_ctl(epoll, EPOLL_CTL_ADD, item.socket.fd(), &event) == 0;
  if (!watched) return fail(Errc::io, "epoll of the IKE sockets", errno);
  return {};
}

void IkeSockets::receive(std::vector<Event>& events, DropCounters& drops) {
  ++turn_;
  [[maybe_unused]] const std::size_t num = receive_lane(Lane::sessions, events, drops);
  const TimePoint now = Clock::now();
  if (resting_ && now < rest_until_) return;
  look_at_strangers(now, events, drops);
}

void IkeSockets::look_at_strangers(TimePoint now, std::vector<Event>& events, DropCounters& drops) {
  const std::size_t num_before = events.size();
  const std::size_t num = receive_lane(Lane::strangers, events, drops);
  const auto proved = std::count_if(
      events.begin() + static_cast<std::ptrdiff_t>(num_before), events.end(),
      [](const Event& event) { return StrangerFilter::brings_cookie(std::get<ControlDatagram>(event).bytes); });
  if (const std::uint64_t kept_back = filter_.observe(now, num - static_cast<std::size_t>(proved))) {
    drops.add(DropReason::ike_flood, kept_back);
    events.emplace_back(FloodEvent{kept_back});
  }
  if (num >= socket_batch_size) return;  // more are there: they are looked at again at once
  const bool go_on = filter_.is_busy() || filter_.is_on();  // of those that it keeps back none wakes us
  if (go_on || (resting_ && num == 0)) rest(go_on);
}

/// Not to be woken by strangers for a while, or to be again.
void IkeSockets::rest(bool on) noexcept {
  if (on) {
    const Duration time = filter_.is_on() ? long_rest_time : rest_time;
    rest_until_ = Clock::now() + time;
    const itimerspec due{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = time.count()}};
    if (::timerfd_settime(timer_.get(), 0, &due, nullptr) != 0) on = false;
  } else {
    const itimerspec never{};
    [[maybe_unused]] const int disarmed = ::timerfd_settime(timer_.get(), 0, &never, nullptr);
  }
  if (std::exchange(resting_, on) == on) return;
  for (const Item& item : items_) {
    if (item.lane != Lane::strangers) continue;
    epoll_event event{};
    if (!on) event.events = EPOLLIN;
    [[maybe_unused]] const int changed = ::epoll_ctl(epoll_, EPOLL_CTL_MOD, item.socket.fd(), &event);
  }
}

/// The sockets of a lane take turns in being first, so that a full one leaves something for the others.
std::size_t IkeSockets::receive_lane(Lane lane, std::vector<Event>& events, DropCounters& drops) {
  std::size_t num = 0;
  for (std::size_t i = 0; i < items_.size() && num < socket_batch_size; ++i) {
    const Item& item = items_[(turn_ + i) % items_.size()];
    if (item.lane != lane) continue;
    const std::size_t received = item.socket.receive_batch(io_, std::span(slots_).first(socket_batch_size - num));
    for (std::size_t k = 0; k < received; ++k) take(item, slots_[k], events, drops);
    num += received;
  }
  return num;
}

void IkeSockets::take(const Item& item, const ReceiveSlot& slot, std::vector<Event>& events,
                      DropCounters& drops) const {
  const ByteView bytes = slot.buffer.first(slot.len);
  const ClassifiedDatagram datagram = classify(item.kind, bytes);
  const bool answerable = slot.remote.port != 0;  // RFC 768: 0 is nobody's port
  if (slot.truncated || !answerable || datagram.kind != DatagramKind::ike)
    return drops.add(DropReason::outer_malformed);
  const ByteView content = bytes.subspan(datagram.header_len);
  events.emplace_back(
      ControlDatagram{{slot.local, item.socket.local().port}, slot.remote, Bytes(content.begin(), content.end())});
}

const UdpSocket* IkeSockets::find(const Endpoint& local) const noexcept {
  const UdpSocket* found = nullptr;
  for (const Item& item : items_) {
    const Endpoint& bound = item.socket.local();
    if (bound == local) return &item.socket;
    const bool serves = bound.port == local.port && bound.address.family() == local.address.family() &&
                        (bound.address.is_unspecified() || local.address.is_unspecified());
    if (serves && !found) found = &item.socket;
  }
  return found;
}

std::uint64_t IkeSockets::num_overflowed() const noexcept {
  std::uint64_t sum = 0;
  for (const Item& item : items_) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t len = sizeof memory;
    if (::getsockopt(item.socket.fd(), SOL_SOCKET, SO_MEMINFO, memory.data(), &len) == 0)
      sum += memory[SK_MEMINFO_DROPS];
  }
  return sum - std::min(sum, filter_.num_kept_back());  // the kernel counts those as well
}

}  // namespace culvert::tunnel
