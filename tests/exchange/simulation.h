#pragma once
// Two IKE endpoints in memory: a virtual clock, a network that loses, duplicates, reorders and delays by a seed, and a
// data plane that knows of keys and SPIs only. Nothing here sleeps, and one seed gives one run.
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "culvert/ike/config.h"
#include "culvert/ike/endpoint.h"
#include "message.h"

namespace culvert::ike::test {

using namespace std::chrono_literals;

/// splitmix64: reproducible, and unrelated to anything that the product uses.
class SeededRandom : public crypto::RandomSource {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  void fill(MutableByteView out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(next());
  }
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  [[nodiscard]] double unit() { return static_cast<double>(next() >> 11) / 9007199254740992.0; }
  [[nodiscard]] bool chance(double probability) { return unit() < probability; }

 private:
  std::uint64_t state_;
};

struct Conditions {
  double loss = 0, duplicate = 0;
  Duration min_delay = 5ms, max_delay = 5ms;  ///< different: reordering
  Duration max_compute = 0ms;  ///< 0: public-key work is done at once; else after up to so long, in any order
  double no_room = 0;          ///< chance that there is no room for such work
};

/// What a data plane keeps of an SA pair.
struct PlaneSa {
  ChildSaKeys keys;
  bool heard = false;
  std::uint64_t received = 0;
  std::uint64_t next_sequence = 1, top_sequence = 0;
  std::optional<TimePoint> unanswered;  ///< since when nothing has come back, or since that was said
};

enum Side : int { a = 0, b = 1 };
inline Side other(Side side) {
  return side == a ? b : a;
}

struct Node {
  Endpoint address;  ///< as the other side sees it, port 500
  Endpoint inner;    ///< as it sees itself; differs behind a NAT
  std::optional<IpAddress> elsewhere;  ///< its other gateway, to which it may redirect: itself by an address that stays
  std::vector<PeerConfig> configs;
  EndpointOptions options;
  std::unique_ptr<SeededRandom> random;
  std::unique_ptr<IkeEndpoint> ike;  ///< empty while it is down
  std::vector<IpAddress> homes;      ///< its addresses: by others it neither sends nor receives. Empty: not checked
  std::map<Spi, PlaneSa> plane;      ///< by inbound SPI
  std::map<ChildId, Spi> sending;    ///< inbound SPI of the pair that each child sends on
  std::vector<Report> reports;
  std::map<DropReason, int> drops;
  std::uint64_t sent = 0, received = 0, lost = 0, unsent = 0;
  int installs = 0, removes = 0, keepalives = 0, moves = 0, resolves = 0;
  std::optional<std::vector<Path>> resolved;  ///< what ResolveAddresses gets; default: the other side
  std::optional<VirtualNet> virtual_net;  ///< as UseVirtualNet said last
  int virtual_nets = 0;                   ///< how often
  int incarnation = 0;
  std::deque<std::shared_ptr<Compute>> computing;  ///< to be done at the end of perform()
  int computed = 0;
  std::vector<PathProbed> probed;
  bool echoes = false;  ///< what the child installed last says of the peer
  std::vector<AskRadius> asked;
  std::vector<UserSession> logins;
  std::vector<UserSessionEnd> logouts;
  std::function<RadiusAnswer(const AskRadius&)> radius;  ///< empty: silence
  std::vector<std::vector<crypto::Certificate>> checked;  ///< chains of CheckRevocation
  /// What responders say of a chain; empty: nothing.
  std::function<std::shared_ptr<const crypto::RevocationData>(const CheckRevocation&)> responders;
};

struct Datagram {
  Side from = a;
  Path path;  ///< as the sender has it
  Bytes bytes;
  bool keepalive = false;
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed = 1);

  // ---- set up, before start ----
  Node& node(Side side) { return nodes_[side]; }
  PeerConfig& config(Side side) { return nodes_[side].configs.front(); }
  Conditions& conditions() { return conditions_; }
  /// Creates the endpoint of this side and starts it.
  void start(Side side);
  void start() {
    start(a);
    start(b);
  }
  /// `kill -9`: no word to the peer, SAs and keys are gone.
  void kill(Side side);

  // ---- time ----
  [[nodiscard]] TimePoint now() const { return now_; }
  void run_for(Duration span) { run_until(now_ + span); }
  void run_until(TimePoint end);
  /// Until `done` or `limit` has passed; whether it is done.
  bool run_until(const std::function<bool()>& done, Duration limit);

  // ---- the wire ----
  /// Sees each datagram as it leaves; false swallows it.
  std::function<bool(const Datagram&)> filter;
  /// Delivers at once, whatever the network does to others.
  void deliver(const Datagram& datagram);
  /// A datagram of the wire, opened with the keys that debug_keys gave away; nullopt: not parsable, or no keys.
  [[nodiscard]] std::optional<Message> open(const Datagram& datagram) const;
  /// Every recorded message that opens, for `side` or both.
  [[nodiscard]] std::vector<Message> messages(std::optional<Side> from = std::nullopt) const;
  /// A protected message as `from` would send it on its current IKE SA, with these payloads.
  [[nodiscard]] Datagram forge(Side from, ExchangeType exchange, bool response, std::uint32_t message_id,
                               const std::vector<Payload>& payloads) const;
  /// The same in fragments of at most `max_len` bytes of IKE.
  [[nodiscard]] std::vector<Datagram> forge_fragments(Side from, ExchangeType exchange, bool response,
                                                      std::uint32_t message_id, const std::vector<Payload>& payloads,
                                                      std::size_t max_len) const;
  /// The same datagram with other payloads inside.
  [[nodiscard]] Datagram rewritten(const Datagram& datagram, const std::vector<Payload>& payloads) const;
  /// Hands over a datagram from `from` and performs what the other side makes of it, without anything of that going on
  /// the wire: what it would have sent.
  std::vector<Datagram> inject(const Datagram& datagram);
  void use_debug_keys() { nodes_[a].options.debug_keys = nodes_[b].options.debug_keys = true; }
  /// Every IKE datagram that left, in order.
  std::vector<Datagram> wire;
  bool record_wire = false;
  /// What happened when, for a seed that fails: reports, SAs, headers of datagrams. Filled when `trace`.
  std::vector<std::string> story;
  bool trace = false;
  void tell(Side side, const std::string& what);
  /// Side a behind a NAT: what the other side sees of it from this port on (changes are a rebinding).
  void put_behind_nat(const Endpoint& public_500, const Endpoint& public_4500);
  /// The addresses of a side, the kernel's choice first; it is told by its network.
  void rehome(Side side, std::vector<IpAddress> homes);
  /// Pairs of addresses between which nothing passes, as either side sees them.
  std::function<bool(const IpAddress&, const IpAddress&)> broken;

  // ---- data ----
  /// One packet a `period` in both directions on whatever each side sends on; zero: none.
  void set_traffic(Duration period) {
    traffic_ = period;
    next_traffic_ = now_;
  }
  void send_data(Side from);
  bool esp_moves = true;  ///< the data planes tell of ESP from elsewhere; strongSwan's kernel-libipsec does not

  // ---- calls ----
  void perform(Side side, Actions actions);
  void command(Side side, Result<Actions> result);
  [[nodiscard]] PeerStatus status(Side side) const;
  [[nodiscard]] bool established(Side side) const;
  [[nodiscard]] bool up(Side side) const;  ///< IKE SA and every child
  [[nodiscard]] bool both_up() const { return up(a) && up(b); }
  /// Both know of the same single IKE SA and of one pair of SAs for each child, with each other's keys; else what is
  /// wrong.
  [[nodiscard]] std::optional<std::string> disagreement() const;
  /// Both say the same of where they are, and ESP goes where IKE goes; else what is wrong. Of sides that agree.
  [[nodiscard]] std::optional<std::string> misplaced() const;
  [[nodiscard]] std::optional<std::string> mismatch(const ChildSaKeys& mine, const ChildSaKeys& theirs) const;
  /// Nothing at all is left.
  [[nodiscard]] bool both_gone() const;
  [[nodiscard]] bool reported(Side side, std::string_view text, log::Level at_least = log::Level::debug) const;
  /// What the endpoints did to their data planes or clocks that makes no sense; empty: nothing. (No doctest here: seeds
  /// run in threads.)
  [[nodiscard]] const std::string& fault() const { return fault_; }
  [[nodiscard]] SeededRandom& random() { return random_; }
  /// The wall clock that certificates are checked by.
  std::chrono::sys_seconds wall_clock = std::chrono::sys_days(std::chrono::year(2026) / 6 / 1);

 private:
  struct Event {
    TimePoint at;
    std::uint64_t order = 0;
    Side to = a;
    Path path;  ///< as the receiver has it
    Bytes bytes;
    std::optional<Spi> esp;            ///< a data packet instead
    std::shared_ptr<Compute> compute;  ///< work that is done instead
    int incarnation = 0;               ///< of who asked for it
    std::uint64_t sequence = 0;        ///< its number
    bool operator<(const Event& that) const { return at != that.at ? at > that.at : order > that.order; }
  };
  void send(Side from, const Path& path, Bytes bytes);
  void enqueue(Event event);
  [[nodiscard]] std::optional<Path> seen_by_receiver(Side from, const Path& path) const;
  [[nodiscard]] std::vector<Path> find_paths(Side side, const std::vector<IpAddress>& remotes) const;
  [[nodiscard]] std::optional<TimePoint> next_event() const;
  void step();
  void receive(const Event& event);
  void receive_esp(const Event& event);
  void act(Side side, Action& action);
  void compute(Side side, Compute& work);
  void expect(bool holds, const std::string& what);

  Node nodes_[2];
  std::string fault_;
  std::deque<std::pair<Side, FindPaths>> questions_;
  bool answering_ = false;
  Conditions conditions_;
  SeededRandom random_;
  TimePoint now_{};
  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  Duration traffic_{};
  TimePoint next_traffic_{};
  bool nat_ = false;
  Endpoint nat_500_, nat_4500_;
  std::map<std::pair<IkeSpi, IkeSpi>, DebugIkeKeys> keys_;
  std::vector<Datagram>* captured_ = nullptr;
};

/// For messages that parse.
[[nodiscard]] Message parsed(ByteView bytes);
[[nodiscard]] NotifyPayload notify(NotifyType type, Bytes data = {});

/// A peer as the configuration would give it: transport-mode GRE between the two gateways, x25519 and AES-GCM.
[[nodiscard]] PeerConfig make_config(Side side);

/// So many traffic selectors of IPv6 a side in place of what the first child has: 40 bytes each.
void make_messages_long(Simulation& simulation, int num_selectors);

}  // namespace culvert::ike::test
