#include "name_lookup.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "resolver.h"

#include "culvert/base/capabilities.h"

namespace culvert::daemon {

/// Where the threads leave their answers. They hold it, not the NameLookup, so they may outlive it.
struct NameLookup::Mailbox {
  std::mutex mutex;
  std::vector<std::pair<std::uint64_t, Result<std::vector<IpAddress>>>> answers;
  int event_fd = -1;

  ~Mailbox() {
    if (event_fd >= 0) close(event_fd);
  }
  void put(std::uint64_t id, Result<std::vector<IpAddress>> answer) {
    const std::lock_guard lock(mutex);
    answers.emplace_back(id, std::move(answer));
    const std::uint64_t one = 1;
    (void)!write(event_fd, &one, sizeof one);
  }
};

NameLookup::NameLookup(boost::asio::io_context& io, Function function)
    : function_(function ? std::move(function) : Function(system_lookup)),
      mailbox_(std::make_shared<Mailbox>()),
      wakeup_(io) {
  mailbox_->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int ours = mailbox_->event_fd >= 0 ? dup(mailbox_->event_fd) : -1;
  if (ours < 0) throw std::system_error(errno, std::generic_category(), "name lookup: eventfd");
  wakeup_.assign(ours);
  wait();
}

NameLookup::~NameLookup() = default;

void NameLookup::find(const std::string& name, Done done) {
  const std::uint64_t id = next_++;
  waiting_.emplace(id, std::move(done));
  if (const auto literal = IpAddress::parse(name)) return mailbox_->put(id, std::vector{*literal});
  try {
    std::thread([mailbox = mailbox_, function = function_, name, id] {
      give_up_capabilities();
      mailbox->put(id, function(name));
    }).detach();
  } catch (const std::system_error& error) {
    mailbox_->put(id, fail(Errc::io, fmt::format("no thread to resolve names: {}", error.what())));
  }
}

void NameLookup::wait() {
  wakeup_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;  // we are going away
    deliver();
    wait();
  });
}

void NameLookup::deliver() {
  std::uint64_t count = 0;
  (void)!read(wakeup_.native_handle(), &count, sizeof count);
  std::vector<std::pair<std::uint64_t, Result<std::vector<IpAddress>>>> answers;
  {
    const std::lock_guard lock(mailbox_->mutex);
    answers.swap(mailbox_->answers);
  }
  for (auto& [id, answer] : answers) {
    auto found = waiting_.extract(id);
    if (found) found.mapped()(std::move(answer));
  }
}

}  // namespace culvert::daemon
