"""OSPF and BGP over two GRE tunnels, through the firewall's zones, with the files of conf/routing/ as they stand there."""
import re
import time
from pathlib import Path

import pytest

from labkit.culvert import AEAD
from labkit.process import wait_for
from labkit.routing import Bird, Frr
from labkit.traffic import assert_reaches, echo

CONF = Path(__file__).resolve().parents[2] / "conf/routing"
OTHER = {"paris": "tokyo", "tokyo": "paris"}


class Town:
    """One end: culvertd, later its routing daemon."""

    def __init__(self, lab, name, site, psk):
        self.name, self.other, self.site, self.gw, self.host = name, OTHER[name], site, site.gw, site.host
        self.devices = [f"cv-{self.other}-{n}" for n in (1, 2)]
        self.gw.address("wan", site.wan4.rsplit(".", 1)[0] + ".2/24")
        self.gw.run("nft", "-f", CONF / "zones.nft")
        self.culvert = lab.culvert(self.gw, {"gateway": {}}, secrets={"site.psk": psk}, start=False)
        own = (f'[gateway]\ncontrol_socket = "{self.culvert.socket}"\nstate_dir = "{self.culvert.dir}/state"\n'
               + (f'aead = "{AEAD}"\n' if AEAD else ""))
        self.culvert.config.write_text((CONF / f"{name}.toml").read_text().replace("[gateway]\n", own, 1))
        self.culvert.start()

    def peers(self):
        return [f"{self.other}-{n}" for n in (1, 2)]

    def way_to(self, address):
        """The device by which a packet to `address` leaves, "" where it does not."""
        found = re.search(r"dev (\S+)", self.gw.ip("route", "get", address, check=False).stdout)
        return found[1] if found else ""


class Ospf:
    NUM_SESSIONS = 2

    def __init__(self, lab, town):
        self.town = town
        self.frr = Frr(town.gw, lab.path(f"frr-{town.name}"), (CONF / f"frr/{town.name}.conf").read_text())
        lab.at_end(self.frr.stop)

    def _neighbors(self):
        found = self.frr.show("ip ospf neighbor detail").get("neighbors", {})
        return [one for many in found.values() for one in (many if isinstance(many, list) else [many])]

    def is_up(self):
        return sum(one["nbrState"].startswith("Full") for one in self._neighbors()) == 2

    def changes(self):
        """Second since which each neighbour is what it is. (FRR's count of its changes begins anew with a neighbour that comes back.)"""
        return {one["ifaceName"]: time.time() - one["lastPrgrsvChangeMsec"] / 1000 for one in self._neighbors()}

    def describe(self):
        return self.frr.vtysh("-c", "show ip ospf neighbor detail")


class Bgp:
    NUM_SESSIONS = 4  # with those of BFD

    def __init__(self, lab, town):
        self.town = town
        self.bird = Bird(town.gw, lab.path(f"bird-{town.name}"), (CONF / f"bird/{town.name}.conf").read_text())
        lab.at_end(self.bird.stop)

    def is_up(self):
        return self.bird.birdc("show", "protocols").count("Established") == 2 and len(self.sessions()) == 2

    def sessions(self):
        """Interface of each BFD session that is up, and since when."""
        return re.findall(r"(cv-\S+)\s+Up\s+(\S+)", self.bird.birdc("show", "bfd", "sessions"))

    def changes(self):
        """Second of the day since which the BFD and the BGP sessions are up. BIRD reckons it anew each time, to a millisecond or two."""
        bgp = re.findall(r"^(\w+_\d)\s+BGP\s+\S+\s+up\s+(\S+)\s+Established", self.bird.birdc("show", "protocols"), re.M)
        return {name: sum(60 ** i * float(x) for i, x in enumerate(reversed(since.split(":")))) for name, since in self.sessions() + bgp}

    def describe(self):
        return self.bird.birdc("show", "protocols", "all") + self.bird.birdc("show", "bfd", "sessions")


@pytest.fixture
def towns(lab):
    net = lab.net()
    psk = "a key for two lines of two towns"
    towns = [Town(lab, "tokyo", net.B, psk), Town(lab, "paris", net.A, psk)]
    for town in towns:
        for peer in town.peers():
            town.culvert.wait_up(peer)
    return net, towns[1], towns[0]


def wait_way(towns, number, timeout=30):
    """Until both towns send by tunnel `number`; how long that took, in seconds."""
    start = time.monotonic()
    for town, far in (towns, towns[::-1]):
        wait_for(lambda: f"{town.name} sends to {far.host} by {town.devices[number - 1]}\n{town.gw.routes()}",
                 lambda: town.way_to(far.site.host4) == town.devices[number - 1], timeout)
    return time.monotonic() - start


def block(net, number):
    """The line does no longer carry anything: what goes between the two towns' addresses with this number is lost."""
    net.internet.run("nft", "-f", "-", input=f"""
        table inet blocked {{ chain forward {{ type filter hook forward priority 0;
            ip saddr {{ 192.0.2.{number}, 198.51.100.{number} }} drop;
            }}
        }}""")


def unblock(net):
    net.internet.run("nft", "delete", "table", "inet", "blocked")


def rekey_everything(town):
    """Child SA and IKE SA of both tunnels, one after the other."""
    for peer in town.peers():
        child = town.culvert.child_spi(peer)
        town.culvert.ctl("rekey", peer, "--child")
        town.culvert.wait_new_child(child, peer)
        ike = town.culvert.ike_spis(peer)
        town.culvert.ctl("rekey", peer, "--ike")
        town.culvert.wait_new_ike(ike, peer)


@pytest.mark.parametrize("protocol", [Ospf, Bgp], ids=["ospf", "bgp"])
def test_converges_survives_rekeys_and_fails_over(lab, towns, protocol):
    net, paris, tokyo = towns
    assert paris.way_to(tokyo.site.host4) == "wan", "where a packet would go without tunnels: into the clear"
    daemons = [protocol(lab, town) for town in (paris, tokyo)]
    for one in daemons:
        wait_for(lambda: f"{one.town.name}: both neighbours are up\n{one.describe()}", one.is_up, 40)
    wait_way((paris, tokyo), 1)
    assert_reaches(paris.host, tokyo.site.host4)

    before = [one.changes() for one in daemons]
    assert all(len(one) == protocol.NUM_SESSIONS for one in before), before
    for town in (paris, tokyo):
        rekey_everything(town)
    time.sleep(6)  # longer than any of the daemons waits for a silent neighbour
    assert_reaches(paris.host, tokyo.site.host4)
    for one, was in zip(daemons, before):
        assert one.changes() == pytest.approx(was, abs=0.5, rel=0), "rekeys made a neighbour flap"

    block(net, 1)
    print(f"line blocked: over after {wait_way((paris, tokyo), 2):.1f} s")
    assert_reaches(paris.host, tokyo.site.host4)
    unblock(net)
    wait_way((paris, tokyo), 1, 60)
    assert_reaches(tokyo.host, paris.site.host4)

    paris.culvert.ctl("down", "tokyo-1")
    print(f"culvert down: over after {wait_way((paris, tokyo), 2):.1f} s")
    assert_reaches(paris.host, tokyo.site.host4)
    paris.culvert.ctl("down", "tokyo-2")
    wait_for(lambda: f"nothing leads to Tokyo\n{paris.gw.routes()}", lambda: paris.way_to(tokyo.site.host4) == "")
    assert echo(paris.host, tokyo.site.host4, count=2, wait=0.3).received == 0
