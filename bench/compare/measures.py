"""What is measured."""
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.process import LabError
from labkit.traffic import iperf3

import ping
import udp

LARGE, SMALL = 1372, 64  # payload of datagrams: 1,372 makes 1,400 with IPv4 and UDP, the MTU of the LANs
QUIC_SEGMENTS = 47       # the most datagrams of 1,372 bytes that one send may hand to the kernel
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK  # utime and stime: proc(5), counted from the field after the name


class GatewayCpu:
    """The processor seconds of both gateways between two moments."""

    def __init__(self, contender):
        self.pids = contender.pids
        self.start = [cpu_seconds(pid) for pid in self.pids]

    def spent(self):
        return [cpu_seconds(pid) - start for pid, start in zip(self.pids, self.start)]


def tcp(contender, settings, *options):
    """iperf3 from host A to host B, cubic whatever the machine prefers. `gbit_per_core_second` is the busier gateway's."""
    cpu = GatewayCpu(contender)
    report = iperf3(contender.net.A.host, contender.net.B.host, contender.net.B.host4, "-t", settings.seconds, "-C", "cubic", *options,
                    timeout=settings.seconds + 20)
    received = report["end"]["sum_received"]
    if not received["bytes"]:
        raise LabError("iperf3: nothing arrived")
    spent = cpu.spent()
    sample = {"gbit_s": received["bits_per_second"] / 1e9, "gbit": received["bytes"] * 8 / 1e9,
              "retransmits": report["end"]["sum_sent"].get("retransmits", 0), "cpu_s": spent}
    if spent and max(spent) > 0:
        sample["gbit_per_core_second"] = sample["gbit"] / max(spent)
        sample["core_seconds_per_gbit"] = max(spent) / sample["gbit"]
        sample["cores"] = max(spent) / received["seconds"]
    return sample


@dataclass(frozen=True)
class Measure:
    """A sample is a dict of numbers. In a round each contender gets `turns` turns, one after the other; `join` makes a sample of what
    `turn` returned in them."""
    turn: Callable  # (contender, settings)
    turns: int = 1
    join: Callable = lambda turns: turns[0]


MEASURES = {
    "tcp1": Measure(tcp),
    "tcp1r": Measure(lambda contender, settings: tcp(contender, settings, "-R")),
    "tcp4": Measure(lambda contender, settings: tcp(contender, settings, "-P", 4)),
    "tcp4r": Measure(lambda contender, settings: tcp(contender, settings, "-P", 4, "-R")),
    "udp1372": Measure(lambda contender, settings: udp.measure(contender, settings, LARGE)),
    "udp64": Measure(lambda contender, settings: udp.measure(contender, settings, SMALL)),
    "udpgso": Measure(lambda contender, settings: udp.measure(contender, settings, LARGE, QUIC_SEGMENTS)),
    "ping": Measure(ping.turn, ping.TURNS, ping.join),
}
