"""What happens to whole IKE SAs, with strongSwan as the other end: childless, a second one with the same identity."""
import time

import pytest

from labkit.pair import assert_one_ike_sa, tables
from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import Echo, assert_reaches, wait_reaches

PSK = "between two makers"
IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"
ROLES = pytest.mark.parametrize("role", ["initiator", "responder"])


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


class Ends:
    """culvert at A, strongSwan at B; `role` is culvert's."""

    def __init__(self, lab, net, role, peer=None, extra="", child_extra="", dpd="0s", up=True, settings=""):
        self.net, self.role = net, role
        remote = "%any" if role == "initiator" else net.A.wan4
        self.strongswan = lab.strongswan(net.B.gw, swanctl_conf(net.B.wan4, remote, "b.example", "a.example", PSK, net.B.lan4, net.A.lan4,
                                                                IKE, ESP, dpd=dpd, extra=extra, child_extra=child_extra),
                                         settings=settings)
        conf = tables(net.A, net.B, carry="ip", start="always" if role == "initiator" else "wait",
                      peer={"ike": [IKE], "esp": [ESP], **(peer or {})},
                      tunnel={"local": [net.A.lan4], "remote": [net.B.lan4], "mtu": 1400})
        self.culvert = lab.culvert(net.A.gw, conf, secrets={"lab.psk": PSK})
        if up:
            self.bring_up()

    def bring_up(self):
        if self.role == "responder":
            self.strongswan.ctl("--initiate", "--child", "net")
        self.culvert.wait_up()
        self.strongswan.wait_up()

    def check(self):
        assert_reaches(self.net.A.host, self.net.B.host4)
        assert_reaches(self.net.B.host, self.net.A.host4)
        wait_for(lambda: f"one IKE SA and one child SA at strongSwan\n{self.strongswan.sas()}",
                 lambda: self.strongswan.num_ike_sas() == 1 and self.strongswan.num_child_sas() == 1, timeout=20)
        peer = self.culvert.peer()
        assert peer["spi_i"][2:].lower() in self.strongswan.sas() and peer["spi_r"][2:].lower() in self.strongswan.sas()


def test_childless_initiation(lab, net):
    """childless = "prefer" towards strongSwan, which announces RFC 6023: the child is made by CREATE_CHILD_SA."""
    ends = Ends(lab, net, "initiator", peer={"childless": "prefer"})
    ends.check()
    assert "generating IKE_AUTH response 1 [ IDr AUTH ]" in ends.strongswan.log(), ends.strongswan.log()
    assert "parsed CREATE_CHILD_SA request 2" in ends.strongswan.log()


def test_childless_initiation_by_strongswan(lab, net):
    ends = Ends(lab, net, "responder", extra="childless = force")
    ends.check()
    assert "N(CHDLESS_SUP)" in ends.strongswan.log()


@ROLES
def test_childless_never(lab, net, role):
    """Whoever says never gets its child in IKE_AUTH, or nothing."""
    if role == "initiator":
        ends = Ends(lab, net, role, peer={"childless": "prefer"}, extra="childless = never")
        ends.check()
        assert "CREATE_CHILD_SA" not in ends.strongswan.log()
    else:
        ends = Ends(lab, net, role, peer={"childless": "never"}, extra="childless = force", up=False)
        ends.strongswan.ctl("--initiate", "--child", "net", check=False)
        assert "peer does not support childless IKE_SA initiation" in ends.strongswan.log(), ends.strongswan.log()[-3000:]
        assert ends.strongswan.num_ike_sas() == 0


@pytest.mark.parametrize("policy", ["replace", "keep", "never"])
def test_a_peer_that_comes_again(lab, net, policy):
    """strongSwan loses its memory and sends no INITIAL_CONTACT (unique = never)."""
    ends = Ends(lab, net, "responder", peer={"unique": policy, "liveness": "1s"}, extra="unique = never")
    old = ends.culvert.ike_spis()
    ends.strongswan.kill()
    ends.strongswan.start()
    ends.strongswan.ctl("--initiate", "--child", "net")
    wait_reaches(net.B.host, net.A.host4)  # the first answer may still leave by the old child, which only culvert has
    ends.culvert.wait_new_ike(old, timeout=40)
    ends.check()
    assert "INIT_CONTACT" not in ends.strongswan.log()


class Traffic:
    """Echoes both ways, one each 5 ms; assert_none_lost() ends them."""

    def __init__(self, net):
        self.runs = [Echo(net.A.host, net.B.host4, count=0, interval=0.005), Echo(net.B.host, net.A.host4, count=0, interval=0.005)]

    def assert_none_lost(self, by_strongswan=0):
        """`by_strongswan`: how many may be, because it removes the old SAs with what its other threads still hold (on a busy machine)."""
        for run in self.runs:
            run.finish()
        for run in self.runs:
            print(f"{run.sent} echoes, {len(run.missing)} lost")
            assert run.sent > 200 and len(run.missing) <= by_strongswan and not run.errors, run


def rounds(ends, num, timeout):
    """The IKE SA is another one `num` times."""
    for _ in range(num):
        ends.culvert.wait_new_ike(ends.culvert.ike_spis(), timeout=timeout)


def test_reauthentication_between_culverts_loses_nothing(lab, net):
    """A reauthenticates because B says so (AUTH_LIFETIME), 3 times under traffic."""
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", peer={"reauth_lifetime": "5s"}))
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    a.wait_up()
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    traffic = Traffic(net)
    for _ in range(3):
        a.wait_new_ike(a.ike_spis())
    traffic.assert_none_lost()
    assert "down:" not in a.log() + b.log()
    wait_for("one IKE SA", lambda: a.ike_spis() == b.ike_spis())
    assert_one_ike_sa(a, b)


def test_culvert_reauthenticates_to_strongswan_without_loss(lab, net):
    ends = Ends(lab, net, "initiator", peer={"reauth_lifetime": "5s"})
    ends.check()
    traffic = Traffic(net)
    rounds(ends, 2, timeout=15)
    traffic.assert_none_lost()
    ends.check()
    assert "down:" not in ends.culvert.log()


def test_strongswan_reauthenticates_because_culvert_asks_for_it(lab, net):
    """RFC 4478: AUTH_LIFETIME of the responder. (strongSwan itself sends it for EAP and virtual addresses alone.)"""
    ends = Ends(lab, net, "responder", peer={"reauth_lifetime": "6s"}, extra="over_time = 1s\nrand_time = 0s",
                settings="make_before_break = yes")
    assert "received AUTH_LIFETIME of 6s, scheduling reauthentication" in ends.strongswan.log(), ends.strongswan.log()[-3000:]
    traffic = Traffic(net)
    rounds(ends, 1, timeout=20)
    traffic.assert_none_lost(by_strongswan=3)
    ends.check()


def test_strongswan_reauthenticates_to_culvert_without_loss(lab, net):
    """make_before_break of strongswan.conf: our end must not take the new one for a clash."""
    ends = Ends(lab, net, "responder", extra="reauth_time = 5s\nrand_time = 0s\nover_time = 30s",
                settings="make_before_break = yes")
    ends.check()
    traffic = Traffic(net)
    rounds(ends, 2, timeout=15)
    traffic.assert_none_lost(by_strongswan=3)
    ends.check()
    assert "down:" not in ends.culvert.log()


def crash_and_return(lab, net, **peer):
    """B, which waits for calls, is killed and back at once, under traffic; returns both ends and the seconds that A needed. A would ask
    after a minute of silence whether B lives."""
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", peer={"liveness": "60s", **peer}))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, peer={"liveness": "60s", **peer}))
    a.wait_up()
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    old = a.ike_spis()
    pings = Echo(net.A.host, net.B.host4, count=0, interval=0.05, wait=0.5)
    time.sleep(1)
    b.kill()
    b.start()
    back = time.monotonic()
    a.wait_new_ike(old, timeout=30)
    b.wait_up()
    seconds = time.monotonic() - back
    pings.finish()
    print(f"up again {seconds:.2f} s after the return; {len(pings.missing)} of {pings.sent} echoes lost")
    assert_reaches(net.A.host, net.B.host4)
    return a, b, seconds


def test_a_crash_is_known_at_once_by_the_token(lab, net):
    """RFC 6290: three seconds in place of liveness."""
    a, b, seconds = crash_and_return(lab, net)
    assert "the peer has lost its memory (QCD_TOKEN)" in a.log()
    assert seconds <= 3
    assert_one_ike_sa(a, b)
    assert (b.dir / "state/crash-secret").stat().st_mode & 0o777 == 0o600


def test_after_a_crash_the_ike_sa_is_resumed_from_its_ticket(lab, net):
    """RFC 5723: the ticket keys have outlived the daemon; a rekey makes fresh keys a little later."""
    a, b, _ = crash_and_return(lab, net, resumption=True)
    assert "resumed from a ticket" in a.log() and "resumed from a ticket" in b.log(), a.describe() + b.describe()
    assert (b.dir / "state/ticket-keys").stat().st_mode & 0o777 == 0o600
    a.wait_log(r"IKE SA rekeyed")
    wait_for("one IKE SA", lambda: a.ike_spis() == b.ike_spis())
    assert_one_ike_sa(a, b)


def test_ticket_of_a_gateway_that_has_lost_its_keys(lab, net):
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", peer={"resumption": True}))
    a = lab.culvert(net.A.gw, tables(net.A, net.B, peer={"resumption": True, "liveness": "1s"}))
    a.wait_up()
    b.kill()
    (b.dir / "state/ticket-keys").unlink()
    b.start()
    a.wait_log("cannot resume: the peer does not take our ticket")
    a.wait_up()
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4)


@pytest.fixture
def second_addresses(net):
    """Each gateway is reached at a second address, too; the addresses."""
    both = {}
    for site in (net.A, net.B):
        both[site.letter] = site.wan4.rsplit(".", 1)[0] + ".77"
        site.gw.address("wan", f"{both[site.letter]}/24")
    yield both
    for site in (net.A, net.B):
        site.gw.ip("addr", "del", f"{both[site.letter]}/24", "dev", "wan")


def test_culvert_sends_strongswan_to_another_gateway(lab, net, second_addresses):
    """RFC 5685 with strongSwan as client: in IKE_SA_INIT, and back in INFORMATIONAL while the gateway drains."""
    other = second_addresses["A"]
    ends = Ends(lab, net, "responder", up=False)
    ends.culvert.ctl("redirect", other)
    ends.strongswan.ctl("--initiate", "--child", "net")
    ends.culvert.wait_up()
    assert ends.culvert.peer()["local"].startswith(other + ":"), ends.culvert.describe()
    assert_reaches(net.B.host, net.A.host4)
    old = ends.culvert.ike_spis()
    ends.culvert.ctl("redirect", net.A.wan4)
    ends.culvert.wait_new_ike(old)
    assert ends.culvert.peer()["local"].startswith(net.A.wan4 + ":"), ends.culvert.describe()
    assert "N(REDIR)" in ends.strongswan.log() and "N(REDIR_FROM)" in ends.strongswan.log()


def test_strongswan_sends_culvert_to_another_gateway(lab, net, second_addresses):
    """swanctl --redirect of an IKE SA that is up."""
    other = second_addresses["B"]
    strongswan = lab.strongswan(net.B.gw, swanctl_conf("%any", "%any", "b.example", "a.example", PSK, net.B.lan4, net.A.lan4, IKE, ESP))
    culvert = lab.culvert(net.A.gw, tables(net.A, net.B, carry="ip", peer={"ike": [IKE], "esp": [ESP], "follow_redirects": True},
                                           tunnel={"local": [net.A.lan4], "remote": [net.B.lan4], "mtu": 1400}),
                          secrets={"lab.psk": PSK})
    culvert.wait_up()
    assert "N(REDIR_SUP)" in strongswan.log()
    strongswan.ctl("--redirect", "--ike", "gw", "--gateway", other)
    wait_for(lambda: f"culvert is at {other}\n{culvert.describe()}", lambda: culvert.is_up() and culvert.peer()["remote"].startswith(other))
    assert "N(REDIR_FROM)" in strongswan.log()
    assert_reaches(net.A.host, net.B.host4)
