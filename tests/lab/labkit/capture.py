"""Captures with tcpdump, read with tshark."""
import re
import signal
from pathlib import Path

from .process import Process, private_copy, sh, wait_for


class Capture:
    """tcpdump on one device; a context manager, `path` is the pcap file."""

    def __init__(self, ns, device, folder, name="capture", expression=""):
        self.path = Path(folder) / f"{name}.pcap"
        program = private_copy("tcpdump", folder)
        # Not --immediate-mode: its ring has one slot of the largest size for each packet, that is 32 of them in 8 MiB.
        argv = [program, "-Z", "root", "-U", "-B", "8192", "-nn", "-i", device, "-w", self.path]
        self.process = Process([*argv, *expression.split()], ns=ns)
        self.process.wait_output("listening on")

    def stop(self):
        self._catch_up()
        self.process.stop()
        return self

    def _catch_up(self):
        """Until tcpdump has written all that the kernel has given it: on a busy machine that comes later than the packets, and what it
        has not read when it ends is lost. SIGUSR1 makes it print its counters."""
        reports = r"(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped"

        def caught_up():
            before = len(re.findall(reports, self.process.output()))
            self.process.popen.send_signal(signal.SIGUSR1)
            wait_for("tcpdump's counters", lambda: len(re.findall(reports, self.process.output())) > before, interval=0.01)
            captured, received, dropped = map(int, re.findall(reports, self.process.output())[-1])
            return captured + dropped >= received
        if self.process.alive():
            wait_for(lambda: f"tcpdump reads all\n{self.process.output()}", caught_up)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def tshark(self, *options, fields=(), display=None):
        """Lines of tshark's output; with `fields` each line is a list of their values."""
        argv = ["tshark", "-n", "-r", self.path, *options]
        argv += ["-Y", display] if display else []
        if fields:
            argv += ["-T", "fields"] + [part for field in fields for part in ("-e", field)]
        lines = sh(*argv, timeout=120).stdout.splitlines()
        return [line.split("\t") for line in lines] if fields else lines

    def count(self, display, *options):
        return len(self.tshark(*options, display=display))
