"""`culvert connect`: a laptop behind a NAT (site A), the company's gateway (site B). The laptop has a mount namespace with an /etc of its
own, where /etc/resolv.conf may change."""
import re
import socket
import struct
import threading
import time

import pytest

from labkit.capture import Capture
from labkit.client import Client, Machine
from labkit.culvert import PSK
from labkit.pki import CulvertPki
from labkit.process import wait_for
from labkit.traffic import assert_reaches, assert_silent, wait_reaches

POOL4, POOL6 = "10.99.0.0/24", "fd00:99::/112"
INNER_NAME, INNER_ADDRESS = "wiki.corp.example", "10.2.0.2"
LOCAL_RESOLVER = "# of the local network\nnameserver 192.0.2.253\n"


def answer_of(query):
    """DNS: INNER_NAME has INNER_ADDRESS, everything else is unknown (RFC 1035 §4.1)."""
    name, at = [], 12
    while query[at]:
        name.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[12:at + 5]
    known = ".".join(name).lower() == INNER_NAME
    is_a = struct.unpack("!H", query[at + 1:at + 3])[0] == 1
    header = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else 3), 1, 1 if known and is_a else 0, 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(INNER_ADDRESS)
    return header + question + (record if known and is_a else b"")


class NameServer(threading.Thread):
    """Of the inner network."""

    def __init__(self, ns, address):
        super().__init__(daemon=True)
        self.socket = ns.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.start()

    def run(self):
        while True:
            try:
                query, source = self.socket.recvfrom(2048)
                self.socket.sendto(answer_of(query), source)
            except OSError:
                return

    def stop(self):
        self.socket.close()


class World:
    def __init__(self, lab):
        self.lab, self.net = lab, lab.net(nat="A")
        self.pki = CulvertPki(lab.path("pki"))
        self.pki.gateway("gw.example")
        self.pki.user("ada@lab.example")
        self.machine = Machine(self.net.A.gw, lab.path("laptop"))
        lab._ends.append(self.machine.stop)
        lab._ends.append(NameServer(self.net.B.host, self.net.B.host4).stop)

    def gateway(self, *, full=False, pool=None, psk=False, **peer):
        site = self.net.B
        own = {"certificate": self.pki.dir / "gw.example.pem", "key": self.pki.dir / "gw.example.key"}
        auth = {"auth": {"psk_file": "lab.psk"}} if psk else {"auth": own, "peer_auth": {"ca": self.pki.ca}}
        return self.lab.culvert(site.gw, {
            "gateway": {"id": "gw.example"},
            "peer.warriors": {"address": "any", "id": "ada@lab.example" if psk else "*@lab.example", "pool": ["staff"], "liveness": "2s",
                              "retransmit_timeout": "300ms", "retransmit_tries": 5, **auth, **peer},
            "tunnel.warriors": {"peer": "warriors", "carry": "ip", "device": "cvW",
                                "local": ["0.0.0.0/0", "::/0"] if full else [site.lan4, site.lan6],
                                "address": ["10.99.0.254/24", "fd00:99::fe/112"]},
            "pool.staff": {"addresses": [POOL4, POOL6], "dns": [site.host4], **(pool or {})},
        })

    def client(self, *, psk=False, start=True, **profile):
        folder = self.lab.path("client")
        if psk:
            key = folder / "office.psk"
            key.touch(mode=0o600)
            key.write_text(PSK + "\n")
            auth = {"auth": {"psk_file": key}, "id": "ada@lab.example"}
        else:
            auth = {"auth": {"certificate": self.pki.dir / "ada@lab.example.pem", "key": self.pki.dir / "ada@lab.example.key"},
                    "ca": [self.pki.ca]}
        client = Client(self.machine, folder, {"server": [self.net.B.wan4], "server_id": "gw.example", **auth, **profile})
        self.lab._ends.append(client.stop)
        if start:
            client.connect()
        return client

    def look_up(self, name=INNER_NAME):
        return self.machine.run("getent", "-s", "hosts:dns", "ahostsv4", name, check=False, timeout=30).stdout


@pytest.fixture
def world(lab):
    return World(lab)


def rules(ns):
    return re.findall(r"^(52\d\d):", ns.ip("rule").stdout + ns.ip("-6", "rule").stdout, re.M)


def assert_as_before(world):
    """The laptop is as if nothing had happened."""
    laptop = world.net.A.gw
    assert world.machine.resolv_conf.read_text() == LOCAL_RESOLVER
    assert not list(world.machine.etc.glob("resolv.conf?*")), "nothing is left beside it"
    assert "cv-office" not in laptop.devices() and rules(laptop) == []
    assert "cv-office" not in laptop.routes() and "unreachable" not in laptop.routes()
    assert "culvert" not in laptop.run("nft", "list", "tables").stdout
    assert_reaches(laptop, world.net.B.wan4, count=1)


@pytest.mark.parametrize("full", [False, True], ids=["split", "full"])
@pytest.mark.parametrize("psk", [False, True], ids=["certificate", "psk"])
def test_connect_and_disconnect(world, psk, full):
    net, laptop = world.net, world.net.A.gw
    world.gateway(psk=psk, full=full)
    client = world.client(psk=psk)
    wait_reaches(laptop, net.B.host4, timeout=5)
    assert_reaches(laptop, net.B.host6)
    via = laptop.ip("route", "get", "203.0.113.77").stdout
    assert ("dev cv-office" in via) == full
    assert "dev wan" in laptop.ip("route", "get", net.B.wan4).stdout
    wait_for("DNS", lambda: INNER_ADDRESS in world.look_up(), timeout=5)
    client.disconnect()
    assert client.process.wait(5) == 0
    assert INNER_ADDRESS not in world.machine.resolv_conf.read_text()
    assert_silent(laptop, net.B.host4, count=1)
    assert_as_before(world)


def test_split_dns_in_resolv_conf_says_what_it_cannot(world):
    world.gateway(pool={"domains": ["corp.example"]})
    client = world.client()
    wait_for("DNS", lambda: "search corp.example" in world.machine.resolv_conf.read_text(), timeout=5)
    assert "cannot tell names apart" in client.log()
    assert INNER_ADDRESS in world.look_up("wiki")
    # A DHCP client writes the file anew: its text is what comes back in the end.
    world.machine.resolv_conf.write_text("nameserver 192.0.2.1\n")
    wait_for("ours again", lambda: "nameserver 10.2.0.2" in world.machine.resolv_conf.read_text(), timeout=5)
    client.disconnect()
    assert world.machine.resolv_conf.read_text() == "nameserver 192.0.2.1\n"


@pytest.mark.parametrize("kill_switch", [False, True])
def test_disconnect_brings_the_network_back_after_a_crash(world, kill_switch):
    world.gateway(full=True)
    client = world.client(kill_switch=kill_switch)
    wait_for("DNS", lambda: INNER_ADDRESS in world.look_up(), timeout=5)
    client.kill()
    wait_for("the kernel has removed the device", lambda: "cv-office" not in world.net.A.gw.devices())
    assert "culvert client office" in world.machine.resolv_conf.read_text()
    if kill_switch:
        assert_silent(world.net.A.gw, world.net.B.wan4, count=1)
    client.disconnect()
    assert_as_before(world)
    client.disconnect()  # once more does no harm
    assert_as_before(world)


def test_ctrl_c_ends_all_but_the_kill_switch(world):
    world.gateway(full=True)
    client = world.client(kill_switch=True)
    assert client.process.stop() == 0
    assert world.machine.resolv_conf.read_text() == LOCAL_RESOLVER
    assert_silent(world.net.A.gw, world.net.B.wan4, count=1)
    assert "until 'culvert disconnect office'" in client.log()
    client.disconnect()
    assert_as_before(world)


def test_background_returns_when_it_is_connected(world):
    world.gateway()
    client = world.client(start=False)
    done = client.culvert("connect", "--background", client.file)
    assert re.match(r"connected: 10\.99\.0\.1, fd00:99::1 on cv-office", done.stdout), done.stdout
    assert_reaches(world.net.A.gw, world.net.B.host4)
    client.disconnect()
    assert_as_before(world)


def test_what_cannot_work_is_refused_with_a_reason(world):
    client = world.client(start=False)
    client.write({**client.profile, "kil_switch": True})
    client.connect(wait=False)
    assert client.process.wait(10) == 1
    assert "did you mean 'kill_switch'?" in client.log()
    assert_as_before(world)


# ---- the kill switch

def strangers(capture, world):
    """Of what left the laptop: neither IKE nor ESP to the gateway, nor DHCP, ARP, ND."""
    gateway = f"(udp && (ip.dst == {world.net.B.wan4} || ipv6.dst == {world.net.B.wan6}) && (udp.dstport == 500 || udp.dstport == 4500))"
    mac = world.net.A.gw.run("cat", "/sys/class/net/wan/address").stdout.strip()
    nd = "(icmpv6.type >= 133 && icmpv6.type <= 136) || icmpv6.type == 143"
    return capture.tshark("-d", "udp.port==4500,udpencap", display=f"eth.src == {mac} && !({gateway} || arp || {nd} || dhcp || dhcpv6)")


class Chatter(threading.Thread):
    """What a laptop says all day: pings, names, TCP, to addresses of both families."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.ns, self.stopping = world.net.A.gw, False
        self.targets = [world.net.B.wan4, "203.0.113.9", "192.0.2.253", "2001:db8:2::1", "172.16.1.1"]
        self.start()

    def run(self):
        while not self.stopping:
            for target in self.targets:
                v6 = ":" in target
                family = socket.AF_INET6 if v6 else socket.AF_INET
                for kind, port in ((socket.SOCK_DGRAM, 53), (socket.SOCK_DGRAM, 443), (socket.SOCK_STREAM, 80)):
                    with self.ns.socket(family, kind) as one:
                        one.setblocking(False)
                        try:
                            one.connect((target, port))
                            one.send(b"leak")
                        except OSError:
                            pass
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.join(10)


def test_nothing_but_the_tunnel_leaves_the_laptop(world):
    net, laptop = world.net, world.net.A.gw
    laptop.address("wan", "fd16::2/64")
    net.A.nat.address("inside", "fd16::1/64")
    laptop.route("default", "fd16::1")  # a leak of IPv6 would be seen, too
    gateway = world.gateway(full=True)
    client = world.client(start=False, kill_switch=True)
    client.connect()  # the first time closes it
    client.kill()
    with Capture(net.A.nat, "inside", world.lab.folder) as capture, Chatter(world):
        time.sleep(0.5)   # crashed
        client.connect()
        wait_reaches(laptop, net.B.host4, timeout=10)
        readdress(world, "172.16.1.9")
        wait_reaches(laptop, net.B.host4, timeout=10)
        gateway.stop()
        time.sleep(1)
        gateway.start()
        wait_reaches(laptop, net.B.host4, timeout=60)
        client.kill()
        time.sleep(0.5)
    leaks = strangers(capture, world)
    assert not leaks, leaks[:20]
    assert capture.count(f"udp.dstport == 4500 && ip.dst == {net.B.wan4}") > 20
    client.disconnect()
    assert_as_before(world)


# ---- on the road

def readdress(world, new):
    """The laptop has another address, as with a new lease."""
    laptop = world.net.A.gw
    old = re.search(r"inet (172\.16\.1\.\d+)/24", laptop.ip("addr", "show", "dev", "wan").stdout)[1]
    laptop.sysctl("net.ipv4.conf.all.promote_secondaries=1")
    laptop.address("wan", f"{new}/24")
    laptop.ip("addr", "del", f"{old}/24", "dev", "wan")
    laptop.route("default", "172.16.1.1")


class Stream:
    """One TCP connection through the tunnel, from the laptop to a host behind the gateway, all of whose bytes must arrive in order; the
    longest time without progress is measured at the receiver."""

    def __init__(self, world):
        self.listener = world.net.B.host.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((world.net.B.host4, 0))
        self.listener.listen(1)
        self.sender = world.net.A.gw.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sender.connect((world.net.B.host4, self.listener.getsockname()[1]))
        self.receiver = self.listener.accept()[0]
        self.stopping, self.sent, self.received, self.longest = False, 0, 0, 0.0
        self.threads = [threading.Thread(target=self.send, daemon=True), threading.Thread(target=self.receive, daemon=True)]
        for thread in self.threads:
            thread.start()

    def send(self):
        while not self.stopping:
            self.sender.sendall(struct.pack("!Q", self.sent // 8) * 64)
            self.sent += 512
            time.sleep(0.005)
        self.sender.shutdown(socket.SHUT_WR)

    def receive(self):
        buffer, last = b"", time.monotonic()
        while data := self.receiver.recv(65536):
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
            buffer += data
            self.received += len(data)
        self.intact = all(struct.unpack_from("!Q", buffer, at)[0] == at // 512 * 64 for at in range(0, len(buffer), 8))

    def finish(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(20)
        return self


def test_roaming_under_a_tcp_stream(world):
    """5 new addresses in 15 s."""
    world.gateway(full=True)
    client = world.client()
    wait_reaches(world.net.A.gw, world.net.B.host4, timeout=5)
    spis = client.ike_spis()
    stream, times = Stream(world), []
    for number in range(5):
        readdress(world, f"172.16.1.{20 + number}")
        stream.longest = 0.0
        time.sleep(3)
        times.append(stream.longest)
    stream.finish()
    print("longest pauses, in s:", [f"{seconds:.2f}" for seconds in times])
    assert stream.intact and stream.received == stream.sent > 100_000
    assert max(times) <= 1
    assert client.ike_spis() == spis


def test_a_gateway_that_restarts_is_called_again(world):
    gateway = world.gateway(full=True)
    client = world.client(kill_switch=True)
    wait_for("DNS", lambda: INNER_ADDRESS in world.look_up(), timeout=5)
    gateway.kill()
    gateway.start()
    wait_reaches(world.net.A.gw, world.net.B.host4, timeout=40)
    assert INNER_ADDRESS in world.look_up()
    client.disconnect()
    assert_as_before(world)
