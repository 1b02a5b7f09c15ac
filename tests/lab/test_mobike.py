"""Addresses that change under traffic: MOBIKE (RFC 4555) between two culverts and with strongSwan in both roles, NAT mappings that are new,
and WAN links that die. How long nothing got through is measured by pings every 5 ms."""
import socket
import struct
import threading
import time

import pytest

from labkit.capture import Capture
from labkit.inject import read_pcap, send_frames, without_udp_checksum
from labkit.net import link
from labkit.pair import pair, tables
from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import Echo, assert_reaches, internet_checksum, iperf3

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


def stream(net, *options):
    """A TCP stream through the tunnel while the test goes on, from A to B, with "-R" from B to A; call the result to wait for its end."""
    result = {}
    thread = threading.Thread(target=lambda: result.update(iperf3(net.A.host, net.B.host, net.B.host4, "-t", 5, "-b", "50M", *options)))
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


def copies(frames, source, payload=lambda bytes_: bytes_):
    """IPv4 UDP frames as `source` = (address, port) would send them."""
    made = []
    for frame in frames:
        frame = bytearray(without_udp_checksum(frame))
        at = 14 + 4 * (frame[14] & 15)
        frame[26:30] = socket.inet_aton(source[0])
        struct.pack_into("!H", frame, at, source[1])
        struct.pack_into("!H", frame, 24, 0)
        struct.pack_into("!H", frame, 24, internet_checksum(bytes(frame[14:at])))
        made.append(bytes(frame[:at + 8]) + payload(bytes(frame[at + 8:])))
    return made


def forged(payload):
    """ESP or IKE that is changed: numbers far ahead of what was seen, the rest as it was."""
    payload = bytearray(payload)
    at = 4 if payload[:4] != bytes(4) else 24  # the sequence number; behind the non-ESP marker the message ID
    struct.pack_into("!I", payload, at, struct.unpack_from("!I", payload, at)[0] + (1000 if at == 4 else 0))
    payload[-1] ^= 1
    return bytes(payload)


@pytest.mark.parametrize("mobike", [True, False])
def test_what_does_not_authenticate_or_is_old_moves_nobody(lab, mobike):
    """Somebody on the path copies ESP and IKE of a peer behind a NAT, and sends them, as they are and changed, from other ports and
    another address: the gateway outside goes on sending where it did."""
    net = lab.net(nat="A")
    net.cut_datagrams()
    a, b = pair(lab, net, nat=True, peer={"mobike": mobike, "liveness": "1s"})
    with Capture(net.internet, "wanA", lab.folder, expression="udp dst port 4500") as capture:
        assert_reaches(net.A.host, net.B.host4, count=10)
        a.ctl("rekey", "b", "--ike")
        time.sleep(1.5)  # and a liveness check or two
        assert_reaches(net.A.host, net.B.host4)
    frames = [frame for frame in read_pcap(capture.path) if frame[12:14] == b"\x08\x00" and len(frame) > 60]
    ours, there = b.peer()["remote"], b.drops()
    target = net.B.gw.run("cat", "/sys/class/net/wan/address").stdout.strip().replace(":", "")
    for source in ((net.A.wan4, 40001), (net.A.wan4, 4500), ("203.0.113.66", 4500)):
        for payload in (bytes, forged):
            sent = copies(frames, source, payload)
            send_frames(net.internet, "wanB", [bytes.fromhex(target) + frame[6:] for frame in sent], pause=0.001)
    now = b.drops()
    assert now["replay"] > there["replay"] and now["icv_failed"] > there["icv_failed"], (there, now)
    assert b.peer()["remote"] == ours
    assert_reaches(net.B.host, net.A.host4)
    assert b.peer()["remote"] == ours and "now at" not in b.log()


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
        finish = stream(net)
        time.sleep(1)
        readdress(site, site.wan4, new)
        end = "local" if mover == "culvert" else "remote"
        wait_for(lambda: f"the new address\n{culvert.describe()}\n{strongswan.log()[-3000:]}",
                 lambda: culvert.peer()[end].startswith(new + ":") and new in strongswan.sas(), timeout=20)
    finish()
    assert culvert.ike_spis() == ike, "the IKE SA must stay"
    assert outage.seconds <= 1
    assert strongswan.num_ike_sas() == 1 and strongswan.num_child_sas() == 1
    assert_reaches(net.B.host, net.A.host4)
    child = culvert.child_spi()
    culvert.ctl("rekey", "b", "--child")
    culvert.wait_new_child(child)
    assert_reaches(net.A.host, net.B.host4)


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_strongswan_and_a_nat_that_rebinds_under_traffic(lab, role):
    """The initiator is behind it, and sends. culvert follows its ESP; strongSwan's kernel-libipsec does not, and must be told."""
    net = lab.net(nat="A" if role == "initiator" else "B")
    culvert, strongswan = strongswan_pair(lab, net, role)
    spis = culvert.ike_spis()
    nat = net.A.nat or net.B.nat
    with Outage(net, f"new NAT mapping, strongSwan is {'responder' if role == 'initiator' else 'initiator'}") as outage:
        finish = stream(net, *([] if role == "initiator" else ["-R"]))
        time.sleep(1)
        nat.run("conntrack", "-D", "-p", "udp")
    finish()
    assert outage.seconds <= 1 and culvert.ike_spis() == spis
    assert strongswan.num_ike_sas() == 1 and strongswan.num_child_sas() == 1
