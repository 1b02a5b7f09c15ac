"""`culvert capture` as a user runs it, and what tshark reads of its files."""
import os
import re
import shlex
import signal

from .culvert import BIN
from .process import Process, sh, wait_for


class LiveCapture:
    """`culvert capture` of a gateway into a file; a context manager that ends it by Ctrl-C. It runs outside of the gateway's namespace
    and finds it by the control socket."""

    def __init__(self, gateway, folder, *argv, name="live"):
        self.path = folder / f"{name}.pcapng"
        self.process = Process([BIN / "culvert", "--socket", gateway.socket, "capture", *argv, "-w", self.path])
        self.process.wait_output("capturing")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.alive():
            self.process.popen.send_signal(signal.SIGINT)
        code = self.process.wait()
        self.text = self.process.output()
        self.process.stop()
        assert code == 0, self.text

    def wait_end(self, timeout=30):
        """Until it ends by itself."""
        code = self.process.wait(timeout)
        self.text = self.process.output()
        self.process.stop()
        assert code == 0, self.text

    @property
    def counts(self):
        """(all, inner, outer, dropped) as it says itself."""
        found = re.search(r"(\d+) packets captured \((\d+) inner, (\d+) outer\), (\d+) dropped", self.text)
        return tuple(map(int, found.groups()))

    def printed_command(self):
        """(environment, arguments) of the tshark that it says to run."""
        line = next(line for line in self.text.splitlines() if " tshark -r " in line)
        words = shlex.split(line)
        name, value = words[0].split("=", 1)
        return {name: value}, words[1:]

    def tshark(self, display=None, fields=(), keys=False):
        """Lines that tshark prints, with the command that the capture has printed when `keys`."""
        env, argv = self.printed_command() if keys else ({}, ["tshark", "-r", str(self.path)])
        argv = [*argv, "-n"] + (["-Y", display] if display else [])
        if fields:
            argv += ["-T", "fields"] + [part for field in fields for part in ("-e", field)]
        lines = sh(*argv, env={**os.environ, **env}, timeout=120).stdout.splitlines()
        return [line.split("\t") for line in lines] if fields else lines

    def count(self, display, keys=False):
        return len(self.tshark(display, keys=keys))


def wait_exported(gateway):
    """Until the gateway says that it gives keys to nobody any more."""
    wait_for(lambda: f"no key export: {gateway.status()['key_export']}", lambda: gateway.status()["key_export"] == "")
