"""A configuration that changes while the gateway runs: what has not changed loses nothing, not even a packet."""
import json
import re
import signal
import threading
import time

import pytest

from labkit.pair import tables
from labkit.process import wait_for
from labkit.traffic import UdpRun, assert_reaches, full_queues, losses, wait_reaches

CYCLES = 100
B_KEY, NEW_B_KEY = "the key of b, and nobody else's", "the next key of b"


@pytest.fixture(scope="module")
def net(shared):
    return shared.net("ABC")


class Hub:
    """culvertd at A with a tunnel to B, which is up; C waits to be called."""

    def __init__(self, lab, net):
        self.net = net
        self.b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", peer={"auth": {"psk_file": "b.psk"}}), secrets={"b.psk": B_KEY})
        self.c = lab.culvert(net.C.gw, tables(net.C, net.A, start="wait"))
        self.conf = tables(net.A, net.B, peer={"auth": {"psk_file": "b.psk"}}, tunnel={"address": ["169.254.10.1/24"]})
        self.a = lab.culvert(net.A.gw, self.conf, secrets={"b.psk": B_KEY})
        self.a.wait_up("b")
        wait_reaches(net.A.host, net.B.host4)

    def with_c(self, **peer):
        """…and a peer C."""
        both = tables(self.net.A, self.net.C, peer=peer, tunnel={"address": ["169.254.11.1/24"]})
        return {**self.conf, **{name: table for name, table in both.items() if name != "gateway"}}

    def reload(self, conf, *options):
        self.a.write(conf)
        return self.a.ctl("reload", *options).stdout

    def spis(self):
        return (*self.a.ike_spis("b"), self.a.child_spi("b"))


@pytest.fixture
def hub(lab, net):
    return Hub(lab, net)


class Traffic(threading.Thread):
    """UDP from A's host to B's, run behind run, until stop()."""

    def __init__(self, net):
        super().__init__(daemon=True)
        self.net, self.runs, self.stopping, self.trouble = net, [], False, None
        self.start()

    def run(self):
        try:
            while not self.stopping:
                self.runs.append(UdpRun(self.net.A.host, self.net.B.host, self.net.B.host4, 20, 5))
        except Exception as trouble:
            self.trouble = trouble

    def stop(self):
        self.stopping = True
        self.join(90)
        assert self.trouble is None, self.trouble
        return sum(run.lost for run in self.runs), sum(run.sent for run in self.runs)


def test_others_come_change_and_go_without_loss(hub, net):
    """iperf3 through B's tunnel while peer C comes, changes and goes 100 times, and B's log level, routes and key change."""
    a = hub.a
    before, dropped = hub.spis(), full_queues(net.A.gw, net.B.gw)
    traffic = Traffic(net)
    for cycle in range(CYCLES):
        assert "1 peer added; 1 tunnel added" in hub.reload(hub.with_c())
        if cycle % 20 == 0:
            a.wait_up("c")
            assert_reaches(net.A.host, net.C.host4)
        assert "1 peer changed" in hub.reload(hub.with_c(liveness="9s"))
        assert "1 peer removed; 1 tunnel removed" in hub.reload(hub.conf)
    assert hub.spis() == before
    assert "cvC" not in net.A.gw.run("ip", "link").stdout

    time.sleep(1.1)  # the log takes nine lines a second
    conf = {name: dict(table) for name, table in hub.conf.items()}
    conf["gateway"]["log_level"] = "debug"
    conf["tunnel.b"]["routes"] = conf["tunnel.b"]["routes"] + ["10.77.0.0/16"]
    shown = hub.reload(conf)
    assert "~ gateway.log_level: (not set) -> \"debug\" (in place)" in shown and "tunnel.b.routes" in shown, shown
    assert "dev cvB" in net.A.gw.run("ip", "route", "get", "10.77.0.1").stdout
    assert hub.spis() == before
    a.wait_log(" debug reload: ~ gateway.log_level")

    time.sleep(1.1)
    a.secret("b.psk", NEW_B_KEY)
    assert "peer.b.auth: what stands in its files has changed (reauthenticates)" in a.ctl("reload").stdout
    time.sleep(2)
    assert hub.spis() == before and a.is_up("b")  # B does not know it yet: what is up goes on
    hub.b.secret("b.psk", NEW_B_KEY)
    hub.b.ctl("reload")
    a.wait_new_ike(before[:2], "b")
    wait_for("one IKE SA with B", lambda: a.peer("b")["ike_sas"] == 1, 40)

    lost, sent = traffic.stop()
    overflowed = full_queues(net.A.gw, net.B.gw) - dropped  # may have hit others' packets, too
    assert sent > 10_000 and lost <= overflowed, f"{lost} of {sent} lost\n{losses((net.A.gw, a), (net.B.gw, hub.b))}\n{a.log()[-4000:]}"


def test_mistakes_change_nothing(hub, net):
    """A file with mistakes: all of them at once, and nothing of what is right in it."""
    a, before = hub.a, hub.spis()
    conf = hub.with_c(strat="always", liveness="3 fortnights")
    conf["gateway"] = {**conf["gateway"], "log_level": "debug"}
    conf["tunnel.b"] = {**conf["tunnel.b"], "routes": ["10.77.0.0/16"]}
    a.write(conf)
    for how in ([], ["--dry-run"]):
        done = a.ctl("reload", *how, check=False)
        assert done.returncode == 1
        assert re.search(r"culvert.toml:\d+:\d+: peer.c.strat: unknown key 'strat'; did you mean 'start'\?", done.stderr), done.stderr
        assert "peer.c.liveness" in done.stderr and "2 mistakes: nothing has changed" in done.stderr, done.stderr
    a.process.popen.send_signal(signal.SIGHUP)
    a.wait_log("not reloaded: everything stays as it was")
    a.wait_log(r"^\S+culvert.toml:\d+:\d+: peer.c.liveness")
    assert [peer["name"] for peer in a.status()["peers"]] == ["b"]
    assert "cvB" not in net.A.gw.run("ip", "route", "get", "10.77.0.1").stdout
    assert hub.spis() == before

    # What only the machine can know is found before anything is changed, and undone where it had begun.
    net.A.gw.run("ip", "tuntap", "add", "cvC", "mode", "tun")
    try:
        conf = hub.with_c()
        conf["tunnel.b"] = {**conf["tunnel.b"], "routes": ["10.77.0.0/16"]}
        a.write(conf)
        done = a.ctl("reload", check=False)
        assert done.returncode == 1 and "device cvC exists already" in done.stderr, done.stderr
    finally:
        net.A.gw.run("ip", "link", "del", "cvC")
    assert "cvB" not in net.A.gw.run("ip", "route", "get", "10.77.0.1").stdout
    assert_reaches(net.A.host, net.B.host4)
    conf["gateway"] = {**conf["gateway"], "workers": 3}
    a.write(conf)
    assert "gateway.workers cannot change while culvertd runs" in a.ctl("reload", check=False).stderr
    assert hub.spis() == before


def test_unconfirmed_reload_is_taken_back(hub, net):
    a, before = hub.a, hub.spis()
    shown = hub.reload(hub.with_c(), "--confirm", "2")
    assert "+ peer.c" in shown and "taken back in 2 s" in shown, shown
    assert len(a.status()["peers"]) == 2
    assert "waits to be confirmed" in a.ctl("reload", check=False).stderr
    wait_for("the configuration of before", lambda: len(a.status()["peers"]) == 1, 10)
    assert "cvC" not in net.A.gw.run("ip", "link").stdout
    hub.reload(hub.with_c(), "--confirm", "3")
    assert a.ctl("reload", "--confirmed").stdout == "confirmed\n"
    a.wait_up("c")
    hub.reload(hub.conf, "--confirm", "600")
    assert "1 peer added" in a.ctl("reload", "--revert").stdout
    a.wait_up("c")
    assert_reaches(net.A.host, net.C.host4)
    assert a.ctl("reload", "--confirmed", check=False).returncode == 1
    assert hub.spis() == before


def test_diff_shows_what_a_reload_would_do(hub):
    a, before = hub.a, hub.spis()
    conf = hub.with_c()
    conf["peer.b"] = {**conf["peer.b"], "esp": ["aes128gcm16-x25519"], "start": "wait"}
    conf["tunnel.b"] = {**conf["tunnel.b"], "device": "cvOther"}
    a.write(conf)
    shown = a.ctl("diff").stdout
    assert shown == a.ctl("reload", "--dry-run").stdout == a.ctl("diff", a.config).stdout
    for line in ("+ peer.c", "+ tunnel.c", '~ peer.b.esp: (not set) -> ["aes128gcm16-x25519"] (rekeys)',
                 '~ peer.b.start: "always" -> "wait" (in place)', '~ tunnel.b.device: "cvB" -> "cvOther" (new device)'):
        assert line + "\n" in shown, shown
    rows = json.loads(a.ctl("diff", "--json").stdout)["changes"]
    assert {"kind": "added", "key": "peer.c"}.items() <= rows[-2].items() or any(row["key"] == "peer.c" for row in rows)
    assert hub.spis() == before and len(a.status()["peers"]) == 1
    a.ctl("reload")
    a.wait_new_child(before[2], "b")
    wait_reaches(hub.net.A.host, hub.net.B.host4)
    assert a.ike_spis("b") == before[:2]
