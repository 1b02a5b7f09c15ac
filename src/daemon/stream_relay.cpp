#include "stream_relay.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "culvert/base/capabilities.h"
#include "culvert/base/log.h"
#include "datagram_batch.h"
#include "stream_framing.h"

namespace culvert::daemon {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr auto tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t datagram_buffer_len = 65536;
constexpr std::size_t batch_len = 256 * 1024;  ///< bytes of frames between two looks at the socket
constexpr std::size_t frames_per_batch = 512;
constexpr seconds prefix_time{10};        ///< for whoever connects, to say that it means IKE
constexpr seconds first_answer_time{30};  ///< for the data plane to have answered: who gets none has no business
constexpr seconds idle_time{600};
constexpr seconds connect_time{5};
constexpr seconds reconnect_pause{1};
constexpr seconds check_interval{1};
constexpr std::chrono::milliseconds unacknowledged_time{15'000};  ///< TCP_USER_TIMEOUT
constexpr std::chrono::milliseconds accept_pause{100};
constexpr std::uint32_t num_targets = 65535;

Tcp::endpoint to_tcp(const Endpoint& endpoint) {
  if (endpoint.address.is_v4()) {
    asio::ip::address_v4::bytes_type bytes;
    std::ranges::copy(endpoint.address.bytes(), bytes.begin());
    return {asio::ip::address_v4(bytes), endpoint.port};
  }
  asio::ip::address_v6::bytes_type bytes;
  std::ranges::copy(endpoint.address.bytes(), bytes.begin());
  return {asio::ip::address_v6(bytes), endpoint.port};
}

Endpoint from_tcp(const Tcp::endpoint& endpoint) {
  asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  const auto make = [&](const auto& bytes) {
    return Endpoint{*IpAddress::from_bytes(ByteView(bytes.data(), bytes.size())), endpoint.port()};
  };
  return address.is_v4() ? make(address.to_v4().to_bytes()) : make(address.to_v6().to_bytes());
}

void prepare(Tcp::socket& socket) {
  ErrorCode ignored;
  socket.set_option(Tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const auto patience = static_cast<unsigned>(unacknowledged_time.count());
  [[maybe_unused]] const int set =
      ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
}

/// What keeps UDP mappings of NATs is of no use in TCP (RFC 9329 §6.6).
bool is_keepalive(ByteView payload) {
  return payload.size() == 1 && payload[0] == 0xff;
}

}  // namespace

// ---- one connection
// ------------------------------------------------------------------------------------------------------------------

/// A UDP socket towards the data plane, and a TCP connection towards the other end. Lives on the relay's thread; what
/// is under way holds it.
class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(asio::io_context& io, const IpAddress& address, int datagrams, bool accepted)
      : address_(address), accepted_(accepted), stream_(io), datagrams_(io, datagrams) {}

  const IpAddress& address() const { return address_; }
  bool open() const { return stream_.is_open(); }
  const Endpoint& other_end() const { return other_end_; }

  /// Of an accepted connection: both directions until it ends.
  void start(Tcp::socket stream, const Endpoint& other_end) {
    stream_ = std::move(stream);
    other_end_ = other_end;
    begin();
    asio::co_spawn(
        datagrams_.get_executor(), [self = shared_from_this()] { return self->pump_datagrams(); }, asio::detached);
    asio::co_spawn(
        datagrams_.get_executor(), [self = shared_from_this(), now = generation_] { return self->pump_stream(now); },
        asio::detached);
  }

  /// Of a gateway: waits for something to send.
  void serve_target() {
    asio::co_spawn(
        datagrams_.get_executor(), [self = shared_from_this()] { return self->pump_datagrams(); }, asio::detached);
  }

  void set_target(std::optional<Endpoint> target) {
    if (target == target_) return;
    target_ = target;
    hang_up("it is elsewhere now");
  }

  void hang_up(std::string_view why) {
    if (!stream_.is_open()) return;
    log::debug("TCP {}: closed: {}", other_end_.to_string(), why);
    ErrorCode ignored;
    stream_.close(ignored);
    ++generation_;
  }

  void close() {
    closed_ = true;
    hang_up("no longer wanted");
    ErrorCode ignored;
    datagrams_.close(ignored);
  }
  bool closed() const { return closed_; }

  /// Whoever connects and has no business here, or has gone without a word.
  void check(Clock::time_point now) {
    if (!stream_.is_open() || connecting_) return;
    if (accepted_ && !framed_ && now - since_ > prefix_time) return hang_up("nothing came");
    if (accepted_ && !answered_ && now - since_ > first_answer_time) return hang_up("nothing came that had an answer");
    if (now - last_use_ > idle_time) hang_up("idle");
  }

 private:
  void begin() {
    prepare(stream_);
    since_ = last_use_ = Clock::now();
    framed_ = answered_ = false;
    ++generation_;
  }

  asio::awaitable<void> pump_stream(std::uint64_t generation) {
    FrameReader reader(accepted_);
    std::vector<ByteView> batch;
    while (!closed_ && generation == generation_) {
      const MutableByteView space = reader.space();
      const auto [error, len] = co_await stream_.async_read_some(asio::buffer(space.data(), space.size()), tuple);
      if (generation != generation_) co_return;
      if (error) {
        hang_up(error.message());
        break;
      }
      reader.received(len);
      last_use_ = Clock::now();
      if (!hand_over(reader, batch)) break;
    }
    if (accepted_ && !closed_) close();
  }

  /// All whole frames to the data plane; false: the stream is broken.
  bool hand_over(FrameReader& reader, std::vector<ByteView>& batch) {
    batch.clear();
    while (true) {
      const auto payload = reader.next();
      if (!payload) {
        hang_up(payload.error().detail);
        return false;
      }
      if (!*payload) break;
      framed_ = true;
      if ((*payload)->empty() || is_keepalive(**payload)) continue;
      batch.push_back(**payload);
      if (batch.size() < frames_per_batch) continue;
      send_datagrams(datagrams_.native_handle(), batch);
      batch.clear();
    }
    send_datagrams(datagrams_.native_handle(), batch);
    return true;
  }

  asio::awaitable<void> pump_datagrams() {
    Bytes buffer(datagram_buffer_len), frames;
    while (!closed_) {
      const auto [error] = co_await datagrams_.async_wait(asio::posix::stream_descriptor::wait_read, tuple);
      if (error || closed_) co_return;
      frames.clear();
      receive_datagrams(datagrams_.native_handle(), buffer, batch_len, [&](ByteView datagram) {
        if (datagram.size() <= max_frame_payload_len && !datagram.empty() && !is_keepalive(datagram))
          append_frame(frames, datagram);
      });
      if (frames.empty()) continue;
      if (!stream_.is_open() && !accepted_) co_await connect();
      if (!stream_.is_open()) continue;
      answered_ = true;
      last_use_ = Clock::now();
      const std::uint64_t generation = generation_;
      const auto [failed, len] = co_await asio::async_write(stream_, asio::buffer(frames), tuple);
      if (failed && generation == generation_) hang_up(failed.message());
    }
  }

  /// To the gateway that this address stands for, unless that has just failed.
  asio::awaitable<void> connect() {
    const auto now = Clock::now();
    if (!target_ || now < next_try_) co_return;
    next_try_ = now + reconnect_pause;
    const Endpoint target = *target_;
    Tcp::socket stream(datagrams_.get_executor());
    asio::steady_timer timer(datagrams_.get_executor(), connect_time);
    timer.async_wait([&stream](const ErrorCode& error) {
      ErrorCode ignored;
      if (!error) stream.close(ignored);
    });
    connecting_ = true;
    const auto [error] = co_await stream.async_connect(to_tcp(target), tuple);
    connecting_ = false;
    timer.cancel();
    if (error || !stream.is_open() || closed_ || target_ != target) {
      log::debug("TCP {}: no connection: {}", target.to_string(), error ? error.message() : "no longer wanted");
      co_return;
    }
    stream_ = std::move(stream);
    other_end_ = target;
    begin();
    log::info("TCP {}: connected, as {}", target.to_string(), address_.to_string());
    const auto [failed, len] = co_await asio::async_write(stream_, asio::buffer(stream_prefix), tuple);
    if (failed) co_return hang_up(failed.message());
    asio::co_spawn(
        datagrams_.get_executor(),
        [self = shared_from_this(), generation = generation_] { return self->pump_stream(generation); },
        asio::detached);
  }

  IpAddress address_;
  bool accepted_;
  Tcp::socket stream_;
  asio::posix::stream_descriptor datagrams_;
  Endpoint other_end_;
  std::optional<Endpoint> target_;
  bool closed_ = false, connecting_ = false, framed_ = false, answered_ = false;
  std::uint64_t generation_ = 0;  ///< of the connection: what waits for an earlier one has nothing to say
  Clock::time_point since_{}, last_use_{}, next_try_{};
};

// ---- all of them
// ---------------------------------------------------------------------------------------------------------------------

class StreamRelay::Impl {
 public:
  explicit Impl(const StreamRelayOptions& options) : options_(options), timer_(io_) {}

  ~Impl() {
    asio::post(io_, [this] {
      for (auto& acceptor : acceptors_) acceptor->close();
      for (auto& [address, link] : links_) link->close();
      io_.stop();  // who still waits for a connection goes with its context
    });
    thread_.join();
  }

  void start() {
    check_later();
    thread_ = std::thread([this] {
      give_up_capabilities();
      io_.run();
    });
  }

  Result<std::uint16_t> listen(const Endpoint& at) {
    auto acceptor = std::make_shared<Tcp::acceptor>(io_);
    const Tcp::endpoint endpoint = to_tcp(at);
    ErrorCode error;
    acceptor->open(endpoint.protocol(), error);
    if (!error) acceptor->set_option(asio::socket_base::reuse_address(true), error);
    if (!error && !at.address.is_v4()) acceptor->set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor->bind(endpoint, error);
    if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(Errc::io, fmt::format("TCP {}: {}", at.to_string(), error.message()), error.value());
    const std::uint16_t port = acceptor->local_endpoint(error).port();
    asio::post(io_, [this, acceptor] {
      acceptors_.push_back(acceptor);
      asio::co_spawn(io_, accept_all(acceptor), asio::detached);
    });
    return port;
  }

  Result<IpAddress> add_target(std::uint16_t port) {
    const std::uint32_t index = next_target_++;
    if (index >= num_targets) return fail(Errc::exhausted, "too many gateways by TCP");
    const IpAddress address = IpAddress::v4(options_.first_target + index);
    auto link = open_link({address, port}, false);
    if (!link) return std::unexpected(link.error());
    asio::post(io_, [this, link = *link] {
      links_[link->address()] = link;
      link->serve_target();
    });
    return address;
  }

  void set_target(const IpAddress& stands_for, std::optional<Endpoint> target) {
    {
      const std::scoped_lock lock(names_mutex_);
      if (target) {
        names_[stands_for] = *target;
      } else {
        names_.erase(stands_for);
      }
    }
    asio::post(io_, [this, stands_for, target] {
      const auto found = links_.find(stands_for);
      if (found != links_.end()) found->second->set_target(target);
    });
  }

  void reconnect() {
    asio::post(io_, [this] {
      for (auto& [address, link] : links_)
        if (!per_link_source_.contains(address)) link->hang_up("our addresses have changed");
    });
  }

  std::optional<Endpoint> other_end(const IpAddress& address) const {
    const std::scoped_lock lock(names_mutex_);
    const auto found = names_.find(address);
    return found == names_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  Result<std::shared_ptr<Link>> open_link(const Endpoint& at, bool accepted) {
    auto fd = open_datagram_socket(at, options_.daemon);
    if (!fd) return std::unexpected(fd.error());
    return std::make_shared<Link>(io_, at.address, *fd, accepted);
  }

  asio::awaitable<void> accept_all(std::shared_ptr<Tcp::acceptor> acceptor) {
    while (acceptor->is_open()) {
      Tcp::endpoint from;
      Tcp::socket stream(io_);
      const auto [error] = co_await acceptor->async_accept(stream, from, tuple);
      if (error == asio::error::operation_aborted || !acceptor->is_open()) co_return;
      if (!error) {
        take(std::move(stream), from_tcp(from));
        continue;
      }
      asio::steady_timer pause(io_, accept_pause);  // no file descriptors left, perhaps
      co_await pause.async_wait(tuple);
    }
  }

  void take(Tcp::socket stream, const Endpoint& from) {
    const auto from_there = per_source_.find(from.address);
    if (per_link_source_.size() >= options_.max_connections ||
        (from_there != per_source_.end() && from_there->second >= options_.max_per_source)) {
      log::warn("TCP {}: refused: too many connections", from.to_string());
      return;
    }
    const std::optional<IpAddress> address = free_address();
    auto link = address ? open_link({*address, options_.daemon.port}, true) : fail(Errc::exhausted, "no address left");
    if (!link) return log::warn("TCP {}: refused: {}", from.to_string(), link.error().detail);
    links_[*address] = *link;
    per_link_source_[*address] = from.address;
    ++per_source_[from.address];
    {
      const std::scoped_lock lock(names_mutex_);
      names_[*address] = from;
    }
    log::debug("TCP {}: connected, as {}", from.to_string(), address->to_string());
    (*link)->start(std::move(stream), from);
  }

  /// An address is not given to the next one as long as there are others: IKE may still know who had it.
  std::optional<IpAddress> free_address() {
    for (std::size_t tries = 0; tries <= options_.max_connections; ++tries) {
      const IpAddress address = IpAddress::v4(options_.first_accepted + (next_accepted_++ & 0xfffff));
      if (!links_.contains(address)) return address;
    }
    return std::nullopt;
  }

  void forget(const IpAddress& address) {
    const auto source = per_link_source_.find(address);
    if (source == per_link_source_.end()) return;
    if (--per_source_[source->second] == 0) per_source_.erase(source->second);
    per_link_source_.erase(source);
    const std::scoped_lock lock(names_mutex_);
    names_.erase(address);
  }

  void check_later() {
    timer_.expires_after(check_interval);
    timer_.async_wait([this](const ErrorCode& error) {
      if (error) return;
      const auto now = Clock::now();
      for (auto& [address, link] : links_) link->check(now);
      std::erase_if(links_, [this](const auto& entry) {
        if (!entry.second->closed()) return false;
        forget(entry.first);
        return true;
      });
      check_later();
    });
  }

  StreamRelayOptions options_;
  asio::io_context io_{1};
  asio::steady_timer timer_;
  std::vector<std::shared_ptr<Tcp::acceptor>> acceptors_;
  std::map<IpAddress, std::shared_ptr<Link>> links_;
  std::map<IpAddress, IpAddress> per_link_source_;  ///< of accepted connections: whose
  std::map<IpAddress, std::size_t> per_source_;     ///< how many
  std::uint32_t next_accepted_ = 0;
  std::atomic<std::uint32_t> next_target_{0};
  mutable std::mutex names_mutex_;
  std::map<IpAddress, Endpoint> names_;
  std::thread thread_;
};

StreamRelay::StreamRelay(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StreamRelay::~StreamRelay() = default;

Result<std::unique_ptr<StreamRelay>> StreamRelay::create(StreamRelayOptions options) {
  if (!options.daemon.address.is_v4())
    return fail(Errc::unsupported, "TCP encapsulation needs the gateway to listen on an IPv4 address");
  auto impl = std::make_unique<Impl>(options);
  impl->start();
  return std::unique_ptr<StreamRelay>(new StreamRelay(std::move(impl)));
}

Result<std::uint16_t> StreamRelay::listen(const Endpoint& at) {
  return impl_->listen(at);
}
Result<IpAddress> StreamRelay::add_target(std::uint16_t port) {
  return impl_->add_target(port);
}
void StreamRelay::set_target(const IpAddress& stands_for, std::optional<Endpoint> target) {
  impl_->set_target(stands_for, target);
}
void StreamRelay::reconnect() {
  impl_->reconnect();
}
std::optional<Endpoint> StreamRelay::other_end(const IpAddress& address) const {
  return impl_->other_end(address);
}

}  // namespace culvert::daemon
