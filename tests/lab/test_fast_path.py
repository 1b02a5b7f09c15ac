"""The fast path on wires as they are: datagrams that overtake each other and come twice; packets of every size."""
import hashlib
import os
import re
import socket
import struct
import threading
import time

import pytest

from labkit.pair import pair, tables
from labkit.process import wait_for
from labkit.traffic import IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IPV6_MTU_DISCOVER, udp_receive_errors

MEBI = 1 << 20
TOTAL = 1024 * MEBI
TCP_FLOWS = 8
MAX_SIZE = 9000
AT_ONCE = 30
CHATTER = {"no_sa", "no_policy"}  # what the kernel sends into a device by itself (MLD), before there is an SA or outside its selectors
IKE_TWICE = {"ike_malformed", "ike_replayed", "ike_unknown_sa", "keepalive"}
SO_RCVBUFFORCE = 33  # asm-generic/socket.h


def two_tunnels(us, them, carry):
    """Two tunnels to one peer: IPv4 between the LANs takes the first, IPv6 the second. GRE: two keys in one pair of SAs; else each tunnel
    has a pair, and keys, of its own."""
    conf = tables(us, them, start="always" if us.letter == "A" else "wait")
    del conf[f"tunnel.{them.letter.lower()}"]
    for key, ours, theirs in ((1, us.lan4, them.lan4), (2, us.lan6, them.lan6)):
        own = {"key": key, "address": [f"169.254.{key}.{us.number}/24"], "routes": [theirs]} if carry == "gre" else {"local": [ours], "remote": [theirs]}
        conf[f"tunnel.k{key}"] = {"peer": them.letter.lower(), "carry": carry, "device": f"key{key}", **own}
    return conf


class TcpFlow:
    """Random bytes from one host to another, hashed at both ends."""

    def __init__(self, source, target, address, port, length):
        self.sent, self.received, self.error = hashlib.sha256(), hashlib.sha256(), None
        self.length, self.left = length, length
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = target.socket(family, socket.SOCK_STREAM)
        self.listener.bind((address, port))
        self.listener.listen()
        self.socket = source.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.address = (address, port)
        self.threads = [threading.Thread(target=self._run, args=(run,), daemon=True) for run in (self._receive, self._send)]
        for thread in self.threads:
            thread.start()

    def _run(self, run):
        try:
            run()
        except OSError as error:
            self.error = error

    def _send(self):
        with self.socket:
            self.socket.connect(self.address)
            for at in range(0, self.length, MEBI):
                block = os.urandom(min(MEBI, self.length - at))
                self.sent.update(block)
                self.socket.sendall(block)

    def _receive(self):
        with self.listener:
            connection = self.listener.accept()[0]
        connection.settimeout(60)
        block = bytearray(MEBI)
        with connection:
            while length := connection.recv_into(block):
                self.received.update(memoryview(block)[:length])
                self.left -= length

    def finish(self, timeout):
        end = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(max(0.1, end - time.monotonic()))
            assert not thread.is_alive(), f"{self.address}: {self.left} bytes are missing"
        assert self.error is None and self.left == 0, (self.address, self.error, self.left)
        assert self.received.digest() == self.sent.digest(), f"{self.address}: other bytes arrived"


class NumberedFlow(threading.Thread):
    """Datagrams with numbers, one every few milliseconds until stop(); how often each arrived."""

    def __init__(self, source, target, address, port):
        super().__init__(daemon=True)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.ear, self.mouth = target.socket(family, socket.SOCK_DGRAM), source.socket(family, socket.SOCK_DGRAM)
        self.ear.bind((address, port))
        self.ear.setblocking(False)
        self.mouth.connect((address, port))
        self.sent, self.arrived, self.stopping = 0, [], False
        self.start()

    def run(self):
        while not self.stopping:
            for _ in range(10):
                self.mouth.send(struct.pack("!I", self.sent) + bytes(self.sent % 1300))
                self.sent += 1
            self._listen()
            time.sleep(0.002)

    def _listen(self):
        try:
            while True:
                self.arrived.append(struct.unpack_from("!I", self.ear.recv(2000))[0])
        except BlockingIOError:
            pass

    def stop(self):
        self.stopping = True
        self.join()
        time.sleep(0.5)
        self._listen()
        self.ear.close()
        self.mouth.close()


def watch_tunnels(gw):
    """Counts what comes out of the tunnel of the other family."""
    gw.run("nft", "-f", "-", input="""
        table inet watch { chain pre { type filter hook prerouting priority -300;
            iifname "key1" ip6 daddr fd00::/16 counter comment "stray"
            iifname "key2" ip daddr 10.0.0.0/8 counter comment "stray"
            iifname "key1" ip daddr 10.0.0.0/8 counter comment "own"
            iifname "key2" ip6 daddr fd00::/16 counter comment "own"
        }
        }""")


def tunnel_counts(gw, comment):
    text = gw.run("nft", "list", "table", "inet", "watch").stdout
    return [int(packets) for packets in re.findall(rf'counter packets (\d+) bytes \d+ comment "{comment}"', text)]


def moved(culvert, direction):
    """Packets that came out of, or went into, both tunnels."""
    return sum(tunnel[f"{direction}_packets"] for tunnel in culvert.peer()["tunnels"])


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_two_tunnels_and_eight_flows_over_a_wire_that_reorders_and_duplicates(lab, carry):
    net = lab.net()
    wire = lab.wire(net, net.A, delayed=20, duplicated=20)
    net.cut_datagrams()
    b = lab.culvert(net.B.gw, two_tunnels(net.B, net.A, carry))
    a = lab.culvert(net.A.gw, two_tunnels(net.A, net.B, carry))
    a.wait_up()
    b.wait_up()
    for site in (net.A, net.B):
        watch_tunnels(site.gw)

    begin = time.monotonic()
    numbered = [NumberedFlow(net.A.host, net.B.host, address, 7000) for address in (net.B.host4, net.B.host6)]
    flows = []
    for i in range(TCP_FLOWS):  # both ways, both families
        source, target = (net.A, net.B) if i % 4 < 2 else (net.B, net.A)
        flows.append(TcpFlow(source.host, target.host, target.host4 if i % 2 == 0 else target.host6, 6000 + i, TOTAL // TCP_FLOWS))
    for flow in flows:
        flow.finish(200)
    seconds = time.monotonic() - begin
    for flow in numbered:
        flow.stop()
    wire.stop()

    print(f"{carry}: {TOTAL >> 20} MiB in {seconds:.1f} s, {TOTAL * 8 / seconds / 1e6:.0f} Mbit/s; wire: {wire.out}, {wire.back}")
    for source, target, way, receiver in ((a, b, wire.out, net.B), (b, a, wire.back, net.A)):
        assert way["joined"] == 0 and way["esp"] > TOTAL / 2 / 1500, "not a wire as it is"
        assert 0.18 < way["esp_duplicated"] / way["esp"] < 0.22 and 0.18 < way["esp_delayed"] / way["esp"] < 0.22
        drops = target.drops()
        early = drops["unknown_spi"]  # overtook the last message of IKE, at the very beginning
        assert early < 5
        lost = early + udp_receive_errors(receiver.gw)  # the latter on a machine too busy for the gateway to take them; mostly 0
        print({reason: packets for reason, packets in drops.items() if packets}, "lost:", lost)
        # One copy of each that came twice is a replay, and nothing else is; where a copy was lost, the other was the first.
        assert way["esp_duplicated"] - lost <= drops["replay"] <= way["esp_duplicated"]
        assert drops["replay_too_old"] == 0
        assert {reason for reason, packets in drops.items() if packets} <= {"replay", "unknown_spi", *CHATTER, *IKE_TWICE}
        sent, arrived = moved(source, "outbound"), moved(target, "inbound")
        assert sent - lost - way["lost"] <= arrived <= sent, "what left has arrived, once"
    for site in (net.A, net.B):
        assert tunnel_counts(site.gw, "stray") == [0, 0], "a packet came out of the other tunnel"
        assert all(packets > TOTAL / 4 / 65536 for packets in tunnel_counts(site.gw, "own"))
    for flow in numbered:
        assert len(flow.arrived) == len(set(flow.arrived)), "a datagram came twice"
        assert len(flow.arrived) > flow.sent * 0.8 and max(flow.arrived) < flow.sent


def open_udp(ns, address):
    s = ns.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 * MEBI)
    s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if ":" in address else (socket.IPPROTO_IP, IP_MTU_DISCOVER)), IP_PMTUDISC_DONT)
    s.bind((address, 0))
    s.settimeout(3)
    return s


def send_all_sizes(source, target, source_address, target_address):
    """Datagrams of 1…9000 bytes, each of which must arrive as it is, once."""
    block = os.urandom(2 * MAX_SIZE)
    with open_udp(source, source_address) as mouth, open_udp(target, target_address) as ear:
        mouth.connect(ear.getsockname()[:2])
        mouth.settimeout(0.2)
        ear.settimeout(0.2)

        def largest_passes():  # over IPv6 the sender learns the path's MTU by losing one
            mouth.send(block[:MAX_SIZE])
            try:
                return ear.recv(65536) == block[:MAX_SIZE]
            except TimeoutError:
                return False
        wait_for(f"{MAX_SIZE} bytes to {target_address}", largest_passes)
        ear.settimeout(3)
        for first in range(1, MAX_SIZE + 1, AT_ONCE):
            sizes = range(first, min(first + AT_ONCE, MAX_SIZE + 1))
            for size in sizes:
                mouth.send(block[size:2 * size])
            arrived = [ear.recv(65536) for _ in sizes]
            assert sorted(map(len, arrived)) == list(sizes)
            for datagram in arrived:
                assert datagram == block[len(datagram):2 * len(datagram)], f"{len(datagram)} bytes to {target_address} arrived changed"


@pytest.mark.parametrize("wan_mtu", [9200, 1500])
@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_datagrams_of_every_size_cross_unchanged(lab, carry, wan_mtu):
    net = lab.net()
    for site in (net.A, net.B):
        for ns, device, mtu in ((site.host, "lan", 9000), (site.gw, "lan", 9000), (site.gw, "wan", wan_mtu), (net.internet, f"wan{site.letter}", wan_mtu)):
            ns.ip("link", "set", device, "mtu", mtu)
    net.cut_datagrams()
    a, b = pair(lab, net, carry=carry)
    mtu = a.peer()["tunnels"][0]["mtu"]
    assert (mtu > 9000) == (wan_mtu == 9200), "whole where they fit, in fragments where they do not"
    send_all_sizes(net.A.host, net.B.host, net.A.host4, net.B.host4)
    send_all_sizes(net.B.host, net.A.host, net.B.host6, net.A.host6)
    for drops in (a.drops(), b.drops()):
        assert {reason for reason, packets in drops.items() if packets} <= CHATTER
