"""What the operator steers and asks: culvert log-level, routes and reauth."""
import pytest

from labkit.pair import pair
from labkit.process import sh, wait_for
from labkit.schemas import conform
from labkit.traffic import assert_reaches


@pytest.fixture(scope="module")
def gateways(shared):
    net = shared.net()
    a, b = pair(shared, net)
    assert_reaches(net.A.host, net.B.host4)
    return net, a, b


def routes(daemon):
    return conform("routes", daemon.ctl("routes", "--json").stdout)["routes"]


def state(daemon, to, kind="route"):
    return next(route for route in routes(daemon) if (route["kind"], route["to"]) == (kind, to))


def test_the_level_changes_at_once_and_a_reload_brings_it_back(gateways):
    _, a, _ = gateways
    assert conform("log-level", a.ctl("log-level", "--json").stdout) == {"schema": 1, "level": "info", "configured": "info"}
    assert a.ctl("log-level", "debug").stdout == "debug (a reload brings back info)\n"
    a.ctl("down", "b"), a.ctl("up", "b")
    a.wait_log("debug.*child b down")  # nine lines a second: not every one is written
    assert a.ctl("log-level", "loud", check=False).returncode == 2
    a.ctl("reload")
    assert a.ctl("log-level").stdout == "info (as configured)\n"
    a.wait_up()


def test_what_has_become_of_routes_is_what_the_kernel_says(gateways):
    net, a, _ = gateways
    gw, lan = net.A.gw, net.B.lan4
    assert state(a, lan)["state"] == "installed" and state(a, lan)["device"] == "cvB"
    assert state(a, lan, "guard")["state"] == "installed"
    sh("ip", "-n", gw, "route", "del", lan, "dev", "cvB")
    assert state(a, lan)["state"] == "missing"
    sh("ip", "-n", gw, "route", "add", lan, "dev", "cvB", "proto", "233", "scope", "link")
    assert state(a, lan)["state"] == "installed"
    part = lan.split("/")[0] + "/30"
    sh("ip", "-n", gw, "route", "add", part, "dev", "lo")
    assert state(a, lan)["state"] == "crossed" and state(a, lan)["shadowed_by"][0].startswith(part + " dev lo")
    assert f"by {part} dev lo" in a.ctl("routes").stdout
    sh("ip", "-n", gw, "route", "del", part, "dev", "lo")
    guard = next(line for line in sh("ip", "-n", gw, "route", "show", "type", "unreachable").stdout.splitlines() if lan in line)
    sh("ip", "-n", gw, "route", "del", *guard.split())
    assert state(a, lan, "guard")["state"] == "missing"
    sh("ip", "-n", gw, "route", "add", *guard.split())
    assert all(route["state"] == "installed" for route in routes(a))


def test_a_peer_is_authenticated_again_and_the_tunnel_goes_on(gateways):
    net, a, b = gateways
    before = a.ike_spis()
    assert "authenticating again" in a.ctl("reauth", "b").stdout
    a.wait_new_ike(before)
    assert_reaches(net.A.host, net.B.host4)
    wait_for("the old one is gone", lambda: a.peer()["ike_sas"] == 1 and b.peer()["ike_sas"] == 1)
    assert not any("down:" in line for line in a.log().splitlines()[-20:] if "peer b: down" in line and "administratively" not in line)
    unknown = a.ctl("reauth", "c", check=False)
    assert unknown.returncode == 1 and "the peers are: b" in unknown.stderr
    a.ctl("down", "b")
    refused = a.ctl("reauth", "b", check=False)
    assert refused.returncode == 1 and "is not up" in refused.stderr
    a.ctl("up", "b")
    a.wait_up()
