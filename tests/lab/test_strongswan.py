"""culvert at A, a stock strongSwan at B: every step of an SA's life, from either side. tests/lab/CMakeLists.txt runs the parts
(role, PFS or none) side by side: -k 'initiator and pfs'."""
import pytest

from labkit.pair import tables
from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import assert_reaches, tcp_both_ways, wait_reaches

PSK = "between two makers"
EXCHANGES = ["x25519", "ecp256", "ecp384", "modp2048"]
CIPHERS = {"gcm": ("aes256gcm16-prfsha384", "aes256gcm16"), "chacha": ("chacha20poly1305-prfsha256", "chacha20poly1305"),
           "cbc": ("aes256-sha256", "aes256-sha256")}


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


class Ends:
    """culvert and strongSwan with the same proposals; `role` is culvert's."""

    def __init__(self, lab, net, role, ike, esp, culvert_peer=None, dpd="0s"):
        self.net, self.role = net, role
        remote = "%any" if role == "initiator" else net.A.wan4
        self.strongswan = lab.strongswan(net.B.gw, swanctl_conf(net.B.wan4, remote, "b.example", "a.example", PSK, net.B.lan4, net.A.lan4,
                                                                ike, esp, dpd=dpd))
        conf = tables(net.A, net.B, carry="ip", start="always" if role == "initiator" else "wait",
                      peer={"ike": [ike], "esp": [esp], **(culvert_peer or {})},
                      tunnel={"local": [net.A.lan4], "remote": [net.B.lan4], "mtu": 1400})
        self.culvert = lab.culvert(net.A.gw, conf, secrets={"lab.psk": PSK})
        self.bring_up()

    def bring_up(self):
        if self.role == "responder":
            self.strongswan.ctl("--initiate", "--child", "net")
        self.culvert.wait_up()
        self.strongswan.wait_up()

    def check(self):
        """Traffic both ways, and both ends agree that there is one IKE SA and one child SA."""
        try:
            self.check_traffic()
        except AssertionError:
            print(f"culvert's drops: { {k: v for k, v in self.culvert.drops().items() if v} }\n{self.strongswan.sas()}")
            raise
        wait_for(lambda: f"one IKE SA and one child SA at strongSwan\n{self.strongswan.sas()}",
                 lambda: self.strongswan.num_ike_sas() == 1 and self.strongswan.num_child_sas() == 1)
        peer = self.culvert.peer()
        assert peer["spi_i"][2:].lower() in self.strongswan.sas() and peer["spi_r"][2:].lower() in self.strongswan.sas()

    def check_traffic(self):
        assert_reaches(self.net.A.host, self.net.B.host4)
        assert_reaches(self.net.B.host, self.net.A.host4)
        tcp_both_ways(self.net.A.host, self.net.B.host, self.net.B.host4, "1M")

    def renew(self, what, rekey):
        """`rekey` makes a new child ("child") or IKE ("ike") SA; wait until culvert shows it."""
        old_child, old_ike = self.culvert.child_spi(), self.culvert.ike_spis()
        rekey()
        if what == "child":
            self.culvert.wait_new_child(old_child)
        else:
            self.culvert.wait_new_ike(old_ike)
            assert self.culvert.child_spi() == old_child, "an IKE rekey must not touch the child SA"
        self.check()


def cases():
    for role in ("initiator", "responder"):
        for pfs in ("pfs", "none"):
            for cipher in CIPHERS:
                for exchange in EXCHANGES:
                    yield pytest.param(role, pfs, cipher, exchange, id=f"{role}-{pfs}-{cipher}-{exchange}")


@pytest.mark.parametrize("role,pfs,cipher,exchange", cases())
def test_life_of_an_sa(lab, net, role, pfs, cipher, exchange):
    ike, esp = CIPHERS[cipher]
    ends = Ends(lab, net, role, f"{ike}-{exchange}", f"{esp}-{exchange}" if pfs == "pfs" else esp)
    ends.check()
    culvert, strongswan = ends.culvert, ends.strongswan

    ends.renew("child", lambda: culvert.ctl("rekey", "b", "--child"))
    ends.renew("child", lambda: strongswan.ctl("--rekey", "--child", "net"))
    ends.renew("ike", lambda: culvert.ctl("rekey", "b", "--ike"))
    ends.renew("ike", lambda: strongswan.ctl("--rekey", "--ike", "gw"))
    # once more after the IKE rekeys: the roles may have changed sides
    ends.renew("child", lambda: strongswan.ctl("--rekey", "--child", "net"))
    ends.renew("child", lambda: culvert.ctl("rekey", "b", "--child"))

    culvert.ctl("down", "b")
    wait_for("strongSwan has seen the Delete", lambda: strongswan.num_ike_sas() == 0)
    culvert.ctl("up", "b")   # which initiates, whoever did so at first
    culvert.wait_up()
    ends.check()

    old = culvert.ike_spis()
    strongswan.ctl("--terminate", "--ike", "gw")
    wait_for("culvert has seen the Delete", lambda: culvert.ike_spis() != old)
    ends.bring_up()
    ends.check()


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_delete_of_the_child_alone(lab, net, role):
    ends = Ends(lab, net, role, "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519")
    child, ike = ends.culvert.child_spi(), ends.culvert.ike_spis()
    ends.strongswan.ctl("--terminate", "--child", "net")
    wait_for("the child is gone", lambda: ends.culvert.child_spi() != child)
    if role == "responder":
        ends.strongswan.ctl("--initiate", "--child", "net")
    ends.culvert.wait_up()
    assert ends.culvert.ike_spis() == ike
    ends.check()


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_liveness_from_both_sides_keeps_a_silent_tunnel_and_finds_a_dead_peer(lab, net, role):
    ends = Ends(lab, net, role, "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519", dpd="1s",
                culvert_peer={"liveness": "1s", "retransmit_timeout": "300ms", "retransmit_tries": 4})
    ike = ends.culvert.ike_spis()
    wait_for("both sides have asked", lambda: ends.strongswan.log().count("INFORMATIONAL request") >= 4, timeout=15, interval=0.3)
    assert ends.culvert.ike_spis() == ike
    ends.check()
    ends.strongswan.kill()
    wait_for("culvert notices", lambda: ends.culvert.peer()["state"] != "up", timeout=20)
    assert ends.culvert.peer()["reason"]
    ends.strongswan.start()
    if role == "responder":
        ends.strongswan.ctl("--initiate", "--child", "net")
    wait_reaches(net.A.host, net.B.host4, timeout=40)
    ends.culvert.wait_up()
    ends.check()


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_culvert_killed_and_back_leaves_one_ike_sa(lab, net, role):
    ends = Ends(lab, net, role, "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519", dpd="1s")
    ends.culvert.kill()
    ends.culvert.start()
    if role == "responder":
        wait_for("strongSwan notices", lambda: ends.strongswan.num_ike_sas() == 0, timeout=30)
    ends.bring_up()
    ends.check()


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_wrong_psk(lab, net, role):
    conf = swanctl_conf(net.B.wan4, "%any" if role == "initiator" else net.A.wan4, "b.example", "a.example", "another secret", net.B.lan4,
                        net.A.lan4, "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519")
    strongswan = lab.strongswan(net.B.gw, conf)
    culvert = lab.culvert(net.A.gw, tables(net.A, net.B, carry="ip", start="always" if role == "initiator" else "wait",
                                           tunnel={"local": [net.A.lan4], "remote": [net.B.lan4]}))
    if role == "responder":
        strongswan.ctl("--initiate", "--child", "net", check=False)
        culvert.wait_log(r"b\.example.*pre-shared key.*psk_file")
        assert "AUTHENTICATION_FAILED" in strongswan.log() or "AUTH_FAILED" in strongswan.log()
    else:
        culvert.wait_log(r"peer b\b.*AUTHENTICATION_FAILED")
    assert strongswan.num_ike_sas() == 0
    assert culvert.peer()["children"][0]["state"] == "down"
