"""culvert monitor beside a daemon."""
import signal
import subprocess

from .culvert import BIN
from .process import wait_for
from .schemas import conform


class Monitor:
    """culvert monitor --json beside a daemon; every line is held to docs/schema/event.json."""

    def __init__(self, lab, daemon, *argv):
        self.file = lab.path("monitor") / "out"
        self.daemon = daemon
        self.process = subprocess.Popen([BIN / "culvert", "--socket", daemon.socket, "monitor", "--json", *argv],
                                        stdout=self.file.open("w"), stderr=subprocess.PIPE, text=True)
        lab.at_end(self.process.kill)

    def events(self, kind=None):
        lines = [line for line in self.file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        events = [conform("event", line) for line in lines]
        return [event for event in events if kind in (None, event["event"])]

    def wait(self, kind, num=1):
        wait_for(lambda: f"{num} events {kind}, there are {self.events()}\n{self.daemon.log()[-3000:]}", lambda: len(self.events(kind)) >= num)
        return self.events(kind)[-1]

    def end(self, number=signal.SIGINT):
        if number:
            self.process.send_signal(number)
        return self.process.wait(20), self.process.stderr.read()
