"""Loss, crashes, dead peers, and what is left on the machine afterwards."""
import pytest

from labkit.capture import Capture
from labkit.inject import send_udp
from labkit.pair import assert_one_ike_sa, pair, tables
from labkit.process import wait_for
from labkit.traffic import Echo, assert_reaches, assert_silent, echo, ping, wait_reaches


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_the_tunnel_comes_up_through_20_percent_loss(lab, net, attempt):
    net.lose(20)
    a, b = pair(lab, net, wait=False)
    a.wait_up(timeout=60)
    b.wait_up(timeout=60)
    assert echo(net.A.host, net.B.host4, count=20, wait=0.5).received > 5
    net.lose(0)
    assert_reaches(net.A.host, net.B.host4)


@pytest.mark.parametrize("starts", [("always", "wait"), ("always", "always")])
@pytest.mark.parametrize("victim", ["initiator", "responder"])
def test_after_kill_9_and_return_traffic_flows_on_exactly_one_ike_sa(lab, net, victim, starts):
    a, b = pair(lab, net, start=starts, peer={"liveness": "1s"})
    assert_reaches(net.A.host, net.B.host4)
    killed = a if victim == "initiator" else b
    killed.kill()
    assert_silent(net.A.host, net.B.host4)
    killed.start()
    wait_reaches(net.A.host, net.B.host4, timeout=30)
    a.wait_up()
    b.wait_up()
    echo(net.A.host, net.B.host4, count=20, interval=0.1, wait=0.5)
    assert_one_ike_sa(a, b)
    assert_reaches(net.A.host, net.B.host4)
    assert_reaches(net.B.host, net.A.host4)


@pytest.mark.parametrize("victim", ["initiator", "responder"])
def test_gre_sequence_numbers_start_anew_with_a_peer_that_comes_back(lab, net, victim):
    """RFC 2890 §2.2: what is older than the last number is dropped; but the number of one that restarted is 0 again."""
    a, b = pair(lab, net, tunnel={"sequence": True}, peer={"liveness": "1s"})
    assert_reaches(net.A.host, net.B.host4, count=200, interval=0.002)
    child = a.child_spi()
    a.ctl("rekey", "b", "--child")  # and it goes on counting through a rekey
    a.wait_new_child(child)
    assert_reaches(net.A.host, net.B.host4, count=200, interval=0.002)
    killed, other = (a, b) if victim == "initiator" else (b, a)
    killed.kill()
    killed.start()
    wait_reaches(net.A.host, net.B.host4, timeout=30)
    a.wait_up()
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4, count=20)
    assert other.drops()["gre_out_of_order"] == 0 and killed.drops()["gre_out_of_order"] == 0


def test_a_dead_peer_is_noticed_reported_and_found_again(lab, net):
    a, b = pair(lab, net, peer={"liveness": "1s", "retransmit_tries": 3})
    net.cut()
    wait_for("A gives up", lambda: a.peer()["state"] != "up", timeout=20)
    assert a.peer()["reason"]
    net.cut(False)
    wait_reaches(net.A.host, net.B.host4, timeout=40)
    a.wait_up()
    b.wait_up()
    assert_one_ike_sa(a, b)


def test_a_name_is_resolved_again_when_the_peer_is_dead(lab, net):
    """gwB moves to another address; only the name follows."""
    old, new = net.B.wan4, net.B.wan4[:-1] + "9"
    b = lab.culvert(net.B.gw, tables(net.B, net.A, address="any", start="wait"))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, address=["b.gateway.lab"], peer={"liveness": "1s", "retransmit_tries": 3}),
                    hosts=f"{old} b.gateway.lab\n")
    a.wait_up()
    assert a.peer()["remote"].startswith(old + ":")
    net.B.gw.ip("addr", "del", f"{old}/24", "dev", "wan")
    net.B.gw.address("wan", f"{new}/24")
    net.B.gw.route("default", net.B.wan4[:-1] + "254")
    try:
        a.hosts_file.write_text(f"{new} b.gateway.lab\n")
        wait_for(lambda: f"A finds B at {new}\n{a.describe()}", lambda: a.peer()["remote"].startswith(new + ":") and a.is_up(), timeout=40)
        b.wait_up()
        assert_reaches(net.A.host, net.B.host4)
    finally:
        net.B.gw.ip("addr", "flush", "dev", "wan", "scope", "global")
        net.B.gw.address("wan", f"{old}/24", f"{net.B.wan6}/64")
        net.B.gw.route("default", net.B.wan4[:-1] + "254")
        net.B.gw.route("default", "2001:db8:2::fe")


def test_devices_and_routes_are_gone_after_exit_and_after_a_crash(lab, net):
    before = net.A.gw.devices(), net.A.gw.routes()
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    assert "cvB" in net.A.gw.devices() and "10.2.0.0/24 dev cvB" in net.A.gw.routes()
    a.stop()
    assert (net.A.gw.devices(), net.A.gw.routes()) == before
    a.start()
    a.kill()
    a.write(tables(net.A, net.B, tunnel={"device": "other", "routes": []}))
    a.start()
    assert "cvB" not in net.A.gw.devices() and "10.2.0.0/24" not in net.A.gw.routes()
    a.stop()
    assert (net.A.gw.devices(), net.A.gw.routes()) == before


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_nothing_leaves_in_the_clear_between_a_crash_and_the_next_start(lab, net, carry):
    """The device and its routes are gone, and gwA has a default route: packets for site B are refused, not sent there."""
    before = net.A.gw.routes()
    a, _ = pair(lab, net, carry=carry, peer={"liveness": "1s"})
    with Capture(net.internet, "wanA", lab.folder, expression=f"net {net.B.lan4} or net {net.B.lan6}") as capture:
        assert_reaches(net.A.host, net.B.host4)
        assert_reaches(net.A.host, net.B.host6)
        a.kill()
        wait_for("the device is gone", lambda: "cvB" not in net.A.gw.devices())
        for address in (net.B.host4, net.B.host6):
            refused = ping(net.A.host, address, count=3)
            assert refused.received == 0 and "nreachable" in refused.text, refused
            send_udp(net.A.gw, address, 7, [b"in the clear"] * 3)  # of the gateway itself
        pings = Echo(net.A.host, net.B.host4, count=0, interval=0.002)  # at every moment of the start
        a.start()
        pings.finish()
        wait_reaches(net.A.host, net.B.host4, timeout=30)
        assert_reaches(net.A.host, net.B.host6)
    assert capture.tshark() == []
    a.wait_up()
    a.stop()
    assert net.A.gw.routes() == before


def test_two_daemons_on_one_machine_with_the_same_ports_say_so(lab, net):
    lab.culvert(net.A.gw, tables(net.A, net.B))
    second = lab.culvert(net.A.gw, tables(net.A, net.B), start=False)
    second.start(wait=False)
    assert second.process.wait(10) != 0
    assert "500" in second.log()
    second.process = None
