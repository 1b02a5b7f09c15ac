"""Who is compared. All use AES-256-GCM where they have it."""
import sys

from labkit.culvert import Culvert
from labkit.pair import tables
from labkit.process import LabError

from contender import ESP, IKE, Contender
from others import Nebula, OpenVpn, StrongSwanLibipsec, WireguardGo


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
                      peer={"ike": [IKE], "esp": [f"{ESP}-esn"], "liveness": "30s"})
        daemon = Culvert(us.gw, self.folder / us.letter, conf)
        self.stack.callback(self.end, daemon)
        return daemon

    def end(self, daemon):
        """A culvertd that ends badly is said, and costs nobody the figures."""
        try:
            daemon.stop()
        except LabError as trouble:
            print(trouble, file=sys.stderr)

    def version(self):
        return f"AEAD by {self.aead()}, GRE with a key in ESP transport mode, UDP 4500"

    def aead(self):
        return self.daemons[0].status().get("aead", "unknown")


class CulvertIp(CulvertGre):
    name, title, carry = "culvert-ip", "culvert, plain ESP", "ip"

    def version(self):
        return f"AEAD by {self.aead()}, ESP tunnel mode, UDP 4500"


ALL = {kind.name: kind for kind in (Plain, CulvertGre, CulvertIp, StrongSwanLibipsec, WireguardGo, OpenVpn, Nebula)}
