"""Sites around an internet, out of network namespaces.

    hostA -- gwA --[natA]-- internet -- gwB -- hostB        (and gwC -- hostC when asked for)

Site i (A = 1, B = 2, C = 3): LAN 10.i.0.0/24 and fd00:i::/64, gateway .1, host .2; outside WAN[i] and 2001:db8:i::/64.
Behind a NAT the gateway is 172.16.i.2 and the NAT router wears the site's outside address.
"""
import atexit
import ctypes
import itertools
import os
import re
import socket

from .process import LabError, sh

WAN = {1: "192.0.2", 2: "198.51.100", 3: "203.0.113"}
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count()
_namespaces: list["Namespace"] = []


class Namespace:
    """One network namespace with a name that is unique on the machine: lab<pid>x<serial>-<role>."""

    def __init__(self, prefix, role):
        self.name = f"{prefix}-{role}"
        sh("ip", "netns", "add", self.name)
        _namespaces.append(self)
        self.ip("link", "set", "lo", "up")
        # duplicate address detection would delay each IPv6 address by a second
        self.sysctl("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                    "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")

    def __str__(self):
        return self.name

    def run(self, *argv, **options):
        return sh(*argv, ns=self.name, **options)

    def ip(self, *argv, **options):
        return sh("ip", "-n", self.name, *argv, **options)

    def socket(self, family, kind, protocol=0):
        """A socket that lives in the namespace, for use by the test itself."""
        home, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _libc.setns(there, CLONE_NEWNET) != 0:
                raise LabError(f"setns {self.name}: {os.strerror(ctypes.get_errno())}")
            try:
                return socket.socket(family, kind, protocol)
            finally:
                _libc.setns(home, CLONE_NEWNET)
        finally:
            os.close(home)
            os.close(there)

    def sysctl(self, *settings):
        self.run("sysctl", "-qw", *settings)

    def forward(self):
        self.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def address(self, device, *prefixes):
        for prefix in prefixes:
            self.ip("addr", "add", prefix, "dev", device, *(["nodad"] if ":" in prefix else []))

    def route(self, prefix, via):
        self.ip("route", "replace", prefix, "via", via)

    def devices(self):
        return re.findall(r"^\d+: ([^:@]+)", self.ip("-o", "link").stdout, re.M)

    def routes(self):
        return self.ip("route").stdout + self.ip("-6", "route").stdout

    def remove(self):
        if self in _namespaces:
            _namespaces.remove(self)
            for pid in sh("ip", "netns", "pids", self.name, check=False).stdout.split():
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
            sh("ip", "netns", "del", self.name, check=False)


def link(a, device_a, b, device_b):
    """A veth pair between two namespaces, up on both ends."""
    sh("ip", "link", "add", device_a, "netns", a, "type", "veth", "peer", "name", device_b, "netns", b)
    a.ip("link", "set", device_a, "up")
    b.ip("link", "set", device_b, "up")


def remove_stale():
    """Namespaces of lab runs that were killed: their process is gone."""
    for line in sh("ip", "netns", "list").stdout.splitlines():
        match = re.match(r"lab(\d+)x\d+-\w+", line)
        if match and not os.path.exists(f"/proc/{match[1]}"):
            sh("ip", "netns", "del", match[0], check=False)


class Site:
    """A gateway, one host behind it, and perhaps a NAT router in front of it."""

    def __init__(self, prefix, letter, internet, nat):
        i = "ABC".index(letter) + 1
        self.letter, self.number = letter, i
        self.gw, self.host = Namespace(prefix, f"g{letter}"), Namespace(prefix, f"h{letter}")
        self.nat = Namespace(prefix, f"n{letter}") if nat else None
        self.lan4, self.lan6 = f"10.{i}.0.0/24", f"fd00:{i}::/64"
        self.gw4, self.gw6 = f"10.{i}.0.1", f"fd00:{i}::1"
        self.host4, self.host6 = f"10.{i}.0.2", f"fd00:{i}::2"
        self.wan4, self.wan6 = f"{WAN[i]}.1", f"2001:db8:{i}::1"  # as the internet sees the site
        self.own4 = f"172.16.{i}.2" if nat else self.wan4         # as the gateway sees itself
        self._lan()
        self._outside(internet)

    def _lan(self):
        link(self.host, "lan", self.gw, "lan")
        self.host.address("lan", f"{self.host4}/24", f"{self.host6}/64")
        self.gw.address("lan", f"{self.gw4}/24", f"{self.gw6}/64")
        self.gw.forward()
        self.host.route("default", self.gw4)
        self.host.route("default", self.gw6)

    def _outside(self, internet):
        edge, far = self.nat or self.gw, f"{WAN[self.number]}.254"
        link(edge, "wan", internet, f"wan{self.letter}")
        edge.address("wan", f"{self.wan4}/24", f"{self.wan6}/64")
        internet.address(f"wan{self.letter}", f"{far}/24", f"2001:db8:{self.number}::fe/64")
        edge.route("default", far)
        edge.route("default", f"2001:db8:{self.number}::fe")
        if self.nat:
            link(self.gw, "wan", self.nat, "inside")
            self.gw.address("wan", f"{self.own4}/24")
            self.nat.address("inside", f"172.16.{self.number}.1/24")
            self.gw.route("default", f"172.16.{self.number}.1")
            self.nat.forward()
            self._masquerade()

    def _masquerade(self):
        self.nat.run("nft", "-f", "-", input="""
            table ip nat { chain post { type nat hook postrouting priority 100;
                oifname "wan" ip saddr 172.16.0.0/12 masquerade fully-random; }
            }
            table inet door { chain in { type filter hook input priority 0;
                iifname "wan" meta l4proto udp ct state new drop; }
            }""")

    def namespaces(self):
        return [n for n in (self.host, self.gw, self.nat) if n]


class Net:
    """The whole topology. `nat` names the sites behind a NAT, e.g. nat="A". Use as a context manager."""

    def __init__(self, sites="AB", nat=""):
        self.prefix = f"lab{os.getpid()}x{next(_serial)}"
        self.sites = {}
        try:
            self.internet = Namespace(self.prefix, "inet")
            self.internet.forward()
            for letter in sites:
                self.sites[letter] = Site(self.prefix, letter, self.internet, letter in nat)
        except BaseException:
            self.remove()
            raise

    @property
    def A(self):
        return self.sites["A"]

    @property
    def B(self):
        return self.sites["B"]

    @property
    def C(self):
        return self.sites["C"]

    def cut_datagrams(self):
        """Datagrams cross the WAN as on a wire: the gateways' kernels cut what is sent in one piece (UDP_SEGMENT)."""
        for site in self.sites.values():
            site.gw.run("ethtool", "-K", "wan", "tx-udp-segmentation", "off")

    def lose(self, percent):
        """The internet drops so many of the UDP and ESP packets that pass it; 0 ends it."""
        self.internet.run("nft", "delete", "table", "inet", "loss", check=False)
        if percent:
            self.internet.run("nft", "-f", "-", input=f"""
                table inet loss {{ chain forward {{ type filter hook forward priority 0;
                    meta l4proto {{ udp, esp }} numgen random mod 100 < {percent} counter drop; }}
                }}""")

    def lost(self):
        """Packets dropped since `lose`."""
        match = re.search(r"counter packets (\d+)", self.internet.run("nft", "list", "table", "inet", "loss").stdout)
        return int(match[1])

    def cut(self, on=True):
        """Nothing passes the internet any more, until cut(False)."""
        self.internet.sysctl(f"net.ipv4.ip_forward={0 if on else 1}", f"net.ipv6.conf.all.forwarding={0 if on else 1}")

    def remove(self):
        for namespace in [n for n in list(_namespaces) if n.name.startswith(self.prefix + "-")]:
            namespace.remove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


@atexit.register
def _remove_all():
    for namespace in list(_namespaces):
        namespace.remove()
