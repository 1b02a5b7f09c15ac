"""Routing daemons in a namespace, with sockets and files of their own: FRR (zebra, staticd, ospfd) and BIRD 2."""
import json
import shutil
from pathlib import Path

from .process import Process, sh, wait_for

FRR = Path("/usr/lib/frr")


class Frr:
    """`conf` is the text of frr.conf; it is loaded as `vtysh -b` loads it."""

    def __init__(self, ns, folder, conf, daemons=("zebra", "staticd", "ospfd")):
        self.ns, self.dir = ns, Path(folder)
        self.conf = self.dir / "frr.conf"
        self.conf.write_text(conf)
        (self.dir / "none.conf").touch()
        shutil.chown(self.dir, "frr", "frr")  # they leave root for a user of their own, and insist on that
        self.dir.parent.chmod(0o711)
        self.processes = []
        for name in daemons:
            options = ["-f", self.dir / "none.conf", "-i", self.dir / f"{name}.pid", "-z", self.dir / "zserv.api", "--vty_socket", self.dir,
                       "-P", 0, "--log", f"file:{self.dir}/{name}.log"]
            self.processes.append(Process([FRR / name, *options], ns=ns, log=self.dir / f"{name}.out"))
            wait_for(lambda: f"{name} answers\n{self.processes[-1].output()}", (self.dir / f"{name}.vty").exists)
        self.vtysh("-f", self.conf)

    def vtysh(self, *argv):
        return sh("vtysh", "--vty_socket", self.dir, "--config_dir", self.dir, *argv).stdout

    def show(self, what):
        """The answer to `show … json`."""
        return json.loads(self.vtysh("-c", f"show {what} json") or "{}")

    def stop(self):
        for process in reversed(self.processes):
            process.stop()


class Bird:
    def __init__(self, ns, folder, conf):
        self.ns, self.dir = ns, Path(folder)
        self.conf, self.socket = self.dir / "bird.conf", self.dir / "bird.ctl"
        self.conf.write_text(conf)
        self.process = Process(["bird", "-f", "-c", self.conf, "-s", self.socket, "-P", self.dir / "bird.pid"], ns=ns, log=self.dir / "bird.out")
        wait_for(lambda: f"bird answers\n{self.process.output()}", self.socket.exists)

    def birdc(self, *words):
        return sh("birdc", "-s", self.socket, *words, check=False).stdout

    def stop(self):
        self.process.stop()
