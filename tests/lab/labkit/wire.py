"""A wire that misbehaves (wire.cpp), between a site and the internet."""
import re

from .culvert import BIN
from .net import Namespace, link
from .process import Process

WIRE = BIN.parent / "tests/lab/lab_wire"


class Wire:
    """Put into the WAN link of a site: datagrams are delayed, so that up to `distance` later ones overtake them, and sent twice, each with
    its percentage, in both directions; what no later one overtakes waits for `hold` milliseconds. After stop() `out` and `back` (as the site sees it) say what was done: `esp`, `esp_duplicated`,
    `esp_delayed`, `other`, `other_duplicated`, `joined`, `lost`."""

    def __init__(self, net, site, delayed, duplicated, distance=32, seed=1, hold=2):
        self.ns = Namespace(net.prefix, f"w{site.letter}")
        self.ns.sysctl("net.ipv6.conf.default.disable_ipv6=1")
        self._splice(net.internet, f"wan{site.letter}")
        self.process = Process([WIRE, "near", "far", delayed, duplicated, distance, seed, hold], ns=self.ns)
        self.process.wait_output("ready")

    def _splice(self, internet, device):
        """The internet's end of the link becomes our near one; the internet gets another of the same name and addresses."""
        addresses = re.findall(r"inet6? (\S+) .*scope global", internet.ip("addr", "show", "dev", device).stdout)
        internet.ip("link", "set", device, "netns", self.ns.name, "name", "near")
        self.ns.ip("link", "set", "near", "up")
        link(internet, device, self.ns, "far")
        internet.address(device, *addresses)

    def stop(self):
        if self.process.alive():
            self.process.stop()
        names = ("esp", "esp_duplicated", "esp_delayed", "other", "other_duplicated", "joined", "lost")
        self.out, self.back = (dict(zip(names, map(int, re.findall(r"\d+", line)))) for line in re.findall(r"^esp .*", self.process.output(), re.M))
