"""A flood of IKE_SA_INIT from forged addresses (flood.cpp), from the internet onto a site's gateway."""
import re

from .culvert import BIN
from .process import Process

FLOOD = BIN.parent / "tests/lab/lab_flood"
NOBODY = "02:00:00:00:00:99"  # no device has this address: what is sent there costs all but the gateway's work


class Flood:
    """Runs until `seconds` are over; stop() ends it and sets `sent` and `rate`. `blackhole`: the same frames for nobody. `cores`: of taskset."""

    def __init__(self, net, site, rate, seconds, port=500, garbage=False, blackhole=False, cores=None):
        # answers to addresses that nobody has end here, without a word
        net.internet.ip("route", "replace", "blackhole", "100.64.0.0/10")
        mac = NOBODY if blackhole else site.gw.run("cat", "/sys/class/net/wan/address").stdout.strip()
        pinned = ["taskset", "-c", cores] if cores else []
        self.process = Process([*pinned, FLOOD, f"wan{site.letter}", mac, site.wan4, port, rate, seconds, *(["garbage"] if garbage else [])],
                               ns=net.internet)
        self.process.wait_output("ready")
        self.seconds = seconds

    def finish(self):
        self.process.wait(self.seconds + 20)
        sent, seconds = re.search(r"sent (\d+) seconds ([\d.]+)", self.process.output()).groups()
        self.sent, self.rate = int(sent), int(sent) / float(seconds)
        self.process.stop()
        return self

    def stop(self):
        self.process.stop()


def memory(pid):
    """Bytes that a process has in memory."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024


def cpu_seconds(pid, thread=None):
    """CPU time so far of a process, or of its threads whose name has `thread` in it."""
    total = 0.0
    from pathlib import Path
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "stat").read_text()
        name, fields = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if thread is None or thread in name:
            total += (int(fields[11]) + int(fields[12])) / 100
    return total
