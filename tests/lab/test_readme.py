"""README.md's own configurations, as they stand there."""
import re
from pathlib import Path

from labkit.culvert import BIN
from labkit.process import sh, wait_for
from labkit.traffic import assert_reaches, echo, tcp_both_ways

README = Path(__file__).resolve().parents[2] / "README.md"


def block(name):
    """The fenced block behind <!-- lab:NAME -->."""
    match = re.search(rf"<!-- lab:{name} -->\n```\w*\n(.*?)```", README.read_text(), re.S)
    assert match, f"no block lab:{name} in README.md"
    return match[1]


def gateway(lab, ns, name, psk):
    """culvertd with a configuration of the README; only socket and state directory are the lab's own."""
    daemon = lab.culvert(ns, {"gateway": {}}, secrets={"site.psk": psk}, start=False)
    text = block(name)
    assert text.startswith("[gateway]\n")
    own = f'[gateway]\ncontrol_socket = "{daemon.socket}"\nstate_dir = "{daemon.dir}/state"\n'
    daemon.config.write_text(text.replace("[gateway]\n", own, 1))
    assert daemon.ctl("check", daemon.config).returncode == 0
    daemon.start()
    return daemon


def test_the_five_minute_guide(lab):
    net = lab.net()
    assert (net.A.wan4, net.B.wan4) == ("192.0.2.1", "198.51.100.1"), "the README's addresses are the lab's"
    psk = sh(BIN / "culvert", "genpsk").stdout.strip()
    assert len(psk) >= 32
    paris, tokyo = gateway(lab, net.A.gw, "paris", psk), gateway(lab, net.B.gw, "tokyo", psk)
    paris.wait_up()
    tokyo.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    assert_reaches(net.A.gw, net.B.gw4, source=net.A.gw4)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4)
    status = paris.ctl("status").stdout
    assert "tokyo" in status and "cv-tokyo" in status
    assert "paris" in tokyo.ctl("status").stdout


def test_the_same_with_strongswan_at_one_end(lab):
    net = lab.net()
    psk = sh(BIN / "culvert", "genpsk").stdout.strip()
    conf = block("swanctl").replace("put the key here", psk)
    assert psk in conf
    strongswan = lab.strongswan(net.B.gw, conf)
    paris = gateway(lab, net.A.gw, "paris-to-strongswan", psk)
    paris.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    assert_reaches(net.B.host, net.A.host4)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4)
    # the other way round: strongSwan's trap on traffic brings it up
    paris.ctl("down", "tokyo")
    wait_for("strongSwan has seen the Delete", lambda: strongswan.num_ike_sas() == 0)
    paris.ctl("up", "tokyo")
    wait_for("traffic again", lambda: echo(net.B.host, net.A.host4, count=1, wait=0.5).received)
