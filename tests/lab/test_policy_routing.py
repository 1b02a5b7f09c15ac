"""Tunnels under a routing policy: another table, a metric, and a mark on what the gateway itself sends."""
import itertools
import threading
import time

import pytest

from labkit.capture import Capture
from labkit.pair import tables
from labkit.process import wait_for
from labkit.traffic import UdpRun, assert_reaches, full_queues, wait_reaches

MARK = 51820  # what wg-quick takes, for no other reason than that people know it
EVERYTHING = ["0.0.0.0/0", "::/0"]
OUTSIDE = "203.0.113.77"  # on the internet beyond B, and in none of the two sites


@pytest.fixture(scope="module")
def net(shared):
    net = shared.net("AB")
    net.internet.address("lo", f"{OUTSIDE}/32")
    net.B.gw.run("nft", "add", "table", "ip", "nat")
    net.B.gw.run("nft", "add", "chain", "ip", "nat", "post", "{ type nat hook postrouting priority 100; }")
    net.B.gw.run("nft", "add", "rule", "ip", "nat", "post", "oifname", "wan", "ip", "saddr", net.A.lan4, "masquerade")
    return net


@pytest.fixture
def policy(net):
    """What wg-quick makes of AllowedIPs = 0.0.0.0/0: unmarked packets look into the tunnel's table, but for what the main table
    knows better than by its default route."""
    for family in ("-4", "-6"):
        net.A.gw.ip(family, "rule", "add", "priority", "1000", "lookup", "main", "suppress_prefixlength", "0")
        net.A.gw.ip(family, "rule", "add", "priority", "1001", "not", "fwmark", str(MARK), "lookup", "100")
    net.A.gw.run("nft", "-f", "-", input=f"""
        table inet marks {{ chain out {{ type filter hook output priority 0;
            oifname "wan" meta l4proto {{ udp, esp }} meta mark {MARK} counter
            oifname "wan" meta l4proto {{ udp, esp }} meta mark != {MARK} counter
        }}
        }}""")
    yield
    net.A.gw.run("nft", "delete", "table", "inet", "marks")
    for family, priority in itertools.product(("-4", "-6"), ("1000", "1001")):
        net.A.gw.ip(family, "rule", "del", "priority", priority)


def counted(net):
    """Datagrams that left gateway A with the mark, and with another or none."""
    lines = net.A.gw.run("nft", "list", "table", "inet", "marks").stdout.splitlines()
    return [int(line.split("counter packets ")[1].split()[0]) for line in lines if "counter packets" in line]


def in_table(net, table):
    return net.A.gw.ip("route", "show", "table", str(table), check=False).stdout + net.A.gw.ip("-6", "route", "show", "table", str(table), check=False).stdout


def gateways(lab, net, tunnel=None, gateway=None, peer=None):
    """A with these keys, and B, which sends on what comes; the tables of A, too."""
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", peer=peer))
    conf = tables(net.A, net.B, tunnel=tunnel, gateway=gateway, peer=peer)
    a = lab.culvert(net.A.gw, conf)
    a.wait_up()
    b.wait_up()
    return a, conf


FULL_TUNNEL = {"tunnel": {"routes": EVERYTHING, "table": 100}, "gateway": {"fwmark": MARK}}


@pytest.mark.parametrize("encapsulation", ["udp", "raw"])
def test_everything_goes_through_the_tunnel_but_what_carries_it(lab, net, policy, encapsulation):
    gateways(lab, net, **FULL_TUNNEL, peer={"encapsulation": encapsulation})
    with Capture(net.internet, "wanA", lab.folder, expression=f"host {OUTSIDE}") as capture:
        wait_reaches(net.A.host, net.B.host4)
        assert_reaches(net.A.host, OUTSIDE)
    assert capture.count("ip") == 0  # between A and the internet: inside the tunnel alone
    marked, unmarked = counted(net)
    assert marked >= 5 and unmarked == 0, (marked, unmarked)
    assert "default dev cvB" in in_table(net, 100)
    assert "dev cvB" not in net.A.gw.ip("route", "show", "default").stdout


def test_after_a_crash_nothing_leaves_in_the_clear(lab, net, policy):
    a, _ = gateways(lab, net, **FULL_TUNNEL)
    wait_reaches(net.A.host, OUTSIDE)
    with Capture(net.internet, "wanA", lab.folder, expression=f"host {OUTSIDE}") as capture:
        a.kill()
        wait_for("the device is gone", lambda: "cvB" not in net.A.gw.devices())
        assert "unreachable default" in in_table(net, 100)
        net.A.host.run("ping", "-c", "3", "-i", "0.2", "-W", "1", OUTSIDE, check=False)
    assert capture.count("ip") == 0
    a.start()
    a.wait_up()
    wait_reaches(net.A.host, OUTSIDE)
    a.stop()
    assert in_table(net, 100) == ""


def test_table_metric_and_mark_change_without_loss(lab, net):
    a, conf = gateways(lab, net)
    wait_reaches(net.A.host, net.B.host4)
    changes = [{"metric": 50}, {"table": 101}, {"table": 101, "metric": 9}, {"table": "main"}]
    dropped, spi, runs = full_queues(net.A.gw, net.B.gw), a.child_spi(), []
    net.A.gw.ip("rule", "add", "priority", "1002", "lookup", "101")
    try:
        worker = threading.Thread(target=lambda: runs.append(UdpRun(net.A.host, net.B.host, net.B.host4, 20, 5)))
        worker.start()
        time.sleep(0.7)
        before = conf["tunnel.b"]
        for change in changes:
            conf["tunnel.b"] = {**before, **change}
            a.write(conf)
            a.ctl("reload")
            time.sleep(0.3)
        for mark in ({"fwmark": 7}, {}):
            conf["gateway"] = {"id": "a.example", **mark}
            a.write(conf)
            a.ctl("reload")
            time.sleep(0.3)
        worker.join(60)
    finally:
        net.A.gw.ip("rule", "del", "priority", "1002")
    assert runs[0].lost <= full_queues(net.A.gw, net.B.gw) - dropped, runs
    assert a.child_spi() == spi
    assert in_table(net, 101) == ""


def test_a_backup_by_metric_takes_over_when_the_better_one_is_withdrawn(lab, net):
    """Two GRE tunnels of one peer to the same net; the kernel takes the lower metric."""
    def both(us, them):
        conf = tables(us, them, start="always" if us is net.A else "wait", tunnel={"metric": 10})
        conf["tunnel.backup"] = {**conf["tunnel.b" if us is net.A else "tunnel.a"], "key": 43, "device": "cvBackup", "metric": 20,
                                 "address": [f"169.254.11.{us.number}/24"]}
        return conf
    b = lab.culvert(net.B.gw, both(net.B, net.A))
    conf = both(net.A, net.B)
    a = lab.culvert(net.A.gw, conf)
    a.wait_up()
    wait_reaches(net.A.host, net.B.host4)
    assert "dev cvB " in net.A.gw.ip("route", "get", net.B.host4).stdout
    conf["tunnel.b"]["table"] = "off"
    del conf["tunnel.b"]["metric"], conf["tunnel.b"]["routes"]
    a.write(conf)
    a.ctl("reload")
    assert "dev cvBackup " in net.A.gw.ip("route", "get", net.B.host4).stdout
    assert_reaches(net.A.host, net.B.host4)


def test_names_of_tables_and_mistakes(lab, net):
    a = lab.culvert(net.A.gw, tables(net.A, net.B, start="wait"))
    conf = tables(net.A, net.B, start="wait", tunnel={"table": "nowhere"})
    a.write(conf)
    done = a.ctl("reload", check=False)
    assert done.returncode == 1 and "no routing table of /etc/iproute2/rt_tables" in done.stderr, done.stderr
    conf["tunnel.b"]["table"] = "default"
    a.write(conf)
    a.ctl("reload")
    assert net.B.lan4 in in_table(net, 253)
