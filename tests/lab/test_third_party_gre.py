"""GRE with two other makers at the far end: strongSwan ends ESP, Open vSwitch behind it ends GRE."""
import pytest

from labkit.capture import Capture
from labkit.pair import tables
from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import assert_reaches, echo, iperf3

IKE, ESP, PSK = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519", "three makers"


def lend_address(gateway, address):
    """kernel-libipsec refuses a child unless the gateway itself has an address inside local_ts; but hostB's must be hostB's. So the gateway
    has it too, and a rule in front of the local table sends its packets on to the LAN."""
    gateway.ip("addr", "add", f"{address}/32", "dev", "lo")
    gateway.ip("route", "add", address, "dev", "lan", "table", "50")
    gateway.ip("rule", "add", "pref", "100", "lookup", "local")
    gateway.ip("rule", "add", "pref", "50", "to", address, "lookup", "50")
    gateway.ip("rule", "del", "pref", "0")


@pytest.mark.parametrize("ours,theirs", [({}, ""), ({"checksum": True}, "options:csum=true"), ({"sequence": True}, "options:seq=true")],
                         ids=["plain", "checksum", "sequence"])
def test_culvert_strongswan_openvswitch(lab, ours, theirs):
    net = lab.net()
    # GRE runs between gateway A's LAN address and hostB, where Open vSwitch is
    lend_address(net.B.gw, net.B.host4)
    strongswan = lab.strongswan(net.B.gw, swanctl_conf(net.B.wan4, "%any", "b.example", "a.example", PSK, f"{net.B.host4}/32[gre]",
                                                       f"{net.A.gw4}/32[gre]", IKE, ESP))
    lab.ovs(net.B.host, "lan", net.B.host4, 24, net.B.gw4, net.A.gw4, 99, "10.9.0.2", "10.9.0.1", options=theirs)
    net.B.host.ip("link", "set", "br-gre", "mtu", "1350")
    culvert = lab.culvert(net.A.gw, tables(net.A, net.B, peer={"ike": [IKE], "esp": [ESP]},
                                           tunnel={"mode": "tunnel", "source": net.A.gw4, "destination": net.B.host4, "key": 99, "mtu": 1350,
                                                   "address": ["10.9.0.1/30"], "routes": [], **ours}),
                          secrets={"lab.psk": PSK})
    culvert.wait_up()
    strongswan.wait_up()
    with Capture(net.B.gw, "lan", lab.folder) as behind:
        wait_for("the first ping", lambda: echo(net.A.gw, "10.9.0.2", count=1, wait=0.5).received)
        assert_reaches(net.A.gw, "10.9.0.2", count=10)
        assert_reaches(net.B.host, "10.9.0.1", count=10)
        for options in ([], ["-R"]):
            assert iperf3(net.A.gw, net.B.host, "10.9.0.2", "-n", "1M", *options)["end"]["sum_received"]["bytes"] > 0
    keys = {row[0] for row in behind.tshark(fields=["gre.key"], display="gre")}
    assert keys == {"0x00000063"}, "key 99 both ways"
    assert behind.count(f"gre && ip.src == {net.A.gw4}") > 20 and behind.count(f"gre && ip.src == {net.B.host4}") > 20
    drops = culvert.drops()
    assert drops["gre_checksum"] == drops["gre_malformed"] == drops["gre_key_unknown"] == 0

    child = culvert.child_spi()
    culvert.ctl("rekey", "b", "--child")
    culvert.wait_new_child(child)
    assert_reaches(net.A.gw, "10.9.0.2")
