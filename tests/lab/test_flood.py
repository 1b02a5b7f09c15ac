"""A flood of IKE_SA_INIT from forged addresses (flood.cpp) on a gateway with an established tunnel, and a peer that comes in the middle of
it. scripts/flood measures what the tunnel's throughput feels; here nothing is timed but how long the newcomer takes.

CULVERT_FLOOD_SECONDS and CULVERT_FLOOD_RATE make it longer and harder."""
import os
import time

import pytest

from labkit.flood import Flood, HalfOpenFlood, memory
from labkit.pair import tables
from labkit.process import wait_for
from labkit.traffic import Echo, assert_reaches

RATE, SECONDS = int(os.environ.get("CULVERT_FLOOD_RATE", 15000)), int(os.environ.get("CULVERT_FLOOD_SECONDS", 10))
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


def newcomer(lab, net, a, timeout=10):
    """Seconds until a gateway from an address that nobody knows is up."""
    c = lab.culvert(net.C.gw, tables(net.C, net.A, tunnel={"key": 7}), start=False)
    start = time.monotonic()
    c.start()
    c.wait_up(timeout=timeout)
    took = time.monotonic() - start
    a.wait_up("c")
    return took


def test_a_tunnel_and_a_newcomer_in_a_flood(lab, net):
    a = flooded_gateway(lab, net, strangers=True)
    assert_reaches(net.A.host, net.B.host4)
    before = memory(a.process.pid)
    pings = Echo(net.A.host, net.B.host4, count=0)
    flood = Flood(net, net.A, RATE, SECONDS)
    a.wait_log("a flood of IKE_SA_INIT")
    time.sleep(1)
    took = newcomer(lab, net, a)
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
    assert drops["ike_cookie_demanded"] > 100
    assert drops["ike_cookie_demanded"] + drops["ike_flood"] + drops["control_queue_full"] > flood.sent * 0.95, drops
    a.wait_log("the flood of IKE_SA_INIT is over", timeout=20)
    assert len(a.log().splitlines()) < 40, a.log()
    print(f"{flood.sent} requests, {flood.rate:.0f} a second; the newcomer took {took:.2f} s; {(after - before) / 2**20:.1f} MiB more; {drops}")


@pytest.mark.parametrize("port,garbage", [(500, False), (4500, False), (500, True), (4500, True)])
def test_what_cannot_be_a_peer_is_dropped_and_costs_nothing(lab, net, port, garbage):
    """No peer may come from anywhere; or the requests claim to belong to an IKE SA."""
    a = flooded_gateway(lab, net, strangers=False)
    before = memory(a.process.pid)
    flood = Flood(net, net.A, RATE, 2, port=port, kind=["garbage"] if garbage else [])
    time.sleep(0.5)
    child = a.child_spi("b")
    a.ctl("rekey", "b", "--child")
    a.wait_new_child(child, "b", 5)
    flood.finish()
    assert_reaches(net.A.host, net.B.host4)
    reason = "ike_unknown_sa" if garbage else "ike_stranger"
    wait_for(lambda: f"{reason} counts: {a.drops()}", lambda: sum(a.drops()[counter] for counter in (reason, "ike_flood", "control_queue_full")) > flood.sent * 0.95, timeout=5)
    assert memory(a.process.pid) - before < GROWTH
    assert len(a.log().splitlines()) < 30, a.log()


@pytest.mark.parametrize("kind,reasons", [(["prefix"], ["ike_flood", "ike_cookie_demanded"]), (["cookie"], ["ike_flood", "ike_cookie_demanded"]),
                                          (["resume"], ["ike_flood", "ike_cookie_demanded"])], ids=lambda value: value[0])
def test_other_requests_that_are_made_up_keep_nobody_out(lab, net, kind, reasons):
    """From one prefix; with cookies; to resume, with tickets."""
    a = flooded_gateway(lab, net, strangers=True)
    before = memory(a.process.pid)
    flood = Flood(net, net.A, RATE, 4, kind=kind)
    time.sleep(1)
    took = newcomer(lab, net, a)
    flood.finish()
    assert took <= 2, f"the newcomer took {took:.2f} s"
    drops = a.drops()
    assert sum(drops[reason] for reason in [*reasons, "control_queue_full"]) > flood.sent * 0.95, drops
    assert memory(a.process.pid) - before < GROWTH
    assert_reaches(net.A.host, net.B.host4)


def test_one_prefix_that_answers_takes_its_share_of_half_open_ike_sas_and_no_more(lab, net):
    """With IKE_AUTH that cannot be opened, too."""
    a = flooded_gateway(lab, net, strangers=True)
    before = memory(a.process.pid)
    flood = HalfOpenFlood(net, net.A)
    a.wait_log("a flood of IKE_SA_INIT")
    time.sleep(2)
    took = newcomer(lab, net, a)
    child = a.child_spi("b")
    a.ctl("rekey", "b", "--child")
    a.wait_new_child(child, "b", 5)
    drops = a.drops()
    flood.finish()
    print(f"{flood.asked} asked, {flood.cookies} cookies, {flood.half_open} half open; the newcomer took {took:.2f} s; {drops}")
    assert took <= 2, f"the newcomer took {took:.2f} s"
    # a quarter of 1,000 with a cookie, and those before cookies were asked for
    assert 200 <= flood.half_open <= 250 + 110, flood.half_open
    assert drops["ike_source_limit"] > 100, drops
    assert memory(a.process.pid) - before < GROWTH
    assert_reaches(net.A.host, net.B.host4)


def test_forged_fragments_of_an_ike_sa_cost_it_nothing(lab, net):
    """Whoever sees the SPIs can send pieces for it; each is authenticated before it is kept (RFC 7383 §2.6)."""
    both = {"peer": {"liveness": "60s"}}
    lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", **both))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, **both))
    spis = a.wait_up("b")
    before = memory(a.process.pid)
    flood = Flood(net, net.A, RATE, 4, port=4500, kind=["fragments", spis["spi_i"].removeprefix("0x"), spis["spi_r"].removeprefix("0x")])
    time.sleep(1)
    for rekey, wait in (("--child", lambda: a.wait_new_child(child, "b", 5)), ("--ike", lambda: a.wait_new_ike(ike, "b", 5))):
        child, ike = a.child_spi("b"), a.ike_spis("b")
        a.ctl("rekey", "b", rekey)
        wait()
    flood.finish()
    drops = a.drops()
    print(f"{flood.sent} fragments; {({reason: packets for reason, packets in drops.items() if packets})}")
    assert memory(a.process.pid) - before < GROWTH
    assert len(a.log().splitlines()) < 40, a.log()
    assert_reaches(net.A.host, net.B.host4)
