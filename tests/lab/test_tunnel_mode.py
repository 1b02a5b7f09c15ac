"""Plain ESP tunnel mode, and how ESP travels."""
import pytest

from labkit.capture import Capture
from labkit.pair import assert_one_ike_sa, pair
from labkit.traffic import assert_reaches, assert_silent, echo, tcp_both_ways


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


@pytest.mark.parametrize("family", [4, 6])
def test_v4_and_v6_inside(lab, net, family):
    a, b = pair(lab, net, carry="ip", family=family)
    for address in (net.B.host4, net.B.host6):
        assert_reaches(net.A.host, address)
        tcp_both_ways(net.A.host, net.B.host, address, "2M")
    for address in (net.A.host4, net.A.host6):
        assert_reaches(net.B.host, address)
    assert a.peer()["children"][0]["mode"] == "tunnel"
    assert_one_ike_sa(a, b)


@pytest.mark.parametrize("esn", [True, False])
def test_esn(lab, net, esn):
    a, b = pair(lab, net, carry="ip", peer={"esp": ["aes256gcm16-x25519-" + ("esn" if esn else "noesn")]})
    assert a.peer()["children"][0]["esn"] is esn and b.peer()["children"][0]["esn"] is esn
    assert_reaches(net.A.host, net.B.host4)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4, "1M")


@pytest.mark.parametrize("carry", ["ip", "gre"])
@pytest.mark.parametrize("encapsulation,on_the_wire", [("udp", "udp"), ("auto", "raw"), ("raw", "raw")])
def test_encapsulation(lab, net, carry, encapsulation, on_the_wire):
    a, b = pair(lab, net, carry=carry, peer={"encapsulation": encapsulation})
    assert {a.peer()["children"][0]["encapsulation"], b.peer()["children"][0]["encapsulation"]} == {on_the_wire}
    with Capture(net.internet, "wanA", lab.folder) as capture:
        assert_reaches(net.A.host, net.B.host4)
        tcp_both_ways(net.A.host, net.B.host, net.B.host4, "1M")
    raw, udp = capture.count("esp && ip.proto == 50"), capture.count("esp && udp.port == 4500")
    assert (raw > 100 and udp == 0) if on_the_wire == "raw" else (udp > 100 and raw == 0)


def test_raw_esp_over_ipv6(lab, net):
    pair(lab, net, carry="ip", family=6, peer={"encapsulation": "raw"})
    with Capture(net.internet, "wanA", lab.folder) as capture:
        assert_reaches(net.A.host, net.B.host6)
    assert capture.count("esp && ipv6.nxt == 50") >= 6


USUAL, OWN = (500, 4500), (1500, 14500)


@pytest.mark.parametrize("starts", [("always", "wait"), ("wait", "always")])
@pytest.mark.parametrize("ports", [(OWN, OWN), (OWN, USUAL)])
def test_ports_of_ones_own(lab, net, ports, starts):
    """Of one side or of both; IKE_SA_INIT goes from port to port, all else from nat_port to nat_port."""
    def side(ours, theirs):
        return {"gateway": {"port": ours[0], "nat_port": ours[1]}, "peer": {"port": theirs[0], "nat_port": theirs[1]}}
    here, there = ports
    with Capture(net.internet, "wanA", lab.folder, expression="udp") as capture:
        a, b = pair(lab, net, start=starts, options=(side(here, there), side(there, here)))
        assert_reaches(net.A.host, net.B.host4)
        child, ike = a.child_spi(), a.ike_spis()
        b.ctl("rekey", "a", "--child")
        a.wait_new_child(child)
        b.ctl("rekey", "a", "--ike")
        a.wait_new_ike(ike)
        assert_reaches(net.B.host, net.A.host4)
    assert a.peer()["remote"] == f"{net.B.wan4}:{there[1]}" and b.peer()["remote"] == f"{net.A.wan4}:{here[1]}"
    seen = {frozenset(row) for row in capture.tshark(fields=["udp.srcport", "udp.dstport"], display=f"ip.addr == {net.A.wan4}")}
    assert seen == {frozenset(map(str, ends)) for ends in zip(here, there)}


def test_the_responder_narrows_and_only_that_passes(lab, net):
    """A asks for B's whole LAN, B gives its host alone."""
    a, _ = pair(lab, net, carry="ip", options=({"tunnel": {"local": [net.A.lan4], "remote": [net.B.lan4]}},
                                               {"tunnel": {"local": [net.B.host4 + "/32"], "remote": [net.A.lan4]}}))
    child = a.peer()["children"][0]
    assert child["remote"] in ([net.B.host4 + "/32"], [net.B.host4]) and child["local"] == [net.A.lan4]
    assert_reaches(net.A.host, net.B.host4)
    assert_silent(net.A.host, net.B.gw4)
    assert a.drops()["no_policy"] + a.drops()["no_sa"] >= 2


@pytest.mark.parametrize("carry", ["ip", "gre"])
def test_the_packet_that_wakes_an_on_traffic_tunnel_is_not_lost(lab, net, carry):
    a, _ = pair(lab, net, carry=carry, start=("on-traffic", "wait"), wait=False)
    assert a.peer()["state"] != "up"
    assert echo(net.A.host, net.B.host4, count=1, wait=5).received == 1
    a.wait_up()


def test_both_ends_start_at_once_and_agree_on_one_ike_sa(lab, net):
    a, b = pair(lab, net, carry="ip", start=("always", "always"))
    assert_reaches(net.A.host, net.B.host4)
    echo(net.A.host, net.B.host4, count=20, interval=0.1, wait=0.5)
    a.wait_up()
    b.wait_up()
    assert_one_ike_sa(a, b)
    assert_reaches(net.A.host, net.B.host4)
