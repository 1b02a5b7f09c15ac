#include "resolver.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "culvert/base/capabilities.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t max_addresses = 16;  // of one peer: a name server cannot make us try for hours

socklen_t to_sockaddr(const IpAddress& address, std::uint16_t port, sockaddr_storage& out) {
  out = {};
  if (address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(out);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data(), 4);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
  return sizeof v6;
}

std::optional<IpAddress> from_sockaddr(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return IpAddress::from_bytes(
        {reinterpret_cast<const std::uint8_t*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr), 4});
  if (address->sa_family == AF_INET6)
    return IpAddress::from_bytes(
        {reinterpret_cast<const std::uint8_t*>(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr), 16});
  return std::nullopt;
}

class UdpProbe {
 public:
  explicit UdpProbe(int family) : fd_(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}
  ~UdpProbe() {
    if (fd_ >= 0) close(fd_);
  }
  UdpProbe(const UdpProbe&) = delete;
  UdpProbe& operator=(const UdpProbe&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

/// `from` unspecified: the kernel chooses.
Result<IpAddress> probe(const Endpoint& remote, const IpAddress& from, std::uint32_t mark) {
  const UdpProbe socket(remote.address.is_v4() ? AF_INET : AF_INET6);
  sockaddr_storage address;
  if (socket.fd() < 0) return fail(Errc::io, std::strerror(errno), errno);
  if (mark != 0 && setsockopt(socket.fd(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
    return fail(Errc::io, fmt::format("fwmark {}: {}", mark, std::strerror(errno)), errno);
  if (!from.is_unspecified()) {
    const socklen_t len = to_sockaddr(from, 0, address);
    if (bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), len) != 0)
      return fail(Errc::io, fmt::format("{}: {}", from.to_string(), std::strerror(errno)), errno);
  }
  socklen_t len = to_sockaddr(remote.address, remote.port, address);
  if (connect(socket.fd(), reinterpret_cast<sockaddr*>(&address), len) != 0)
    return fail(Errc::io, fmt::format("{}: {}", remote.address.to_string(), std::strerror(errno)), errno);
  len = sizeof address;
  if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &len) != 0)
    return fail(Errc::io, std::strerror(errno), errno);
  const auto local = from_sockaddr(reinterpret_cast<sockaddr*>(&address));
  if (!local || local->is_unspecified())
    return fail(Errc::io, fmt::format("no source address towards {}", remote.address.to_string()));
  return *local;
}

void add_reason(std::string& why, const std::string& reason) {
  if (!why.empty()) why += "; ";
  why += reason;
}

}  // namespace

Result<std::vector<IpAddress>> system_lookup(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(name.c_str(), nullptr, &hints, &found); error != 0)
    return fail(Errc::not_found, error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error));
  std::vector<IpAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next)
    if (const auto address = from_sockaddr(entry->ai_addr)) addresses.push_back(*address);
  freeaddrinfo(found);
  return addresses;
}

Result<IpAddress> local_address_towards(const Endpoint& remote, const std::vector<IpAddress>& listen,
                                        std::uint32_t mark) {
  std::optional<Error> first_error;
  for (const IpAddress& address : listen) {
    if (address.family() != remote.address.family()) continue;
    auto local = probe(remote, address, mark);
    if (local) return local;
    if (!first_error) first_error = local.error();
  }
  if (first_error) return std::unexpected(*first_error);
  return fail(Errc::no_match, fmt::format("{}: `listen` has no IPv{} address", remote.address.to_string(),
                                          remote.address.is_v4() ? 4 : 6));
}

/// Where lookup threads leave their answers. They hold it, not the Resolver, so they may outlive it.
struct Resolver::Mailbox {
  struct Answer {
    PeerId peer;
    std::vector<IpAddress> addresses;
    std::string why;
  };
  std::mutex mutex;
  std::vector<Answer> answers;
  int event_fd = -1;

  ~Mailbox() {
    if (event_fd >= 0) close(event_fd);
  }
  void put(Answer answer) {
    const std::lock_guard lock(mutex);
    answers.push_back(std::move(answer));
    const std::uint64_t one = 1;
    (void)!write(event_fd, &one, sizeof one);
  }
};

Resolver::Resolver(boost::asio::io_context& io, ResolverOptions options, Done done)
    : options_(std::move(options)), done_(std::move(done)), mailbox_(std::make_shared<Mailbox>()), wakeup_(io) {
  if (!options_.lookup)
    options_.lookup = [](const std::string& name) {
      give_up_capabilities();  // a client's way to look names up needs some
      return system_lookup(name);
    };
  mailbox_->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int ours = mailbox_->event_fd >= 0 ? dup(mailbox_->event_fd) : -1;
  if (ours < 0) throw std::system_error(errno, std::generic_category(), "resolver: eventfd");
  wakeup_.assign(ours);
  wait_for_answers();
}

Resolver::~Resolver() = default;

void Resolver::resolve(PeerId peer, const std::vector<std::string>& names, std::uint16_t port,
                       const std::vector<IpAddress>& ours) {
  if (!under_way_.emplace(peer, Wanted{port, ours.empty() ? options_.listen : ours}).second) return;
  const bool literal =
      std::ranges::all_of(names, [](const std::string& name) { return IpAddress::parse(name).has_value(); });
  if (literal) {
    Mailbox::Answer answer{peer, {}, names.empty() ? "no address is configured" : ""};
    for (const auto& name : names) answer.addresses.push_back(*IpAddress::parse(name));
    ++num_running_;
    mailbox_->put(std::move(answer));
    return;
  }
  queued_.push_back({peer, names});
  start_queued();
}

void Resolver::start_queued() {
  while (num_running_ < options_.max_lookups && !queued_.empty()) {
    Request next = std::move(queued_.front());
    queued_.pop_front();
    start(std::move(next));
  }
}

void Resolver::start(Request request) {
  ++num_running_;
  const PeerId peer = request.peer;
  try {
    std::thread([mailbox = mailbox_, lookup = options_.lookup, request = std::move(request)] {
      Mailbox::Answer answer{request.peer, {}, ""};
      for (const auto& name : request.names) {
        if (const auto literal = IpAddress::parse(name)) {
          answer.addresses.push_back(*literal);
          continue;
        }
        const auto found = lookup(name);
        if (found) {
          answer.addresses.insert(answer.addresses.end(), found->begin(), found->end());
        } else {
          add_reason(answer.why, fmt::format("{} does not resolve: {}", name, found.error().detail));
        }
      }
      mailbox->put(std::move(answer));
    }).detach();
  } catch (const std::system_error& error) {
    mailbox_->put({peer, {}, fmt::format("no thread to resolve names: {}", error.what())});
  }
}

void Resolver::wait_for_answers() {
  wakeup_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;  // we are going away
    take_answers();
    wait_for_answers();
  });
}

void Resolver::take_answers() {
  std::uint64_t count = 0;
  (void)!read(wakeup_.native_handle(), &count, sizeof count);
  std::vector<Mailbox::Answer> answers;
  {
    const std::lock_guard lock(mailbox_->mutex);
    answers.swap(mailbox_->answers);
  }
  for (auto& answer : answers) {
    --num_running_;
    const auto entry = under_way_.find(answer.peer);
    const auto [port, ours] = std::move(entry->second);
    under_way_.erase(entry);
    std::vector<ike::Path> paths;
    std::string why = std::move(answer.why);
    for (const auto& address : answer.addresses) {
      if (paths.size() == max_addresses) break;
      const Endpoint remote{address, port};
      if (const auto refused = options_.refuse ? options_.refuse(address) : std::nullopt) {
        add_reason(why, *refused);
      } else if (const auto local = local_address_towards(remote, ours, options_.mark)) {
        const ike::Path path{{*local, options_.ike_port}, remote};
        if (std::ranges::find(paths, path) == paths.end()) paths.push_back(path);
      } else {
        add_reason(why, local.error().detail);
      }
    }
    if (paths.empty() && why.empty()) why = "the name has no address";
    done_(answer.peer, std::move(paths), std::move(why));
  }
  start_queued();
}

}  // namespace culvert::daemon
