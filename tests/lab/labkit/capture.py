"""Captures with tcpdump, read with tshark."""
from pathlib import Path

from .process import Process, private_copy, sh


class Capture:
    """tcpdump on one device; a context manager, `path` is the pcap file."""

    def __init__(self, ns, device, folder, name="capture", expression=""):
        self.path = Path(folder) / f"{name}.pcap"
        program = private_copy("tcpdump", folder)
        argv = [program, "-Z", "root", "-U", "--immediate-mode", "-B", "8192", "-nn", "-i", device, "-w", self.path]
        self.process = Process([*argv, *expression.split()], ns=ns)
        self.process.wait_output("listening on")

    def stop(self):
        self.process.stop()
        return self

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
