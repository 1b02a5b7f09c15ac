"""Addresses that change under traffic: MOBIKE (RFC 4555) between two culverts and with strongSwan in both roles, NAT mappings that are new,
WAN links that die, and links that flap under a hundred tunnels. How long nothing got through is measured by pings every 5 ms."""
import collections
import re
import threading
import time

import pytest

from labkit.net import link
from labkit.pair import pair, tables
from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import Echo, assert_reaches, iperf3

INTERVAL = 0.005
PSK = "between two makers"


class Outage:
    """Pings from A's host to B's while the block runs; `seconds` is the longest time without an answered one."""

    def __init__(self, net, what):
        self.net, self.what = net, what

    def __enter__(self):
        self.echo = Echo(self.net.A.host, self.net.B.host4, count=0, interval=INTERVAL, wait=2)
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        time.sleep(2)
        self.echo.finish()
        run = longest = 0
        for number in range(1, self.echo.sent + 1):
            run = run + 1 if number in self.echo.missing else 0
            longest = max(longest, run)
        assert number not in self.echo.missing, f"{self.what}: nothing gets through in the end: {self.echo!r}"
        self.seconds = longest * INTERVAL
        print(f"{self.what}: {self.seconds * 1000:.0f} ms without an answer, {len(self.echo.missing)} of {self.echo.sent} pings lost")


def stream(net):
    """A TCP stream through the tunnel while the test goes on; call the result to wait for its end."""
    result = {}
    thread = threading.Thread(target=lambda: result.update(iperf3(net.A.host, net.B.host, net.B.host4, "-t", 5, "-b", "50M")))
    thread.start()

    def finish():
        thread.join(60)
        assert result["end"]["sum_received"]["bytes"] > 1_000_000, result
    return finish


def readdress(site, old, new):
    """The site's gateway has `new` in the place of `old`, as with a new DHCP lease."""
    site.gw.sysctl("net.ipv4.conf.all.promote_secondaries=1")
    site.gw.address("wan", f"{new}/24")
    site.gw.ip("addr", "del", f"{old}/24", "dev", "wan")
    site.gw.route("default", site.wan4[:-1] + "254")


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


@pytest.fixture
def homes(net):
    """What tests do to the addresses of A and B ends with them."""
    yield
    for site in (net.A, net.B):
        site.gw.ip("-4", "addr", "flush", "dev", "wan")
        site.gw.address("wan", f"{site.wan4}/24")
        site.gw.route("default", site.wan4[:-1] + "254")


@pytest.mark.parametrize("encapsulation", ["udp", "auto"])
@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_the_initiator_changes_its_address_under_traffic(lab, net, homes, carry, encapsulation):
    a, b = pair(lab, net, carry=carry, peer={"encapsulation": encapsulation}, options=({}, {"address": "any"}))
    assert a.peer()["mobike"] and b.peer()["mobike"]
    ike, child = a.ike_spis(), a.child_spi()
    new = net.A.wan4[:-1] + "9"
    with Outage(net, f"new address, {carry}, {encapsulation}") as outage:
        finish = stream(net)
        time.sleep(1)
        readdress(net.A, net.A.wan4, new)
    finish()
    assert outage.seconds <= 1
    assert a.peer()["local"].startswith(new + ":") and b.peer()["remote"].startswith(new + ":")
    assert (a.ike_spis(), a.child_spi()) == (ike, child)
    b.ctl("rekey", "a", "--child")
    a.wait_new_child(child)
    assert_reaches(net.B.host, net.A.host4)


def test_the_responder_changes_its_address_under_traffic(lab, net, homes):
    a, b = pair(lab, net, options=({}, {"address": "any"}))
    ike, new = a.ike_spis(), net.B.wan4[:-1] + "9"
    with Outage(net, "new address of the responder") as outage:
        readdress(net.B, net.B.wan4, new)
    assert outage.seconds <= 1
    assert a.ike_spis() == ike and a.peer()["remote"].startswith(new + ":")


@pytest.mark.parametrize("encapsulation", ["udp", "auto"])
def test_without_mobike_a_new_address_costs_little(lab, net, homes, encapsulation):
    """The peer takes us to be behind a NAT, and follows; or there is a new IKE SA."""
    pair(lab, net, peer={"encapsulation": encapsulation, "mobike": False}, options=({}, {"address": "any"}))
    with Outage(net, f"new address without MOBIKE, {encapsulation}") as outage:
        readdress(net.A, net.A.wan4, net.A.wan4[:-1] + "9")
    assert outage.seconds <= 1.5


def test_an_ipv4_address_goes_and_ipv6_carries_on(lab, net, homes):
    a, b = pair(lab, net, carry="ip", options=({"address": [net.B.wan4, net.B.wan6]}, {"address": "any"}))
    ike = a.ike_spis()
    with Outage(net, "from IPv4 to IPv6") as outage:
        net.A.gw.ip("addr", "del", f"{net.A.wan4}/24", "dev", "wan")
    assert outage.seconds <= 1
    assert a.peer()["remote"].startswith(f"[{net.B.wan6}]") and a.ike_spis() == ike
    net.A.gw.address("wan", f"{net.A.wan4}/24")
    net.A.gw.route("default", net.A.wan4[:-1] + "254")
    wait_for("the preferred address again", lambda: a.peer()["remote"].startswith(net.B.wan4 + ":"), timeout=30)
    assert a.ike_spis() == ike and b.peer()["ike_sas"] == 1
    assert_reaches(net.A.host, net.B.host4)


@pytest.mark.parametrize("mobike", [True, False])
def test_a_nat_rebinds_under_traffic(lab, mobike):
    net = lab.net(nat="A")
    a, b = pair(lab, net, nat=True, peer={"mobike": mobike})
    ike, before = a.ike_spis(), b.peer()["remote"]
    with Outage(net, f"new NAT mapping, MOBIKE {mobike}") as outage:
        finish = stream(net)
        time.sleep(1)
        net.A.nat.run("conntrack", "-D", "-p", "udp")
    finish()
    assert outage.seconds <= 1
    assert b.peer()["remote"] != before and a.ike_spis() == ike


def second_wan(net):
    """B has another link to the internet, 198.51.101.0/24, and answers by the link that it was asked on."""
    link(net.B.gw, "wan2", net.internet, "wanB2")
    net.B.gw.address("wan2", "198.51.101.1/24")
    net.internet.address("wanB2", "198.51.101.254/24")
    net.B.gw.ip("route", "add", "default", "via", "198.51.101.254", "table", "101")
    net.B.gw.ip("rule", "add", "from", "198.51.101.1", "table", "101")


@pytest.mark.parametrize("named", [True, False])
def test_one_of_two_wan_links_dies_and_comes_back(lab, named):
    """The second address stands in the configuration, or the peer has announced it."""
    net = lab.net()
    second_wan(net)
    addresses = [net.B.wan4, "198.51.101.1"] if named else [net.B.wan4]
    fast = {"liveness": "1s", "retransmit_timeout": "100ms", "retransmit_tries": 9}
    a, b = pair(lab, net, peer=fast, options=({"address": addresses}, {"address": "any"}))
    ike = a.ike_spis()
    time.sleep(1)  # for the announcement
    with Outage(net, f"a dead WAN link, second address {'configured' if named else 'announced'}") as outage:
        net.internet.run("nft", "-f", "-", input="""
            table inet dead { chain forward { type filter hook forward priority 0;
                ip daddr 198.51.100.1 drop
                ip saddr 198.51.100.1 drop
                }
            }""")
        wait_for(lambda: f"A goes to the other address\n{a.describe()}", lambda: a.peer()["remote"].startswith("198.51.101.1:"), timeout=15)
    assert outage.seconds <= 5
    assert a.ike_spis() == ike
    net.internet.run("nft", "delete", "table", "inet", "dead")
    wait_for(lambda: f"A returns\n{a.describe()}", lambda: a.peer()["remote"].startswith(net.B.wan4 + ":"), timeout=60)
    assert a.ike_spis() == ike and b.peer()["ike_sas"] == 1
    assert_reaches(net.A.host, net.B.host4)


# ---- strongSwan 5.9.8 as the other end

def strongswan_pair(lab, net, role, start="none"):
    """`role` is culvert's; it is at A."""
    ike, esp = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"
    remote = "%any" if role == "initiator" else net.A.wan4
    strongswan = lab.strongswan(net.B.gw, swanctl_conf(net.B.wan4 if role == "initiator" else "%any", remote, "b.example", "a.example", PSK,
                                                       net.B.lan4, net.A.lan4, ike, esp, mobike="yes"))
    conf = tables(net.A, net.B, carry="ip", start="always" if role == "initiator" else "wait", address=None if role == "initiator" else "any",
                  peer={"ike": [ike], "esp": [esp]}, tunnel={"local": [net.A.lan4], "remote": [net.B.lan4], "mtu": 1400})
    culvert = lab.culvert(net.A.gw, conf, secrets={"lab.psk": PSK})
    if role == "responder":
        strongswan.ctl("--initiate", "--child", "net")
    culvert.wait_up()
    strongswan.wait_up()
    assert culvert.peer()["mobike"]
    return culvert, strongswan


@pytest.mark.parametrize("mover", ["culvert", "strongswan"])
@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_strongswan_and_an_address_that_changes(lab, net, homes, role, mover):
    """`role` is culvert's. The initiator tells by UPDATE_SA_ADDRESSES, the responder by a new list of addresses."""
    culvert, strongswan = strongswan_pair(lab, net, role)
    ike = culvert.ike_spis()
    site = net.A if mover == "culvert" else net.B
    new = site.wan4[:-1] + "9"
    with Outage(net, f"strongSwan as {'responder' if role == 'initiator' else 'initiator'}, {mover} moves") as outage:
        readdress(site, site.wan4, new)
        end = "local" if mover == "culvert" else "remote"
        wait_for(lambda: f"the new address\n{culvert.describe()}\n{strongswan.log()[-3000:]}",
                 lambda: culvert.peer()[end].startswith(new + ":") and new in strongswan.sas(), timeout=20)
    assert culvert.ike_spis() == ike, "the IKE SA must stay"
    if mover == "culvert" or role == "responder":
        assert outage.seconds <= 1
    assert strongswan.num_ike_sas() == 1 and strongswan.num_child_sas() == 1
    assert_reaches(net.B.host, net.A.host4)
    child = culvert.child_spi()
    culvert.ctl("rekey", "b", "--child")
    culvert.wait_new_child(child)
    assert_reaches(net.A.host, net.B.host4)


def test_strongswan_behind_a_nat_that_rebinds(lab):
    """strongSwan initiates from behind the NAT; culvert follows its ESP."""
    net = lab.net(nat="B")
    ike, esp = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"
    strongswan = lab.strongswan(net.B.gw, swanctl_conf("%any", net.A.wan4, "b.example", "a.example", PSK, net.B.lan4, net.A.lan4, ike, esp,
                                                       mobike="yes"))
    culvert = lab.culvert(net.A.gw, tables(net.A, net.B, carry="ip", start="wait", address="any", peer={"ike": [ike], "esp": [esp]},
                                           tunnel={"local": [net.A.lan4], "remote": [net.B.lan4], "mtu": 1400}), secrets={"lab.psk": PSK})
    strongswan.ctl("--initiate", "--child", "net")
    culvert.wait_up()
    before, spis = culvert.peer()["remote"], culvert.ike_spis()
    with Outage(net, "strongSwan's NAT has a new mapping") as outage:
        keep = Echo(net.B.host, net.A.host4, count=0, interval=0.02)  # what leaves first, and tells
        time.sleep(0.2)
        net.B.nat.run("conntrack", "-D", "-p", "udp")
        wait_for("culvert follows", lambda: culvert.peer()["remote"] != before, timeout=10)
    keep.finish()
    assert outage.seconds <= 1 and culvert.ike_spis() == spis


# ---- many

NUM = 100


def many(us, them, start, address):
    """NUM peers with an identity, a device and a GRE tunnel each, all between the same two gateways."""
    ours, theirs = us.letter.lower(), them.letter.lower()
    conf = {"gateway": {"id": f"{ours}.example"}}
    for n in range(NUM):
        conf[f"peer.p{n}"] = {"address": address, "id": f"{theirs}{n}.example", "local_id": f"{ours}{n}.example", "start": start,
                              "liveness": "2s", "retransmit_timeout": "300ms", "retransmit_tries": 7,
                              "ike": ["aes128gcm16-prfsha256-x25519"], "esp": ["aes128gcm16-x25519"]}
        conf[f"tunnel.t{n}"] = {"peer": f"p{n}", "carry": "gre", "key": n, "device": f"cv{n}"}
    return conf


def lines_by_second(log):
    return collections.Counter(re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", log, re.M))


def test_a_hundred_tunnels_survive_twenty_link_flaps(lab):
    net = lab.net()
    b = lab.culvert(net.B.gw, many(net.B, net.A, "wait", "any"))
    a = lab.culvert(net.A.gw, many(net.A, net.B, "always", [net.B.wan4]))
    ends = (a, b)

    def counts(end):
        peers = end.status()["peers"]
        return (sum(p["state"] == "up" and all(c["state"] == "up" for c in p["children"]) for p in peers),
                sum(p["ike_sas"] for p in peers), sum(p["child_sas"] for p in peers))

    wait_for(lambda: f"all are up: {counts(a)} {counts(b)}", lambda: all(counts(end) == (NUM, NUM, NUM) for end in ends), timeout=60)
    spis = {p["spi_i"] for p in a.status()["peers"]}
    marks = [len(end.log()) for end in ends]
    started = time.monotonic()
    for flap in range(20):
        net.A.gw.ip("link", "set", "wan", "down")
        time.sleep(0.3 if flap % 4 else 1.2)
        net.A.gw.ip("link", "set", "wan", "up")
        net.A.gw.route("default", net.A.wan4[:-1] + "254")
        time.sleep(0.4)
    wait_for(lambda: f"exactly {NUM} of each: {counts(a)} {counts(b)}\n{a.log()[-3000:]}",
             lambda: all(counts(end) == (NUM, NUM, NUM) for end in ends), timeout=60)
    time.sleep(1)
    for end, mark in zip(ends, marks):
        busiest = max(lines_by_second(end.log()[mark:]).values(), default=0)
        print(f"{end.ns}: at most {busiest} lines a second in {time.monotonic() - started:.0f} s of flaps")
        assert busiest < 10, end.log()[mark:mark + 4000]
    kept = len(spis & {p["spi_i"] for p in a.status()["peers"]})
    print(f"{kept} of {NUM} IKE SAs are those of before")
    assert {(p["spi_i"], p["spi_r"]) for p in a.status()["peers"]} == {(p["spi_i"], p["spi_r"]) for p in b.status()["peers"]}
    assert kept == NUM
