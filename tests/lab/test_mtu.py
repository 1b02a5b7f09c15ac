"""MTU: hosts with 1500 bytes on both sides of a tunnel that carries less."""
import json
import re
import socket
import struct
import time

import pytest

from labkit.capture import Capture
from labkit.culvert import PSK
from labkit.pair import pair, tables
from labkit.process import Process, wait_for
from labkit.schemas import conform
from labkit.strongswan import swanctl_conf
from labkit.traffic import assert_reaches, assert_udp_passes, ping, tcp_both_ways


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
    assert_udp_passes(net, 5, size=4000)


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


# ---- the path's MTU, found by probes ---------------------------------------------------------------------------------

def shrink(net, size):
    """The internet drops packets that are larger than `size`, without a word, whatever their DF says; 0 ends it."""
    net.internet.run("nft", "delete", "table", "inet", "narrow", check=False)
    if size:
        net.internet.run("nft", "-f", "-", input=f"table inet narrow {{\nchain f {{\ntype filter hook forward priority 0;\nmeta length > {size} drop\n}}\n}}\n")


def found(end, size):
    """The path's MTU is known to be `size` (to four bytes: the search goes in such steps)."""
    peer = end.peer()
    return peer["path_mtu_state"] == "confirmed" and size - 4 < peer["path_mtu"] <= size


def wait_found(end, size, timeout=5):
    wait_for(lambda: f"a path of {size} bytes\n{end.describe()}", lambda: found(end, size), timeout)


@pytest.fixture
def path(lab):
    net = lab.net()
    net.cut_datagrams()
    return net


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_a_black_hole_is_found_in_three_seconds_and_tcp_flows_again(lab, path, carry):
    a, b = pair(lab, path, carry=carry)
    wait_found(a, 1500)
    wait_found(b, 1500)
    server = Process(["iperf3", "-s", "-1", "--forceflush"], ns=path.B.host)
    server.wait_output("listening")
    client = Process(["iperf3", "-c", path.B.host4, "-t", "8", "-i", "0.5", "-J"], ns=path.A.host)
    time.sleep(2)
    shrink(path, 1400)
    hidden = time.monotonic()
    wait_found(a, 1400, 3)
    took = time.monotonic() - hidden
    client.wait(20)
    report = json.loads(client.output())
    server.stop()
    rates = [row["sum"]["bits_per_second"] for row in report["intervals"]]
    assert took < 3 and rates[-1] > 1e6 and max(rates[-4:]) > 1e6, (took, rates)
    tcp_both_ways(path.A.host, path.B.host, path.B.host6, "1M")
    assert 1280 <= a.peer()["tunnels"][0]["mtu"] < 1340
    assert "MTU" in a.ctl("status").stdout


def test_a_black_hole_that_is_there_from_the_start(lab, path):
    shrink(path, 1390)
    a, b = pair(lab, path)
    wait_found(a, 1390)
    wait_found(b, 1390)
    for address in (path.B.host4, path.B.host6):
        tcp_both_ways(path.A.host, path.B.host, address, "1M")


def test_a_forged_icmp_changes_nothing(lab, path):
    """RFC 792 "fragmentation needed", RFC 1191, about a packet that gwA may have sent: from a router that does not exist."""
    a, _ = pair(lab, path)
    wait_found(a, 1500)
    before = a.peer()["tunnels"][0]["mtu"]
    quoted = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 1400, 7, 0x4000, 60, 17, 0, socket.inet_aton(path.A.wan4), socket.inet_aton(path.B.wan4))
    quoted += struct.pack("!HHHH", 4500, 4500, 1380, 0)
    message = bytearray(struct.pack("!BBHHH", 3, 4, 0, 0, 576) + quoted)
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    message[2:4] = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
    with path.internet.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as router:
        for _ in range(5):
            router.sendto(bytes(message), (path.A.wan4, 0))
    with Capture(path.internet, "wanA", lab.folder, "outside") as outside:
        tcp_both_ways(path.A.host, path.B.host, path.B.host4, "2M")
    assert outside.count("ip.flags.mf == 1 || ip.frag_offset > 0") == 0
    assert outside.count("udp.length > 1400") > 500
    assert a.peer()["path_mtu"] == 1500 and a.peer()["tunnels"][0]["mtu"] == before


def test_strongswan_takes_no_informational_in_fragments_and_keeps_its_sas(lab, path):
    """5.9.8 ignores them: it is asked that, and nothing more."""
    lab.strongswan(path.B.gw, swanctl_conf(path.B.wan4, path.A.wan4, "b.example", "a.example", PSK, path.B.lan4, path.A.lan4,
                                           "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"))
    a = lab.culvert(path.A.gw, tables(path.A, path.B, carry="ip", peer={"esp": ["aes256gcm16-x25519"]},
                                      tunnel={"local": [path.A.lan4], "remote": [path.B.lan4], "mtu": 1400}))
    a.wait_up()
    spis = a.ike_spis()
    wait_for(lambda: f"it is known\n{a.describe()}", lambda: a.peer()["path_mtu_state"] == "off", 5)
    time.sleep(2)
    assert a.is_up() and a.ike_spis() == spis
    assert_reaches(path.A.host, path.B.host4, size=1200)


def test_behind_strongswan_who_answers_ping_tells_the_mtu(lab, path):
    """IKE cannot ask 5.9.8; echoes through the tunnel can, where somebody behind it is known to answer."""
    lab.strongswan(path.B.gw, swanctl_conf(path.B.wan4, path.A.wan4, "b.example", "a.example", PSK, path.B.lan4, path.A.lan4,
                                           "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"))
    a = lab.culvert(path.A.gw, tables(path.A, path.B, carry="ip", peer={"esp": ["aes256gcm16-x25519"]},
                                      tunnel={"local": [path.A.lan4], "remote": [path.B.lan4], "probe": path.B.host4}))
    a.wait_up()
    # Not 1500: kernel-libipsec's own device takes 1400 bytes, and no fragments, so that larger answers do not come back.
    wait_for(lambda: f"confirmed\n{a.describe()}", lambda: a.peer()["path_mtu_state"] == "confirmed" and a.peer()["path_mtu"] > 1440, 12)
    before = a.peer()["tunnels"][0]["mtu"]
    server = Process(["iperf3", "-s", "-1", "--forceflush"], ns=path.B.host)
    server.wait_output("listening")
    client = Process(["iperf3", "-c", path.B.host4, "-t", "8", "-i", "0.5", "-J"], ns=path.A.host)
    time.sleep(2)
    shrink(path, 1400)
    hidden = time.monotonic()
    wait_for(lambda: f"a smaller MTU\n{a.describe()}", lambda: a.peer()["tunnels"][0]["mtu"] < before - 50, 3)
    wait_found(a, 1400, 5)
    took = time.monotonic() - hidden
    client.wait(20)
    report = json.loads(client.output())
    server.stop()
    rates = [row["sum"]["bits_per_second"] for row in report["intervals"]]
    assert max(rates[-4:]) > 1e6, (took, rates)


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_culvert_mtu_finds_it_and_explains_every_byte(lab, path, carry):
    a, _ = pair(lab, path, carry=carry)
    wait_found(a, 1500)
    shrink(path, 1400)
    report = conform("mtu", a.ctl("mtu", "b", "--json").stdout)
    assert report["state"] == "confirmed" and 1396 < report["path_mtu"] <= 1400 and report["link_mtu"] == 1500
    tunnel = report["tunnels"][0]
    assert tunnel["inner_mtu"] + sum(share["bytes"] for share in tunnel["shares"]) == report["path_mtu"]
    assert tunnel["device_mtu"] == tunnel["inner_mtu"] and tunnel["mss_v4"] == tunnel["inner_mtu"] - 40
    names = {share["what"]: share["bytes"] for share in tunnel["shares"]}
    assert names["outer IPv4 header"] == 20 and names["UDP header (ESP in UDP)"] == 8 and names["ESP ICV"] == 16  # RFC 791, 768, 4106
    assert ("GRE header" in names) == (carry == "gre")
    shown = a.ctl("mtu", "b").stdout
    assert "confirmed by IKE" in shown and "larger packets vanish" in shown and "TCP MSS" in shown
    assert_reaches(path.A.host, path.B.host4, size=tunnel["inner_mtu"] - 28, dont_fragment=True)
    assert a.ctl("mtu", "nobody", check=False).returncode == 1
