#include "culvert/tunnel/data_plane.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "control_queue.h"
#include "culvert/base/log.h"
#include "file_descriptor.h"
#include "ike_sockets.h"
#include "injector.h"
#include "sa_registry.h"
#include "socket_set.h"
#include "tables.h"
#include "worker.h"

namespace culvert::tunnel {
namespace {

/// The facade that the daemon uses: the control thread's side of the workers.
class LinuxDataPlane final : public DataPlane {
 public:
  LinuxDataPlane(DataPlaneOptions options, std::unique_ptr<ControlQueue> control)
      : options_(std::move(options)),
        control_(std::move(control)),
        tables_(options_.workers, std::make_unique<Tables>()) {}
  ~LinuxDataPlane() override {
    for (const auto& worker : workers_) worker->stop();
  }

  [[nodiscard]] Result<void> start_workers();
  [[nodiscard]] Result<void> watch_control();

  Result<void> add_tunnel(const TunnelConfig& config) override;
  bool has_kept_device(const std::string& device) const override { return options_.kept.has_device(device); }
  void close_kept() override { options_.kept.close(); }
  Result<void> renew_device(TunnelId id) override;
  std::vector<NamedDescriptor> descriptors() const override;
  void remove_tunnel(TunnelId id) override;
  void remove_tunnels(std::span<const TunnelId> ids, const std::function<void()>& before_closing) override;
  void adjust(const TunnelConfig& config) override;
  void set_mtu(TunnelId id, std::uint16_t mtu) override;

  Result<void> install(ChildSaKeys keys, bool use_outbound) override;
  void activate_outbound(Spi inbound_spi) override;
  void move(Spi inbound_spi, const Endpoint& local, const Endpoint& remote, EspEncapsulation encapsulation) override;
  void remove(Spi inbound_spi) override;
  void flush_waiting(ChildId child) override;

  Result<void> send_control(const Endpoint& local, const Endpoint& remote, ByteView bytes, bool keepalive) override;
  void send_whole(const Endpoint& local, const Endpoint& remote, ByteView bytes) override;
  bool send_echo(ChildId child, const wire::Echo& echo, std::size_t len, bool whole) override;
  bool answer_echo(Spi inbound_spi, const wire::Echo& echo) override;
  bool send_inner(TunnelId id, ByteView packet, bool whole) override;
  int event_fd() const noexcept override { return events_fd_.get(); }
  void expect_from(std::span<const IpAddress> addresses) override { ike_.expect(addresses); }
  std::vector<Event> poll_events(std::size_t max) override;

  std::vector<ChildSaKeys> copy_keys(const std::function<bool(PeerId)>& wanted) const override {
    return registry_.copy_keys(wanted);
  }
  std::optional<ChildTraffic> traffic(Spi inbound_spi) const override;
  TunnelCounters counters(TunnelId id) const override;
  std::vector<std::uint64_t> drops() const override;
  void count_drop(DropReason reason) override { drops_.add(reason); }
  WorkerCounters worker_counters() const override;
  std::size_t packet_memory() const override { return workers_.size() * Worker::packet_memory; }

 private:
  /// True when no worker can be at work with older tables any more.
  bool publish() { return tables_.publish(registry_.make_tables()); }
  void wake_workers() noexcept {
    for (const auto& worker : workers_) worker->wake();
  }
  void discard_waiting(Port& port) {
    if (const std::size_t num = port.waiting.flush()) drops_.add(DropReason::wait_expired, num);
  }
  void take_up_what_waits(ChildId child, bool all_know);
  void wait_for_workers_to_leave();
  [[nodiscard]] Injector injector() { return {ike_, workers_.front()->sockets(), io_, drops_}; }
  void report_events(OutboundSa& sa);

  DataPlaneOptions options_;
  std::unique_ptr<ControlQueue> control_;
  IkeSockets ike_;
  FileDescriptor events_fd_;
  PublishedTables tables_;
  SaRegistry registry_;
  std::vector<std::unique_ptr<Worker>> workers_;
  SocketBatch io_;
  DropCounters drops_;
};

// ---- sockets and workers ------------------------------------------------------------------------------------------

/// One group of sockets: one for each worker, appended to `sets`, and those of IKE.
Result<void> open_nat(const Endpoint& local, std::vector<std::vector<SocketSet::Udp>>& sets, IkeSockets& ike,
                      KeptDescriptors& kept) {
  auto group = UdpSocket::open_nat_group(local, static_cast<unsigned>(sets.size()), kept);
  if (!group) return std::unexpected(group.error());
  for (std::size_t i = 0; i < sets.size(); ++i) sets[i].push_back({std::move(group->workers[i]), PortKind::nat});
  ike.add(std::move(group->ike), PortKind::nat);
  return {};
}

/// "::" is listened on by default; on a kernel without IPv6 that is no mistake of the configuration.
bool is_missing_ipv6(const IpAddress& address, const Error& error) noexcept {
  return !address.is_v4() && address.is_unspecified() && error.system_error == EAFNOSUPPORT;
}

Result<void> open_address(DataPlaneOptions& options, const IpAddress& address,
                          std::vector<std::vector<SocketSet::Udp>>& udp, IkeSockets& ike,
                          std::vector<RawEspSocket>& raw) {
  auto ike_group = UdpSocket::open_ike_group({address, options.ike_port}, options.kept);
  if (!ike_group) return std::unexpected(ike_group.error());
  ike.add(std::move(*ike_group), PortKind::ike);
  if (auto opened = open_nat({address, options.nat_port}, udp, ike, options.kept); !opened) return opened;
  if (!options.raw_esp) return {};
  auto socket = RawEspSocket::open(address, options.kept);
  if (!socket) return std::unexpected(socket.error());
  raw.push_back(std::move(*socket));
  return {};
}

Result<void> LinuxDataPlane::start_workers() {
  std::vector<std::vector<SocketSet::Udp>> udp(options_.workers);
  std::vector<RawEspSocket> raw;
  for (const IpAddress& address : options_.listen) {
    const auto opened = open_address(options_, address, udp, ike_, raw);
    if (opened) continue;
    if (!is_missing_ipv6(address, opened.error())) return opened;
    log::warn("this kernel has no IPv6: not listening on [::]");
  }
  const auto shared_raw = std::make_shared<const std::vector<RawEspSocket>>(std::move(raw));
  for (unsigned i = 0; i < options_.workers; ++i) {
    auto worker = Worker::create(i, SocketSet(std::move(udp[i]), shared_raw), tables_, *control_,
                                 {.max_wait = options_.max_wait, .busy_poll = options_.busy_poll});
    if (!worker) return std::unexpected(worker.error());
    workers_.push_back(std::move(*worker));
  }
  if (auto watched = watch_control(); !watched) return watched;
  for (const auto& worker : workers_) worker->start();
  return {};
}

/// One descriptor for all that the control thread waits for.
Result<void> LinuxDataPlane::watch_control() {
  events_fd_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!events_fd_ || ::epoll_ctl(events_fd_.get(), EPOLL_CTL_ADD, control_->event_fd(), &event) != 0)
    return fail(Errc::io, "epoll of the control thread", errno);
  return ike_.watch(events_fd_.get());
}

// ---- tunnels ------------------------------------------------------------------------------------------------------

Result<void> LinuxDataPlane::add_tunnel(const TunnelConfig& config) {
  if (auto possible = registry_.can_add_port(config); !possible) return possible;
  auto queues = has_kept_device(config.device) ? TunQueue::take_device(config.device, options_.workers, options_.kept)
                                               : TunQueue::create_device(config.device, options_.workers);
  if (!queues) return std::unexpected(queues.error());
  const auto port = std::make_shared<Port>(config, std::move(*queues), options_.wait_queue);
  registry_.add_port(port);
  publish();  // before the queues are watched: a worker that reads one finds the port
  for (const auto& worker : workers_) {
    if (auto watched = worker->watch(*port); !watched) {
      remove_tunnel(config.id);
      return watched;
    }
  }
  return {};
}

Result<void> LinuxDataPlane::renew_device(TunnelId id) {
  const Port* port = registry_.port(id);
  if (!port) return fail(Errc::not_found, "no such tunnel");
  if (auto renewed = port->renew_device(); !renewed) return renewed;
  for (const auto& worker : workers_)
    if (auto watched = worker->watch(*port); !watched) return watched;
  return {};
}

std::vector<NamedDescriptor> LinuxDataPlane::descriptors() const {
  std::vector<NamedDescriptor> all;
  std::map<Endpoint, std::size_t> num;  // of each address and port: workers' sockets first, then those of IKE
  const auto add = [&](const UdpSocket& socket) {
    all.push_back({UdpSocket::name(socket.local(), num[socket.local()]++), socket.fd()});
  };
  for (const auto& worker : workers_)
    for (const auto& [socket, kind] : worker->sockets().udp()) add(socket);
  ike_.for_each(add);
  for (const RawEspSocket& socket : workers_.front()->sockets().raw())
    all.push_back({RawEspSocket::name(socket.local()), socket.fd()});
  for (const Port* port : registry_.ports())
    for (unsigned i = 0; const TunQueue& queue : port->queues())
      all.push_back({queue_name(port->config.device, i++), queue.fd()});
  return all;
}

void LinuxDataPlane::remove_tunnel(TunnelId id) {
  remove_tunnels({&id, 1}, [] {});
}

void LinuxDataPlane::remove_tunnels(std::span<const TunnelId> ids, const std::function<void()>& before_closing) {
  std::vector<std::shared_ptr<Port>> ports;
  for (const TunnelId id : ids) {
    auto port = registry_.remove_port(id);
    if (!port) continue;
    for (const auto& worker : workers_) worker->unwatch(*port);
    ports.push_back(std::move(port));
  }
  if (!ports.empty()) {
    publish();
    wait_for_workers_to_leave();
    for (const auto& port : ports) discard_waiting(*port);
  }
  before_closing();
}

/// A worker leaves the tables of before at the end of the batch it is in; only then is a device closed that they named,
/// and its name free. A moment's patience (microseconds, unless the machine is overloaded) makes that true when we
/// return; if it takes longer, we go on, and poll_events reclaims.
void LinuxDataPlane::wait_for_workers_to_leave() {
  const TimePoint until = Clock::now() + std::chrono::seconds(1);
  while (!tables_.reclaim() && Clock::now() < until) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

void LinuxDataPlane::adjust(const TunnelConfig& config) {
  if (Port* port = registry_.port(config.id)) port->adjust(config);
}

void LinuxDataPlane::set_mtu(TunnelId id, std::uint16_t mtu) {
  if (Port* port = registry_.port(id)) port->mtu.store(mtu, std::memory_order_relaxed);
}

// ---- security associations ----------------------------------------------------------------------------------------

Result<void> LinuxDataPlane::install(ChildSaKeys keys, bool use_outbound) {
  if (registry_.pair(keys.inbound_spi)) return fail(Errc::invalid, "inbound SPI is in use");
  auto pair = make_sa_pair(std::move(keys));
  if (!pair) return std::unexpected(pair.error());
  const ChildId child = pair->inbound->child;
  const bool replaces_another = use_outbound && registry_.sends(child);
  if (auto added = registry_.add_pair(std::move(*pair), use_outbound); !added) return added;
  // A worker loads the tables anew for every batch: whatever arrives from here on finds the inbound SA.
  const bool all_know = publish();
  take_up_what_waits(child, all_know);
  if (replaces_another) wait_for_workers_to_leave();
  return {};
}

/// When this returns nothing leaves by the SA of before any more (the same holds for install): a Delete of it that IKE
/// sends now does not overtake a batch that was still being encrypted, and no packet is lost (RFC 7296 §2.8).
void LinuxDataPlane::activate_outbound(Spi inbound_spi) {
  if (!registry_.activate(inbound_spi)) return;
  const ChildId child = registry_.pair(inbound_spi)->inbound->child;
  const bool all_know = publish();
  take_up_what_waits(child, all_know);
  wait_for_workers_to_leave();
}

/// To be sent by a new SA, or received by it. A worker that is at work with older tables may be about to put a packet
/// aside: it looks once more when it is woken. All others have seen the new ones, or will.
void LinuxDataPlane::take_up_what_waits(ChildId child, bool all_know) {
  const auto has_waiting = [](const Port* port) { return !port->waiting.empty(); };
  const auto holds_early = [](const auto& worker) { return worker->holds_early(); };
  if (!all_know || std::ranges::any_of(registry_.ports_of(child), has_waiting) ||
      std::ranges::any_of(workers_, holds_early))
    wake_workers();
}

void LinuxDataPlane::move(Spi inbound_spi, const Endpoint& local, const Endpoint& remote,
                          EspEncapsulation encapsulation) {
  SaPair* pair = registry_.pair(inbound_spi);
  if (!pair) return;
  pair->outbound->path.store({local, remote, encapsulation});
  pair->inbound->remote_tag.store(endpoint_tag(remote), std::memory_order_relaxed);
}

void LinuxDataPlane::remove(Spi inbound_spi) {
  if (registry_.remove_pair(inbound_spi)) publish();
}

void LinuxDataPlane::flush_waiting(ChildId child) {
  for (Port* port : registry_.ports_of(child)) discard_waiting(*port);
}

// ---- control messages and events ----------------------------------------------------------------------------------

Result<void> LinuxDataPlane::send_control(const Endpoint& local, const Endpoint& remote, ByteView bytes,
                                          bool keepalive) {
  const auto failed = [&](const std::string& why, int error) {
    return fail(error == 0 ? Errc::not_found : Errc::io,
                "UDP " + local.to_string() + " to " + remote.to_string() + ": " + why, error);
  };
  if (local.address.family() != remote.address.family()) return failed("addresses of two families", 0);
  // Any of the port's sockets does: sending is thread-safe, and the answer goes to whichever the kernel steers it to.
  const UdpSocket* socket = ike_.find(local);
  if (!socket) socket = workers_.front()->sockets().find_udp(local);
  if (!socket) return failed("we do not listen there", 0);
  Bytes marked;
  if (local.port == options_.nat_port && !keepalive) {  // RFC 3948 §2.2: the non-ESP marker
    marked.resize(non_esp_marker_len);
    append(marked, bytes);
    bytes = marked;
  }
  const SendItem item{.bytes = bytes, .remote = remote, .local = local.address};
  const int error = io_.send_one(socket->fd(), local.address.family(), item);
  if (error != 0) return failed(std::strerror(error), error);
  return {};
}

/// The socket's option changes for one send. Where the kernel does not steer, the socket is a worker's, and what that
/// sends in the same moment has DF too.
void LinuxDataPlane::send_whole(const Endpoint& local, const Endpoint& remote, ByteView bytes) {
  const UdpSocket* socket = ike_.find(local);
  if (!socket) socket = workers_.front()->sockets().find_udp(local);
  if (!socket) return;
  set_dont_fragment(socket->fd(), local.address.family(), true);
  [[maybe_unused]] const auto sent = send_control(local, remote, bytes, false);
  set_dont_fragment(socket->fd(), local.address.family(), false);
}

bool LinuxDataPlane::send_echo(ChildId child, const wire::Echo& echo, std::size_t len, bool whole) {
  const PolicyTable* policy = registry_.policy(child);
  OutboundSa* sa = policy ? policy->newest() : nullptr;
  if (!sa) return false;
  const bool sent = injector().send_echo(*sa, echo, len, whole);
  report_events(*sa);
  return sent;
}

bool LinuxDataPlane::answer_echo(Spi inbound_spi, const wire::Echo& echo) {
  const SaPair* pair = registry_.pair(inbound_spi);
  if (!pair) return false;
  const bool sent = injector().send_echo(*pair->outbound, echo, wire::echo_len, false);
  report_events(*pair->outbound);
  return sent;
}

bool LinuxDataPlane::send_inner(TunnelId id, ByteView packet, bool whole) {
  Port* port = registry_.port(id);
  const auto flow = wire::Flow::parse(packet);
  if (!port || !flow) return false;
  const PolicyTable* policy = registry_.policy(port->config.child);
  if (!policy) return false;
  OutboundSa* sa = port->config.carry == Carry::gre ? policy->newest() : policy->find(*flow);
  if (!sa) return false;
  const bool sent = injector().send_inner(*port, *sa, packet, whole);
  report_events(*sa);
  return sent;
}

/// What a worker does after each batch (worker_events.h).
void LinuxDataPlane::report_events(OutboundSa& sa) {
  const std::uint8_t pending = sa.events.take();
  for (const auto event : {ChildEvent::first_inbound, ChildEvent::soft_limit, ChildEvent::hard_limit}) {
    if ((pending & EventFlags::bit(event)) == 0) continue;
    if (!control_->push_notice(SaEvent{sa.inbound_spi, event})) sa.events.put_back(event);
    control_->wake();
  }
}

std::vector<Event> LinuxDataPlane::poll_events(std::size_t max) {
  [[maybe_unused]] const bool all_gone = tables_.reclaim();
  control_->clear_wake();
  std::vector<Event> events;
  while (events.size() < max) {
    auto event = control_->pop();
    if (!event) break;
    const auto* sa_event = std::get_if<SaEvent>(&*event);
    if (!sa_event || registry_.first_report(*sa_event)) events.push_back(std::move(*event));
  }
  if (events.size() >= max) control_->wake();  // there may be more
  ike_.receive(events, drops_);
  return events;
}

// ---- counters -----------------------------------------------------------------------------------------------------

std::optional<ChildTraffic> LinuxDataPlane::traffic(Spi inbound_spi) const {
  const SaPair* pair = registry_.pair(inbound_spi);
  if (!pair) return std::nullopt;
  return ChildTraffic{.inbound_packets = pair->inbound->meter.packets(),
                      .inbound_bytes = pair->inbound->meter.bytes(),
                      .outbound_packets = pair->outbound->meter.packets(),
                      .outbound_bytes = pair->outbound->meter.bytes()};
}

TunnelCounters LinuxDataPlane::counters(TunnelId id) const {
  const Port* port = registry_.port(id);
  return port ? port->counters() : TunnelCounters{};
}

std::vector<std::uint64_t> LinuxDataPlane::drops() const {
  std::vector<std::uint64_t> sum(num_drop_reasons);
  for (std::size_t i = 0; i < num_drop_reasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    sum[i] = drops_[reason];
    for (const auto& worker : workers_) sum[i] += worker->drops()[reason];
  }
  sum[static_cast<std::size_t>(DropReason::control_queue_full)] += ike_.num_overflowed();
  return sum;
}

WorkerCounters LinuxDataPlane::worker_counters() const {
  WorkerCounters sum;
  for (const auto& worker : workers_) worker->add_to(sum);
  return sum;
}

}  // namespace

Result<std::unique_ptr<DataPlane>> DataPlane::create(DataPlaneOptions options) {
  constexpr unsigned max_workers = 256;
  if (options.workers == 0 || options.workers > max_workers) return fail(Errc::invalid, "workers: 1 to 256");
  if (options.listen.empty()) return fail(Errc::invalid, "no address to listen on");
  if (options.ike_port == options.nat_port) return fail(Errc::invalid, "IKE port and NAT port must differ");
  auto control = ControlQueue::create();
  if (!control) return std::unexpected(control.error());
  auto plane = std::make_unique<LinuxDataPlane>(std::move(options), std::move(*control));
  if (auto started = plane->start_workers(); !started) return std::unexpected(started.error());
  return plane;
}

}  // namespace culvert::tunnel
