"""IKE fragmentation (RFC 7383): a path that lets no IP fragments through, with strongSwan in either role, and one that is narrow.

What makes IKE_AUTH long: identities of 400 bytes, 60 traffic selectors of IPv6 and a list of proposals (nearly 4 kB); chains of three RSA
certificates of 3,072 bits, the last with 60 names (more than 6 kB)."""
import re
from itertools import product

import pytest

from labkit.pair import pair, tables
from labkit.pki import StrongSwanPki
from labkit.process import wait_for
from labkit.strongswan import swanctl_conf
from labkit.traffic import assert_reaches

PSK = "in many pieces"
IKE = "aes256gcm16-prfsha384-x25519"
ESP = [f"{cipher}-{exchange}" for cipher, exchange in product(
    ("aes256gcm16", "aes128gcm16", "chacha20poly1305", "aes256-sha256"), ("x25519", "ecp256", "ecp384", "modp2048"))]
NUM_SELECTORS = 60


@pytest.fixture
def net(lab):
    net = lab.net()
    net.internet.run("nft", "-f", "-", input="""
        table ip path { chain forward { type filter hook forward priority 0;
            ip frag-off & 0x3fff != 0 counter drop; }
        }""")
    return net


def fragments_dropped(net):
    text = net.internet.run("nft", "list", "table", "ip", "path").stdout
    return int(re.search(r"counter packets (\d+)", text)[1])


def selectors(site):
    """The site's LAN, and so many networks that it might have."""
    return [site.lan4] + [f"fd00:{site.number}:{i:x}::/64" for i in range(2, 2 * NUM_SELECTORS, 2)]


def long_id(site):
    return "ab"[site.number - 1] * 400


def against_strongswan(lab, net, role, fragmentation):
    ours, theirs = selectors(net.A), [net.B.lan4, net.B.lan6]
    conf = swanctl_conf(net.B.wan4, "%any" if role == "initiator" else net.A.wan4, f"keyid:{long_id(net.B)}", f"keyid:{long_id(net.A)}",
                        PSK, ",".join(theirs), ",".join(ours), IKE, ",".join(ESP), extra=f"fragmentation = {fragmentation}")
    # its secrets take no identities so long: this one is for everybody
    strongswan = lab.strongswan(net.B.gw, re.sub(r"id-[12] = .*", "", conf))
    culvert = lab.culvert(net.A.gw, tables(net.A, net.B, carry="ip", start="always" if role == "initiator" else "wait",
                                           gateway={"id": f"keyid:{long_id(net.A)}"},
                                           peer={"id": f"keyid:{long_id(net.B)}", "ike": [IKE], "esp": ESP, "retransmit_tries": 3},
                                           tunnel={"local": ours, "remote": theirs, "routes": [net.B.lan4], "mtu": 1400}),
                          secrets={"lab.psk": PSK})
    if role == "responder":
        strongswan.ctl("--initiate", "--child", "net", "--timeout", "4", check=False)
    return culvert, strongswan


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_a_long_ike_auth_passes_where_ip_fragments_do_not(lab, net, role):
    culvert, strongswan = against_strongswan(lab, net, role, "yes")
    culvert.wait_up()
    strongswan.wait_up()
    assert fragments_dropped(net) == 0
    log = strongswan.log()
    sent = re.search(r"splitting IKE message \((\d+) bytes\) into (\d+) fragments", log)
    received = re.search(r"received fragment #\d of (\d+), reassembled fragmented IKE message \((\d+) bytes\)", log)
    assert sent and received, log
    print(f"strongSwan sent {sent[1]} bytes in {sent[2]} fragments, took {received[2]} bytes in {received[1]}")
    assert int(received[1]) >= 3 and int(sent[2]) >= 3
    assert_reaches(net.A.host, net.B.host4)
    # The child's rekey is as long as IKE_AUTH; once from each end, and once more on an IKE SA that a rekey has made.
    for rekey in (lambda: culvert.ctl("rekey", "b", "--child"), lambda: strongswan.ctl("--rekey", "--child", "net")):
        old = culvert.child_spi()
        rekey()
        culvert.wait_new_child(old)
    old = culvert.ike_spis()
    culvert.ctl("rekey", "b", "--ike")
    culvert.wait_new_ike(old)
    old = culvert.child_spi()
    culvert.ctl("rekey", "b", "--child")
    culvert.wait_new_child(old)
    assert_reaches(net.B.host, net.A.host4)
    assert fragments_dropped(net) == 0


@pytest.fixture(scope="module")
def chains(shared):
    """CAs above each other, root first, and a certificate of the last for each side."""
    folder = shared.path("chains")
    cas = [StrongSwanPki(folder / "root", "root CA")]
    for name in ("regional", "issuing"):
        cas.append(StrongSwanPki(folder / name, f"{name} CA", "rsa3072", issuer=cas[-1]))
    names = [f"gateway-{i:02}.branch-of-a-large-enterprise.example.net" for i in range(60)]
    return [ca.ca for ca in cas], {letter: cas[-1].issue(f"{letter}.example", f"{letter}.example", *names, kind="rsa3072") for letter in "ab"}


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_chains_of_certificates_pass_where_ip_fragments_do_not(lab, net, chains, role):
    cas, certificates = chains
    conf = swanctl_conf(net.B.wan4, "%any" if role == "initiator" else net.A.wan4, "b.example", "a.example", PSK, net.B.lan4, net.A.lan4,
                        IKE, ESP[0], extra="fragmentation = yes")
    conf = conf.replace("local { auth = psk", "local { auth = pubkey\n certs = b.pem").replace(
        "remote { auth = psk", "remote { auth = pubkey\n cacerts = root.pem")
    files = {f"x509ca/{ca.parent.name}.pem": ca.read_text() for ca in cas}
    files |= {"x509/b.pem": certificates["b"].read_text(), "private/b.key": certificates["b"].with_suffix(".key").read_text()}
    strongswan = lab.strongswan(net.B.gw, re.sub(r"secrets \{.*", "", conf, flags=re.S), files=files)
    own = {"certificate": certificates["a"], "key": certificates["a"].with_suffix(".key"), "intermediates": cas[:0:-1]}
    culvert = lab.culvert(net.A.gw, tables(net.A, net.B, carry="ip", start="always" if role == "initiator" else "wait",
                                           peer={"ike": [IKE], "esp": ESP[:1], "auth": own, "peer_auth": {"ca": cas[:1]}},
                                           tunnel={"local": [net.A.lan4], "remote": [net.B.lan4], "routes": [net.B.lan4], "mtu": 1400}))
    if role == "responder":
        strongswan.ctl("--initiate", "--child", "net")
    culvert.wait_up()
    assert_reaches(net.A.host, net.B.host4)
    log = strongswan.log()
    sent = re.search(r"splitting IKE message \((\d+) bytes\) into (\d+) fragments", log)
    received = re.search(r"received fragment #\d+ of (\d+), reassembled fragmented IKE message \((\d+) bytes\)", log)
    assert sent and received, log
    assert int(sent[1]) >= 6000 and int(received[2]) >= 6000, (sent[0], received[0])
    assert fragments_dropped(net) == 0


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_without_the_peer_s_consent_it_does_not_pass(lab, net, role):
    culvert, strongswan = against_strongswan(lab, net, role, "no")
    wait_for("IP fragments were dropped", lambda: fragments_dropped(net) > 0, timeout=10)
    assert strongswan.num_child_sas() == 0
    assert culvert.peer()["state"] != "up"


def test_a_path_narrower_than_1280_bytes_is_found_out(lab, net):
    net.internet.run("nft", "insert", "rule", "ip", "path", "forward", "meta", "l4proto", "udp", "meta", "length", ">", "620", "drop")
    ours, theirs = selectors(net.A), selectors(net.B)
    both = dict(carry="ip", peer={"retransmit_tries": 7})
    a, b = pair(lab, net, wait=False, options=({**both, "tunnel": {"local": ours, "remote": theirs, "routes": [net.B.lan4]}},
                                               {**both, "tunnel": {"local": theirs, "remote": ours, "routes": [net.A.lan4]}}))
    a.wait_up(timeout=15)
    b.wait_up()
    assert_reaches(net.A.host, net.B.host4)
