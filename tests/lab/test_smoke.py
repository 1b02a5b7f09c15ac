"""The shortest way through everything; also run with the sanitizer build."""
import os

from labkit.inject import send_udp
from labkit.pair import assert_one_ike_sa, pair
from labkit.traffic import assert_reaches, tcp_both_ways


def test_a_gre_tunnel_comes_up_carries_rekeys_and_goes_away(lab):
    net = lab.net()
    before = [(net.A.gw.devices(), net.A.gw.routes()), (net.B.gw.devices(), net.B.gw.routes())]
    a, b = pair(lab, net)
    assert_reaches(net.A.host, net.B.host4)
    assert_reaches(net.A.host, net.B.host6)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4, "2M")

    child, ike = a.child_spi(), a.ike_spis()
    a.ctl("rekey", "b", "--child")
    a.wait_new_child(child)
    assert_reaches(net.A.host, net.B.host4)
    b.ctl("rekey", "a", "--ike")
    a.wait_new_ike(ike)
    assert_reaches(net.A.host, net.B.host4)
    assert_one_ike_sa(a, b)

    a.ctl("down", "b")
    a.wait_state("admin-down")
    a.ctl("up", "b")
    a.wait_up()
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    a.stop()
    b.stop()
    assert [(net.A.gw.devices(), net.A.gw.routes()), (net.B.gw.devices(), net.B.gw.routes())] == before


def test_plain_tunnel_mode_and_rubbish_on_both_ports(lab):
    net = lab.net()
    a, b = pair(lab, net, carry="ip")
    assert_reaches(net.A.host, net.B.host4)
    for port in (500, 4500):
        send_udp(net.internet, net.B.wan4, port, [os.urandom(n % 1400) for n in range(300)])
    assert_reaches(net.A.host, net.B.host4)
    assert sum(b.drops().values()) > 300
    assert "carry" not in a.ctl("check", a.config).stderr
    assert "b.example" in a.ctl("status").stdout
