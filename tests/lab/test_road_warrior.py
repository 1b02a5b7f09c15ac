"""Road warriors: clients that get their addresses from a gateway. The client is site A, behind a NAT; the gateway is site B."""
import json
import re
import socket
import time

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation

from labkit.capture import Capture
from labkit.keys import DebugKeys
from labkit.pki import CulvertPki
from labkit.process import wait_for
from labkit.traffic import assert_reaches, assert_silent, echo, tcp_both_ways

POOL4, POOL6 = "10.99.0.0/24", "fd00:99::/112"
GATEWAY4, GATEWAY6 = "10.99.0.254", "fd00:99::fe"
IKE, ESP_SUITE = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"


class World:
    def __init__(self, lab):
        self.lab, self.net = lab, lab.net(nat="A")
        self.pki = CulvertPki(lab.path("pki"))
        self.pki.gateway("gw.example")
        for user in ("ada@lab.example", "bob@lab.example"):
            self.pki.user(user)

    def auth(self, name):
        return {"auth": {"certificate": self.pki.dir / f"{name}.pem", "key": self.pki.dir / f"{name}.key"}, "peer_auth": {"ca": self.pki.ca}}

    def gateway(self, *, local=None, pool=None, **peer):
        site = self.net.B
        return self.lab.culvert(site.gw, {
            "gateway": {"id": "gw.example"},
            "peer.warriors": {"address": "any", "id": "*@lab.example", "pool": ["staff"], "liveness": "2s", "retransmit_timeout": "300ms",
                              "retransmit_tries": 5, **self.auth("gw.example"), **peer},
            "tunnel.warriors": {"peer": "warriors", "carry": "ip", "device": "cvW", "local": local or [site.lan4, site.lan6],
                                "address": [f"{GATEWAY4}/24", f"{GATEWAY6}/112"]},
            "pool.staff": {"addresses": [POOL4, POOL6], "dns": ["10.2.0.53"], "domains": ["corp.example"], **(pool or {})},
        })

    def client(self, user="ada@lab.example", site="A", start=True, tunnel=None, debug_keys=False, **peer):
        site = getattr(self.net, site)
        return self.lab.culvert(site.gw, {
            "gateway": {"id": user},
            "peer.office": {"address": [self.net.B.wan4], "id": "gw.example", "virtual_address": "any", "liveness": "2s",
                            "retransmit_timeout": "300ms", "retransmit_tries": 5, **self.auth(user), **peer},
            "tunnel.office": {"peer": "office", "carry": "ip", "device": "cvO", **(tunnel or {})},
        }, start=start, debug_keys=debug_keys)


@pytest.fixture
def world(lab):
    return World(lab)


def addresses(ns, device):
    return re.findall(r"inet6? ([0-9a-f.:]+)/(?:32|128)", ns.ip("addr", "show", "dev", device, "scope", "global").stdout)


def users(gateway):
    return json.loads(gateway.ctl("status", "--users", "--json").stdout)["users"]


def wait_address(client, ns, timeout=15):
    client.wait_up(timeout=timeout)
    wait_for(lambda: f"an address on cvO\n{client.log()}", lambda: len(addresses(ns, "cvO")) == 2)
    return addresses(ns, "cvO")


def test_a_client_behind_a_nat_gets_addresses_of_both_families_and_keeps_them(world):
    gateway, client, net = world.gateway(), world.client(), world.net
    mine = wait_address(client, net.A.gw)
    assert mine == ["10.99.0.1", "fd00:99::1"]
    for address in (net.B.host4, net.B.host6):
        assert_reaches(net.A.gw, address)
    for address in mine:
        assert_reaches(net.B.host, address)
    tcp_both_ways(net.A.gw, net.B.host, net.B.host4, "1M")
    # split tunnel: what the gateway leads to, and nothing else
    assert f"{net.B.lan4} dev cvO" in net.A.gw.routes()
    assert "default dev cvO" not in net.A.gw.routes()
    child, ike = client.child_spi(), client.ike_spis()
    client.ctl("rekey", "office", "--child")
    client.wait_new_child(child)
    client.ctl("rekey", "office", "--ike")
    client.wait_new_ike(ike)
    assert_reaches(net.A.gw, net.B.host4)
    # The gateway restarts: its pool knows whose the addresses are.
    gateway.stop()
    gateway.start()
    wait_for("the client is back", lambda: echo(net.A.gw, net.B.host4, count=1, wait=1.0).received == 1, timeout=40)
    assert addresses(net.A.gw, "cvO") == mine
    (user,) = users(gateway)
    assert (user["user"], user["peer"], user["addresses"]) == ("ada@lab.example", "warriors", mine)
    assert "ada@lab.example" in gateway.ctl("status", "--users").stdout
    gateway.ctl("kick", "ada@lab.example")
    wait_for("the client comes again", lambda: echo(net.A.gw, net.B.host4, count=1, wait=1.0).received == 1, timeout=20)
    assert gateway.ctl("kick", "mallory", check=False).returncode == 1
    client.ctl("down", "office")
    wait_for("no address is left", lambda: addresses(net.A.gw, "cvO") == [])
    assert_silent(net.A.gw, net.B.host4, count=1)


def forged(net, key, source, number):
    """What a client could send that does not stop itself: ESP with its key, from whatever source."""
    sa = SecurityAssociation(ESP, spi=key.spi, crypt_algo="AES-GCM", crypt_key=key.key, seq_num=number,
                             tunnel_header=IP(src=net.A.own4, dst=net.B.wan4), nat_t_header=UDP(sport=4500, dport=4500))
    packet = sa.encrypt(IP(src=source, dst=net.B.host4) / ICMP() / b"from a client")
    del packet[UDP].len, packet[IP].len, packet[IP].chksum   # scapy leaves UDP.len at 8
    packet[UDP].chksum = 0
    with net.A.gw.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(bytes(packet), (net.B.wan4, 0))


def test_a_client_that_sends_from_another_ones_address_is_not_heard(world):
    net = world.net
    gateway = world.gateway(esp=["aes256gcm16-x25519-noesn"])
    client = world.client(debug_keys=True, esp=["aes256gcm16-x25519-noesn"])
    mine = wait_address(client, net.A.gw)[0]
    key = DebugKeys(client.keys).esp(int(client.peer()["children"][0]["outbound_spi"], 16))
    before = gateway.drops()["selector_mismatch"]
    with Capture(net.B.gw, "lan", world.lab.folder, expression="icmp") as capture:
        forged(net, key, "10.99.0.77", 2000)
        wait_for(lambda: f"the packet is dropped and counted, not {gateway.drops()}", lambda: gateway.drops()["selector_mismatch"] == before + 1, timeout=5)
        forged(net, key, mine, 2001)   # the same with its own address passes
        time.sleep(0.5)
    assert gateway.drops()["selector_mismatch"] == before + 1
    assert capture.count(f"icmp.type == 8 && ip.src == {mine}") == 1
    assert capture.count("ip.src == 10.99.0.77") == 0


def test_full_tunnel_leads_everything_but_the_way_to_the_gateway(world):
    net = world.net
    world.gateway(local=["0.0.0.0/0", "::/0"])
    client = world.client()
    wait_address(client, net.A.gw)
    wait_for("a default route", lambda: "default dev cvO" in net.A.gw.ip("route", "show", "table", "5220").stdout)
    assert "dev cvO" in net.A.gw.ip("route", "get", "8.8.8.8").stdout
    assert "dev cvO" in net.A.gw.ip("-6", "route", "get", "2001:4860:4860::8888").stdout
    assert "dev cvO" not in net.A.gw.ip("route", "get", net.B.wan4).stdout
    assert "dev cvO" not in net.A.gw.ip("route", "get", net.A.host4).stdout
    assert_reaches(net.A.gw, net.B.host4)
    client.kill()
    wait_for("the kernel has removed the device", lambda: "cvO" not in net.A.gw.devices())
    assert "dev cvO" not in net.A.gw.ip("route", "get", "8.8.8.8", check=False).stdout
    client.start()
    wait_address(client, net.A.gw)
    assert_reaches(net.A.gw, net.B.host4)
    client.stop()
    assert "52" not in " ".join(re.findall(r"^(52\d\d):", net.A.gw.ip("rule").stdout + net.A.gw.ip("-6", "rule").stdout, re.M))


def swan_client(world):
    """strongSwan as client of culvert, by a certificate that culvert made."""
    net, pki = world.net, world.pki
    conf = f"""
connections {{ gw {{
    version = 2
    local_addrs = {net.A.own4}
    remote_addrs = {net.B.wan4}
    vips = 0.0.0.0, ::
    proposals = {IKE}
    local {{ auth = pubkey
      certs = bob.pem
      id = bob@lab.example }}
    remote {{ auth = pubkey
      id = gw.example }}
    children {{ net {{
      remote_ts = {net.B.lan4},{net.B.lan6}
      esp_proposals = {ESP_SUITE}
      start_action = start
    }} }} }} }}
"""
    files = {"x509/bob.pem": (pki.dir / "bob@lab.example.pem").read_text(), "private/bob.key": (pki.dir / "bob@lab.example.key").read_text(),
             "x509ca/ca.pem": pki.ca.read_text()}
    return world.lab.strongswan(net.A.gw, conf, files=files)


def test_strongswan_as_client(world):
    net = world.net
    gateway = world.gateway()
    swan = swan_client(world)
    swan.wait_up()
    assert "10.99.0.1" in swan.sas() and "fd00:99::1" in swan.sas()
    assert [user["addresses"] for user in users(gateway)] == [["10.99.0.1", "fd00:99::1"]]
    for target, source in ((net.B.host4, "10.99.0.1"), (net.B.host6, "fd00:99::1")):
        assert echo(net.A.gw, target, count=3, source=source).received == 3
    swan.ctl("--terminate", "--ike", "gw", check=False)
    wait_for(lambda: f"the client is gone\n{gateway.log()}", lambda: gateway.peer()["clients"] == 0)


def test_culvert_as_client_of_strongswan(world):
    net, pki = world.net, world.pki
    conf = f"""
connections {{ rw {{
    version = 2
    local_addrs = {net.B.wan4}
    remote_addrs = %any
    pools = pool4, pool6
    proposals = {IKE}
    local {{ auth = pubkey
      certs = gw.pem
      id = gw.example }}
    remote {{ auth = pubkey
      id = *@lab.example }}
    children {{ net {{
      local_ts = {net.B.lan4},{net.B.lan6}
      esp_proposals = {ESP_SUITE}
    }} }} }} }}
pools {{
  pool4 {{ addrs = 10.98.0.0/24
    dns = 10.2.0.53 }}
  pool6 {{ addrs = fd00:98::/112 }}
}}
"""
    files = {"x509/gw.pem": (pki.dir / "gw.example.pem").read_text(), "private/gw.key": (pki.dir / "gw.example.key").read_text(),
             "x509ca/ca.pem": pki.ca.read_text()}
    swan = world.lab.strongswan(net.B.gw, conf, files=files)
    client = world.client(ike=[IKE], esp=[f"{ESP_SUITE}-noesn"], mobike=False)
    mine = wait_address(client, net.A.gw)
    assert mine == ["10.98.0.1", "fd00:98::1"]
    for address in (net.B.host4, net.B.host6):
        assert_reaches(net.A.gw, address)
    child = client.child_spi()
    client.ctl("rekey", "office", "--child")
    client.wait_new_child(child)
    assert_reaches(net.A.gw, net.B.host4)
    assert swan.num_ike_sas() == 1
