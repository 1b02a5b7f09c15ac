"""Two gateways that share their addresses by keepalived, with the files of conf/routing/keepalived/ as they stand there."""
import shutil
import time
import tomllib
from pathlib import Path

import pytest

from labkit.culvert import BIN, toml
from labkit.net import Namespace, link
from labkit.process import Process, wait_for
from labkit.traffic import assert_reaches, echo, wait_reaches

CONF = Path(__file__).resolve().parents[2] / "conf/routing/keepalived"
pytestmark = pytest.mark.skipif(shutil.which("keepalived") is None, reason="keepalived is not installed")


class Member:
    """One of the two gateways of Paris: keepalived, and culvertd when keepalived says so."""

    def __init__(self, lab, site, switch, number):
        self.folder = lab.folder / f"paris{number}"
        self.folder.mkdir()
        self.ns = site.gw if number == 1 else Namespace(site.gw.name.rsplit("-", 1)[0], "gA2")
        self.devices = []
        for side, net in (("wan", "192.0.2"), ("lan", "10.1.0")):
            self.ns.ip("link", "del", side, check=False)
            link(self.ns, side, switch, f"{side}{number}")
            switch.ip("link", "set", f"{side}{number}", "master", f"br{side}")
            self.ns.address(side, f"{net}.{10 + number}/24")
        self.ns.forward()
        self.ns.route("default", "192.0.2.254")
        self.switch, self.number = switch, number
        self._write(100 - number)

    def _write(self, priority):
        tables = tomllib.loads((CONF / "culvert.toml").read_text())
        own = {"control_socket": str(self.folder / "control.sock"), "state_dir": str(self.folder / "state"), "workers": 1, "user": "nobody"}
        flat = {"gateway": {**tables["gateway"], **own}}
        for kind in ("peer", "tunnel"):
            flat |= {f"{kind}.{name}": keys for name, keys in tables[kind].items()}
        (self.folder / "culvert.toml").write_text(toml(flat))
        key = self.folder / "site.psk"
        key.touch(mode=0o600)
        key.write_text("the key of two sites and three gateways\n")
        start, stop = self.folder / "start", self.folder / "stop"
        start.write_text(f"#!/bin/sh\ntest -e {self.folder}/pid && exit\n{BIN}/culvertd --config {self.folder}/culvert.toml >>{self.folder}/log 2>&1 &\necho $! >{self.folder}/pid\n")
        stop.write_text(f"#!/bin/sh\ntest -e {self.folder}/pid || exit\nkill $(cat {self.folder}/pid)\nrm {self.folder}/pid\n")
        for script in (start, stop):
            script.chmod(0o755)
        text = (CONF / "keepalived.conf").read_text().replace("priority 100", f"priority {priority}")
        for action, script in (("start", start), ("stop", stop)):
            assert f"/usr/bin/systemctl --no-block {action} culvert.service" in text
            text = text.replace(f"/usr/bin/systemctl --no-block {action} culvert.service", str(script))
        (self.folder / "keepalived.conf").write_text(text)

    def start(self):
        pids = [f"--{name}={self.folder}/{name}" for name in ("pid", "vrrp_pid", "checkers_pid")]
        pids[0] = f"--pid={self.folder}/keepalived.pid"
        argv = ["keepalived", "--dont-fork", "--log-console", f"--use-file={self.folder}/keepalived.conf", *pids]
        self.process = Process(argv, ns=self.ns, log=self.folder / "keepalived.log")

    def has_the_addresses(self):
        return " 192.0.2.1/24" in self.ns.ip("addr").stdout and " 10.1.0.1/24" in self.ns.ip("addr").stdout

    def pull_the_plug(self):
        """All cables out, and nobody is told."""
        for side in ("wan", "lan"):
            self.switch.ip("link", "set", f"{side}{self.number}", "down")

    def log(self):
        return "".join(f"--- {name}\n{(self.folder / name).read_text()[-3000:]}" for name in ("keepalived.log", "log") if (self.folder / name).exists())


@pytest.fixture
def paris(lab, net):
    switch = Namespace(net.prefix, "sw")
    for side in ("wan", "lan"):
        switch.ip("link", "add", f"br{side}", "type", "bridge")
        switch.ip("link", "set", f"br{side}", "up")
    members = [Member(lab, net.A, switch, number) for number in (1, 2)]
    net.internet.ip("link", "del", "wanA", check=False)
    net.A.host.ip("link", "del", "lan", check=False)
    link(net.internet, "wanA", switch, "inet")
    link(net.A.host, "lan", switch, "host")
    switch.ip("link", "set", "inet", "master", "brwan")
    switch.ip("link", "set", "host", "master", "brlan")
    net.internet.address("wanA", "192.0.2.254/24")
    net.A.host.address("lan", "10.1.0.2/24")
    net.A.host.route("default", "10.1.0.1")
    yield members
    for member in members:
        member.process.stop()
        member.ns.run("sh", "-c", f"test -e {member.folder}/pid && kill $(cat {member.folder}/pid)", check=False)
    members[1].ns.remove()
    switch.remove()


@pytest.fixture(scope="module")
def net(shared):
    return shared.net("AB")


def test_the_other_gateway_takes_over(lab, net, paris):
    lab.culvert(net.B.gw, {
        "gateway": {"id": "tokyo.example.net"},
        "peer.paris": {"address": "any", "id": "paris.example.net", "auth": {"psk_file": "site.psk"}, "liveness": "30s"},
        "tunnel.paris": {"peer": "paris", "carry": "gre", "key": 42, "device": "cv-paris", "address": ["169.254.10.2/30"], "routes": ["10.1.0.0/16"]},
    }, secrets={"site.psk": "the key of two sites and three gateways"})
    first, second = paris
    first.start()
    wait_for(lambda: "the first has the addresses\n" + first.log(), first.has_the_addresses, 20)
    second.start()
    wait_reaches(net.A.host, net.B.host4)
    assert not second.has_the_addresses() and not (second.folder / "pid").exists()

    first.pull_the_plug()
    began = time.monotonic()
    wait_for(lambda: "the second has the addresses\n" + second.log(), second.has_the_addresses, 20)
    moved = time.monotonic() - began
    wait_for(lambda: "traffic again\n" + second.log(), lambda: echo(net.A.host, net.B.host4, count=1, wait=0.3).received, 20)
    took = time.monotonic() - began
    print(f"the addresses moved after {moved:.1f} s, traffic passed after {took:.1f} s")
    assert took < 15, (moved, took)
    assert_reaches(net.B.host, "10.1.0.2")
