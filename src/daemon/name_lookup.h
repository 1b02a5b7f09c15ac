#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "culvert/base/ip.h"
#include "culvert/base/result.h"

namespace culvert::daemon {

/// Names to addresses without waiting: each lookup runs in a thread that nobody joins, because getaddrinfo(3) cannot be
/// stopped and may take half a minute. Lives on the control thread.
class NameLookup {
 public:
  using Function = std::function<Result<std::vector<IpAddress>>(const std::string& name)>;
  using Done = std::function<void(Result<std::vector<IpAddress>>)>;

  /// `function` runs in the threads; empty: the system's. Throws std::system_error when there is no eventfd.
  NameLookup(boost::asio::io_context& io, Function function);
  ~NameLookup();  ///< what is under way is forgotten
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

  /// `done` runs later, on the control thread, and never after this is gone. A literal address needs no thread.
  void find(const std::string& name, Done done);

 private:
  struct Mailbox;
  void wait();
  void deliver();

  Function function_;
  std::shared_ptr<Mailbox> mailbox_;
  boost::asio::posix::stream_descriptor wakeup_;
  std::map<std::uint64_t, Done> waiting_;
  std::uint64_t next_ = 0;
};

}  // namespace culvert::daemon
