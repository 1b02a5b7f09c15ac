"""What the programs print for machines is what docs/schema publishes, checked by python3-jsonschema."""
import copy
import json
import os
import socket
import subprocess

import pytest

from labkit.culvert import BIN
from labkit.pair import pair, tables
from labkit.process import sh, wait_for
from labkit.schemas import FOLDER, conform, load
from labkit.traffic import assert_reaches

jsonschema = pytest.importorskip("jsonschema")


def ask(daemon, line):
    """The line that culvertd answers on its control socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.socket))
        client.sendall(line.encode() + b"\n")
        return client.makefile().readline()


@pytest.fixture(scope="module")
def gateways(shared):
    net = shared.net()
    a, b = pair(shared, net)
    assert_reaches(net.A.host, net.B.host4)
    return net, a, b


def test_every_published_schema_is_one():
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    assert {"doctor", "drops", "log", "response", "status", "users"} <= set(names)
    for name in names:
        schema = load(name)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"] == f"urn:culvert:schema:1:{name}"


def test_reports_of_a_gateway_that_is_up_conform(gateways):
    _, a, _ = gateways
    status = conform("status", a.ctl("status", "--json").stdout)
    assert status["peers"][0]["state"] == "up" and status["peers"][0]["tunnels"][0]["state"] == "up"
    assert conform("drops", a.ctl("drops", "--json").stdout)["drops"]
    assert conform("users", a.ctl("status", "--users", "--json").stdout)["users"] == []
    ping = conform("ping", a.ctl("ping", "b", "-c", "3", "-i", "0.05", "--json").stdout)
    assert ping["sent"] == ping["received"] == 3
    doctor = a.ctl("doctor", "--json", check=False)
    assert conform("doctor", doctor.stdout)["findings"]


def test_what_a_reload_does_or_would_do_conforms(gateways):
    net, a, _ = gateways
    assert conform("changes", a.ctl("diff", "--json").stdout)["changes"] == []
    conf = tables(net.A, net.B)
    conf["peer.b"]["liveness"] = "3s"
    a.write(conf)
    would = conform("changes", a.ctl("diff", "--json").stdout)["changes"]
    assert [(change["kind"], change["key"]) for change in would] == [("changed", "peer.b.liveness")]
    assert conform("response", ask(a, '{"command":"diff"}'))["changes"] == would
    assert conform("changes", a.ctl("reload", "--json").stdout)["changes"] == would
    conf["peer.b"]["livenes"] = conf["peer.b"]["mobik"] = "3s"
    a.write(conf)
    refused = conform("response", ask(a, '{"command":"reload"}'))
    assert not refused["ok"] and len(refused["mistakes"]) == 2
    a.write(tables(net.A, net.B))
    a.ctl("reload")


def test_responses_conform_good_and_bad(gateways):
    _, a, _ = gateways
    for request in ({"command": "status"}, {"command": "drops"}, {"command": "users"}, {"command": "rekey", "peer": "b"},
                    {"command": "capture"}, {"command": "capture", "peer": "b"}):
        assert conform("response", ask(a, json.dumps(request)))["ok"]
    for request, code in (('{"command":"up","peer":"nobody"}', "not_found"), ("hello", "malformed"), ('{"command":"dance"}', "malformed"),
                          ("{}", "malformed"), ('{"command":"capture","peer":"nobody"}', "not_found"), ('{"command":"keys","what":"60"}', "invalid"),
                          ('{"command":"keys","what":"3601"}', "malformed"), ('{"command":"redirect","what":"no gateway!"}', "invalid")):
        assert conform("response", ask(a, request))["code"] == code


def test_a_gateway_that_is_down_conforms_too(lab):
    net = lab.net()
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    a.wait_log("no answer")
    status = conform("status", a.ctl("status", "--json").stdout)
    assert status["peers"][0]["children"][0]["state"] == "down" and status["peers"][0]["reason"]


def test_the_schemas_notice_what_they_do_not_promise(gateways):
    _, a, _ = gateways
    status = json.loads(a.ctl("status", "--json").stdout)

    def refused(change):
        changed = copy.deepcopy(status)
        change(changed)
        with pytest.raises(jsonschema.ValidationError):
            conform("status", json.dumps(changed))
    refused(lambda s: s.pop("uptime_s"))
    refused(lambda s: s.update(more=1))
    refused(lambda s: s.update(schema=2))
    refused(lambda s: s["peers"][0].update(state="sleeping"))
    refused(lambda s: s["peers"][0].update(spi_i="12"))
    refused(lambda s: s["peers"][0]["tunnels"][0].update(mtu=-1))


def records(daemon):
    return [conform("log", line) for line in daemon.log().splitlines() if line.startswith("{")]


def test_the_log_as_json_has_its_fields(lab):
    net = lab.net()
    json_log = {"gateway": {"log_format": "json"}}
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", **json_log))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, **json_log))
    a.wait_up()
    b.kill()
    a.wait_state("connecting")
    assert all(line.startswith("{") for line in a.log().splitlines() if line.strip())
    lines = records(a)
    up = next(line for line in lines if line.get("tunnel") == "b" and "spi" in line)
    assert (up["peer"], up["level"]) == ("b", "info")
    down = next(line for line in lines if ": down: " in line["message"])
    assert (down["peer"], down["level"]) == ("b", "warning") and "no answer" in down["reason"]
    b.start()


# A journal of our own in a mount namespace: systemd is not there, and the machine's must not be written to.
JOURNAL = """
import os, socket, subprocess, sys
os.makedirs("/run/systemd", exist_ok=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/systemd"], check=True)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
os.chmod("/run/systemd/journal/socket", 0o666)  # as systemd's own: culvertd is not root
daemon = subprocess.Popen(sys.argv[2:])
journal.settimeout(0.2)
with open(sys.argv[1], "ab", buffering=0) as out:
    while daemon.poll() is None:
        try:
            out.write(journal.recv(65536) + b"\\0")
        except TimeoutError:
            pass
"""


def entries(text):
    """Of the native protocol: KEY=value a line (systemd's "Native Journal Protocol")."""
    return [dict(line.split("=", 1) for line in entry.splitlines() if "=" in line) for entry in text.split("\0") if entry.strip()]


def test_the_journal_gets_lines_with_their_fields(lab):
    net = lab.net()
    daemon = lab.culvert(net.A.gw, tables(net.A, net.B, gateway={"log_format": "journald"}, peer={"retransmit_tries": 2}), start=False)
    out = daemon.dir / "journal.txt"
    out.touch()
    process = subprocess.Popen(["ip", "netns", "exec", str(net.A.gw), "unshare", "-m", "--propagation", "private", "--kill-child", "--fork",
                                "/usr/bin/python3", "-c", JOURNAL, str(out), str(BIN / "culvertd"), "--config", str(daemon.config)])
    try:
        found = wait_for(lambda: f"an entry about the peer\n{out.read_text()}", lambda: next(
            (entry for entry in entries(out.read_text()) if entry.get("CULVERT_PEER") == "b" and "CULVERT_REASON" in entry), None))
        assert found["PRIORITY"] == "4" and found["SYSLOG_IDENTIFIER"] == "culvertd"
        assert "no answer" in found["CULVERT_REASON"] and "no answer" in found["MESSAGE"]
        ready = next(entry for entry in entries(out.read_text()) if "is ready" in entry["MESSAGE"])
        assert ready["PRIORITY"] == "6" and "CULVERT_PEER" not in ready
        sh(BIN / "culvert", "--socket", daemon.socket, "status", "--json")
    finally:
        process.kill()
        process.wait()
