"""Routed GRE inside ESP between two culverts."""
import pytest

from labkit.capture import Capture
from labkit.inject import multicast
from labkit.pair import pair, tables
from labkit.process import wait_for
from labkit.traffic import assert_reaches, assert_silent, echo, tcp_both_ways


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


@pytest.mark.parametrize("family", [4, 6])
def test_v4_and_v6_inside_over_one_family_outside(lab, net, family):
    a, _ = pair(lab, net, family=family)
    net.cut_datagrams()
    with Capture(net.internet, "wanA", lab.folder) as capture:
        for address in (net.B.host4, net.B.host6):
            assert_reaches(net.A.host, address)
            assert_reaches(net.A.host, address, size=1000)
            tcp_both_ways(net.A.host, net.B.host, address, "2M")
        for address in (net.A.host4, net.A.host6):
            assert_reaches(net.B.host, address)
    assert a.peer()["remote"].startswith(net.B.wan4 if family == 4 else "[" + net.B.wan6)
    inside = "esp" + (" && ip" if family == 4 else " && ipv6")
    assert capture.count(inside) > 1000
    assert capture.count("!(esp || isakmp || udpencap || arp || icmpv6)") == 0, "something left in the clear"


@pytest.mark.parametrize("mode", ["transport", "tunnel"])
def test_esp_mode_of_gre(lab, net, mode):
    a, b = pair(lab, net, tunnel={"mode": mode})
    assert a.peer()["children"][0]["mode"] == mode and b.peer()["children"][0]["mode"] == mode
    assert_reaches(net.A.host, net.B.host4)


@pytest.mark.parametrize("extra", [{"sequence": True}, {"checksum": True}, {"sequence": True, "checksum": True}])
def test_gre_sequence_and_checksum(lab, net, extra):
    a, b = pair(lab, net, tunnel=extra)
    assert_reaches(net.A.host, net.B.host4, count=20)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4, "1M")
    for drops in (a.drops(), b.drops()):
        assert drops["gre_checksum"] == 0 and drops["gre_malformed"] == 0


def test_multicast_passes(lab, net):
    pair(lab, net)
    assert multicast(net.A.gw, "cvB", net.B.gw, "cvA", "224.0.0.5") == b"hello group"
    assert multicast(net.B.gw, "cvA", net.A.gw, "cvB", "239.7.7.7") == b"hello group"
    assert multicast(net.A.gw, "cvB", net.B.gw, "cvA", "ff02::5") == b"hello group"


def two_keys(us, them):
    conf = tables(us, them, start="always" if us.letter == "A" else "wait")
    for key in (1, 2):
        conf[f"tunnel.k{key}"] = {"peer": them.letter.lower(), "carry": "gre", "key": key, "device": f"key{key}",
                                  "address": [f"169.254.{key}.{us.number}/24"]}
    return conf


def test_two_keys_to_one_peer_never_cross(lab, net):
    b = lab.culvert(net.B.gw, two_keys(net.B, net.A))
    a = lab.culvert(net.A.gw, two_keys(net.A, net.B))
    a.wait_up()
    b.wait_up()
    assert len(a.peer()["children"]) == 1, "tunnels of one peer share one pair of SAs"
    with Capture(net.B.gw, "key1", lab.folder, "key1") as first, Capture(net.B.gw, "key2", lab.folder, "key2") as second:
        assert_reaches(net.A.gw, "169.254.1.2", count=20, pattern=0x11)
        assert_reaches(net.A.gw, "169.254.2.2", count=20, pattern=0x22)
    addresses = [{row[0] for row in c.tshark(fields=["ip.dst"], display="icmp.type == 8")} for c in (first, second)]
    assert addresses == [{"169.254.1.2"}, {"169.254.2.2"}]
    assert first.count("icmp.type == 8") == 20 and second.count("icmp.type == 8") == 20


def test_a_key_that_the_peer_does_not_have_is_dropped_and_counted(lab, net):
    _, b = pair(lab, net, options=({"tunnel": {"key": 7}}, {}))
    assert_silent(net.A.gw, "169.254.10.2", count=5)
    assert b.drops()["gre_key_unknown"] >= 5


def test_nothing_leaves_in_the_clear_while_the_tunnel_is_down(lab, net):
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    wait_for("the device is there", lambda: "cvB" in net.A.gw.devices())
    with Capture(net.internet, "wanA", lab.folder) as capture:
        assert echo(net.A.host, net.B.host4, count=5, wait=0.3).received == 0
    assert capture.count("!(isakmp || udpencap || arp || icmpv6)") == 0
    assert a.drops()["no_sa"] >= 5
    child = a.peer()["children"][0]
    assert child["state"] == "down" and child["reason"]


def test_traffic_passes_where_the_nic_leaves_all_to_the_kernel(lab):
    """No checksum offload: the kernel then sums what it cuts, or (before Linux 6.11: EIO) refuses to cut at all."""
    net = lab.net()
    for site in net.sites.values():
        site.gw.run("ethtool", "-K", "wan", "tx", "off", "gro", "off")
    a, _ = pair(lab, net)
    for address in (net.B.host4, net.B.host6):
        tcp_both_ways(net.A.host, net.B.host, address, "8M")
    assert a.drops()["send_failed"] == 0
