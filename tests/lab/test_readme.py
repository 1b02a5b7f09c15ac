"""The configurations of README.md and conf/, as they stand there."""
import re
from pathlib import Path

import pytest

from labkit.culvert import AEAD, BIN
from labkit.process import sh, wait_for
from labkit.traffic import assert_reaches, echo, tcp_both_ways

TREE = Path(__file__).resolve().parents[2]


def text_of(name):
    """The fenced block of README.md behind <!-- lab:NAME -->, or a file of conf/."""
    if "." in name:
        return (TREE / "conf" / name).read_text()
    match = re.search(rf"<!-- lab:{name} -->\n```\w*\n(.*?)```", (TREE / "README.md").read_text(), re.S)
    assert match, f"no block lab:{name} in README.md"
    return match[1]


def gateway(lab, ns, name, psk):
    """culvertd with such a configuration; only socket and state directory are the lab's own."""
    daemon = lab.culvert(ns, {"gateway": {}}, secrets={"site.psk": psk}, start=False)
    text = text_of(name)
    assert text.count("[gateway]\n") == 1
    own = f'[gateway]\ncontrol_socket = "{daemon.socket}"\nstate_dir = "{daemon.dir}/state"\n' + (f'aead = "{AEAD}"\n' if AEAD else "")
    daemon.config.write_text(text.replace("[gateway]\n", own, 1))
    assert daemon.ctl("check", daemon.config).returncode == 0
    daemon.start()
    return daemon


@pytest.mark.parametrize("names", [("paris", "tokyo"), ("site-paris.toml", "site-tokyo.toml")], ids=["README", "conf"])
def test_two_gateways(lab, names):
    net = lab.net()
    assert (net.A.wan4, net.B.wan4) == ("192.0.2.1", "198.51.100.1"), "the README's addresses are the lab's"
    psk = sh(BIN / "culvert", "genpsk").stdout.strip()
    assert len(psk) >= 32
    paris, tokyo = gateway(lab, net.A.gw, names[0], psk), gateway(lab, net.B.gw, names[1], psk)
    paris.wait_up()
    tokyo.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    assert_reaches(net.A.gw, net.B.gw4, source=net.A.gw4)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4)
    status = paris.ctl("status").stdout
    assert "tokyo" in status and "cv-tokyo" in status
    assert "paris" in tokyo.ctl("status").stdout


@pytest.mark.parametrize("names", [("paris-to-strongswan", "swanctl"), ("strongswan-peer.toml", "strongswan/swanctl.conf")],
                         ids=["README", "conf"])
def test_strongswan_at_one_end(lab, names):
    net = lab.net()
    psk = sh(BIN / "culvert", "genpsk").stdout.strip()
    conf, changed = re.subn(r'secret = "put the [^"]*here"', f'secret = "{psk}"', text_of(names[1]))
    assert changed == 1
    strongswan = lab.strongswan(net.B.gw, conf)
    paris = gateway(lab, net.A.gw, names[0], psk)
    paris.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    assert_reaches(net.B.host, net.A.host4)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4)
    # the other way round: strongSwan's trap on traffic brings it up
    paris.ctl("down", "tokyo")
    wait_for("strongSwan has seen the Delete", lambda: strongswan.num_ike_sas() == 0)
    paris.ctl("up", "tokyo")
    wait_for("traffic again", lambda: echo(net.B.host, net.A.host4, count=1, wait=0.5).received)
