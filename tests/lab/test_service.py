"""culvertd as a service: what it tells the service manager, and what outlives a restart, a crash and a deleted device."""
import time

import pytest

from labkit.culvert import BIN
from labkit.pair import assert_one_ike_sa, pair, tables
from labkit.process import wait_for
from labkit.service_manager import ServiceManager
from labkit.traffic import Echo, assert_reaches, wait_reaches

INTERVAL = 0.01
FAST = {"liveness": "1s"}


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


def managed(lab, ns, config, **options):
    """A culvertd under a service manager, started and ready."""
    daemon = lab.culvert(ns, config, start=False)
    daemon.manager = ServiceManager(daemon.dir, **options)
    lab.at_end(lambda: stop_for_good(daemon))
    daemon.start()
    return daemon


def stop_for_good(daemon):
    """As systemctl stop: what was kept is closed, and ExecStopPost= runs."""
    if daemon.process:
        stop(daemon)
    if daemon.manager:
        daemon.manager.close()
        daemon.manager = None
    daemon.ns.run(BIN / "culvertd", "--after-stop", "--config", daemon.config)


def gap(run):
    """Seconds of the longest run of requests without an answer."""
    longest = current = 0
    for number in range(1, run.sent + 1):
        current = current + 1 if number in run.missing else 0
        longest = max(longest, current)
    return longest * INTERVAL


def stop(daemon):
    assert daemon.process.stop(20) == 0, daemon.log()
    daemon.process = None


def test_ready_is_said_when_it_listens_and_status_says_how_many_peers_are_up(lab, net):
    b = managed(lab, net.B.gw, tables(net.B, net.A, start="wait"))
    b.manager.wait_said("READY", "1")
    ready_at = next(at for at, said in b.manager.messages if "READY" in said)
    assert b.manager.said("STATUS")[0] == "0 of 1 peers up"
    assert "500" in net.B.gw.run("ss", "-Hlun", "sport = :500").stdout
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    a.wait_up()
    b.manager.wait_said("STATUS", "1 of 1 peers up")
    stop(b)
    b.manager.wait_said("STOPPING", "1", since=ready_at)


def test_nothing_is_ready_that_does_not_listen(lab, net):
    lab.culvert(net.A.gw, tables(net.A, net.B))
    second = lab.culvert(net.A.gw, tables(net.A, net.B), start=False)
    second.manager = ServiceManager(second.dir)
    lab.at_end(second.manager.close)
    second.start(wait=False)
    assert second.process.wait(10) != 0
    second.process = None
    assert second.manager.said("READY") == []


def test_the_watchdog_hears_from_the_event_loop_at_half_its_time_and_nothing_when_that_hangs(lab, net):
    a = managed(lab, net.A.gw, tables(net.A, net.B), watchdog=1.0)
    time.sleep(2.6)
    alive = len(a.manager.said("WATCHDOG"))
    assert 5 <= alive <= 8, a.manager.messages
    a.process.popen.send_signal(19)  # SIGSTOP
    since = time.monotonic() + 0.1
    time.sleep(1.2)
    assert a.manager.said("WATCHDOG", since) == []
    a.process.popen.send_signal(18)  # SIGCONT
    a.manager.wait_said("WATCHDOG", "1", since)


@pytest.mark.parametrize("carry", ["gre", "ip"])
@pytest.mark.parametrize("restarted", ["initiator", "responder"])
def test_a_restart_through_the_descriptor_store_keeps_device_and_routes_and_loses_a_second_at_most(lab, net, carry, restarted):
    starts = ("always", "wait")
    b = managed(lab, net.B.gw, tables(net.B, net.A, carry=carry, start=starts[1], peer=FAST))
    a = managed(lab, net.A.gw, tables(net.A, net.B, carry=carry, start=starts[0], peer=FAST))
    a.wait_up()
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    daemon, gw = (a, net.A.gw) if restarted == "initiator" else (b, net.B.gw)
    device = "cvB" if restarted == "initiator" else "cvA"
    wait_for("all is stored", lambda: f"tun.1.{device}" in daemon.manager.store)
    before = gw.devices(), gw.routes(), gw.ip("-o", "link", "show", device).stdout.split(":")[0]
    pings = Echo(net.A.host, net.B.host4, count=0, interval=INTERVAL, wait=0.5)
    time.sleep(0.2)
    stop(daemon)
    assert (gw.devices(), gw.routes()) == before[:2]  # while nobody runs
    daemon.start()
    wait_reaches(net.A.host, net.B.host4, timeout=10)
    time.sleep(0.3)
    pings.finish()
    assert (gw.devices(), gw.routes(), gw.ip("-o", "link", "show", device).stdout.split(":")[0]) == before
    print(f"{restarted}, {carry}: {pings!r}, longest gap {gap(pings):.2f} s")
    assert gap(pings) <= 1.0, f"{pings!r}\n{a.describe()}\n{b.describe()}"
    a.wait_up()
    b.wait_up()
    assert_one_ike_sa(a, b)
    assert_reaches(net.B.host, net.A.host4)


def test_a_restart_with_another_configuration_leaves_nothing_of_the_old_one(lab, net):
    clean = net.A.gw.devices(), net.A.gw.routes()
    a = managed(lab, net.A.gw, tables(net.A, net.B, tunnel={"routes": [net.B.lan4, net.B.lan6, "10.77.0.0/16"]}))
    stop(a)
    assert "10.77.0.0/16 dev cvB" in net.A.gw.routes()
    a.write(tables(net.A, net.B, tunnel={"address": ["169.254.10.9/24"], "routes": [net.B.lan4]}, gateway={"workers": 1}))
    a.start()
    assert "10.77.0.0/16" not in net.A.gw.routes() and f"{net.B.lan4} dev cvB" in net.A.gw.routes()
    assert "169.254.10.9/24" in net.A.gw.ip("addr", "show", "cvB").stdout
    assert "169.254.10.1/24" not in net.A.gw.ip("addr", "show", "cvB").stdout
    assert "tun.1.cvB" not in a.manager.store  # one worker, one queue
    stop(a)
    a.write(tables(net.A, net.B, tunnel={"device": "other"}, gateway={"workers": 3}))
    a.start()
    assert "cvB" not in net.A.gw.devices() and "other" in net.A.gw.devices()
    stop_for_good(a)
    assert (net.A.gw.devices(), net.A.gw.routes()) == clean


@pytest.mark.parametrize("victim", ["initiator", "responder"])
@pytest.mark.parametrize("kept", [False, True], ids=["alone", "kept"])
def test_after_kill_9_routes_and_devices_are_right_and_traffic_flows_within_a_second_of_the_start(lab, net, victim, kept):
    make = managed if kept else lab_culvert
    b = make(lab, net.B.gw, tables(net.B, net.A, start="wait", peer=FAST))
    a = make(lab, net.A.gw, tables(net.A, net.B, peer=FAST))
    a.wait_up()
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    before = net.A.gw.devices(), net.A.gw.routes(), net.B.gw.devices(), net.B.gw.routes()
    killed = a if victim == "initiator" else b
    pings = Echo(net.A.host, net.B.host4, count=0, interval=INTERVAL, wait=0.5)
    killed.kill()
    killed.start(wait=False)
    wait_reaches(net.A.host, net.B.host4, timeout=10)
    time.sleep(0.3)
    pings.finish()
    assert (net.A.gw.devices(), net.A.gw.routes(), net.B.gw.devices(), net.B.gw.routes()) == before
    print(f"{victim}, {'kept' if kept else 'alone'}: {pings!r}, longest gap {gap(pings):.2f} s")
    assert gap(pings) <= 1.0, f"{pings!r}\n{a.describe()}\n{b.describe()}"
    a.wait_up()
    b.wait_up()


def lab_culvert(lab, ns, config):
    return lab.culvert(ns, config)


@pytest.mark.parametrize("carry", ["gre", "ip"])
def test_a_deleted_device_is_there_again_within_a_second_and_its_sas_are_the_same(lab, net, carry):
    options = {"tunnel": {"sequence": True}} if carry == "gre" else {}
    a, b = pair(lab, net, carry=carry, **options)
    assert_reaches(net.A.host, net.B.host4, count=50, interval=0.002)
    before = net.A.gw.devices(), net.A.gw.routes(), a.child_spi(), a.ike_spis()
    for _ in range(3):
        pings = Echo(net.A.host, net.B.host4, count=0, interval=INTERVAL, wait=0.5)
        time.sleep(0.1)
        net.A.gw.ip("link", "del", "cvB")
        wait_reaches(net.A.host, net.B.host4, timeout=5)
        time.sleep(0.2)
        pings.finish()
        print(f"{carry}: {pings!r}, longest gap {gap(pings):.2f} s")
        assert gap(pings) <= 1.0, f"{pings!r}\n{a.describe()}"
    assert (net.A.gw.devices(), net.A.gw.routes(), a.child_spi(), a.ike_spis()) == before
    assert_reaches(net.A.host, net.B.host6)
    assert b.drops()["gre_out_of_order"] == 0 and a.drops()["gre_out_of_order"] == 0
