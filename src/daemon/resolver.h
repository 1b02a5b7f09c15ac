#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/ike/endpoint.h"

namespace culvert::daemon {

/// getaddrinfo(3): all addresses of a name. Waits for the name server, so never on the control thread.
[[nodiscard]] Result<std::vector<IpAddress>> system_lookup(const std::string& name);

/// The address the kernel would send from towards `remote` (a connected UDP socket; nothing is sent), among those that
/// `listen` allows, with this mark (SO_MARK; 0: none). Errc::no_match: we listen on no address of that family;
/// Errc::io: the kernel has no route.
[[nodiscard]] Result<IpAddress> local_address_towards(const Endpoint& remote, const std::vector<IpAddress>& listen,
                                                      std::uint32_t mark = 0);

struct ResolverOptions {
  std::vector<IpAddress> listen;
  std::uint16_t ike_port = 500;
  std::uint32_t mark = 0;       ///< of what is sent to peers
  std::size_t max_lookups = 8;  ///< threads at one time that wait for a name server; others queue
  /// Name → addresses in the order of the system; blocks; called on threads of its own. Empty: getaddrinfo.
  std::function<Result<std::vector<IpAddress>>(const std::string& name)> lookup;
  /// Why an address must not be used (its route leads into one of our own tunnels), in words. Control thread. Empty:
  /// all may.
  std::function<std::optional<std::string>(const IpAddress& remote)> refuse;
};

/// Names of peers → paths, without ever blocking the control thread, which owns it. Not Asio's resolver: that one has a
/// single thread for all names, and its destructor waits for a name server that does not answer.
class Resolver {
 public:
  /// Usable paths in the order of the configuration; when empty, `why` says so in words.
  using Done = std::function<void(PeerId peer, std::vector<ike::Path> paths, std::string why)>;

  Resolver(boost::asio::io_context& io, ResolverOptions options, Done done);
  ~Resolver();  ///< does not wait for lookups under way; their results go nowhere
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Answers once by `done`, never from within this call. A peer whose resolution is under way already gets that one's
  /// answer. `ours`: our addresses to use, in order of preference; empty: `listen`, and the kernel's choice among them.
  void resolve(PeerId peer, const std::vector<std::string>& names, std::uint16_t port,
               const std::vector<IpAddress>& ours = {});
  void set_mark(std::uint32_t mark) noexcept { options_.mark = mark; }

 private:
  struct Mailbox;
  struct Request {
    PeerId peer;
    std::vector<std::string> names;
  };
  void start(Request request);
  void start_queued();
  void wait_for_answers();
  void take_answers();

  ResolverOptions options_;
  Done done_;
  std::shared_ptr<Mailbox> mailbox_;
  boost::asio::posix::stream_descriptor wakeup_;
  struct Wanted {
    std::uint16_t port = 0;  ///< the peer's
    std::vector<IpAddress> ours;
  };
  std::map<PeerId, Wanted> under_way_;
  std::deque<Request> queued_;
  std::size_t num_running_ = 0;
};

}  // namespace culvert::daemon
