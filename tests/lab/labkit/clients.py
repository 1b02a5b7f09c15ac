"""Road warriors by the thousand against one gateway: lab_clients (../clients) in the namespaces of site A, culvertd on B, a host behind it."""
import ipaddress
import json
import subprocess
from pathlib import Path

from .culvert import BIN, PSK, Culvert
from .process import LabError, sh, wait_for

CLIENTS = BIN.parent / "tests/lab/lab_clients"
OUTSIDE = "100.64.0.0/14"            # where they are; each has an address of its own
PASSWORD = "the clients' password"
AUTHS = ("psk", "eap", "cert")


def make_pki(folder):
    """CA, and the gateway's certificate, by openssl."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    sh("openssl", "req", "-x509", *new_key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", 30, "-subj", "/CN=clients",
       "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    sh("openssl", "req", *new_key, "-keyout", folder / "gw.key", "-out", folder / "gw.csr", "-subj", "/CN=gw.example")
    (folder / "gw.ext").write_text("subjectAltName=DNS:gw.example\n")
    sh("openssl", "x509", "-req", "-in", folder / "gw.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", 30,
       "-extfile", folder / "gw.ext", "-out", folder / "gw.pem")
    (folder / "gw.key").chmod(0o600)


def gateway(lab, net, auth, users, pool4, pool6, liveness="15s", start=True, **more):
    """A culvertd on site B that gives out addresses of these two pools; users c0 … may log in. The pool's last address is its own."""
    folder = lab.path("pki")
    secrets, options = {}, {}
    if auth == "psk":
        peer = {"id": "warriors.example", "unique": "never"}
    else:
        make_pki(folder)
        peer = {"auth": {"certificate": folder / "gw.pem", "key": folder / "gw.key"}, "id": "*@lab.example",
                "peer_auth": {"ca": folder / "ca.pem", "revocation": "none"}}
        if auth == "eap":
            del peer["id"]
            peer["peer_auth"] = {"eap": ["mschapv2"]}
            secrets["users.toml"] = "".join(f'[c{i}]\npassword = "{PASSWORD}"\n' for i in range(users))
            options["users"] = "users.toml"
    net.A.gw.ip("route", "replace", "local", OUTSIDE, "dev", "lo")
    net.internet.ip("route", "replace", OUTSIDE, "via", net.A.wan4)
    own4, own6 = own_address(pool4), own_address(pool6)
    daemon = Culvert(net.B.gw, lab.path(f"culvert-{net.B.gw}"), {
        "gateway": {"id": "gw.example", "workers": 2, **options},
        "peer.warriors": {"address": "any", "pool": ["all"], "max_clients": 100000, "liveness": liveness, **peer, **more},
        "tunnel.warriors": {"peer": "warriors", "carry": "ip", "device": "cvW", "local": [net.B.lan4, net.B.lan6], "mtu": 1400,
                            "address": [own4, own6]},
        "pool.all": {"addresses": [pool4, pool6]},
    }, secrets=secrets)
    daemon.pki = folder
    lab._ends.append(daemon.stop)
    if start:
        daemon.start()
    return daemon


def own_address(pool):
    net = ipaddress.ip_network(pool)
    return f"{net[-2]}/{net.prefixlen}"


def users(daemon):
    return json.loads(daemon.ctl("status", "--users", "--json").stdout)["users"]


def memory(pid):
    """Resident KiB of a process: all but its packet buffers, and those. They are set aside at the start ("8 MiB for packets"), are resident
    once packets have passed, and are what alone asks for huge pages (hg)."""
    rss = packets = here = 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Rss":
            here = int(value.split()[0])
            rss += here
        elif name == "VmFlags" and "hg" in value.split():
            packets += here
    return rss - packets, packets


class Clients:
    """One lab_clients: `count` of them, from `first` on. Commands: those of tests/lab/clients/main.cpp; each returns its JSON."""

    def __init__(self, lab, net, daemon, auth, count, first=0, liveness=10, cores=None):
        proof = {"psk": ["--psk", daemon.dir / "lab.psk"], "eap": ["--ca", daemon.pki / "ca.pem", "--password", PASSWORD],
                 "cert": ["--ca", daemon.pki / "ca.pem", "--ca-key", daemon.pki / "ca.key"]}[auth]
        pinned = ["taskset", "-c", cores] if cores else []
        argv = ["ip", "netns", "exec", net.A.gw, *pinned, CLIENTS, "--outside", OUTSIDE, "--gateway", net.B.wan4, "--count", count, "--first", first,
                "--liveness", liveness, *proof]
        self.errors = open(lab.path("clients") / "errors.log", "w+")
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        lab._ends.append(self.stop)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise LabError(f"lab_clients ended with {self.process.wait(5)}:\n{self.errors.read()}")
        return json.loads(line)

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def __call__(self, *words):
        self.tell(*words)
        return self.answer()

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def together(loads, *words):
    """The same command to several lab_clients at once; sums, the longest time."""
    for load in loads:
        load.tell(*words)
    answers = [load.answer() for load in loads]
    total = {name: sum(answer[name] for answer in answers) for name in answers[0] if name not in ("seconds", "addresses")}
    total["seconds"] = max(answer["seconds"] for answer in answers)
    if "addresses" in answers[0]:
        total["addresses"] = [one for answer in answers for one in answer["addresses"]]
    return total


def wait_clients(daemon, count, timeout=30):
    wait_for(lambda: f"{count} clients\n{daemon.log()[-3000:]}", lambda: daemon.peer("warriors")["clients"] == count, timeout)
