"""What happens is told to who watches: culvert monitor."""
import signal
import socket
import time

import pytest

from labkit.monitor import Monitor
from labkit.pair import pair, tables
from labkit.schemas import conform


@pytest.fixture(scope="module")
def gateways(shared):
    net = shared.net()
    a, b = pair(shared, net, tunnel={})
    return net, a, b


def started(monitor):
    """The monitor is served: what happens from here on is told."""
    for _ in range(100):
        monitor.daemon.ctl("up", "b")
        if monitor.events("operator"):
            return monitor
        time.sleep(0.05)
    raise AssertionError("no monitor")


def test_the_life_of_a_tunnel_is_told(shared, gateways):
    net, a, _ = gateways
    all_of_it = started(Monitor(shared, a))
    one = Monitor(shared, a, "b")
    time.sleep(0.3)
    a.ctl("rekey", "b", "--ike")
    assert all_of_it.wait("ike-rekeyed")["peer"] == "b"
    a.ctl("rekey", "b", "--child")
    rekeyed = all_of_it.wait("child-rekeyed")
    assert (rekeyed["peer"], rekeyed["tunnel"]) == ("b", "b") and len(rekeyed["spi"]) == 10
    all_of_it.wait("child-deleted")
    a.ctl("down", "b")
    assert "down" in all_of_it.wait("peer-down")["reason"]
    down = all_of_it.wait("tunnel-down")
    assert down["tunnel"] == "b" and down["reason"]
    a.ctl("up", "b")
    all_of_it.wait("peer-up")
    assert all_of_it.wait("tunnel-up")["tunnel"] == "b"
    kinds = [event["event"] for event in all_of_it.events()]
    assert kinds.index("operator") < kinds.index("ike-rekeyed") < kinds.index("peer-down") < kinds.index("tunnel-down") < kinds.index("connecting")
    assert kinds.count("tunnel-up") == kinds.count("tunnel-down") == 1, kinds
    a.write(tables(net.A, net.B, peer={"livenes": "3s"}))
    a.ctl("reload", check=False)
    assert "livenes" in all_of_it.wait("reload-refused")["reason"]
    a.write(tables(net.A, net.B, peer={"liveness": "3s"}))
    a.ctl("reload")
    all_of_it.wait("reloaded")
    assert all_of_it.end() == (0, "")
    mine = one.events()
    assert {event["peer"] for event in mine} == {"b"}, mine
    assert "tunnel-up" in {event["event"] for event in mine}
    assert one.end(signal.SIGTERM) == (0, "")


def test_a_wrong_key_is_told_on_both_sides(shared, gateways):
    net, a, b = gateways
    at_a, at_b = Monitor(shared, a), Monitor(shared, b)
    time.sleep(0.3)
    b.secret("lab.psk", "another key than before, which A does not have")
    b.ctl("reload")
    a.ctl("down", "b")
    a.ctl("up", "b")
    assert "AUTHENTICATION_FAILED" in at_a.wait("attempt-failed")["reason"]
    assert "key" in at_b.wait("auth-failed")["reason"]
    at_a.end(), at_b.end()
    b.secret("lab.psk", "a pre-shared key that only the lab knows")
    b.ctl("reload")
    a.ctl("down", "b")
    a.ctl("up", "b")
    a.wait_up()


def test_who_does_not_read_stops_nobody_and_is_told_what_he_has_missed(shared, gateways):
    _, a, _ = gateways
    with socket.socket(socket.AF_UNIX) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(str(a.socket))
        slow.sendall(b'{"command":"monitor"}\n')
        time.sleep(0.2)
        with socket.socket(socket.AF_UNIX) as operator:
            operator.connect(str(a.socket))
            answers = operator.makefile()
            for _ in range(4000):
                operator.sendall(b'{"command":"up","peer":"b"}\n')
                answers.readline()
        lines = slow.makefile()
        assert '"ok":true' in lines.readline()
        told = 0
        slow.settimeout(20)
        while True:
            event = conform("event", lines.readline())
            if event["event"] == "missed":
                break
            told += event["event"] == "operator"
        assert 0 < told < 4000 and told + event["missed"] >= 4000


def test_only_eight_may_watch_and_an_unknown_peer_is_a_mistake(shared, gateways):
    _, a, _ = gateways
    nobody = a.ctl("monitor", "c", check=False)
    assert nobody.returncode == 1 and "the peers are: b" in nobody.stderr
    watching = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for one in watching:
        one.connect(str(a.socket))
        one.sendall(b'{"command":"monitor"}\n')
        assert '"ok":true' in one.makefile().readline()
    ninth = a.ctl("monitor", check=False)
    assert ninth.returncode == 1 and "8" in ninth.stderr
    assert a.ctl("status").returncode == 0
    for one in watching:
        one.close()


def test_the_end_of_the_daemon_is_told(shared, gateways):
    _, a, _ = gateways
    monitor = started(Monitor(shared, a))
    a.stop()
    code, error = monitor.end(None)
    assert code == 3 and "closed" in error
    assert monitor.events("stopping")
    assert a.ctl("monitor", check=False).returncode == 3
