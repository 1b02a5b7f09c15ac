"""What a gateway that runs may still do: asked of the kernel (/proc), not of culvertd."""
import json
import os
import pwd
import time
from pathlib import Path

import pytest

from labkit.pair import pair, tables
from labkit.process import sh, wait_for
from labkit.traffic import assert_reaches

NET_ADMIN = 1 << 12  # linux/capability.h
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


@pytest.fixture(autouse=True)
def not_sanitized(lab, net):
    """A build with sanitizers gives nothing up: their own library traces the process."""
    if "libasan" in sh("ldd", Path(os.environ["CULVERT_BIN"]) / "culvertd").stdout:
        pytest.skip("sanitized")


def facts(path):
    return dict(line.split(":", 1) for line in Path(path, "status").read_text().splitlines() if ":" in line)


def culvertd_of(daemon):
    """The daemon's own process: what was started may be a shell around it."""
    return next(pid for pid in [daemon.process.pid, *children(daemon.process.pid)]
                if facts(f"/proc/{pid}")["Name"].strip() == "culvertd")


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def helper_of(daemon):
    return next(pid for pid in children(culvertd_of(daemon)) if facts(f"/proc/{pid}")["Name"].strip() == "culvertd-files")


def test_every_thread_of_a_gateway_has_given_up_what_it_does_not_need(lab, net):
    a, _ = pair(lab, net)
    assert_reaches(net.A.host, net.B.host4)
    pid = culvertd_of(a)
    names = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        thread = facts(task)
        names.add(thread["Name"].strip())
        allowed = NET_ADMIN if int(task.name) == pid else 0
        for kind in ("CapEff", "CapPrm"):
            assert int(thread[kind], 16) == allowed, (thread["Name"], kind, thread[kind])
        assert int(thread["CapInh"], 16) == int(thread["CapAmb"], 16) == 0
        assert int(thread["CapBnd"], 16) == 0, "nothing that it might execute could have any"
        assert set(thread["Uid"].split()) == {str(NOBODY)} and "0" not in thread["Gid"].split() and "0" not in thread["Groups"].split()
        assert thread["NoNewPrivs"].strip() == "1" and thread["Seccomp"].strip() == "2", thread
    assert {"culvertd", "culvert-w0", "culvert-w1", "cv-compute-0"} <= names


def test_its_memory_is_locked_and_no_core_is_ever_written(lab, net):
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    pid = culvertd_of(a)
    limits = Path(f"/proc/{pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()
    assert core[4:6] == ["0", "0"], core
    status = facts(f"/proc/{pid}")
    locked, resident = (int(status[key].split()[0]) for key in ("VmLck", "VmRSS"))
    boundless = next(line for line in limits.splitlines() if line.startswith("Max locked memory")).split()[3] == "unlimited"
    assert locked >= resident > 0 if boundless else True, (locked, resident)
    assert ("locked_memory" in a.status()["protections"]) == boundless
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0  # of a process that may be dumped it would be the user's


def test_the_helper_can_open_files_and_nothing_else(lab, net):
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    helper = helper_of(a)
    status = facts(f"/proc/{helper}")
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
    open_files = [os.readlink(entry) for entry in Path(f"/proc/{helper}/fd").iterdir()]
    assert not any("tun" in name for name in open_files) and sum(name.startswith("socket:") for name in open_files) == 1, open_files
    a.kill()
    a.process = None
    wait_for("the helper goes with its daemon", lambda: not Path(f"/proc/{helper}").exists() or facts(f"/proc/{helper}")["State"].strip()[0] == "Z")


def test_status_names_what_is_left(lab, net):
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    status = a.status()
    assert status["uid"] == NOBODY and status["capabilities"] == ["cap_net_admin"]
    assert {"no_new_privs", "seccomp", "landlock", "locked_memory"} >= set(status["protections"]) >= {"no_new_privs", "seccomp"}


def test_secrets_that_only_root_may_read_are_read_again_when_they_change(lab, net):
    """The file of users, mode 0600 and root's, in a folder that only root may write."""
    gateway = {"users": "users.toml"}
    a = lab.culvert(net.A.gw, tables(net.A, net.B), start=False)
    config = tables(net.A, net.B)
    config["gateway"] |= gateway
    users = a.dir / "users.toml"
    users.touch(mode=0o600)
    users.write_text('[alice]\npassword = "first password of alice"\n')
    a.write(config)
    a.start()
    assert os.stat(users).st_uid == 0
    time.sleep(0.01)
    users.write_text('[alice]\npassword = "first password of alice"\n[bob]\npassword = "a password for bob"\n')
    a.wait_log(r"users.toml: 2 users", timeout=5)


def test_with_sandbox_off_and_root_it_says_so(lab, net):
    a = lab.culvert(net.A.gw, tables(net.A, net.B, gateway={"sandbox": False, "user": "root"}))
    status = json.loads(a.ctl("status", "--json").stdout)
    status = status.get("status", status)
    assert status["uid"] == 0 and status["capabilities"] == ["cap_net_admin"] and "seccomp" not in status["protections"]
    assert facts(f"/proc/{culvertd_of(a)}")["Seccomp"].strip() == "0"
