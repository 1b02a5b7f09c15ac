"""A laptop behind a NAT (site A) that `culvert connect` makes a client of the company's gateway (site B). The laptop has a mount namespace
with an /etc of its own, where /etc/resolv.conf may change."""
import re
import socket
import struct
import threading
import time

from .client import Client, Machine
from .culvert import PSK
from .pki import CulvertPki
from .process import wait_for
from .traffic import assert_reaches

POOL4, POOL6 = "10.99.0.0/24", "fd00:99::/112"
USER, PASSWORD = "ada@lab.example", "Ar3etTnp"
INNER_NAME, INNER_ADDRESS = "wiki.corp.example", "10.2.0.2"
LOCAL_RESOLVER = "# of the local network\nnameserver 192.0.2.253\n"
EAP_PLUGINS = "eap-identity eap-mschapv2 eap-tls md4 des md5"  # of strongSwan


class NameServer(threading.Thread):
    """DNS over UDP (RFC 1035 §4.1): `names` have an IPv4 address each and no other, all others are unknown. `names` may change."""

    def __init__(self, ns, address, names):
        super().__init__(daemon=True)
        self.names, self.asked = dict(names), []
        self.socket = ns.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.start()

    def run(self):
        while True:
            try:
                query, source = self.socket.recvfrom(2048)
                self.socket.sendto(self.answer(query), source)
            except (IndexError, UnicodeDecodeError, struct.error):
                continue  # not DNS
            except OSError:
                return

    def answer(self, query):
        name, at = [], 12
        while query[at]:
            name.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question, name = query[12:at + 5], ".".join(name).lower()
        self.asked.append(name)
        is_a = struct.unpack("!H", query[at + 1:at + 3])[0] == 1
        address = self.names.get(name)
        header = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if address else 3), 1, 1 if address and is_a else 0, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(address) if address and is_a else b""
        return header + question + record

    def stop(self):
        self.socket.close()


class Office:
    def __init__(self, lab):
        self.lab, self.net = lab, lab.net(nat="A")
        self.pki = CulvertPki(lab.path("pki"))
        self.pki.gateway("gw.example")
        self.pki.user(USER)
        self.laptop = self.net.A.gw
        self.machine = Machine(self.laptop, lab.path("laptop"))
        lab._ends.append(self.machine.stop)
        self.name_server(self.net.B.host, self.net.B.host4, {INNER_NAME: INNER_ADDRESS})

    def name_server(self, ns, address, names):
        server = NameServer(ns, address, names)
        self.lab._ends.append(server.stop)
        return server

    def pem(self, name):
        return {"certificate": self.pki.dir / f"{name}.pem", "key": self.pki.dir / f"{name}.key"}

    # ---- the gateway ----
    def gateway(self, auth="certificate", *, full=False, pool=None, gateway=None, **peer):
        """`auth` is how its clients prove who they are: certificate, psk, mschapv2, tls."""
        site, own, theirs = self.net.B, {"auth": self.pem("gw.example")}, {}
        if auth == "psk":
            own = {"auth": {"psk_file": "lab.psk"}, "id": USER}
        elif auth == "certificate":
            theirs = {"peer_auth": {"ca": self.pki.ca}, "id": "*@lab.example"}
        elif auth == "mschapv2":
            theirs = {"peer_auth": {"eap": "mschapv2"}}
        else:
            theirs = {"peer_auth": {"eap": "tls", "ca": [self.pki.ca]}}
        return self.lab.culvert(site.gw, {
            "gateway": {"id": "gw.example", **({"users": "users.toml"} if auth == "mschapv2" else {}), **(gateway or {})},
            "peer.warriors": {"address": "any", "pool": ["staff"], "liveness": "2s", "retransmit_timeout": "300ms",
                              "retransmit_tries": 5, **own, **theirs, **peer},
            "tunnel.warriors": {"peer": "warriors", "carry": "ip", "device": "cvW",
                                "local": ["0.0.0.0/0", "::/0"] if full else [site.lan4, site.lan6],
                                "address": ["10.99.0.254/24", "fd00:99::fe/112"]},
            "pool.staff": {"addresses": [POOL4, POOL6], "dns": [site.host4], **(pool or {})},
        }, secrets={"users.toml": f'["{USER}"]\npassword = "{PASSWORD}"\n'})

    # ---- the laptop ----
    def secret(self, folder, name, text):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text + "\n")
        return path

    def client(self, auth="certificate", *, start=True, **profile):
        folder = self.lab.path("client")
        login = {"certificate": lambda: {"auth": self.pem(USER), "ca": [self.pki.ca]},
                 "psk": lambda: {"auth": {"psk_file": self.secret(folder, "office.psk", PSK)}, "id": USER},
                 "mschapv2": lambda: {"auth": {"eap": "mschapv2", "user": USER,
                                               "password_file": self.secret(folder, "office.password", PASSWORD)}, "ca": [self.pki.ca]},
                 "tls": lambda: {"auth": {"eap": "tls", **self.pem(USER)}, "ca": [self.pki.ca]}}[auth]()
        client = Client(self.machine, folder, {"server": [self.net.B.wan4], "server_id": "gw.example", **login, **profile})
        self.lab._ends.append(client.stop)
        if start:
            client.connect()
        return client

    def look_up(self, name=INNER_NAME):
        return self.machine.run("getent", "-s", "hosts:dns", "ahostsv4", name, check=False, timeout=30).stdout

    def wait_dns(self):
        wait_for("the DNS of the inner network answers", lambda: INNER_ADDRESS in self.look_up(), timeout=5)

    def rules(self):
        return re.findall(r"^(52\d\d):", self.laptop.ip("rule").stdout + self.laptop.ip("-6", "rule").stdout, re.M)

    def assert_as_before(self):
        """The laptop is as if nothing had happened."""
        assert self.machine.resolv_conf.read_text() == LOCAL_RESOLVER
        assert not list(self.machine.etc.glob("resolv.conf?*")), "nothing is left beside it"
        assert not [device for device in self.laptop.devices() if device.startswith("cv-")] and self.rules() == []
        assert "cv-" not in self.laptop.routes() and "unreachable" not in self.laptop.routes()
        assert "culvert" not in self.laptop.run("nft", "list", "tables").stdout
        assert_reaches(self.laptop, self.net.B.wan4, count=1)

    def readdress(self, new):
        """The laptop has another address, as with a new lease."""
        old = re.search(r"inet (172\.16\.1\.\d+)/24", self.laptop.ip("addr", "show", "dev", "wan").stdout)[1]
        self.laptop.sysctl("net.ipv4.conf.all.promote_secondaries=1")
        self.laptop.address("wan", f"{new}/24")
        self.laptop.ip("addr", "del", f"{old}/24", "dev", "wan")
        self.laptop.route("default", "172.16.1.1")


class Stream:
    """One TCP connection through the tunnel, from the laptop to a host behind the gateway, all of whose bytes must arrive in order; the
    longest time without progress is measured at the receiver."""

    def __init__(self, office):
        self.listener = office.net.B.host.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((office.net.B.host4, 0))
        self.listener.listen(1)
        self.sender = office.laptop.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sender.connect((office.net.B.host4, self.listener.getsockname()[1]))
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
