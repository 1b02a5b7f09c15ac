"""`culvert connect`: a laptop behind a NAT becomes a client of the company's gateway, and comes back from everything."""
import re
import socket
import threading
import time

import pytest

from labkit.capture import Capture
from labkit.culvert import BIN
from labkit.office import INNER_ADDRESS, LOCAL_RESOLVER, PASSWORD, USER, Office
from labkit.process import sh, wait_for
from labkit.traffic import assert_reaches, assert_silent, wait_reaches


@pytest.fixture
def world(lab):
    return Office(lab)


@pytest.mark.parametrize("auth, full", [("certificate", True), ("psk", False), ("mschapv2", True), ("tls", False)])
def test_connect_and_disconnect(world, auth, full):
    net, laptop = world.net, world.laptop
    world.gateway(auth, full=full)
    client = world.client(auth)
    wait_reaches(laptop, net.B.host4, timeout=5)
    assert_reaches(laptop, net.B.host6)
    assert [a for a in ("10.99.0.1/32", "fd00:99::1/128") if a not in laptop.ip("addr", "show", "dev", "cv-office").stdout] == []
    via = laptop.ip("route", "get", "203.0.113.77").stdout
    assert ("dev cv-office" in via) == full
    assert "dev wan" in laptop.ip("route", "get", net.B.wan4).stdout
    world.wait_dns()
    child = client.peer()["children"][0]["inbound_spi"]
    client.culvert("--client", "office", "rekey", "office", "--child")
    wait_for("a new child SA", lambda: client.is_up() and client.peer()["children"][0]["inbound_spi"] != child, timeout=5)
    assert laptop.ip("route", "get", "203.0.113.77").stdout == via, "a rekey leaves the routes alone"
    assert_reaches(laptop, net.B.host4)
    client.disconnect()
    assert client.process.wait(5) == 0
    assert INNER_ADDRESS not in world.machine.resolv_conf.read_text()
    assert_silent(laptop, net.B.host4, count=1)
    world.assert_as_before()


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
    world.wait_dns()
    client.kill()
    wait_for("the kernel has removed the device", lambda: "cv-office" not in world.net.A.gw.devices())
    assert "culvert client office" in world.machine.resolv_conf.read_text()
    if kill_switch:
        assert_silent(world.net.A.gw, world.net.B.wan4, count=1)
    client.disconnect()
    world.assert_as_before()
    client.disconnect()  # once more does no harm
    world.assert_as_before()


def test_ctrl_c_ends_all_but_the_kill_switch(world):
    world.gateway(full=True)
    client = world.client(kill_switch=True)
    assert client.process.stop() == 0
    assert world.machine.resolv_conf.read_text() == LOCAL_RESOLVER
    assert_silent(world.net.A.gw, world.net.B.wan4, count=1)
    assert "until 'culvert disconnect office'" in client.log()
    client.disconnect()
    world.assert_as_before()


def test_a_profile_that_the_gateway_has_exported_connects(world):
    gateway = world.gateway("mschapv2", gateway={"tcp_port": 443})
    client = world.client("mschapv2", start=False)
    told = sh(BIN / "culvert", "client", "export", USER, "--for", "culvert", "--config", gateway.config, "--server", world.net.B.wan4,
              "--ca", world.pki.ca, "--out", client.file, "--force").stderr
    world.secret(client.dir, re.search(r"the password: (\S+), mode 0600", told)[1], PASSWORD)
    assert "ok: cv-office" in client.culvert("check", "--profile", client.file).stdout
    client.connect()
    wait_reaches(world.laptop, world.net.B.host4, timeout=5)
    client.disconnect()
    world.assert_as_before()


def test_background_returns_when_it_is_connected(world):
    world.gateway()
    client = world.client(start=False)
    done = client.culvert("connect", "--background", client.file)
    assert re.match(r"connected: 10\.99\.0\.1, fd00:99::1 on cv-office", done.stdout), done.stdout
    assert_reaches(world.net.A.gw, world.net.B.host4)
    client.disconnect()
    world.assert_as_before()


def test_what_cannot_work_is_refused_with_a_reason(world):
    client = world.client(start=False)
    client.write({**client.profile, "kil_switch": True})
    client.connect(wait=False)
    assert client.process.wait(10) == 1
    assert "did you mean 'kill_switch'?" in client.log()
    world.assert_as_before()


# ---- the kill switch

def strangers(capture, world, *more):
    """Of what left the laptop: neither IKE nor ESP to the gateway (also at `more` addresses), nor DHCP, ARP, ND."""
    addresses = ", ".join([world.net.B.wan4, *more])
    gateway = f"(udp && (ip.dst in {{{addresses}}} || ipv6.dst == {world.net.B.wan6}) && (udp.dstport == 500 || udp.dstport == 4500))"
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
        world.readdress("172.16.1.9")
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
    world.assert_as_before()


def test_a_gateway_that_restarts_is_called_again(world):
    gateway = world.gateway(full=True)
    client = world.client(kill_switch=True)
    world.wait_dns()
    gateway.kill()
    gateway.start()
    wait_reaches(world.net.A.gw, world.net.B.host4, timeout=40)
    assert INNER_ADDRESS in world.look_up()
    client.disconnect()
    world.assert_as_before()


def test_a_gateway_whose_name_gets_another_address_is_found_beside_the_dead_tunnel(world):
    """The laptop's name servers stand behind the full tunnel that is down, and the kill switch is closed."""
    net, new = world.net, "198.51.100.77"
    net.internet.address("wanA", "192.0.2.253/24")
    names = world.name_server(net.internet, "192.0.2.253", {"vpn.example": net.B.wan4})
    gateway = world.gateway(full=True)
    client = world.client(server=["vpn.example"], kill_switch=True)
    wait_reaches(world.laptop, net.B.host4, timeout=5)
    world.wait_dns()
    names.asked.clear()
    with Capture(net.A.nat, "inside", world.lab.folder) as capture, Chatter(world):
        gateway.kill()
        net.B.gw.ip("addr", "del", f"{net.B.wan4}/24", "dev", "wan")
        net.B.gw.address("wan", f"{new}/24")
        net.B.gw.route("default", "198.51.100.254")
        names.names["vpn.example"] = new
        gateway.start()
        wait_for("the status says what it waits for",
                 lambda: re.search(r"no answer from 198\.51\.100\.1 after \d tries", client.culvert("--client", "office", "status").stdout), 30)
        wait_reaches(world.laptop, net.B.host4, timeout=30)
    assert client.peer()["remote"].startswith(new + ":")
    assert set(names.asked) == {"vpn.example"}, "of the gateway alone"
    leaks = [line for line in strangers(capture, world, new) if "vpn.example" not in line]
    assert not leaks, leaks[:20]
    world.wait_dns()
    client.disconnect()
    assert world.machine.resolv_conf.read_text() == LOCAL_RESOLVER and world.rules() == []
