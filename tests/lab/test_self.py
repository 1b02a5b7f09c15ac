"""The lab's own tools, without culvert: if one of these fails, no other lab test means anything."""
import re
import socket

from labkit.capture import Capture
from labkit.inject import send_udp
from labkit.process import LabError, Process, wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import UdpRun, assert_reaches, assert_silent, echo, tcp_both_ways


def open_routes(net):
    """Without a gateway's tunnel: the internet routes the LANs."""
    for site in net.sites.values():
        net.internet.route(site.lan4, site.wan4)
        net.internet.route(site.lan6, site.wan6)


def test_hosts_reach_each_other_through_gateways_and_internet(lab):
    net = lab.net()
    assert_silent(net.A.host, net.B.host4)
    open_routes(net)
    assert_reaches(net.A.host, net.B.host4)
    assert_reaches(net.A.host, net.B.host6)
    assert min(tcp_both_ways(net.A.host, net.B.host, net.B.host4)) > 10
    run = UdpRun(net.A.host, net.B.host, net.B.host4, megabits=20, seconds=1)
    assert run.sent > 2000 and run.lost == 0


def test_a_gateway_behind_the_nat_reaches_out_and_nobody_reaches_in(lab):
    net = lab.net(nat="A")
    assert_reaches(net.A.gw, net.B.wan4)
    with Capture(net.internet, "wanA", lab.folder, expression="icmp") as capture:
        assert_reaches(net.A.gw, net.B.wan4)
    sources = {row[0] for row in capture.tshark(fields=["ip.src"], display="icmp.type == 8")}
    assert sources == {net.A.wan4}


def received(net, count):
    """How many of `count` UDP datagrams from hostA arrive at hostB. (iperf3's own handshake does not stand loss.)"""
    with net.B.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("", 7000))
        ear.settimeout(0.5)
        send_udp(net.A.host, net.B.host4, 7000, [b"x"] * count)
        arrived = 0
        try:
            while ear.recv(10):
                arrived += 1
        except TimeoutError:
            return arrived


def test_loss_takes_about_its_share_of_udp(lab):
    net = lab.net()
    open_routes(net)
    assert_reaches(net.A.host, net.B.host4)
    net.lose(20)
    arrived = received(net, 200)
    assert 110 < arrived < 190 and net.lost() == 200 - arrived
    net.lose(0)
    assert received(net, 200) == 200


def test_a_cut_internet_passes_nothing_until_it_is_whole_again(lab):
    net = lab.net()
    net.cut()
    assert echo(net.A.gw, net.B.wan4, count=2, wait=0.5).received == 0
    net.cut(False)
    assert_reaches(net.A.gw, net.B.wan4)


def strongswan_pair(lab, net, ike, esp):
    conf = []
    for us, them in ((net.A, net.B), (net.B, net.A)):
        conf.append(swanctl_conf(us.own4, them.wan4, f"{us.letter}.example", f"{them.letter}.example", "secret", us.lan4, them.lan4, ike, esp))
    return lab.strongswan(net.A.gw, conf[0]), lab.strongswan(net.B.gw, conf[1])


def test_strongswan_talks_to_strongswan(lab):
    net = lab.net()
    a, b = strongswan_pair(lab, net, "aes256gcm16-prfsha256-x25519", "aes256gcm16-x25519")
    with Capture(net.internet, "wanA", lab.folder, expression="udp port 4500") as capture:
        a.ctl("--initiate", "--child", "net")
        assert_reaches(net.A.host, net.B.host4)
        tcp_both_ways(net.A.host, net.B.host, net.B.host4, "1M")
    assert capture.count("esp") > 100
    a.ctl("--rekey", "--ike", "gw")
    a.ctl("--rekey", "--child", "net")
    assert_reaches(net.A.host, net.B.host4)
    b.ctl("--terminate", "--ike", "gw")
    assert a.num_ike_sas() == 0 and b.num_ike_sas() == 0


def test_openvswitch_ends_gre(lab):
    """Two Open vSwitches, one in each host, with plain routing between them."""
    net = lab.net()
    open_routes(net)
    lab.ovs(net.A.host, "lan", net.A.host4, 24, net.A.gw4, net.B.host4, 99, "10.9.0.1", "10.9.0.2")
    lab.ovs(net.B.host, "lan", net.B.host4, 24, net.B.gw4, net.A.host4, 99, "10.9.0.2", "10.9.0.1")
    with Capture(net.internet, "wanA", lab.folder, expression="proto gre") as capture:
        wait_for("ping through OVS GRE", lambda: echo(net.A.host, "10.9.0.2", count=1, wait=0.5).received)
        assert_reaches(net.A.host, "10.9.0.2")
    assert capture.count("gre.key == 99 && icmp") >= 6


def test_a_program_that_ends_early_is_reported_with_its_output():
    process = Process(["sh", "-c", "echo went wrong; exit 3"])
    try:
        process.wait_output("never said", timeout=3)
    except LabError as trouble:
        assert re.search("ended with 3:\nwent wrong", str(trouble))
    else:
        raise AssertionError("no LabError")
