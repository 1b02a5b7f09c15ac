#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "culvert/base/capabilities.h"
#include "culvert/base/log.h"

namespace culvert::tunnel {

Result<std::unique_ptr<Worker>> Worker::create(unsigned index, SocketSet sockets, PublishedTables& tables,
                                               ControlQueue& control, const WorkerOptions& options) {
  FileDescriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail(Errc::io, std::string("epoll of a worker: ") + std::strerror(errno), errno);
  FileDescriptor wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake) return fail(Errc::io, std::string("eventfd of a worker: ") + std::strerror(errno), errno);
  std::unique_ptr<Worker> worker(
      new Worker(index, std::move(sockets), tables, control, options, std::move(epoll), std::move(wake)));

  if (auto added = worker->add_to_epoll(worker->wake_.get(), Source::wake, 0); !added)
    return std::unexpected(added.error());
  for (std::uint32_t i = 0; const auto& udp : worker->sockets_.udp()) {
    if (auto added = worker->add_to_epoll(udp.socket.fd(), Source::udp, i++); !added)
      return std::unexpected(added.error());
  }
  if (index == 0) {  // every raw socket gets every packet: one worker reads them
    for (std::uint32_t i = 0; const auto& raw : worker->sockets_.raw()) {
      if (auto added = worker->add_to_epoll(raw.fd(), Source::raw, i++); !added) return std::unexpected(added.error());
    }
  }
  return worker;
}

Worker::Worker(unsigned index, SocketSet sockets, PublishedTables& tables, ControlQueue& control,
               const WorkerOptions& options, FileDescriptor epoll, FileDescriptor wake)
    : index_(index),
      sockets_(std::move(sockets)),
      tables_(tables),
      control_(control),
      options_(options),
      epoll_(std::move(epoll)),
      wake_(std::move(wake)) {}

Worker::~Worker() {
  stop();
}

void Worker::start() {
  // Signals are the main thread's: a worker is born with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    // From within: another thread's name is a file in /proc, which we may not write to.
    ::pthread_setname_np(::pthread_self(), ("culvert-w" + std::to_string(index_)).c_str());
    run();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Worker::stop() noexcept {
  if (!thread_.joinable()) return;
  stopping_ = true;
  wake();
  thread_.join();
}

void Worker::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

Result<void> Worker::add_to_epoll(int fd, Source source, std::uint32_t number) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = std::uint64_t{static_cast<std::uint32_t>(source)} << 32 | number;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST) return {};
  return fail(Errc::io, std::string("epoll of a worker: ") + std::strerror(errno), errno);
}

Result<void> Worker::watch(const Port& port) {
  return add_to_epoll(port.queue(index_).fd(), Source::device, port.config.id.value());
}

void Worker::unwatch(const Port& port) noexcept {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, port.queue(index_).fd(), nullptr);
}

void Worker::add_to(WorkerCounters& sum) const noexcept {
  sum.wakeups += wakeups_.load(std::memory_order_relaxed);
  sum.tun_read_batches += tun_read_batches_.load(std::memory_order_relaxed);
  sum.udp_receive_batches += udp_receive_batches_.load(std::memory_order_relaxed);
}

void Worker::run() {
  give_up_capabilities();  // all that it needs is open
  std::array<epoll_event, 64> ready;
  TimePoint done = Clock::now();
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int num_ready = wait(ready);
    lone_ = load_.is_calm();
    woke_.reset();
    if (!lone_) woke_ = Clock::now();
    count_one(wakeups_);
    for (int i = 0; i < num_ready; ++i) {
      const auto& event = ready[static_cast<std::size_t>(i)];
      dispatch(event.data.u64, event.events);
    }
    lone_ = false;  // a queue that is emptied is emptied in batches
    if (load_.slept(done, woke())) spread_flows();
    if (packets_wait_) expire_waiting();
    if (!early_.empty()) receive_early();
    if (!unposted_.empty()) retry_posts();
    if (std::exchange(control_has_news_, false)) control_.wake();
    done = Clock::now();
  }
}

int Worker::wait(std::span<epoll_event> ready) const noexcept {
  const auto look = [&](int patience) {
    return ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), patience);
  };
  if (options_.busy_poll > Duration::zero()) {
    const TimePoint until = Clock::now() + options_.busy_poll;
    do {
      if (const int num_ready = look(0); num_ready != 0) return num_ready;
    } while (Clock::now() < until);
  }
  return look(timeout_ms());
}

int Worker::timeout_ms() const noexcept {
  if (!unposted_.empty() || !early_.empty()) return 10;
  return packets_wait_ ? 1000 : -1;
}

void Worker::dispatch(std::uint64_t tag, std::uint32_t what) {
  const auto number = static_cast<std::uint32_t>(tag);
  switch (static_cast<Source>(tag >> 32)) {
    case Source::wake:
      return send_all_waiting();
    case Source::udp:
      return forward_inbound(sockets_.udp()[number]);
    case Source::raw:
      return forward_inbound_raw(sockets_.raw()[number]);
    case Source::device:
      break;
  }
  const PublishedTables::Reading tables(tables_, index_);
  const PortView* at = tables->port(TunnelId{number});
  if (!at) return;  // removed while this event was on its way
  if ((what & (EPOLLERR | EPOLLHUP)) == 0) return forward_outbound(*at);
  // Or it would be reported again and again. Whoever makes the device anew watches it again; that may have been done
  // since this event was raised.
  unwatch(*at->port);
  if (!at->port->queue(index_).has_device()) return;
  if (auto watched = watch(*at->port); !watched) log::error("{}", watched.error().detail);
}

void Worker::send_all_waiting() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto taken = ::read(wake_.get(), &count, sizeof count);
  const PublishedTables::Reading tables(tables_, index_);
  tables->ports.for_each([&](std::uint32_t, const PortView& at) {
    // Where another worker is sending them already, send_waiting does nothing: that one is responsible.
    if (!at.port->waiting.empty()) [[maybe_unused]]
      const bool all_gone = send_waiting(at);
  });
}

void Worker::post(Event event) {
  control_has_news_ = true;
  const bool must_arrive = std::holds_alternative<SaEvent>(event);
  if (!must_arrive) {
    // An Acquire or an unknown SPI that finds no room is raised again by the next packet.
    [[maybe_unused]] const bool taken = control_.push_notice(std::move(event));
    return;
  }
  const SaEvent kept = std::get<SaEvent>(event);
  if (!control_.push_notice(std::move(event))) unposted_.push_back(kept);
}

void Worker::retry_posts() {
  std::erase_if(unposted_, [this](const Event& event) { return control_.push_notice(event); });
  control_has_news_ = true;
}

void Worker::expire_waiting() {
  const TimePoint now = Clock::now();
  if (now < next_expiry_) return;
  next_expiry_ = now + std::chrono::seconds(1);
  packets_wait_ = false;
  const PublishedTables::Reading tables(tables_, index_);
  tables->ports.for_each([&](std::uint32_t, const PortView& at) {
    WaitQueue& waiting = at.port->waiting;
    if (waiting.empty()) return;
    if (const std::size_t expired = waiting.expire(now - options_.max_wait))
      drops_.add(DropReason::wait_expired, expired);
    // A packet may have come to wait just after its SA did: then nobody else would send it.
    if (!send_waiting(at) || !waiting.empty()) packets_wait_ = true;
  });
}

}  // namespace culvert::tunnel
