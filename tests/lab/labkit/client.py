"""`culvert connect` as a user runs it, on a machine of its own: a network namespace, and a mount namespace with its own /etc."""
import json
import shutil
from pathlib import Path

from .culvert import BIN, toml_value
from .process import Process, sh, wait_for


class Machine:
    """/etc is a copy, which may be changed; systemd does not run here."""

    def __init__(self, ns, folder):
        self.ns, self.dir = ns, Path(folder)
        self.etc = self.dir / "etc"
        shutil.copytree("/etc", self.etc, symlinks=True, ignore_dangling_symlinks=True, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("ssl", "alternatives", "X11", "apparmor.d", "fonts", "java*", "perl", "vim"))
        self.resolv_conf = self.etc / "resolv.conf"
        self.resolv_conf.unlink(missing_ok=True)
        self.resolv_conf.write_text("# of the local network\nnameserver 192.0.2.253\n")
        script = 'mount --bind "$0" /etc && echo ready && exec sleep infinity'
        self.holder = Process(["unshare", "-m", "--propagation", "private", "sh", "-c", script, self.etc], ns=ns)
        self.holder.wait_output("ready")

    def run(self, *argv, **options):
        return sh("nsenter", "-t", self.holder.pid, "-m", "-r", "-n", *argv, **options)

    def start(self, *argv, log):
        return Process(["nsenter", "-t", self.holder.pid, "-m", "-r", "-n", *argv], log=log)

    def stop(self):
        self.holder.kill()


class Client:
    """One profile on a Machine. `profile` are its keys."""

    def __init__(self, machine, folder, profile, name="office"):
        self.machine, self.dir, self.name = machine, Path(folder), name
        self.run_dir = self.dir / "run"
        self.file = self.dir / f"{name}.toml"
        self.process = None
        self.write(profile)

    def write(self, profile):
        self.profile = {"liveness": "2s", "retransmit_timeout": "300ms", "retransmit_tries": 5, **profile}
        self.file.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in self.profile.items()))

    @property
    def device(self):
        return f"cv-{self.name}"[:15]

    def culvert(self, *argv, **options):
        return self.machine.run(BIN / "culvert", "--run-dir", self.run_dir, *argv, **options)

    def connect(self, wait=True):
        self.process = self.machine.start(BIN / "culvert", "--run-dir", self.run_dir, "connect", self.file, log=self.dir / "culvertd.log")
        if wait:
            self.wait_connected()

    def wait_connected(self, timeout=20):
        wait_for(lambda: f"{self.name} is connected\n{self.log()}", self.is_up, timeout)

    def is_up(self):
        peer = self.peer()
        return bool(peer) and peer["state"] == "up" and all(child["state"] == "up" for child in peer["children"])

    def peer(self):
        done = self.culvert("--client", self.name, "status", "--json", check=False)
        if done.returncode != 0:
            return None
        report = json.loads(done.stdout)
        return report.get("status", report)["peers"][0]

    def ike_spis(self):
        peer = self.peer()
        return peer["spi_i"], peer["spi_r"]

    def disconnect(self, check=True):
        return self.culvert("disconnect", self.name, check=check)

    def log(self):
        path = self.dir / "culvertd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self):
        """kill -9, as a crash."""
        self.process.kill()

    def stop(self):
        if (self.run_dir / f"client-{self.name}").exists():
            self.disconnect(check=False)
        if self.process:
            self.process.stop()
