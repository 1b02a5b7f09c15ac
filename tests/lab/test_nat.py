"""A NAT between the gateways, the initiator behind it."""
import pytest

from labkit.capture import Capture
from labkit.pair import pair
from labkit.process import wait_for
from labkit.traffic import assert_reaches, tcp_both_ways


@pytest.fixture(scope="module")
def net(shared):
    return shared.net(nat="A")


@pytest.mark.parametrize("carry", ["gre", "ip"])
@pytest.mark.parametrize("encapsulation", ["udp", "auto"])
def test_the_initiator_behind_a_nat_gets_through(lab, net, carry, encapsulation):
    a, b = pair(lab, net, carry=carry, nat=True, peer={"encapsulation": encapsulation})
    assert a.peer()["nat_local"] and b.peer()["nat_remote"]
    assert b.peer()["remote"].startswith(net.A.wan4 + ":")
    with Capture(net.internet, "wanB", lab.folder) as capture:
        assert_reaches(net.A.host, net.B.host4)
        assert_reaches(net.B.host, net.A.host4)
        tcp_both_ways(net.A.host, net.B.host, net.B.host4, "1M")
    assert capture.count("esp && ip.proto == 50") == 0
    child, ike = a.child_spi(), a.ike_spis()
    b.ctl("rekey", "a", "--child")
    a.wait_new_child(child)
    b.ctl("rekey", "a", "--ike")
    a.wait_new_ike(ike)
    assert_reaches(net.B.host, net.A.host4)


def test_keepalives_hold_the_mapping_open(lab, net):
    """The NAT forgets after 3 s; nothing but keepalives flows, and afterwards the outer side still reaches the inner one."""
    net.A.nat.sysctl("net.netfilter.nf_conntrack_udp_timeout=3", "net.netfilter.nf_conntrack_udp_timeout_stream=3")
    _, b = pair(lab, net, nat=True, peer={"keepalive": "1s", "liveness": "0s"})
    with Capture(net.internet, "wanB", lab.folder, expression="udp port 4500") as capture:
        wait_for("six keepalives", lambda: b.drops()["keepalive"] >= 6, timeout=15, interval=0.5)
    assert capture.count("udpencap.nat_keepalive || (udp.length == 9 && udp.dstport == 4500)") >= 5
    assert capture.count("udp.srcport == 4500 && udp.length == 9 && ip.src == " + net.B.wan4) == 0
    assert_reaches(net.B.host, net.A.host4)


def test_raw_or_nothing_does_not_come_up_through_a_nat(lab, net):
    a, _ = pair(lab, net, nat=True, wait=False, peer={"encapsulation": "raw"})
    a.wait_log("NAT")
    child = a.peer()["children"][0]
    assert child["state"] == "down"
