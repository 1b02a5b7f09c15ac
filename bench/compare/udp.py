"""UDP: the highest rate of which less than 1 % is lost, found in a bounded number of short runs. What arrives must arrive at that rate:
a path that only queues what it can't carry would look better in a short run than in a long one."""
import itertools
import json
from math import sqrt
from pathlib import Path

from labkit.process import LabError, Process

GENERATOR = Path(__file__).resolve().parents[2] / "build/compare/udp_load"
MAX_LOSS = 0.01
LATE_SHARE, LATE_SECONDS = 0.02, 0.005  # what arrives later than that after its time was queued, not carried
CLOSE_ENOUGH = 1.05  # the search ends when what is too much is within this factor of what is not
_ports = itertools.count(7001)


class Run:
    """One run at `rate` datagrams a second (0: as fast as the generator goes). Rates are in datagrams a second."""

    def __init__(self, contender, size, segments, rate, seconds):
        client, server = contender.net.A.host, contender.net.B.host
        port = next(_ports)
        receiver = Process([GENERATOR, "receive", port, seconds + 5], ns=server)
        try:
            receiver.wait_output("ready")
            sent = json.loads(client.run(GENERATOR, "send", contender.net.B.host4, port, size, segments, rate, seconds,
                                         timeout=seconds + 20).stdout)
            receiver.wait(10)
            received = json.loads(receiver.output().splitlines()[-1])
        finally:
            receiver.stop()
        if not sent["datagrams"]:
            raise LabError("udp_load sent nothing")
        self.offered = sent["datagrams"] / sent["seconds"]
        self.delivered = received["datagrams"] / max(sent["seconds"], received["seconds"])
        self.loss = max(0.0, 1 - received["datagrams"] / sent["datagrams"])
        late = received["seconds"] > sent["seconds"] * (1 + LATE_SHARE) + LATE_SECONDS
        self.good = self.loss < MAX_LOSS and not late

    def summary(self):
        return {"offered": round(self.offered), "delivered": round(self.delivered), "loss": round(self.loss, 5), "good": self.good}


def find_highest(run, steps):
    """The best good run of at most `steps` and the first, or None; `run(rate)` makes one. Begins as fast as the generator goes, then what
    came of that, then halves the interval between good and bad."""
    first = run(0)
    if first.good:
        return first
    best, too_much, rate = None, first.offered, 0.95 * first.delivered
    for _ in range(steps):
        found = run(max(rate, 1))
        if found.good:
            best = found if best is None or found.delivered > best.delivered else best
        else:
            too_much = min(too_much, rate)
        if best and too_much < best.delivered * CLOSE_ENOUGH:
            break
        rate = sqrt(best.delivered * too_much) if best else 0.6 * too_much
    return best


def measure(contender, settings, size, segments=1):
    """`limit`: who ended the search, the path or the generator."""
    runs = []

    def run(rate):
        runs.append(Run(contender, size, segments, rate, settings.udp_seconds))
        return runs[-1]
    best = find_highest(run, settings.udp_steps)
    if best is None:
        raise LabError(f"more than 1 % lost or late at every rate tried, the last {runs[-1].offered:.0f}/s")
    return {"kpps": best.delivered / 1e3, "gbit_s": best.delivered * size * 8 / 1e9, "loss": best.loss,
            "generator_kpps": runs[0].offered / 1e3, "limit": "generator" if best is runs[0] else "path",
            "search": [found.summary() for found in runs]}
