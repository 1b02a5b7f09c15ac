"""Each `profile` against a strongSwan that is set up as that vendor's documents say (docs/clouds.md): its algorithms, one any-to-any
pair of SAs, rekeys from its side with or without a key exchange."""
import socket

import pytest

from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import assert_reaches, tcp_both_ways

PSK = "Made_by_the_cloud.0123456789"
TCP_TIMESTAMPS_LEN = 12  # RFC 7323 appendix A: what an option that both Linux ends use takes of each segment
# profile: (IKE, ESP of the vendor's end, highest MSS through a WAN of 1,500 bytes or None where less than the profile's fits)
VENDORS = {
    "aws": ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384", None),
    "azure": ("aes256gcm16-prfsha384-ecp384", "aes256gcm16", 1350),  # rekeys without PFS
    "gcp": ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384", 1360),
    "fortigate": ("aes256-sha256-modp2048", "aes256-sha256-modp2048", None),
    "cisco": ("aes256-sha512-ecp256", "aes256-sha256", 1360),
}


@pytest.fixture(scope="module")
def net(shared):
    net = shared.net()
    # Everything goes into the tunnel of the vendor's end, but for the tunnel itself and what lies behind that end.
    for own in (net.A.wan4, net.B.lan4):
        net.B.gw.ip("rule", "add", "to", own, "lookup", "main", "pref", 100)
    return net


def mss_between(client, server, address):
    """What the client's kernel may send in a segment, by the MSS that it was offered."""
    with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, client.socket(socket.AF_INET, socket.SOCK_STREAM) as out:
        listener.bind((address, 0))
        listener.listen(1)
        out.settimeout(5)
        out.connect(listener.getsockname())
        return out.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) + TCP_TIMESTAMPS_LEN


@pytest.mark.parametrize("profile", VENDORS)
def test_profile(lab, net, profile):
    ike, esp, mss = VENDORS[profile]
    strongswan = lab.strongswan(net.B.gw, swanctl_conf(net.B.wan4, "%any", net.B.wan4, net.A.wan4, PSK, "0.0.0.0/0", "0.0.0.0/0", ike, esp))
    culvert = lab.culvert(net.A.gw, {
        "gateway": {"id": net.A.wan4},
        "peer.cloud": {"profile": profile, "address": [net.B.wan4], "id": net.B.wan4, "auth": {"psk_file": "lab.psk"}},
        "tunnel.cloud": {"peer": "cloud", "carry": "ip", "device": "cvC", "routes": [net.B.lan4]},
    }, secrets={"lab.psk": PSK})
    culvert.wait_up()
    strongswan.wait_up()
    assert strongswan.sas().count("0.0.0.0/0") == 2
    assert_reaches(net.A.host, net.B.host4)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4, "1M")
    if mss:
        assert mss_between(net.A.host, net.B.host, net.B.host4) == mss
        assert mss_between(net.B.host, net.A.host, net.A.host4) == mss
    for rekey in (lambda: strongswan.ctl("--rekey", "--child", "net"), lambda: culvert.ctl("rekey", "cloud", "--child")):
        old = culvert.child_spi()
        rekey()
        culvert.wait_new_child(old)
        assert_reaches(net.A.host, net.B.host4)
        wait_for("one pair of SAs", lambda: strongswan.num_child_sas() == 1)
