"""A flood of IKE_SA_INIT from forged addresses (flood.cpp) on a gateway with an established tunnel, and a peer that comes in the middle of
it. scripts/flood measures what the tunnel's throughput feels; here nothing is timed but how long the newcomer takes."""
import time

import pytest

from labkit.flood import Flood, memory
from labkit.pair import tables
from labkit.process import wait_for
from labkit.traffic import Echo, assert_reaches

RATE, SECONDS = 15000, 12
GROWTH = 12 * 2**20  # bytes: two tables of what was seen, the half-open IKE SAs, the sockets' batch


@pytest.fixture
def net(lab):
    return lab.net("ABC")


def flooded_gateway(lab, net, strangers):
    configuration = tables(net.A, net.B)
    if strangers:
        configuration["peer.c"] = {"address": "any", "id": "c.example"}
        configuration["tunnel.c"] = {"peer": "c", "carry": "gre", "device": "cvC", "key": 7}
    lab.culvert(net.B.gw, tables(net.B, net.A, start="wait"))
    a = lab.culvert(net.A.gw, configuration)
    a.wait_up("b")
    return a


def test_a_tunnel_and_a_newcomer_in_a_flood(lab, net):
    a = flooded_gateway(lab, net, strangers=True)
    assert_reaches(net.A.host, net.B.host4)
    before = memory(a.process.pid)
    pings = Echo(net.A.host, net.B.host4, count=0)
    flood = Flood(net, net.A, RATE, SECONDS)
    a.wait_log("a flood of IKE_SA_INIT")
    time.sleep(1)
    c = lab.culvert(net.C.gw, tables(net.C, net.A, tunnel={"key": 7}), start=False)
    start = time.monotonic()
    c.start()
    c.wait_up(timeout=10)
    took = time.monotonic() - start
    a.wait_up("c")
    for rekey, wait in (("--child", lambda: a.wait_new_child(child, "b", 5)), ("--ike", lambda: a.wait_new_ike(ike, "b", 5))):
        child, ike = a.child_spi("b"), a.ike_spis("b")
        a.ctl("rekey", "b", rekey)
        wait()
    flood.finish()
    pings.finish()
    assert pings.received == pings.sent, f"{pings!r}"
    assert took <= 2, f"the newcomer took {took:.2f} s at {flood.rate:.0f} IKE_SA_INIT a second"
    assert flood.rate > RATE / 2
    after, drops = memory(a.process.pid), a.drops()
    assert after - before < GROWTH, f"{before} bytes grew to {after}"
    assert drops["ike_cookie_demanded"] > 1000
    assert drops["ike_cookie_demanded"] + drops["ike_flood"] + drops["control_queue_full"] > flood.sent * 0.95, drops
    a.wait_log("the flood of IKE_SA_INIT is over", timeout=20)
    assert len(a.log().splitlines()) < 40, a.log()
    print(f"{flood.sent} requests, {flood.rate:.0f} a second; the newcomer took {took:.2f} s; {(after - before) / 2**20:.1f} MiB more; {drops}")


@pytest.mark.parametrize("port,garbage", [(500, False), (4500, False), (500, True), (4500, True)])
def test_what_cannot_be_a_peer_is_dropped_and_costs_nothing(lab, net, port, garbage):
    """No peer may come from anywhere; or the requests claim to belong to an IKE SA."""
    a = flooded_gateway(lab, net, strangers=False)
    before = memory(a.process.pid)
    flood = Flood(net, net.A, RATE, 2, port=port, garbage=garbage)
    time.sleep(0.5)
    child = a.child_spi("b")
    a.ctl("rekey", "b", "--child")
    a.wait_new_child(child, "b", 5)
    flood.finish()
    assert_reaches(net.A.host, net.B.host4)
    reason = "ike_unknown_sa" if garbage else "ike_stranger"
    wait_for(lambda: f"{reason} counts: {a.drops()}", lambda: a.drops()[reason] + a.drops()["control_queue_full"] > flood.sent * 0.95, timeout=5)
    assert memory(a.process.pid) - before < GROWTH
    assert len(a.log().splitlines()) < 30, a.log()
