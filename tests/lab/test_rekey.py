"""Rekeys under load lose nothing. Runs alone: it measures the path."""
import re
import threading
import time

from labkit.pair import pair, tables
from labkit.traffic import UdpRun, assert_reaches, iperf3, udp_receive_errors

SIZE = 1000      # bytes of each UDP datagram
SECONDS = 60     # under rekeys
BASELINE = 10    # seconds without


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


def losses(net, culverts):
    """Where packets can go astray, as text: culvert's own reasons, full socket buffers, full queues of the devices."""
    found = []
    for culvert, site in zip(culverts, (net.A, net.B)):
        reasons = {reason: packets for reason, packets in culvert.drops().items() if packets}
        devices = re.findall(r"^\s*(\w+):(?:\s+\d+){3}\s+(\d+)(?:\s+\d+){7}\s+(\d+)", site.gw.run("cat", "/proc/net/dev").stdout, re.M)
        queues = {name: (int(received), int(sent)) for name, received, sent in devices if received != "0" or sent != "0"}
        found.append(f"{site.gw}: drops {reasons}, full sockets {udp_receive_errors(site.gw)}, devices' drops (in, out) {queues}")
    return "\n".join(found)


def capacity(net):
    """Mbit/s of UDP that the tunnel carries, by the receiver's count."""
    report = iperf3(net.A.host, net.B.host, net.B.host4, "-u", "-b", "0", "-t", 3, "-l", SIZE, "-w", "2M")["end"]["sum"]
    return (report["packets"] - report["lost_packets"]) * SIZE * 8 / report["seconds"] / 1e6


def test_no_inner_packet_is_lost_while_child_and_ike_sa_are_rekeyed_every_3_seconds(lab):
    net = lab.net()
    a, b = pair(lab, net)
    rate = capacity(net) * 0.2
    baseline = UdpRun(net.A.host, net.B.host, net.B.host4, rate, BASELINE, SIZE)
    a.stop()
    b.stop()
    for culvert, us, them, start in ((b, net.B, net.A, "wait"), (a, net.A, net.B, "always")):
        culvert.write(tables(us, them, start=start, peer={"child_lifetime": "3s", "ike_lifetime": "3s"}))
        culvert.start()
    a.wait_up()
    b.wait_up()
    watcher = Watcher(a)
    watcher.start()
    run = UdpRun(net.A.host, net.B.host, net.B.host4, rate, SECONDS, SIZE)
    watcher.stop()
    print(losses(net, (a, b)))
    print(f"path: {rate * 5:.0f} Mbit/s; at {rate:.0f} Mbit/s without rekey {baseline}, with rekeys {run}; "
          f"{len(watcher.children)} child SAs, {len(watcher.ikes)} IKE SAs")
    assert len(watcher.children) >= SECONDS / 3 * 0.8 and len(watcher.ikes) >= SECONDS / 3 * 0.8
    assert watcher.down == 0
    assert run.lost <= baseline.lost * SECONDS / BASELINE
    assert_reaches(net.B.host, net.A.host4)

