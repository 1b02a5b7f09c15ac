"""culvertd and the culvert command, as a user runs them."""
import json
import os
import re
from pathlib import Path

from .process import LabError, Process, sh, wait_for

BIN = Path(os.environ.get("CULVERT_BIN", Path(__file__).resolve().parents[3] / "build/release/bin"))
AEAD = os.environ.get("CULVERT_LAB_AEAD")  # of every culvert: all tests run with one implementation of AES-GCM
PSK = "a pre-shared key that only the lab knows"


def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return str(value) if isinstance(value, int) else json.dumps(str(value))


def toml(tables):
    """{"gateway": {...}, "peer.b": {...}} as TOML text."""
    return "\n".join(f"[{name}]\n" + "".join(f"{k} = {toml_value(v)}\n" for k, v in table.items()) for name, table in tables.items())


class Culvert:
    """One culvertd in a namespace. `tables` are the TOML tables of its configuration, without what belongs to the lab (socket,
    state); every peer without `auth` gets the lab's PSK."""

    def __init__(self, ns, folder, tables, secrets=None, debug_keys=False, hosts=None):
        self.ns, self.dir = ns, Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.config = self.dir / "culvert.toml"
        self.socket = self.dir / "control.sock"
        self.keys = self.dir / "keys.txt" if debug_keys else None
        self.process = None
        self.manager = None  # a ServiceManager: culvertd is started as its service
        self.wrap = []  # a program, with its arguments, that it is to run under
        for name, text in {"lab.psk": PSK, **(secrets or {})}.items():
            self.secret(name, text)
        self.write(tables)
        self.hosts(hosts)

    def hosts(self, text):
        """What this culvertd alone finds in /etc/hosts; None: the machine's. May change while it runs, once it was given."""
        self.hosts_file = None if text is None else self.dir / "hosts"
        if text is not None:
            self.hosts_file.write_text(text)

    def secret(self, name, text):
        path = self.dir / name
        path.touch(mode=0o600)
        path.write_text(text + "\n")

    def write(self, tables):
        tables = {name: dict(table) for name, table in tables.items()}
        forced = {"aead": AEAD} if AEAD else {}
        tables["gateway"] = {"workers": 2, "user": "nobody", "control_socket": self.socket, "state_dir": self.dir / "state", **forced, **tables["gateway"]}
        for name, table in tables.items():
            if name.startswith("peer."):
                table.setdefault("auth", {"psk_file": "lab.psk"})
        self.config.write_text(toml(tables))

    def start(self, wait=True):
        argv = [BIN / "culvertd", "--config", self.config] + (["--debug-keys", self.keys] if self.keys else [])
        if self.hosts_file:
            argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', self.hosts_file, *argv]
        argv, env, fds = self.manager.wrap(argv) if self.manager else (argv, None, None)
        self.process = Process([*self.wrap, *argv], ns=self.ns, log=self.dir / "culvertd.log", env=env, fds=fds)
        if wait:
            wait_for(lambda: f"culvertd in {self.ns} answers\n{self.log()}", self._answers)

    def _answers(self):
        if not self.process.alive():
            raise LabError(f"culvertd in {self.ns} ended with {self.process.popen.returncode}\n{self.config.read_text()}\n{self.log()}")
        return self.socket.exists() and self.ctl("status", "--json", check=False).returncode == 0

    def ctl(self, *argv, check=True):
        return sh(BIN / "culvert", "--socket", self.socket, *argv, check=check, timeout=60)

    def status(self):
        report = json.loads(self.ctl("status", "--json").stdout)
        return report.get("status", report)

    def peer(self, name=None):
        peers = self.status()["peers"]
        return peers[0] if name is None else next(p for p in peers if p["name"] == name)

    def drops(self):
        """Packets by drop reason."""
        report = json.loads(self.ctl("drops", "--json").stdout)
        rows = report.get("drops", report) if isinstance(report, dict) else report
        return {row["reason"]: row["packets"] for row in rows}

    def is_up(self, name=None):
        peer = self.peer(name)
        return peer["state"] == "up" and all(child["state"] == "up" for child in peer["children"])

    def wait_up(self, name=None, timeout=30):
        wait_for(lambda: f"{self.ns}: peer {name or ''} is up\n{self.describe()}", lambda: self.is_up(name), timeout)
        return self.peer(name)

    def wait_state(self, state, name=None, timeout=30):
        wait_for(lambda: f"{self.ns}: peer {name or ''} is {state}\n{self.describe()}",
                 lambda: self.peer(name)["state"] == state, timeout)

    def wait_new_child(self, old_spi, name=None, timeout=30):
        """Until the (first) child SA is another one than that with `old_spi`."""
        def renewed():
            child = self.peer(name)["children"][0]
            return child["state"] == "up" and child["inbound_spi"] != old_spi
        wait_for(lambda: f"{self.ns}: a new child SA\n{self.describe()}", renewed, timeout)

    def wait_new_ike(self, old_spis, name=None, timeout=30):
        """Until the IKE SA is another one than `old_spis` = (spi_i, spi_r)."""
        def renewed():
            peer = self.peer(name)
            return peer["state"] == "up" and (peer["spi_i"], peer["spi_r"]) != old_spis
        wait_for(lambda: f"{self.ns}: a new IKE SA\n{self.describe()}", renewed, timeout)

    def child_spi(self, name=None):
        return self.peer(name)["children"][0]["inbound_spi"]

    def ike_spis(self, name=None):
        peer = self.peer(name)
        return peer["spi_i"], peer["spi_r"]

    def log(self):
        path = self.dir / "culvertd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_log(self, pattern, timeout=30):
        """Until a line of the log matches the regular expression."""
        return wait_for(lambda: f"{pattern!r} in the log of {self.ns}\n{self.log()}", lambda: re.search(pattern, self.log(), re.M | re.I),
                        timeout)

    def describe(self):
        status = self.ctl("status", check=False)
        return f"--- status of {self.ns}\n{status.stdout}{status.stderr}--- log of {self.ns}\n{self.log()[-6000:]}"

    def kill(self):
        """kill -9, as a crash."""
        self.process.kill()

    def stop(self):
        if self.process:
            code = self.process.stop(45)
            self.process = None
            if code != 0:
                raise LabError(f"culvertd in {self.ns} ended with {code}\n{self.log()[-6000:]}")
