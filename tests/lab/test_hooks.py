"""Programs that are run when a tunnel comes up and goes down: what they are told, and what a peer cannot make of that."""
import os
import re
import time

import pytest

from labkit.pair import tables
from labkit.process import wait_for
from labkit.traffic import assert_reaches, wait_reaches

SCRIPT = """#!/bin/sh
# Everything unquoted and evaluated once: what a careless administrator writes.
eval "echo $CULVERT_REMOTE_ID $CULVERT_PEER $CULVERT_USER" >/dev/null
{ echo "-- $*"; env | grep ^CULVERT_ | sort; echo "uid=$(id -u) cwd=$(pwd) fds=$(ls /proc/self/fd | tr '\\n' ' ')"; } >>FILE
echo "the $CULVERT_EVENT of $CULVERT_TUNNEL"
"""


@pytest.fixture(scope="module")
def net(shared):
    return shared.net("AB")


class Script:
    """A hook that writes down what it was told."""

    def __init__(self, folder, text=SCRIPT, name="hook"):
        self.path, self.file = folder / name, folder / f"{name}.out"
        self.path.write_text(text.replace("FILE", str(self.file)))
        self.path.chmod(0o755)

    def hooks(self):
        return {"up": [self.path, "it's", "up; touch x", "$(touch x)"], "down": [self.path, "down"]}

    def runs(self):
        """One dict a run; "argv" is among its keys."""
        text = self.file.read_text() if self.file.exists() else ""
        runs = []
        for block in text.split("-- ")[1:]:
            argv, *lines = block.splitlines()
            runs.append({"argv": argv, **dict(line.split("=", 1) for line in lines)})
        return [run for run in runs if "uid" in run]  # those that are written to their end

    def events(self):
        return [run["CULVERT_EVENT"] for run in self.runs()]

    def wait(self, *events):
        wait_for(lambda: f"the hooks {events}; they were {self.events()}", lambda: self.events() == list(events), 20)
        return self.runs()[-1]


def gateways(lab, net, tunnel, start="always", **options):
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait" if start == "always" else "always"))
    conf = tables(net.A, net.B, start=start, tunnel=tunnel, **options)
    a = lab.culvert(net.A.gw, conf)
    a.wait_up()
    b.wait_up()
    return a, b, conf


def test_a_hook_is_told_of_up_and_down_and_a_rekey_is_neither(lab, net):
    script = Script(lab.folder)
    a, b, conf = gateways(lab, net, script.hooks(), peer={"reauth_lifetime": "5s"})
    up = script.wait("up")
    assert up["argv"] == "it's up; touch x $(touch x)"  # as written: there is no shell
    assert up["CULVERT_TUNNEL"] == "b" and up["CULVERT_PEER"] == "b" and up["CULVERT_DEVICE"] == "cvB" and up["CULVERT_CARRY"] == "gre"
    assert up["CULVERT_LOCAL"] == net.A.wan4 and up["CULVERT_REMOTE"] == net.B.wan4 and up["CULVERT_REMOTE_PORT"] == "4500"
    assert up["CULVERT_LOCAL_ID"] == "a.example" and up["CULVERT_REMOTE_ID"] == "b.example"
    assert up["CULVERT_ADDRESSES"] == "169.254.10.1/24 fd00:10::1/64" and up["CULVERT_ROUTES"] == f"{net.B.lan4} {net.B.lan6}"
    assert up["CULVERT_TABLE"] == "254" and "CULVERT_REASON" not in up
    assert up["uid"].startswith("0 cwd=/ fds=0 1 2 3 ")  # root's, and nothing of ours is open in it (3 is ls's own)
    a.wait_log(r"tunnel b: up: the up of b")
    old = a.child_spi()
    a.ctl("rekey", "b")
    a.wait_new_child(old)
    old = a.ike_spis()
    a.wait_new_ike(old)
    assert_reaches(net.A.host, net.B.host4)
    a.ctl("down", "b")
    assert script.wait("up", "down")["CULVERT_REASON"] == "down"
    a.ctl("up", "b")
    script.wait("up", "down", "up")
    a.stop()
    assert script.wait("up", "down", "up", "down")["CULVERT_REASON"] == "stop"
    assert not (lab.folder / "x").exists() and not os.path.exists("/x")


def test_hooks_change_by_a_reload_and_go_with_their_tunnel(lab, net):
    first, second = Script(lab.folder, name="first"), Script(lab.folder, name="second")
    a, b, conf = gateways(lab, net, first.hooks())
    first.wait("up")
    conf["tunnel.b"] |= second.hooks()
    a.write(conf)
    a.ctl("reload")
    a.ctl("down", "b")
    assert second.wait("down")["CULVERT_REASON"] == "down"
    a.ctl("up", "b")
    second.wait("down", "up")
    a.write({name: table for name, table in conf.items() if name == "gateway"})
    a.ctl("reload")
    assert second.wait("down", "up", "down")["CULVERT_REASON"] in ("reload", "down")
    assert first.events() == ["up"]


def test_a_reload_cannot_bring_the_first_hooks_but_can_bring_others(lab, net):
    script = Script(lab.folder)
    a, b, conf = gateways(lab, net, {})
    conf["tunnel.b"] |= script.hooks()
    a.write(conf)
    done = a.ctl("reload", check=False)
    assert done.returncode == 1 and "up and down" in done.stderr and "restart" in done.stderr, done.stderr
    a.stop()
    a.start()
    a.wait_up()
    script.wait("up")


@pytest.mark.parametrize("trouble", ["mode", "owner", "folder", "config"])
def test_what_others_could_change_is_not_run(lab, net, trouble):
    script = Script(lab.folder)
    a, b, conf = gateways(lab, net, script.hooks())
    script.wait("up")
    folder = lab.folder / "others"
    folder.mkdir(mode=0o755)
    other = Script(folder, name="other")
    if trouble == "mode":
        other.path.chmod(0o775)
    elif trouble == "owner":
        os.chown(other.path, 65534, 65534)
    elif trouble == "folder":
        folder.chmod(0o777)
    conf["tunnel.b"] |= other.hooks()
    a.write(conf)
    if trouble == "config":
        a.config.chmod(0o666)
    done = a.ctl("reload", check=False)
    said = {"mode": "has mode 0775", "owner": "belongs to uid 65534", "folder": "has mode 0777", "config": "has mode 0666"}[trouble]
    assert done.returncode == 1 and said in done.stderr, done.stderr
    a.config.chmod(0o644)
    assert a.is_up() and other.runs() == []
    a.ctl("down", "b")
    assert script.wait("up", "down")  # what ran before goes on


def test_a_hook_that_hangs_fails_or_chatters_does_not_touch_the_tunnel(lab, net):
    script = Script(lab.folder, "#!/bin/sh\nyes 'a line of many' | head -n 3000\nprintf 'evil \\033[31m\\001 and long %0900d\\n' 7\necho $$ >>FILE\nsleep 600 & sleep 600\n")
    failing = Script(lab.folder, "#!/bin/sh\nexit 3\n", name="failing")
    a, b, conf = gateways(lab, net, {"up": [script.path], "down": [failing.path]})
    wait_for("the hook runs", script.file.exists)
    assert_reaches(net.A.host, net.B.host4)
    wait_for("the hook has printed", lambda: script.file.read_text().split())
    pid = int(script.file.read_text().split()[0])
    a.ctl("down", "b")
    time.sleep(1)
    assert "exit status 3" not in a.log()  # down waits for up
    os.kill(pid, 9)
    a.wait_log(r"tunnel b: up: .*: ended by signal 9")
    a.wait_log(r"tunnel b: down: .*failing: exit status 3")
    assert a.log().count("a line of many") <= 20 and "\033" not in a.log() and "\001" not in a.log()
    a.ctl("up", "b")
    a.wait_up()
    wait_reaches(net.A.host, net.B.host4)
    started = time.monotonic()
    assert a.process.stop(45) == 0  # does not wait for what hangs for ever
    assert time.monotonic() - started < 20


NASTY = ["$(touch x)", "`touch x`", "a;touch x", "a\nb", "-rf", "a b*", "ä\u202e", "a\tb\x07", "'\"", "&&touch x"]


@pytest.mark.parametrize("name", NASTY, ids=[repr(name) for name in NASTY])
def test_a_peers_identity_is_no_shells_business(lab, net, name):
    """An identity of type KEY_ID may hold any bytes; the peer's file and ours agree on it here, as a wildcard would let it."""
    script = Script(lab.folder)
    identity = "keyid:0x" + name.encode().hex()
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", gateway={"id": identity}))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, tunnel=script.hooks(), peer={"id": identity}))
    a.wait_up()
    said = script.wait("up")["CULVERT_REMOTE_ID"]
    assert re.fullmatch(r"[A-Za-z0-9._:@=,/+%-]+", said) and not said.startswith("-"), said
    assert not [path for path in (lab.folder / "x", a.dir / "x") if path.exists()] and not os.path.exists("/x")
