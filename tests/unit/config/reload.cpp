// From one configuration to another: which ids stay, and what is to be done.
#include "culvert/config/reload.h"

#include <algorithm>

#include "fixture.h"
#include "keys.h"

using namespace culvert;
using namespace culvert::config;
using namespace culvert::config::test;

namespace {

constexpr std::string_view second_peer =
    "[peer.osaka]\n"
    "address = [\"198.51.100.2\"]\n"
    "id = \"osaka.example.net\"\n"
    "auth = { psk_file = \"good.psk\" }\n"
    "[tunnel.o]\n"
    "peer = \"osaka\"\n"
    "carry = \"ip\"\n"
    "device = \"cv-osaka\"\n"
    "local = [\"10.1.0.0/16\"]\n"
    "remote = [\"10.3.0.0/16\"]\n";

/// Before and after, compared as a reload does.
struct Reload {
  Reload(const Folder& folder, std::string_view from, std::string_view to)
      : before(sound(folder, from)), after(sound(folder, to)) {
    keep_ids(before, after);
    plan = plan_reload(before, after);
  }
  [[nodiscard]] const ConfigChange& only_change() const {
    REQUIRE(plan.changes.size() == 1);
    return plan.changes[0];
  }
  [[nodiscard]] ike::Renewal renewal() const {
    REQUIRE(plan.renewals.size() == 1);
    return plan.renewals.begin()->second;
  }
  Config before, after;
  ReloadPlan plan;
};

std::string with(std::string_view base, std::string_view what, std::string_view text) {
  return replaced(base, what, std::string(text) + "\n" + std::string(what));
}

}  // namespace

TEST_CASE("the same file, loaded again, changes nothing") {
  const Folder folder;
  const Reload reload(folder, sound_ip, replaced(sound_ip, "# peer", "# a remark"));
  CHECK(reload.plan.changes.empty());
  CHECK(reload.plan.renewals.empty());
  CHECK(reload.plan.summary() == "nothing has changed");
  CHECK(reload.after.peers[0].id == reload.before.peers[0].id);
  CHECK(reload.after.tunnels[0].plane.id == reload.before.tunnels[0].plane.id);
}

TEST_CASE("a peer that is added before another one leaves that one its ids") {
  const Folder folder;
  const std::string both = replaced(sound_ip, "[peer.tokyo]", std::string(second_peer) + "[peer.tokyo]");
  const Reload reload(folder, sound_ip, both);
  REQUIRE(reload.after.peers.size() == 2);
  CHECK(reload.after.peers[0].name == "osaka");
  CHECK(reload.after.peers[1].id == reload.before.peers[0].id);
  CHECK(reload.after.peers[0].id != reload.before.peers[0].id);
  CHECK(reload.after.peers[1].children.front().id == reload.before.peers[0].children.front().id);
  CHECK(reload.after.tunnels[1].plane.id == reload.before.tunnels[0].plane.id);
  CHECK(reload.after.tunnels[1].peer == reload.before.peers[0].id);
  CHECK(reload.after.tunnels[0].peer == reload.after.peers[0].id);
  CHECK(reload.after.peer(reload.before.peers[0].id)->name == "tokyo");
  CHECK(reload.plan.new_peers == std::vector{reload.after.peers[0].id});
  CHECK(reload.plan.gone_peers.empty());
  CHECK(reload.plan.renewals.empty());
  CHECK(reload.plan.new_tunnels.size() == 1);
  CHECK(reload.plan.summary() == "1 peer added; 1 tunnel added");
}

TEST_CASE("an id is never given to anything else, also when a peer comes back") {
  const Folder folder;
  const std::string both = std::string(sound_ip) + std::string(second_peer);
  Config running = sound(folder, both);
  const PeerId osaka = running.peers[1].id;
  Config without = sound(folder, sound_ip);
  keep_ids(running, without);
  CHECK(plan_reload(running, without).gone_peers == std::vector{osaka});
  Config again = sound(folder, both);
  keep_ids(without, again);
  CHECK(again.peers[1].id != osaka);
  CHECK(again.peers[1].id != again.peers[0].id);
  CHECK(again.peers[1].children.front().id != running.peers[1].children.front().id);
  CHECK(again.tunnels[1].plane.id != running.tunnels[1].plane.id);
}

TEST_CASE("what ran before can run again: ids follow from what runs now") {
  const Folder folder;
  Config first = sound(folder, std::string(sound_ip) + std::string(second_peer));
  Config second = sound(folder, sound_ip);
  keep_ids(first, second);
  keep_ids(second, first);  // the way back
  CHECK(first.peers[0].id == second.peers[0].id);
  CHECK(first.tunnels[0].plane.id == second.tunnels[0].plane.id);
  CHECK(first.tunnels[1].peer == first.peers[1].id);
  CHECK(plan_reload(second, first).summary() == "1 peer added; 1 tunnel added");
}

TEST_CASE("each key of a peer does what the reference says") {
  const Folder folder;
  folder.write("other.psk", "another key, of another day\n");
  struct Row {
    std::string_view text;
    ReloadEffect effect;
    bool ike::Renewal::* flag;
  };
  for (const Row& row : {
           Row{"liveness = \"5s\"", ReloadEffect::in_place, &ike::Renewal::changed},
           Row{"start = \"wait\"", ReloadEffect::in_place, &ike::Renewal::changed},
           Row{"child_lifetime = \"10m\"", ReloadEffect::in_place, &ike::Renewal::changed},
           Row{"ike = [\"aes128gcm16-prfsha256-x25519\"]", ReloadEffect::rekeys, &ike::Renewal::rekey_ike},
           Row{"esp = [\"aes128gcm16-x25519-esn\"]", ReloadEffect::rekeys, &ike::Renewal::rekey_children},
           Row{"local_id = \"lyon.example.net\"", ReloadEffect::reauthenticates, &ike::Renewal::reauthenticate},
           Row{"encapsulation = \"udp\"\npeer_auth = { psk_file = \"other.psk\" }", ReloadEffect::reauthenticates,
               &ike::Renewal::reauthenticate},
           Row{"local_address = [\"192.0.2.1\"]", ReloadEffect::in_place, &ike::Renewal::paths},
           Row{"port = 1500", ReloadEffect::reconnects, &ike::Renewal::ports},
       }) {
    CAPTURE(row.text);
    const Reload reload(folder, sound_ip, with(sound_ip, "# peer", row.text));
    CHECK(reload.plan.renewals.begin()->first == reload.before.peers[0].id);
    CHECK(reload.renewal().*row.flag);
    CHECK(std::ranges::max(reload.plan.changes, {}, &ConfigChange::effect).effect == row.effect);
    CHECK(reload.plan.new_peers.empty());
    CHECK(reload.plan.changed_tunnels.empty());
  }
}

TEST_CASE("another key in the same file reauthenticates the peers that use it, and no others") {
  const Folder folder;
  folder.write("o.psk", "the key of osaka and nobody else\n");
  const std::string text = std::string(sound_ip) + replaced(second_peer, "good.psk", "o.psk");
  const Config before = sound(folder, text);
  folder.write("o.psk", "the next key of osaka\n");
  Config after = sound(folder, text);
  keep_ids(before, after);
  const ReloadPlan plan = plan_reload(before, after);
  REQUIRE(plan.renewals.size() == 1);
  CHECK(plan.renewals.contains(before.peers[1].id));
  CHECK(plan.renewals.begin()->second.reauthenticate);
  REQUIRE(plan.changes.size() == 1);
  CHECK(to_string(plan.changes[0]) == "~ peer.osaka.auth: what stands in its files has changed (reauthenticates)");
}

TEST_CASE("the same written in another way has no effect") {
  const Folder folder;
  const std::string defaults = with(sound_ip, "# peer", "child_lifetime = \"60m\"");
  const Reload reload(folder, with(sound_ip, "# peer", "child_lifetime = \"1h\""), defaults);
  CHECK(reload.plan.renewals.empty());
  CHECK(reload.only_change().effect == ReloadEffect::in_place);
  CHECK(reload.plan.summary() == "nothing has changed but how it is written");
  CHECK(to_string(reload.only_change()) == "~ peer.tokyo.child_lifetime: \"1h\" -> \"60m\" (in place)");
}

TEST_CASE("routes, addresses and the MTU change on the device that is there; another device is another tunnel") {
  const Folder folder;
  for (const std::string_view text : {"routes = [\"10.2.5.0/24\"]", "address = [\"10.1.0.1/16\"]", "mtu = 1300",
                                      "clamp_mss = false", "copy_dscp = false", "fail_closed = false",
                                      "probe = \"10.2.0.9\""}) {
    CAPTURE(text);
    const Reload reload(folder, sound_ip, with(sound_ip, "# tunnel", text));
    CHECK(reload.plan.changed_tunnels == std::vector{reload.before.tunnels[0].plane.id});
    CHECK(reload.plan.new_tunnels.empty());
    CHECK(reload.plan.renewals.empty());
    CHECK(reload.only_change().effect == ReloadEffect::in_place);
  }
  const Reload reload(folder, sound_ip, replaced(sound_ip, "cv-tokyo", "cv-t2"));
  CHECK(reload.plan.gone_tunnels == std::vector{reload.before.tunnels[0].plane.id});
  CHECK(reload.plan.new_tunnels.size() == 1);
  CHECK(reload.plan.renewals.empty());
  CHECK(reload.only_change().effect == ReloadEffect::remakes);
}

TEST_CASE("another net is another child SA under the same id") {
  const Folder folder;
  const Reload reload(folder, sound_ip, replaced(sound_ip, "10.2.0.0/16", "10.9.0.0/16"));
  CHECK(reload.after.peers[0].children.front().id == reload.before.peers[0].children.front().id);
  CHECK(reload.after.tunnels[0].plane.id == reload.before.tunnels[0].plane.id);
  CHECK(reload.renewal().changed);
  CHECK_FALSE(reload.renewal().reauthenticate);
  CHECK(reload.only_change().effect == ReloadEffect::renegotiates);
}

TEST_CASE("a GRE tunnel that joins others leaves them the child SA that they share") {
  const Folder folder;
  const std::string joined =
      with(sound_gre, "# end", "[tunnel.a]\npeer = \"tokyo\"\ncarry = \"gre\"\ndevice = \"cv-a\"\nkey = 7");
  const Reload reload(folder, sound_gre, joined);
  CHECK(reload.after.tunnels[0].plane.child == reload.before.tunnels[0].plane.child);
  CHECK(reload.after.tunnels[1].plane.child == reload.before.tunnels[0].plane.child);
  CHECK(reload.after.tunnels[0].plane.id == reload.before.tunnels[0].plane.id);
  CHECK(reload.plan.new_tunnels == std::vector{reload.after.tunnels[1].plane.id});
  CHECK(reload.plan.summary() == "1 peer changed; 1 tunnel added");  // the child has another name
}

TEST_CASE("table, metric and fwmark change in place") {
  const Folder folder;
  for (const char* keys : {"table = 100", "metric = 7", "table = \"off\""}) {
    const Reload reload(folder, sound_ip, with(sound_ip, "# tunnel", keys));
    CHECK(reload.plan.changed_tunnels.size() == 1);
    CHECK(reload.plan.renewals.empty());
    CHECK(reload.only_change().effect == ReloadEffect::in_place);
  }
  const Reload mark(folder, sound_ip, with(sound_ip, "# gateway", "fwmark = 0xca6c"));
  CHECK(mark.after.gateway.fwmark == 51820);
  CHECK(mark.plan.changed_tunnels.empty());
  CHECK(mark.only_change().effect == ReloadEffect::in_place);
}

TEST_CASE("what is made once at the start needs a restart, and says so") {
  const Folder folder;
  const Reload reload(folder, sound_ip, with(sound_ip, "# gateway", "workers = 3\nlog_level = \"debug\""));
  CHECK(reload.plan.needing_restart() == std::vector<std::string>{"gateway.workers"});
  const Reload raw(folder, sound_ip, with(sound_ip, "# peer", "encapsulation = \"auto\""));
  CHECK(raw.plan.needing_restart() == std::vector<std::string>{"raw ESP"});
  const Reload back(folder, with(sound_ip, "# peer", "encapsulation = \"auto\""), sound_ip);
  CHECK(back.plan.needing_restart().empty());
  CHECK(back.after.gateway.raw_esp);  // the sockets are there, whoever uses them
}
