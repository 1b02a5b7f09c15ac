"""MTU: hosts with 1500 bytes on both sides of a tunnel that carries less."""
import re

import pytest

from labkit.capture import Capture
from labkit.pair import pair
from labkit.traffic import assert_reaches, iperf3, ping, tcp_both_ways


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


@pytest.fixture(params=["gre", "ip"])
def tunnel_mtu(request, lab, net):
    """A pair of each kind; the MTU of its device."""
    a, _ = pair(lab, net, carry=request.param)
    return a.peer()["tunnels"][0]["mtu"]


def test_tcp_passes_and_its_mss_is_clamped(lab, net, tunnel_mtu):
    net.cut_datagrams()
    with Capture(net.B.host, "lan", lab.folder, "host") as host, Capture(net.internet, "wanA", lab.folder, "outside") as outside:
        for address in (net.B.host4, net.B.host6):
            tcp_both_ways(net.A.host, net.B.host, address, "4M")
    # TCP header 20; IP header 20 and 40 (RFC 6691 §2)
    for version, overhead in (("ip", 40), ("ipv6", 60)):
        sizes = {int(row[0]) for row in host.tshark(fields=["tcp.options.mss_val"], display=f"{version} && tcp.flags.syn == 1 && tcp.flags.ack == 0")}
        assert sizes and max(sizes) <= tunnel_mtu - overhead
    assert outside.count("ip.flags.mf == 1 || ip.frag_offset > 0") == 0
    assert outside.count("frame.len > 1514") == 0


def test_a_full_packet_fits_exactly_and_one_byte_more_does_not(net, tunnel_mtu):
    assert 1300 < tunnel_mtu < 1500
    assert_reaches(net.A.host, net.B.host4, size=tunnel_mtu - 28, dont_fragment=True)
    assert_reaches(net.A.host, net.B.host6, size=tunnel_mtu - 48, dont_fragment=True)


def test_too_big_is_answered_with_the_mtu(net, tunnel_mtu):
    four = ping(net.A.host, net.B.host4, count=2, size=1472, do="do")
    assert four.received == 0 and re.search(rf"mtu ?= ?{tunnel_mtu}\b", four.text), four
    six = ping(net.A.host, net.B.host6, count=2, size=1452, do="do")
    assert six.received == 0 and re.search(rf"mtu ?= ?{tunnel_mtu}\b", six.text), six
    net.A.host.ip("route", "flush", "cache")
    net.A.host.ip("-6", "route", "flush", "cache")


def test_large_udp_without_df_is_fragmented_and_passes(net, tunnel_mtu):
    assert tunnel_mtu < 1500
    assert_reaches(net.A.host, net.B.host4, size=4000)
    run = iperf3(net.A.host, net.B.host, net.B.host4, "-u", "-b", "5M", "-t", 1, "-l", 4000)["end"]["sum"]
    assert run["lost_packets"] == 0


def test_a_configured_mtu_is_that_of_the_device(lab, net):
    pair(lab, net, tunnel={"mtu": 1280})
    assert "mtu 1280" in net.A.gw.ip("link", "show", "cvB").stdout
    assert_reaches(net.A.host, net.B.host6, size=1280 - 48, dont_fragment=True)


def test_clamping_can_be_switched_off(lab, net):
    pair(lab, net, tunnel={"clamp_mss": False})
    with Capture(net.B.host, "lan", lab.folder, "host") as host:
        tcp_both_ways(net.A.host, net.B.host, net.B.host4, "1M")
    sizes = {int(row[0]) for row in host.tshark(fields=["tcp.options.mss_val"], display="tcp.flags.syn == 1 && tcp.flags.ack == 0")}
    assert max(sizes) == 1460, "Ethernet's own (a second connection may know the path's MTU by then)"
