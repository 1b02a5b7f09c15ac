"""Links that flap under a hundred tunnels between two gateways.

CULVERT_FLAPS="DOWN,UP": how many seconds the link is down and up each time, e.g. "10,2"; CULVERT_FLAPS_SITE: whose link, A's or B's."""
import collections
import os
import re
import time

from labkit.process import wait_for

NUM = 100


def many(us, them, start, address):
    """NUM peers with an identity, a device and a GRE tunnel each, all between the same two gateways."""
    ours, theirs = us.letter.lower(), them.letter.lower()
    conf = {"gateway": {"id": f"{ours}.example"}}
    for n in range(NUM):
        conf[f"peer.p{n}"] = {"address": address, "id": f"{theirs}{n}.example", "local_id": f"{ours}{n}.example", "start": start,
                              "liveness": "2s", "retransmit_timeout": "300ms", "retransmit_tries": 7,
                              "ike": ["aes128gcm16-prfsha256-x25519"], "esp": ["aes128gcm16-x25519"]}
        conf[f"tunnel.t{n}"] = {"peer": f"p{n}", "carry": "gre", "key": n, "device": f"cv{n}"}
    return conf


def lines_by_second(log):
    return collections.Counter(re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", log, re.M))


def pauses(flap):
    """How long the link is down, and up."""
    chosen = os.environ.get("CULVERT_FLAPS")
    return map(float, chosen.split(",")) if chosen else (0.3 if flap % 4 else 1.2, 0.4)


def test_a_hundred_tunnels_survive_twenty_link_flaps(lab):
    net = lab.net()
    b = lab.culvert(net.B.gw, many(net.B, net.A, "wait", "any"))
    a = lab.culvert(net.A.gw, many(net.A, net.B, "always", [net.B.wan4]))
    ends = (a, b)
    site = net.sites[os.environ.get("CULVERT_FLAPS_SITE", "A")]

    def counts(end):
        peers = end.status()["peers"]
        return (sum(p["state"] == "up" and all(c["state"] == "up" for c in p["children"]) for p in peers),
                sum(p["ike_sas"] for p in peers), sum(p["child_sas"] for p in peers))

    wait_for(lambda: f"all are up: {counts(a)} {counts(b)}", lambda: all(counts(end) == (NUM, NUM, NUM) for end in ends), timeout=60)
    spis = {p["spi_i"] for p in a.status()["peers"]}
    marks = [len(end.log()) for end in ends]
    started = time.monotonic()
    for flap in range(20):
        down, up = pauses(flap)
        site.gw.ip("link", "set", "wan", "down")
        time.sleep(down)
        site.gw.ip("link", "set", "wan", "up")
        site.gw.route("default", site.wan4[:-1] + "254")
        time.sleep(up)
    wait_for(lambda: f"exactly {NUM} of each: {counts(a)} {counts(b)}\n{a.log()[-3000:]}",
             lambda: all(counts(end) == (NUM, NUM, NUM) for end in ends), timeout=60)
    time.sleep(1)
    for end, mark in zip(ends, marks):
        busiest = max(lines_by_second(end.log()[mark:]).values(), default=0)
        print(f"{end.ns}: at most {busiest} lines a second in {time.monotonic() - started:.0f} s of flaps")
        assert busiest < 10, end.log()[mark:mark + 4000]
        for note in re.findall(r"log: \d+ lines left out", end.log()[mark:]):
            print(note)
    kept = len(spis & {p["spi_i"] for p in a.status()["peers"]})
    print(f"{kept} of {NUM} IKE SAs are those of before")
    assert {(p["spi_i"], p["spi_r"]) for p in a.status()["peers"]} == {(p["spi_i"], p["spi_r"]) for p in b.status()["peers"]}
    assert kept == NUM
