#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "culvert/base/bytes.h"
#include "culvert/base/drop_reason.h"
#include "culvert/base/ids.h"
#include "culvert/base/ip.h"
#include "culvert/base/result.h"
#include "culvert/base/time.h"
#include "culvert/child_sa.h"
#include "culvert/tunnel/kept_descriptors.h"
#include "culvert/wire/echo.h"

namespace culvert::tunnel {

enum class Carry : std::uint8_t {
  ip,   ///< plain ESP tunnel mode: inner IP packets
  gre,  ///< routed GRE, RFC 2784 and 2890
};

/// One [tunnel.NAME]: a TUN device and what it carries. A child SA may serve several GRE tunnels, told apart by key.
struct TunnelConfig {
  TunnelId id;
  std::string name;
  ChildId child;
  Carry carry = Carry::gre;
  std::string device;                    ///< at most 15 characters
  std::uint16_t mtu = 0;                 ///< of the device; the daemon has computed it, at most 65535
  std::optional<std::uint32_t> gre_key;
  bool gre_sequence = false;
  bool gre_checksum = false;
  /// GRE delivery header (tunnel mode only: it is the inner IP header of ESP). Unset: the SA's own outer addresses.
  std::optional<IpAddress> gre_source, gre_destination;
  bool clamp_mss = true;
  std::uint16_t max_mss = 0xffff;        ///< clamp_mss: no TCP SYN offers more than this, nor more than what fits
  bool copy_dscp = true;                 ///< RFC 2983 §3: inner DSCP to the outer header, else 0
  bool trap = false;                     ///< on-traffic: packets without an SA raise Acquire and wait, a bounded few; else dropped, counted
};

struct DataPlaneOptions {
  unsigned workers = 1;
  std::vector<IpAddress> listen;         ///< each gets an IKE and a NAT-T socket a worker
  std::uint16_t ike_port = 500;
  std::uint16_t nat_port = 4500;
  bool raw_esp = true;                   ///< also open raw sockets for IP protocol 50
  std::size_t wait_queue = 64;           ///< packets per tunnel that wait for an SA
  Duration max_wait = std::chrono::seconds(30);  ///< how long they wait before they are dropped
  KeptDescriptors kept{};                ///< of a daemon before us: devices and sockets are taken from here where they fit
  Duration busy_poll{};                  ///< how long an idle worker keeps looking for packets before it sleeps; 0: sleeps at once
};

/// A datagram that is not ESP, for ike. The non-ESP marker is gone.
struct ControlDatagram {
  Endpoint local;   ///< the address it was sent to (IP_PKTINFO) and our port
  Endpoint remote;
  Bytes bytes;
};
struct AcquireEvent {
  ChildId child;
  TrafficSelector source, destination;   ///< of the packet that waits
};
struct SaEvent {
  Spi inbound_spi;
  ChildEvent event;
};
/// ESP with an SPI nobody has, at most one a second for each remote. It may get an SA within 100 ms yet (EarlyPackets).
struct UnknownSpiEvent {
  Endpoint local, remote;
  Spi spi;
};
/// ESP in UDP that authenticated, with a number above all before it, came from another endpoint than that of its SA. At most four a
/// second for each SA.
struct PathEvent {
  Spi inbound_spi;
  Endpoint local, remote;                ///< as it came
};
/// An SA pair has sent for half a second, and nothing that authenticates has come back since its first packet; then
/// again after twice as long each time, up to 32 s, until something comes.
struct SilenceEvent {
  Spi inbound_spi;
};
/// So many requests for an IKE SA the kernel has kept back since the last such event, in a flood of them: those that bring no COOKIE, are
/// no repetition, and do not come from where one is expected.
struct FloodEvent {
  std::uint64_t kept_back;
};
/// An echo has come in by an SA pair: a question, to be answered by the same pair, or an answer. At most a hundred a second for each SA;
/// the others are discarded.
struct EchoEvent {
  Spi inbound_spi;
  wire::Echo echo;
  std::uint32_t len = 0;  ///< bytes of plaintext, as it came
  TimePoint received{};
};
using Event =
    std::variant<ControlDatagram, AcquireEvent, SaEvent, UnknownSpiEvent, PathEvent, SilenceEvent, FloodEvent, EchoEvent>;

struct TunnelCounters {
  std::uint64_t inbound_packets = 0, inbound_bytes = 0, outbound_packets = 0, outbound_bytes = 0;
};
struct WorkerCounters {
  std::uint64_t wakeups = 0, tun_read_batches = 0, udp_receive_batches = 0;
};

/// The packet side of the gateway: devices, sockets, workers, SAs. All functions are for the one control thread; none of them blocks
/// on a worker's packets, and workers never wait for the control thread.
class DataPlane {
 public:
  /// Opens sockets and starts workers. Errc::io names the address and port.
  [[nodiscard]] static Result<std::unique_ptr<DataPlane>> create(DataPlaneOptions options);
  virtual ~DataPlane() = default;  ///< stops and joins the workers, closes devices (which removes them)

  /// Creates the TUN device (still down: the daemon sets address, MTU and routes by netlink). Errc::io names the device.
  [[nodiscard]] virtual Result<void> add_tunnel(const TunnelConfig& config) = 0;
  /// Whether add_tunnel will take this device over, with its addresses and routes, from a daemon before us.
  [[nodiscard]] virtual bool has_kept_device(const std::string& device) const = 0;
  /// What the daemon before us has left open and nobody has asked for: closed; devices go with it.
  virtual void close_kept() = 0;
  /// The tunnel's device is gone (somebody deleted it): makes it anew, as add_tunnel. SAs, what waits for them, counters
  /// and GRE's numbers stay. Errc::not_found: there is no such tunnel.
  [[nodiscard]] virtual Result<void> renew_device(TunnelId id) = 0;
  /// The devices and sockets that are open now, in an order that does not change.
  [[nodiscard]] virtual std::vector<NamedDescriptor> descriptors() const = 0;
  virtual void remove_tunnel(TunnelId id) = 0;
  /// Many at once. `before_closing` is called when nobody reads them any more and their devices are still there.
  virtual void remove_tunnels(std::span<const TunnelId> ids, const std::function<void()>& before_closing) = 0;
  /// Its clamp_mss, max_mss, copy_dscp and trap count from the next packet on; nothing else of it is looked at.
  virtual void adjust(const TunnelConfig& config) = 0;
  virtual void set_mtu(TunnelId id, std::uint16_t mtu) = 0;

  /// Makes the pair able to receive; sends on it when `use_outbound`. Packets that waited for the child leave at once, in order.
  [[nodiscard]] virtual Result<void> install(ChildSaKeys keys, bool use_outbound) = 0;
  virtual void activate_outbound(Spi inbound_spi) = 0;
  /// What leaves from here on takes the new path. Inbound nothing changes: an SA is found by its SPI alone.
  virtual void move(Spi inbound_spi, const Endpoint& local, const Endpoint& remote, EspEncapsulation encapsulation) = 0;
  virtual void remove(Spi inbound_spi) = 0;
  /// Drops what waits for a child (its peer could not be reached).
  virtual void flush_waiting(ChildId child) = 0;

  /// Sends an IKE message from `local`; adds the non-ESP marker when local.port is the NAT-T port and it is no keepalive.
  [[nodiscard]] virtual Result<void> send_control(const Endpoint& local, const Endpoint& remote, ByteView bytes, bool keepalive) = 0;
  /// The same for an IKE message that must not be fragmented anywhere: DF, whatever the kernel believes of the path. What
  /// our own link is too small for is lost on the way.
  virtual void send_whole(const Endpoint& local, const Endpoint& remote, ByteView bytes) = 0;
  /// Whose requests for an IKE SA come through in a flood (FloodEvent); in place of those of before.
  virtual void expect_from(std::span<const IpAddress> addresses) = 0;
  /// Sends an echo in a dummy packet by the SA that the child's users send on: by its keys, numbers and path. It is not counted as traffic.
  /// `len`: bytes of plaintext, echo_len to 65,000; `whole`: DF on the outside. False: there is no such SA, or its numbers are used up, or
  /// the kernel did not take it.
  virtual bool send_echo(ChildId child, const wire::Echo& echo, std::size_t len, bool whole) = 0;
  /// The same, of the least size, by the pair on which the question came.
  virtual bool answer_echo(Spi inbound_spi, const wire::Echo& echo) = 0;
  /// Sends an inner packet of ours, as if it had come out of the tunnel's device, but for the device's MTU: through the policy, GRE, and
  /// the SA. Not counted as traffic. `whole`: DF on the outside. False: no SA takes it, or the kernel did not.
  virtual bool send_inner(TunnelId id, ByteView packet, bool whole) = 0;
  /// Readable when poll_events has something.
  [[nodiscard]] virtual int event_fd() const noexcept = 0;
  /// At most `max` notices, and of IKE as much as one look at its sockets gives; call again while it returns `max` or more.
  [[nodiscard]] virtual std::vector<Event> poll_events(std::size_t max) = 0;

  /// What `wanted` of the SA pairs that there are now have for keys, without those for integrity, which are not kept: for an
  /// operator who may have them. Their selectors are left out.
  [[nodiscard]] virtual std::vector<ChildSaKeys> copy_keys(const std::function<bool(PeerId)>& wanted) const = 0;
  [[nodiscard]] virtual std::optional<ChildTraffic> traffic(Spi inbound_spi) const = 0;
  [[nodiscard]] virtual TunnelCounters counters(TunnelId id) const = 0;
  /// Sum over all workers, indexed by DropReason.
  [[nodiscard]] virtual std::vector<std::uint64_t> drops() const = 0;
  virtual void count_drop(DropReason reason) = 0;
  [[nodiscard]] virtual WorkerCounters worker_counters() const = 0;
  /// Bytes set aside for packets by all workers together, once; what is not used is not resident.
  [[nodiscard]] virtual std::size_t packet_memory() const = 0;
};

}  // namespace culvert::tunnel
