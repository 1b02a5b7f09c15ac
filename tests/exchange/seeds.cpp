// 8,000 seeds of loss, duplication, reordering and delay, with rekeys of child and IKE SA from both sides at once, and
// now and then a lifetime that ends, a crash or a command. Once the network is good again, both ends agree on exactly
// one IKE SA and one child, or both know that there is none. On a network without loss no packet is lost by a rekey.
//
// CULVERT_SEEDS: how many; CULVERT_SEED: just this one, with what the ends reported.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "credentials.h"
#include "simulation.h"

using namespace culvert;
using namespace culvert::ike;
using namespace culvert::ike::test;

namespace {

struct Story {
  bool lossless = false;   ///< nothing but reordering, duplication and rekeys: no packet may be lost
  bool disturbed = false;  ///< crashes and commands
  bool ends_down = false;
  bool short_lived = false;  ///< rekeys by lifetime never end
  bool mobile = false;       ///< addresses of both ends change
  bool behind_nat = false;   ///< side a, and the NAT gets new mappings
};

/// What has really happened in these seeds: each has to, or the seeds say nothing about it.
struct Seen {
  std::atomic<std::uint64_t> cookies, fragments, resumed, redirected, crashes, moved, rekeyed, clients;

  void note(const Datagram& datagram) {
    const Bytes& bytes = datagram.bytes;
    if (datagram.keepalive || bytes.size() < 28) return;
    const auto first = static_cast<PayloadType>(bytes[16]);
    const auto exchange = static_cast<ExchangeType>(bytes[18]);
    if (first == PayloadType::skf) ++fragments;
    const bool init = exchange == ExchangeType::ike_sa_init || exchange == ExchangeType::ike_session_resume;
    if (init && first == PayloadType::notify && load_be<std::uint64_t>(&bytes[8]) == 0) ++cookies;
  }
  void note(Simulation& simulation) {
    for (const Side side : {a, b}) {
      resumed += simulation.reported(side, "resumed from a ticket");
      redirected += simulation.reported(side, "sends us to");
      crashes += simulation.reported(side, "QCD_TOKEN");
      rekeyed += simulation.reported(side, "IKE SA rekeyed");
    }
    clients += simulation.node(a).virtual_net.has_value();
    moved += simulation.node(a).moves + simulation.node(b).moves > 0;
  }
};
Seen seen;

Duration random_delay(SeededRandom& random, Duration most) {
  return Duration(static_cast<Duration::rep>(random.next() % static_cast<std::uint64_t>(most.count())));
}

void add_second_child(Simulation& simulation) {
  for (const Side side : {a, b}) {
    ChildConfig lan = simulation.config(side).children.front();
    lan.id = ChildId(8);
    lan.name = "lan";
    lan.mode = ModePreference::tunnel;
    lan.local = {SelectorSpec{*IpPrefix::parse(side == a ? "10.1.0.0/16" : "10.2.0.0/16"), 0}};
    lan.remote = {SelectorSpec{*IpPrefix::parse(side == a ? "10.2.0.0/16" : "10.1.0.0/16"), 0}};
    simulation.config(side).children.push_back(lan);
  }
}

/// Each end by a pre-shared key, a certificate or a raw key; the peer knows which.
void draw_credentials(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  constexpr KeyType types[] = {KeyType::ecdsa_p256, KeyType::ed25519, KeyType::ecdsa_p256, KeyType::rsa};
  for (const Side side : {a, b}) {
    const Holder& holder = pki().holder(side, types[random.next() % 4]);
    AuthConfig& ours = simulation.config(side).auth;
    AuthConfig& theirs = simulation.config(other(side)).auth;
    switch (random.next() % 3) {
      case 0:
        break;
      case 1:
        ours.ours = own(holder);
        theirs.theirs = trusting(pki().ca);
        break;
      default:
        ours.ours = own_key(holder);
        theirs.theirs = expecting(holder);
    }
    if (holder.key.public_key().type() != KeyType::ed25519) ours.digital_signatures = !random.chance(0.2);
  }
  // RFC 7427 is for both or for none: an end that does not announce it gets classic signatures, which Ed25519 has not.
  const auto needs_it = [&](Side side) {
    const auto* certificate = std::get_if<OwnCertificate>(&simulation.config(side).auth.ours);
    const auto* raw = std::get_if<OwnRawKey>(&simulation.config(side).auth.ours);
    const crypto::PrivateKey* key = certificate ? certificate->key.get() : raw ? raw->key.get() : nullptr;
    return key && key->public_key().type() == KeyType::ed25519;
  };
  if (needs_it(a) || needs_it(b))
    for (const Side side : {a, b}) simulation.config(side).auth.digital_signatures = true;
}

constexpr const char* homes_of[2][3] = {{"192.0.2.1", "192.0.2.9", "203.0.113.1"},
                                        {"192.0.2.2", "192.0.2.10", "203.0.113.2"}};

std::vector<IpAddress> random_homes(SeededRandom& random, Side side) {
  std::vector<IpAddress> homes;
  const std::size_t first = random.next() % 3;
  homes.push_back(*IpAddress::parse(homes_of[side][first]));
  if (random.chance(0.4)) homes.push_back(*IpAddress::parse(homes_of[side][(first + 1) % 3]));
  return homes;
}

/// RFC 4555 at both ends, at one, or at none; each knows all addresses of the other.
void make_mobile(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  for (const Side side : {a, b}) {
    simulation.config(side).mobike = random.chance(0.85);
    simulation.config(side).addresses.assign(std::begin(homes_of[other(side)]), std::end(homes_of[other(side)]));
    simulation.rehome(side, {*IpAddress::parse(homes_of[side][0])});
  }
}

void random_mapping(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  const IpAddress address = *IpAddress::parse(random.chance(0.7) ? "203.0.113.7" : "203.0.113.8");
  const auto port = [&] { return static_cast<std::uint16_t>(20000 + random.next() % 40000); };
  simulation.put_behind_nat({address, port()}, {address, port()});
}

void hide_behind_nat(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  for (const Side side : {a, b}) simulation.config(side).mobike = random.chance(0.7);
  simulation.config(b).addresses.clear();
  simulation.config(b).start = StartMode::wait;
  simulation.config(a).start = StartMode::always;
  simulation.node(a).inner.address = *IpAddress::parse("192.168.1.9");
  random_mapping(simulation);
}

/// Side a is a client, side b a gateway that gives it addresses (RFC 7296 §2.19).
void make_client(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  PoolConfig pool;
  pool.name = "pool";
  pool.addresses = {*IpPrefix::parse("10.99.0.0/29"), *IpPrefix::parse("fd99::/125")};
  simulation.node(b).options.pools = {pool};
  PeerConfig &client = simulation.config(a), &gateway = simulation.config(b);
  client.request_v4 = true;
  client.request_v6 = random.chance(0.6);
  client.start = StartMode::always;
  gateway.start = StartMode::wait;
  gateway.addresses.clear();
  gateway.pools = {0};
  const std::vector<SelectorSpec> nets = {{IpPrefix::parse("10.1.0.0/16"), 0}, {IpPrefix::parse("fd01::/48"), 0}};
  for (const Side side : {a, b}) {
    auto& children = simulation.config(side).children;
    children.resize(1);
    children.front().mode = ModePreference::tunnel;
    children.front().virtual_local = side == a;
    children.front().local = side == a ? std::vector<SelectorSpec>{} : nets;
    children.front().remote = side == a ? nets : std::vector<SelectorSpec>{};
  }
}

/// Some pairs of addresses do not reach each other for a while; with several addresses another pair may.
void random_breakage(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  const auto chosen = random.next();
  simulation.tell(a, "does not reach all of b's addresses any more");
  simulation.broken = [chosen](const IpAddress& one, const IpAddress& two) {
    // As either side names them.
    const auto sum = [](const IpAddress& address) {
      std::uint64_t total = 0;
      for (const std::uint8_t byte : address.bytes()) total = total * 31 + byte;
      return total;
    };
    return (((sum(one) ^ sum(two)) * 0x9E3779B97F4A7C15ULL >> 8 ^ chosen) & 1) != 0;
  };
  simulation.run_for(random_delay(random, 15s));
  simulation.broken = nullptr;
}

/// An address changes, or a mapping; sometimes twice in a row, or at both ends.
void random_move(Simulation& simulation, const Story& story) {
  SeededRandom& random = simulation.random();
  for (int i = random.chance(0.3) ? 2 : 1; i > 0; --i) {
    const Side side = random.chance(0.6) ? a : b;
    if (story.behind_nat) {
      random_mapping(simulation);
    } else {
      simulation.rehome(side, random_homes(random, side));
    }
    if (random.chance(0.5)) simulation.run_for(random_delay(random, 300ms));
  }
}

Story set_up(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  Story story;
  story.lossless = random.chance(0.25);
  story.disturbed = !story.lossless && random.chance(0.5);
  story.ends_down = random.chance(0.1);
  Conditions& network = simulation.conditions();
  network.loss = story.lossless ? 0 : random.unit() * 0.35;
  network.duplicate = random.unit() * 0.3;
  network.min_delay = 1ms;
  network.max_delay = 2ms + random_delay(random, random.chance(0.5) ? 40ms : 1200ms);
  if (random.chance(0.6)) network.max_compute = 1ms + random_delay(random, random.chance(0.7) ? 30ms : 1500ms);
  if (!story.lossless && random.chance(0.3)) network.no_room = random.unit() * 0.3;
  for (const Side side : {a, b}) {
    PeerConfig& config = simulation.config(side);
    config.retransmit_first = 400ms;
    config.retransmit_tries = 6;
    config.liveness = 10s;
    if (random.chance(0.3)) config.encapsulation = EncapsulationPreference::udp;
    if (random.chance(0.2)) config.childless = random.chance(0.7) ? ChildlessPolicy::prefer : ChildlessPolicy::never;
    if (random.chance(0.2)) config.unique = UniquePolicy::keep;
    // From small fragments to those that nothing here is long enough for; some ends do without.
    config.fragment_size =
        static_cast<std::uint16_t>(random.chance(0.3) ? 250 + random.next() % 326 : 576 + random.next() % 1000);
    if (random.chance(0.1)) config.fragment_size = 0;
    if (random.chance(0.15)) simulation.node(side).options.cookie_threshold = 0;  // COOKIE of everybody
    if (random.chance(0.15)) simulation.node(side).options.busy_rate = 2;         // of who comes second in a second
  }
  if (random.chance(0.5)) {
    for (const Side side : {a, b}) {
      const Bytes secret(32, static_cast<std::uint8_t>(random.next()));
      if (random.chance(0.8))
        simulation.node(side).options.crash_secret = std::make_shared<const Secret>(Secret::copy_of(secret));
    }
  }
  const bool resumption = random.chance(0.5);
  for (const Side side : {a, b}) {
    simulation.node(side).options.unix_at_zero = 1'800'000'000s;
    simulation.config(side).resumption = resumption != random.chance(0.1);
    if (random.chance(0.5)) simulation.config(side).follow_redirects = true;
    simulation.node(side).elsewhere = *IpAddress::parse(side == a ? "192.0.2.71" : "192.0.2.72");
    if (random.chance(0.03)) simulation.node(side).options.redirect = simulation.node(side).elsewhere->to_string();
  }
  if (random.chance(0.4)) draw_credentials(simulation);
  if (random.chance(0.25)) add_second_child(simulation);
  if (random.chance(0.3)) make_messages_long(simulation, 1 + static_cast<int>(random.next() % 60));
  story.short_lived = random.chance(0.15);
  if (story.short_lived) {
    for (const Side side : {a, b}) {
      simulation.config(side).child_lifetime = 20s;
      simulation.config(side).ike_lifetime = 35s;
    }
  }
  if (random.chance(0.15)) {
    for (const Side side : {a, b}) {
      if (random.chance(0.7)) simulation.config(side).reauth_lifetime = 25s;
    }
    story.short_lived = true;
  }
  if (random.chance(0.3)) simulation.config(random.chance(0.5) ? a : b).start = StartMode::wait;
  story.mobile = !story.lossless && random.chance(0.35);
  story.behind_nat = !story.lossless && !story.mobile && random.chance(0.2);
  if (story.mobile) make_mobile(simulation);
  if (story.behind_nat) hide_behind_nat(simulation);
  if (random.chance(0.2)) make_client(simulation);
  return story;
}

void rekey(Simulation& simulation, Side side, IkeEndpoint::RekeyWhat what) {
  if (!simulation.node(side).ike) return;
  const std::string name = simulation.status(side).name;  // of a client, where there is one
  simulation.tell(side, "is told to rekey " + std::to_string(static_cast<int>(what)));
  auto actions = simulation.node(side).ike->rekey(simulation.now(), name, what);
  if (actions) simulation.perform(side, std::move(*actions));
}

void random_rekey(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  const auto what = static_cast<IkeEndpoint::RekeyWhat>(random.next() % 3);
  const Side first = random.chance(0.5) ? a : b;
  rekey(simulation, first, what);
  if (random.chance(0.6)) {  // the other side at about the same time, and not always the same thing
    simulation.run_for(random.chance(0.5) ? Duration::zero() : random_delay(random, 300ms));
    rekey(simulation, other(first), random.chance(0.7) ? what : static_cast<IkeEndpoint::RekeyWhat>(random.next() % 3));
  }
}

void random_trouble(Simulation& simulation) {
  SeededRandom& random = simulation.random();
  const Side side = random.chance(0.5) ? a : b;
  Node& node = simulation.node(side);
  switch (random.next() % 5) {
    case 2:  // drains, or does no more
      return simulation.command(
          side, node.ike->redirect(simulation.now(), random.chance(0.6) ? node.elsewhere->to_string() : ""));
    case 0:  // kill -9 and return
      simulation.kill(side);
      simulation.run_for(random_delay(random, 20s));
      return simulation.start(side);
    case 1:  // down and up
      simulation.command(side, node.ike->down(simulation.now(), simulation.config(side).name));
      simulation.run_for(random_delay(random, 15s));
      return simulation.command(side, node.ike->up(simulation.now(), simulation.config(side).name));
    default:  // a child's lifetime ends
      if (node.plane.empty()) return;
      const Spi spi = node.plane.begin()->first;
      return simulation.perform(side, node.ike->on_child_event(simulation.now(), spi, ChildEvent::hard_limit));
  }
}

/// What is wrong after this seed; empty: nothing.
std::string run_seed(std::uint64_t seed, bool verbose) {
  Simulation simulation(seed);
  simulation.trace = verbose;
  simulation.filter = [](const Datagram& datagram) {
    seen.note(datagram);
    return true;
  };
  const Story story = set_up(simulation);
  SeededRandom& random = simulation.random();
  simulation.start(a);
  simulation.run_for(random.chance(0.5) ? Duration::zero() : random_delay(random, 500ms));
  simulation.start(b);
  simulation.run_for(12s);
  // Where computing and answers take seconds, what is lost before both are up is not lost by a rekey.
  if (story.lossless) simulation.run_until([&] { return !simulation.disagreement(); }, 30s);
  if (story.lossless || (story.behind_nat && random.chance(0.5))) simulation.set_traffic(40ms);
  const int num_events = 4 + static_cast<int>(random.next() % 8);
  for (int i = 0; i < num_events; ++i) {
    if (story.disturbed && random.chance(0.3)) {
      random_trouble(simulation);
    } else if ((story.mobile || story.behind_nat) && random.chance(0.5)) {
      random_move(simulation, story);
      if (random.chance(0.3)) random_rekey(simulation);
      if (story.mobile && random.chance(0.25)) random_breakage(simulation);
    } else {
      random_rekey(simulation);
    }
    simulation.run_for(random_delay(random, random.chance(0.5) ? 1s : 8s));
  }
  simulation.conditions() = Conditions{};
  if (story.ends_down) {
    for (const Side side : {a, b}) {
      simulation.command(side, simulation.node(side).ike->down(simulation.now(), simulation.config(side).name));
      if (random.chance(0.5)) break;
    }
  }
  simulation.run_for(400s);
  for (const std::string& line : simulation.story) std::puts(line.c_str());
  seen.note(simulation);
  if (!simulation.fault().empty()) return simulation.fault();
  if (story.ends_down) return simulation.both_gone() ? "" : "they are not both down";
  if (story.short_lived) simulation.run_until([&] { return !simulation.disagreement(); }, 60s);
  if (const auto wrong = simulation.disagreement()) return *wrong;
  if (const auto wrong = simulation.misplaced()) return *wrong;
  for (const Side side : {a, b}) {
    const Node& node = simulation.node(side);
    if (story.lossless && (node.lost > 0 || node.unsent > 0 || node.received == 0)) {
      return "packets lost at side " + std::string(side == a ? "a" : "b") + ": " + std::to_string(node.lost) +
             " without an SA, " + std::to_string(node.unsent) + " not sent";
    }
  }
  return "";
}

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t default_seeds = 500;
#else
constexpr std::uint64_t default_seeds = 8000;
#endif

}  // namespace

TEST_CASE("after any loss, duplication, reordering and delay both ends agree") {
  if (std::getenv("CULVERT_SEED")) {
    CHECK(run_seed(number_from("CULVERT_SEED", 1), true) == "");
    return;
  }
  const std::uint64_t num_seeds = number_from("CULVERT_SEEDS", default_seeds);
  std::atomic<std::uint64_t> next{1};
  std::mutex mutex;
  std::vector<std::string> failures;
  const auto work = [&] {
    for (std::uint64_t seed = next++; seed <= num_seeds; seed = next++) {
      const std::string wrong = run_seed(seed, false);
      if (wrong.empty()) continue;
      const std::scoped_lock lock(mutex);
      failures.push_back("CULVERT_SEED=" + std::to_string(seed) + ": " + wrong);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < std::min<std::size_t>(failures.size(), 20); ++i) MESSAGE(failures[i]);
  CHECK(failures.size() == 0);
  MESSAGE("cookies ", seen.cookies.load(), ", fragments ", seen.fragments.load(), "; seeds with resumption ",
          seen.resumed.load(), ", redirects ", seen.redirected.load(), ", crashes ", seen.crashes.load(), ", moves ",
          seen.moved.load(), ", IKE rekeys ", seen.rekeyed.load(), ", clients ", seen.clients.load());
  if (num_seeds < 500) return;
  for (const auto* count : {&seen.cookies, &seen.fragments, &seen.resumed, &seen.redirected, &seen.crashes, &seen.moved,
                            &seen.rekeyed, &seen.clients})
    CHECK(count->load() > 0);
}
