"""Rekeys under load lose nothing. Runs alone: it measures the path."""
import contextlib
import os
import threading
import time

from labkit.pair import pair, tables
from labkit.traffic import UdpRun, assert_reaches, full_queues, iperf3, losses

SIZE = 1000      # bytes of each UDP datagram
SECONDS = 60     # under rekeys
BASELINE = 10    # seconds without
SLOWEST = 20     # Mbit/s, when the machine is too busy to tell what the path carries
QUEUE = 10_000   # packets that a device's queue holds: a machine that does not run culvertd for a second is no loss of a rekey
ATTEMPTS = 4     # when a queue of the kernel overflowed


@contextlib.contextmanager
def ahead_of_others():
    """What the machine does beside this test must not look like a loss. For what is started within, at a load that leaves the kernel's own
    threads their time."""
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)


class Watcher(threading.Thread):
    """Collects the SPIs that a culvert shows while something else runs."""

    def __init__(self, culvert):
        super().__init__(daemon=True)
        self.culvert, self.children, self.ikes, self.down, self.stopped = culvert, set(), set(), 0, False

    def run(self):
        while not self.stopped:
            peer = self.culvert.peer()
            self.down += peer["state"] != "up"
            self.ikes.add((peer["spi_i"], peer["spi_r"]))
            self.children.update(child["inbound_spi"] for child in peer["children"])
            time.sleep(0.4)

    def stop(self):
        self.stopped = True
        self.join()


def capacity(net):
    """Mbit/s of UDP that the tunnel carries, by the receiver's count."""
    report = iperf3(net.A.host, net.B.host, net.B.host4, "-u", "-b", "0", "-t", 3, "-l", SIZE, "-w", "2M")["end"]["sum"]
    return (report["packets"] - report["lost_packets"]) * SIZE * 8 / report["seconds"] / 1e6


def lengthen_queues(net):
    for ns, device in ((net.A.gw, "cvB"), (net.B.gw, "cvA")):
        ns.ip("link", "set", device, "txqueuelen", QUEUE)


def restart(net, a, b, peer):
    a.stop()
    b.stop()
    for culvert, us, them, start in ((b, net.B, net.A, "wait"), (a, net.A, net.B, "always")):
        culvert.write(tables(us, them, start=start, peer=peer))
        culvert.start()
    a.wait_up()
    b.wait_up()
    lengthen_queues(net)


def watched_run(net, a, b, rate):
    """A UdpRun beside a Watcher of A; and how many packets can have found a queue of the kernel full meanwhile."""
    before = full_queues(net.A.gw, net.B.gw)
    watcher = Watcher(a)
    watcher.start()
    run = UdpRun(net.A.host, net.B.host, net.B.host4, rate, SECONDS, SIZE)
    watcher.stop()
    overflowed = full_queues(net.A.gw, net.B.gw) - before
    print(losses((net.A.gw, a), (net.B.gw, b)))
    print(f"at {rate:.0f} Mbit/s with rekeys {run}; at most {overflowed} found a full queue of the kernel; {len(watcher.children)} child SAs, "
          f"{len(watcher.ikes)} IKE SAs")
    return run, watcher, overflowed


def test_no_inner_packet_is_lost_while_child_and_ike_sa_are_rekeyed_every_3_seconds(lab):
    net = lab.net()
    with ahead_of_others():
        a, b = pair(lab, net)
    path = capacity(net)
    rate = max(0.2 * path, SLOWEST)
    lengthen_queues(net)
    with ahead_of_others():
        baseline = UdpRun(net.A.host, net.B.host, net.B.host4, rate, BASELINE, SIZE)
        print(f"path: {path:.0f} Mbit/s; at {rate:.0f} Mbit/s without rekey {baseline}")
        allowed = baseline.lost * SECONDS / BASELINE
        restart(net, a, b, {"child_lifetime": "3s", "ike_lifetime": "3s"})
        for _ in range(ATTEMPTS):
            run, watcher, overflowed = watched_run(net, a, b, rate)
            assert len(watcher.children) >= SECONDS / 3 * 0.8 and len(watcher.ikes) >= SECONDS / 3 * 0.8
            assert watcher.down == 0
            # What culvertd had in its hands is never lost. A queue before it may overflow when the machine does not let it run, which is
            # no matter of rekeys; if a rekey held it up, that would show in every attempt.
            assert run.lost - overflowed <= allowed
            if run.lost <= allowed:
                break
    assert run.lost <= allowed, f"in each of {ATTEMPTS} attempts"
    assert_reaches(net.B.host, net.A.host4)
