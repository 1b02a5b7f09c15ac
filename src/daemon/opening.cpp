// How a gateway opens, in the order of Daemon::open: what only root may open, the machine and the packets, the keys,
// and those whom IKE asks.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "client_mode.h"
#include "culvert/crypto/aead.h"
#include "culvert/crypto/random.h"
#include "daemon.h"
#include "outer_mark.h"

namespace culvert::daemon {
namespace {

constexpr std::size_t crash_secret_len = 32, max_ticket_keys_len = 1024;

/// Wall clock where the monotonic one is zero.
std::chrono::seconds unix_at_zero() {
  using std::chrono::duration_cast, std::chrono::seconds;
  return duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch()) -
         duration_cast<seconds>(Clock::now().time_since_epoch());
}

/// nullptr: the configuration wants none.
Result<std::shared_ptr<const Secret>> load_crash_secret(const config::Config& config, const StateDir& state) {
  if (!config.gateway.crash_detection) return nullptr;
  auto secret = state.secret(crash_secret_name, crash_secret_len);
  if (!secret) return std::unexpected(secret.error());
  return std::make_shared<const Secret>(std::move(*secret));
}

}  // namespace

Result<void> Daemon::open(DaemonOptions& options) {
  config_file_ = options.config_file;
  if (const std::string& aead = config_.gateway.aead; !aead.empty())  // before any key is made
    if (auto selected = crypto::select_aead_implementation(aead); !selected) return selected;
  if (options.debug_keys) {
    auto keys = DebugKeys::open(*options.debug_keys);
    if (!keys) return std::unexpected(keys.error());
    debug_keys_.emplace(std::move(*keys));
  }
  auto state = StateDir::open(config_.gateway.state_dir);
  if (!state) return std::unexpected(state.error());
  if (auto opened = open_control_socket(); !opened) return opened;
  auto metrics = open_metrics();
  if (!metrics) return std::unexpected(metrics.error());
  metrics_ = std::move(*metrics);
  if (auto smaller = become_smaller(options); !smaller) return smaller;
  auto crash_secret = load_crash_secret(config_, *state);
  if (!crash_secret) return std::unexpected(crash_secret.error());
  if (auto opened = open_plane(std::move(*state), options.client); !opened) return opened;
  if (auto opened = open_ike(std::move(*crash_secret)); !opened) return opened;
  open_resolver();
  open_helpers();
  if (options.hooks) hooks_ = std::make_unique<Hooks>(io_, std::move(options.hooks), config_);
  if (auto watched = watch_network(); !watched) return watched;
  return lock_in(options);
}

Result<void> Daemon::open_control_socket() {
  ControlServerOptions options;
  options.path = config_.gateway.control_socket;
  options.group = config_.gateway.control_group;
  auto control =
      ControlServer::open(io_, std::move(options), [this](const control::Request& request) { return answer(request); });
  if (!control) return std::unexpected(control.error());
  control_ = std::move(*control);
  control_->stream_by([this](const control::Request& request, ControlServer::Protocol::socket socket) {
    watch(request, std::move(socket));
  });
  return {};
}

/// The machine and the packets: whatever devices and sockets the run before has left to us go on.
Result<void> Daemon::open_plane(StateDir state, ClientMode* client) {
  const auto& gateway = config_.gateway;
  auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  tunnel::DataPlaneOptions options;
  options.kept = manager_.take_kept();
  std::vector<std::string> devices;
  for (const auto& tunnel : config_.tunnels) devices.push_back(tunnel.plane.device);
  options.kept.close_other_devices(devices);  // their routes may be another one's now
  auto machine = Machine::create(config_, std::move(*netlink), std::move(state), options.kept);
  if (!machine) return std::unexpected(machine.error());
  machine_.emplace(std::move(*machine));
  client_ = client;
  if (client_) {
    if (auto prepared = client_->prepare(); !prepared) return prepared;
    machine_->watch_clients(client_);
  }
  options.workers = gateway.workers;
  options.busy_poll = gateway.busy_poll;
  options.listen = gateway.listen;
  options.ike_port = gateway.ike_port;
  options.nat_port = gateway.nat_port;
  options.raw_esp = gateway.raw_esp;
  auto plane = tunnel::DataPlane::create(std::move(options));
  if (!plane) return std::unexpected(plane.error());
  plane_ = std::move(*plane);
  if (auto marked = mark_sockets(plane_->descriptors(), gateway.fwmark); !marked) return marked;
  if (auto opened = open_icmp(); !opened) return opened;
  if (auto ready = machine_->set_up(*plane_); !ready) return ready;
  plane_->close_kept();
  const int events = dup(plane_->event_fd());
  if (events < 0) return fail(Errc::io, fmt::format("data plane: {}", std::strerror(errno)), errno);
  plane_events_.assign(events);
  return {};
}

/// The keys, who may have them, and the connections by TCP that some peers take (RFC 9329).
Result<void> Daemon::open_ike(std::shared_ptr<const Secret> crash_secret) {
  const auto& gateway = config_.gateway;
  ike::EndpointOptions options;
  options.debug_keys = debug_keys_.has_value();
  options.ike_port = gateway.ike_port;
  options.nat_port = gateway.nat_port;
  options.redirect = gateway.redirect;
  options.crash_secret = std::move(crash_secret);
  options.ticket_keys =
      std::make_shared<const Secret>(machine_->state().kept_secret(ticket_keys_name, max_ticket_keys_len));
  options.unix_at_zero = unix_at_zero();
  options.users = config_.users;
  options.pools = config_.pools;
  options.leases = leases_.load(machine_->state(), config_.pools);
  ike_ = std::make_unique<ike::IkeEndpoint>(options, config_.peers, crypto::system_random());
  if (config_.users_file) users_stamp_ = FileStamp::of(config_.users_file->path);
  auto streams = StreamPaths::open(config_);
  if (!streams) return std::unexpected(streams.error());
  streams_ = std::move(*streams);
  return {};
}

void Daemon::open_resolver() {
  const auto& gateway = config_.gateway;
  ResolverOptions options;
  options.listen = gateway.listen;
  options.ike_port = gateway.ike_port;
  options.mark = gateway.fwmark;
  options.refuse = [this](const IpAddress& remote) { return machine_->leads_into_tunnel(remote); };
  if (client_) options.lookup = [names = client_->names()](const std::string& name) { return names->find(name); };
  resolver_ = std::make_unique<Resolver>(
      io_, std::move(options), [this](PeerId peer, std::vector<ike::Path> paths, std::string why) {
        if (stopping_) return;
        if (client_)
          for (const ike::Path& path : paths) client_->allow(path.remote.address);
        streams_.add_to(peer, paths);
        perform(ike_->on_addresses(Clock::now(), peer, std::move(paths), std::move(why)));
      });
}

/// Those that do for IKE what takes long: arithmetic, lists of revoked certificates, RADIUS.
void Daemon::open_helpers() {
  compute_pool_ = std::make_unique<ComputePool>(io_, ComputePoolOptions{},
                                                [this](std::uint64_t id, std::unique_ptr<ike::Computed> result) {
                                                  if (!stopping_)
                                                    perform(ike_->on_computed(Clock::now(), id, std::move(result)));
                                                });
  revocation_ = std::make_unique<RevocationKeeper>(io_, config_.revocation);
  radius_ = std::make_unique<RadiusService>(io_, config_.radius, config_.gateway.id.to_string(),
                                            [this](std::uint64_t id, ike::RadiusAnswer answer) {
                                              if (!stopping_)
                                                perform(ike_->on_radius(Clock::now(), id, std::move(answer)));
                                            });
}

Result<void> Daemon::watch_network() {
  machine_->refresh_addresses();
  auto network = NetworkWatch::open(
      io_, [this](int ifindex) { return machine_->owns(ifindex); }, [this](int ifindex) { on_lost_device(ifindex); },
      [this] { on_network_change(); });
  if (!network) return std::unexpected(network.error());
  network_ = std::move(*network);
  return {};
}

}  // namespace culvert::daemon
