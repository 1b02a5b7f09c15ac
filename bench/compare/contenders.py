"""Who is compared: each makes a network of its own and joins the two LANs of it. All use AES-256-GCM where they have it."""
import secrets
from contextlib import contextmanager

from labkit.culvert import Culvert, PSK
from labkit.pair import tables
from labkit.process import LabError, Process, sh, wait_for
from labkit.strongswan import StrongSwan, swanctl_conf
from labkit.traffic import wait_reaches

import machine
import sites

IKE = "aes256gcm16-prfsha384-x25519"


class Contender:
    """`join()` brings the tunnel up and returns the processes of the two gateways, A first. What must be ended goes to `self.stack`."""

    name = title = ""

    def __init__(self, stack):
        self.stack = stack
        self.net = sites.new_network(stack)
        self.folder = sites.new_folder(stack) / self.name
        self.folder.mkdir()
        self.pids = []
        self.pids = self.join()
        wait_reaches(self.net.A.host, self.net.B.host4)

    def both(self):
        """(us, them) of gateway A, then of gateway B."""
        return (self.net.A, self.net.B), (self.net.B, self.net.A)

    def start(self, site, *argv, env=None):
        process = Process(argv, ns=site.gw, log=self.folder / f"{site.letter}.log", env=env)
        self.stack.callback(process.stop, 5)
        return process

    def version(self):
        return ""


class Plain(Contender):
    name, title = "plain", "plain forwarding"

    def join(self):
        for site in (self.net.A, self.net.B):
            self.net.internet.route(site.lan4, site.wan4)
        return []

    def version(self):
        return "the kernel, no encryption"


class CulvertGre(Contender):
    name, title, carry = "culvert", "culvert, GRE", "gre"

    def join(self):
        self.daemons = [self.daemon(*pair, start) for pair, start in zip(self.both(), ("always", "wait"))]
        for daemon in reversed(self.daemons):
            daemon.start()
        for daemon in self.daemons:
            daemon.wait_up()
        return [daemon.process.pid for daemon in self.daemons]

    def daemon(self, us, them, start):
        tunnel = {"routes": [them.lan4]} if self.carry == "gre" else {"local": [us.lan4], "remote": [them.lan4]}
        conf = tables(us, them, carry=self.carry, start=start, gateway={"workers": "auto"}, tunnel=tunnel,
                      peer={"ike": [IKE], "esp": ["aes256gcm16-x25519-esn"], "liveness": "30s"})
        daemon = Culvert(us.gw, self.folder / us.letter, conf)
        self.stack.callback(daemon.stop)
        return daemon

    def version(self):
        return f"AEAD by {self.aead()}, GRE with a key in ESP transport mode, UDP 4500"

    def aead(self):
        return self.daemons[0].status().get("aead", "unknown")


class CulvertIp(CulvertGre):
    name, title, carry = "culvert-ip", "culvert, plain ESP", "ip"

    def version(self):
        return f"AEAD by {self.aead()}, ESP tunnel mode, UDP 4500"


class StrongSwanLibipsec(Contender):
    name, title = "strongswan", "strongSwan kernel-libipsec"

    def join(self):
        ends = [self.charon(us, them) for us, them in self.both()]
        ends[0].ctl("--initiate", "--child", "net")
        for end in ends:
            end.wait_up()
        return [end.process.pid for end in ends]

    def charon(self, us, them):
        conf = swanctl_conf(us.wan4, them.wan4, f"{us.letter.lower()}.example", f"{them.letter.lower()}.example", PSK, us.lan4, them.lan4,
                            IKE, "aes256gcm16-x25519")
        end = StrongSwan(us.gw, self.folder / us.letter, conf)
        self.stack.callback(end.stop)
        return end

    def version(self):
        return f"{machine.package_version('strongswan-charon')}, ESP tunnel mode, UDP 4500"


class WireguardGo(Contender):
    name, title = "wireguard-go", "wireguard-go"

    def join(self):
        private = {site: sh("wg", "genkey").stdout for site in (self.net.A, self.net.B)}
        public = {site: sh("wg", "pubkey", input=key).stdout.strip() for site, key in private.items()}
        return [self.end(us, them, private[us], public[them]) for us, them in self.both()]

    def end(self, us, them, private_key, peer_key):
        device = "wg" + secrets.token_hex(5)  # its control socket is named so, in a folder that all namespaces share
        daemon = self.start(us, "wireguard-go", "-f", device)
        wait_for(f"wireguard-go: {daemon.output}", lambda: us.gw.run("wg", "show", device, check=False).returncode == 0)
        key_file = self.folder / f"{us.letter}.key"
        key_file.touch(mode=0o600)
        key_file.write_text(private_key)
        us.gw.run("wg", "set", device, "private-key", key_file, "listen-port", 51820,
                  "peer", peer_key, "endpoint", f"{them.wan4}:51820", "allowed-ips", them.lan4)
        us.gw.ip("link", "set", device, "up")
        us.gw.ip("route", "add", them.lan4, "dev", device)
        return daemon.pid

    def version(self):
        return f"{machine.package_version('wireguard-go')}, ChaCha20-Poly1305"


ALL = {kind.name: kind for kind in (Plain, CulvertGre, CulvertIp, StrongSwanLibipsec, WireguardGo)}
