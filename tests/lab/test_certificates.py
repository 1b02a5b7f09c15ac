"""Certificates and raw keys against strongSwan 5.9.8, in both roles: culvert on A, strongSwan on B, another culvert on C.

culvert's certificates are made by `culvert pki` and checked by strongSwan, strongSwan's by its own `pki` and checked by culvert. One pair of
daemons holds all cases, each as a peer of its own with identities of its own."""
import os
import re
import shutil
import time
from dataclasses import dataclass, field

import pytest

from labkit.culvert import BIN, PSK
from labkit.odd_certificates import OddCa
from labkit.pki import CulvertPki, StrongSwanPki
from labkit.process import Process, sh, wait_for
from labkit.traffic import assert_reaches

IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PUBKEY = "auth = pubkey"
PSK_AUTH = "auth = psk"


@dataclass
class Case:
    name: str
    ours: str = "p256"                           # kind of culvert's key; "psk", "raw", "token"
    theirs: str = "p256"                         # kind of strongSwan's; "psk", "raw"
    auth: dict = field(default_factory=dict)     # more keys of culvert's auth
    peer_auth: dict = field(default_factory=dict)
    swan: str = PUBKEY                           # how strongSwan signs
    sans: tuple = ()                             # of strongSwan's certificate
    swan_id: str = ""
    expect: str = ""                             # culvert's `id` for it
    options: tuple = ("--lifetime", "90")        # of strongSwan's `pki --issue`
    refused: str = ""                            # what culvert's log says, when it refuses
    odd: str = ""                                # what is wrong with strongSwan's certificate (labkit/odd_certificates.py)

    @property
    def our_id(self):
        return f"a-{self.name}.example"

    @property
    def their_id(self):
        return self.swan_id or f"b-{self.name}.example"


GOOD = [
    Case("p256"),
    Case("rsa", "rsa2048", "rsa2048"),
    Case("pss", "rsa2048", "rsa3072", swan="auth = rsa/pss-sha256"),
    Case("pkcs1", "rsa3072", "rsa2048", auth={"signature": "rsa-pkcs1"}),
    Case("classic", "rsa2048", "p384", auth={"signature": "classic"}),
    Case("classic-ec", "p256", auth={"signature": "classic"}),
    Case("p384", "p384", "p384"),
    Case("ed25519", "ed25519", "ed25519"),
    Case("mixed", "p521", "rsa2048"),
    Case("we-psk", "psk", "p256"),
    Case("they-psk", "p256", "psk"),
    Case("email", sans=("ada@b.example",), swan_id="ada@b.example"),
    Case("dn", swan_id="O=strongSwan, CN=b-dn.example", expect="O=*,CN=b-dn.example"),
    Case("star", sans=("b.star.example",), swan_id="b.star.example", expect="*.star.example"),
    Case("address", sans=("198.51.100.1",), swan_id="198.51.100.1"),
    Case("raw", "raw", "raw"),
    Case("token", "token"),
    Case("ocsp", peer_auth={"ocsp": "ocsp", "revocation": "strict"}),
    Case("crl", peer_auth={"crl": "file", "revocation": "strict"}),
    Case("url", peer_auth={"crl": "url", "revocation": "strict"}),
    Case("tls", odd="tls-server"),   # docs/certificates.md: extendedKeyUsage
    Case("old-crl", odd="nothing", peer_auth={"crl": "old", "revocation": "relaxed"}),
]
BAD = [
    Case("stranger", refused=r"certificate is refused \(untrusted-issuer\)"),
    Case("expired", options=("--not-before", "01.01.20 00:00:00", "--not-after", "01.01.21 00:00:00"),
         refused=r"certificate is refused \(expired\)"),
    Case("revoked", peer_auth={"crl": "file"}, refused=r"certificate is refused \(revoked\)"),
    Case("revoked-url", peer_auth={"crl": "url"}, refused=r"certificate is refused \(revoked\)"),
    Case("revoked-ocsp", peer_auth={"ocsp": "ocsp"}, refused=r"certificate is refused \(revoked\)"),
    Case("unknown", peer_auth={"ocsp": "nowhere", "revocation": "strict"}, refused=r"certificate is refused \(revocation-unknown\)"),
    Case("outside", refused=r"certificate is refused \(name-constraints\)"),
    Case("misnamed", sans=("other.example",), refused=r"its certificate .* does not say that it is b-misnamed\.example"),
    Case("early", odd="early", refused=r"certificate is refused \(not-yet-valid\)"),
    Case("no-signing", odd="no-signing", refused=r"certificate is refused \(key-usage\)"),
    Case("code-signing", odd="code-signing", refused=r"certificate is refused \(extended-key-usage\)"),
    Case("critical", odd="critical", refused=r"certificate is refused \(unknown-critical-extension\)"),
    Case("no-ca", odd="no-ca", refused=r"certificate is refused \(not-a-ca\)"),
    Case("no-cert-sign", odd="no-cert-sign", refused=r"certificate is refused \(key-usage\)"),
    Case("path-length", odd="path-length", refused=r"certificate is refused \(path-length\)"),
    Case("rsa-1024", odd="rsa-1024", refused=r"certificate is refused \(weak-key\)"),
    Case("exponent", odd="exponent", refused=r"certificate is refused \(weak-key\)"),
    Case("sha1", odd="sha1", refused=r"certificate is refused \(weak-hash\)"),
    Case("old-crl-strict", odd="nothing", peer_auth={"crl": "old", "revocation": "strict"},
         refused=r"certificate is refused \(revocation-unknown\)"),
]
CASES = GOOD + BAD


class World:
    """Keys, certificates, lists, a web server and a responder on B, and the three daemons."""

    def __init__(self, lab):
        self.net = lab.net("ABC")
        self.dir = lab.path("certificates")
        self.ours = CulvertPki(self.dir / "culvert")
        self.swan_ca = StrongSwanPki(self.dir / "swan")
        self.strange_ca = StrongSwanPki(self.dir / "strange", name="strange CA")
        self.narrow_ca = StrongSwanPki(self.dir / "narrow", "narrow CA", "p256", "--nc-permitted", "dns:inside.example")
        self.odd_ca = OddCa(self.dir / "odd")
        self.old_crl = self.odd_ca.old_crl()
        self.web = self.dir / "web"
        self.web.mkdir()
        self.files, self.serials, self.theirs, self.keys = {}, {}, {}, {}
        for case in CASES:
            self.make(case)
        self.crl = self.swan_ca.crl(self.web / "swan.crl", self.theirs["revoked"], self.theirs["revoked-url"])
        self.serve()
        self.token()
        conf = "connections {\n" + "".join(self.connection(number, case) for number, case in enumerate(CASES)) + "}\n" + self.secrets()
        for number in range(1, len(CASES)):   # strongSwan installs routes for nets that it has an address in
            self.net.B.gw.address("lan", f"10.2.{number}.1/24")
        self.swan = lab.strongswan(self.net.B.gw, conf, files=self.files, settings="x509 { enforce_critical = no }")
        self.culvert = lab.culvert(self.net.A.gw, self.tables(), secrets={"token.pin": "1234"})
        self.other = lab.culvert(self.net.C.gw, self.raw_tables(self.net.C, self.net.A, "raw-c.key", "raw-a.key"))

    def make(self, case):
        if case.ours not in ("psk", "raw", "token"):
            self.ours.gateway(case.our_id, kind=case.ours)
        if case.ours == "token":
            self.ours.gateway(case.our_id)
        if case.ours == "raw":
            self.raw_key("raw-a.key")
            self.raw_key("raw-c.key")
            self.raw_key("raw-b.key", "p256")
            self.files["pubkey/a.pem"] = sh("openssl", "pkey", "-in", self.dir / "raw-a.key", "-pubout").stdout
            self.files["pubkey/b.pem"] = sh("openssl", "pkey", "-in", self.dir / "raw-b.key", "-pubout").stdout
            self.files["private/raw.key"] = (self.dir / "raw-b.key").read_text()
        if case.theirs in ("psk", "raw"):
            return
        name = f"b-{case.name}.example"
        if case.odd:
            certificate = self.odd_ca.issue(name, case.odd)
        else:
            ca = {"stranger": self.strange_ca, "outside": self.narrow_ca}.get(case.name, self.swan_ca)
            certificate = ca.issue(name, *case.sans, kind=case.theirs, options=case.options)
            self.serials[f"{ca.serial:x}"] = case.name == "revoked-ocsp"
        self.theirs[case.name] = certificate
        self.files[f"x509/{case.name}.pem"] = certificate.read_text()
        self.files[f"private/{case.name}.key"] = certificate.with_suffix(".key").read_text()

    def raw_key(self, name, kind="ed25519"):
        self.keys[name] = sh(BIN / "culvert", "genkey", self.dir / name, "--type", kind).stdout.strip()
        assert self.keys[name] == sh(BIN / "culvert", "pubkey", self.dir / name).stdout.strip()

    def serve(self):
        self.files["x509ca/culvert.pem"] = self.ours.ca.read_text()
        index = self.swan_ca.index(self.dir / "index.txt", **self.serials)
        responder = ["openssl", "ocsp", "-index", index, "-port", "8888", "-CA", self.swan_ca.ca, "-rsigner", self.swan_ca.ca, "-rkey",
                     self.swan_ca.ca_key, "-ndays", "1"]
        web = ["/usr/bin/python3", "-u", "-m", "http.server", "8080", "--bind", self.net.B.wan4]
        Process(responder, ns=self.net.B.gw, log=self.dir / "ocsp.log").wait_output("waiting for OCSP client connections")
        Process(web, ns=self.net.B.gw, cwd=self.web, log=self.dir / "web.log").wait_output("Serving HTTP")

    def token(self):
        tokens, key = self.dir / "tokens", self.ours.dir / "a-token.example.key"
        tokens.mkdir()
        (self.dir / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\n")
        os.environ["SOFTHSM2_CONF"] = str(self.dir / "softhsm2.conf")   # culvertd inherits it
        sh("softhsm2-util", "--init-token", "--free", "--label", "lab", "--pin", "1234", "--so-pin", "5678")
        sh("softhsm2-util", "--import", key, "--token", "lab", "--label", "gw", "--id", "01", "--pin", "1234")
        key.unlink()   # from here on it is in the token alone

    def secrets(self):
        return "secrets {\n" + "".join(f'ike-{c.name} {{ id-1 = {c.our_id}\n id-2 = {c.their_id}\n secret = "{PSK}" }}\n' for c in CASES
                                       if "psk" in (c.ours, c.theirs)) + "}\n"

    def connection(self, number, case):
        local = {"psk": PSK_AUTH, "raw": PUBKEY + "\n pubkeys = b.pem"}.get(case.theirs, f"{case.swan}\n certs = {case.name}.pem")
        remote = {"psk": PSK_AUTH, "raw": PUBKEY + "\n pubkeys = a.pem"}.get(case.ours, PUBKEY + "\n cacerts = culvert.pem")
        return f"""
          {case.name} {{
            version = 2
            local_addrs = {self.net.B.wan4}
            remote_addrs = {self.net.A.wan4}
            proposals = {IKE}
            mobike = no
            local {{ {local}
              id = "{case.their_id}" }}
            remote {{ {remote}
              id = {case.our_id} }}
            children {{ {case.name} {{
              local_ts = 10.2.{number}.0/24
              remote_ts = {self.net.A.lan4}
              esp_proposals = {ESP} }} }}
          }}
        """

    def peer(self, case):
        own, web = self.ours.dir / case.our_id, f"http://{self.net.B.wan4}"
        auth = {"psk": {"psk_file": "lab.psk"}, "raw": {"key": self.dir / "raw-a.key"},
                "token": {"certificate": f"{own}.pem", "key": "pkcs11:token=lab;object=gw;type=private", "passphrase_file": "token.pin",
                          "pkcs11_module": MODULE}}.get(case.ours, {"certificate": f"{own}.pem", "key": f"{own}.key"})
        places = {"file": self.web / "swan.crl", "url": f"{web}:8080/swan.crl", "ocsp": f"{web}:8888", "nowhere": f"{web}:9",
                  "old": self.old_crl}
        cas = [self.swan_ca.ca, self.narrow_ca.ca, self.odd_ca.ca]
        peer_auth = {"psk": {"psk_file": "lab.psk"}, "raw": {"public_key": self.keys.get("raw-b.key")}}.get(case.theirs, {"ca": cas})
        between = self.odd_ca.dir / f"b-{case.name}.example.between"
        if between.exists():
            peer_auth["intermediates"] = [between]
        return {"address": [self.net.B.wan4], "start": "wait", "id": case.expect or case.their_id.replace(", ", ","), "local_id": case.our_id,
                "ike": [IKE], "retransmit_timeout": "300ms", "auth": {**auth, **case.auth},
                "peer_auth": {**peer_auth, **{k: places.get(v, v) for k, v in case.peer_auth.items()}}}

    def tables(self):
        tables = {"gateway": {}}
        for number, case in enumerate(CASES):
            tables[f"peer.{case.name}"] = self.peer(case)
            tables[f"tunnel.{case.name}"] = {"peer": case.name, "carry": "ip", "device": f"cv{number}", "local": [self.net.A.lan4],
                                             "remote": [f"10.2.{number}.0/24"], "mtu": 1400}
        raw = self.raw_tables(self.net.A, self.net.C, "raw-a.key", "raw-c.key", "wait")
        return {**raw, **tables}

    def raw_tables(self, us, them, ours, theirs, start="always"):
        """No identity anywhere: the keys are the identities."""
        name = "ac"
        return {"gateway": {},
                f"peer.{name}": {"address": [them.wan4], "start": start, "auth": {"key": self.dir / ours},
                                 "peer_auth": {"public_key": self.keys[theirs]}},
                f"tunnel.{name}": {"peer": name, "carry": "gre", "device": f"cv{them.letter}", "address": [f"169.254.30.{us.number}/24"],
                                   "routes": [them.lan4]}}

    def refusals(self, case):
        return len(re.findall(rf"\b{case.name}\b.*{case.refused}", self.culvert.log()))

    def leave(self, case):
        """strongSwan ends what it began: culvert, whose peers have start = "wait", waits again."""
        self.swan.ctl("--terminate", "--ike", case.name, check=False)
        wait_for(lambda: f"{case.name} is gone\n{self.culvert.describe()}", lambda: not self.culvert.is_up(case.name), 10)


@pytest.fixture(scope="module")
def world(shared):
    return World(shared)


def let_the_log_breathe(seconds=1.1):
    """culvertd writes at most 9 lines a second, and the test wants one of the next."""
    time.sleep(seconds)


def ids(cases):
    return [case.name for case in cases]


@pytest.mark.parametrize("case", GOOD, ids=ids(GOOD))
def test_strongswan_calls(world, case):
    world.swan.ctl("--initiate", "--child", case.name)
    world.culvert.wait_up(case.name, 10)
    if case.name == GOOD[0].name:
        assert_reaches(world.net.A.host, world.net.B.host4)
    world.leave(case)


@pytest.mark.parametrize("case", GOOD, ids=ids(GOOD))
def test_culvert_calls(world, case):
    world.culvert.ctl("up", case.name)
    world.culvert.wait_up(case.name, 10)
    if case.name == GOOD[0].name:
        assert_reaches(world.net.A.host, world.net.B.host4)
    world.culvert.ctl("down", case.name)


@pytest.mark.parametrize("case", BAD, ids=ids(BAD))
def test_strongswan_calls_and_is_refused(world, case):
    let_the_log_breathe(1.1 if case is BAD[0] else 0.3)
    before = len(world.swan.log())
    world.swan.ctl("--initiate", "--child", case.name, check=False)
    wait_for(lambda: f"culvert says why\n{world.culvert.log()[-3000:]}\n{world.swan.log()[before:]}", lambda: world.refusals(case) >= 1, 10)
    assert "AUTHENTICATION_FAILED" in world.swan.log()[before:]
    assert not world.culvert.is_up(case.name)


@pytest.mark.parametrize("case", BAD, ids=ids(BAD))
def test_culvert_calls_and_refuses_what_answers(world, case):
    before = len(world.swan.log())
    world.culvert.ctl("up", case.name)
    wait_for(lambda: f"culvert says why\n{world.culvert.describe()}",
             lambda: re.search(case.refused, world.culvert.peer(case.name)["reason"]), 10)
    wait_for("strongSwan is told", lambda: "AUTH_FAILED" in world.swan.log()[before:])
    world.culvert.ctl("down", case.name)


def test_a_stranger_with_a_good_certificate_is_nobody(world):
    """The certificate holds, but its name is no peer's."""
    conf = (world.swan.dir / "etc/swanctl/swanctl.conf").read_text()
    world.swan.configure(conf.replace("id = \"b-p256.example\"", "id = \"O=strongSwan, CN=b-p256.example\""))
    world.swan.load()
    let_the_log_breathe()
    world.swan.ctl("--initiate", "--child", "p256", check=False)
    world.culvert.wait_log(r"CN=b-p256\.example.*no configured peer has this identity", 10)
    world.swan.configure(conf)
    world.swan.load()


def test_two_culverts_with_raw_keys_and_no_identities(world):
    world.other.wait_up()
    world.culvert.wait_up("ac")
    assert_reaches(world.net.A.host, world.net.C.host4)
    assert world.culvert.peer("ac")["remote_id"].startswith("keyid:0x")


def test_a_list_that_changes_refuses_from_then_on(world):
    case = next(case for case in GOOD if case.name == "crl")
    let_the_log_breathe()   # and a newer list has a later thisUpdate, in whole seconds
    draft = world.web / "draft.crl"
    draft.write_text(world.crl.read_text())
    world.swan_ca.crl(draft, world.theirs["crl"])
    draft.rename(world.crl)
    world.culvert.wait_log(rf"CRL {world.crl}: 3 revoked", 10)
    world.culvert.ctl("up", case.name)
    wait_for(lambda: f"the certificate is refused\n{world.culvert.describe()}",
             lambda: "certificate is refused (revoked)" in world.culvert.peer(case.name)["reason"], 10)
    world.culvert.process.popen.send_signal(1)   # SIGHUP: the address too, at once
    world.culvert.wait_log(r"CRL http://\S+: 3 revoked", 10)


def test_status_shows_lists_and_certificates(world):
    status = world.culvert.status()
    lists = {entry["source"]: entry for entry in status["revocation"]}
    assert lists[str(world.crl)]["issuer"] == "CN=strongSwan lab" and lists[str(world.crl)]["trouble"] == ""
    assert any(entry["name"] == "CN=a-p256.example" and entry["expires_in_s"] > 300 * 86400 for entry in status["certificates"])


def test_what_culvert_pki_prints_is_enough_for_two_gateways(lab):
    """From nothing: its text is pasted, its files are copied, and nothing else is written but the tunnel."""
    net, pki = lab.net("AB"), CulvertPki(lab.path("pki"))
    printed = {site.letter: pki.run("gateway", f"{site.letter.lower()}.example") for site in (net.A, net.B)}
    hosts = f"{net.A.wan4} a.example\n{net.B.wan4} b.example\n"
    gateways = {}
    for us, them in ((net.B, net.A), (net.A, net.B)):
        daemon = lab.culvert(us.gw, {"gateway": {}}, start=False, hosts=hosts)
        for file in [pki.ca, *pki.dir.glob(f"{us.letter.lower()}.example.*")]:
            shutil.copy2(file, daemon.dir)
        ours = re.search(r"^\[gateway\]\n(.*?)\n\n", printed[us.letter], re.S | re.M)[1]
        theirs = re.search(r"^\[peer\.NAME\]\n(.*)", printed[them.letter], re.S | re.M)[1]
        daemon.config.write_text(f'[gateway]\ncontrol_socket = "{daemon.socket}"\nstate_dir = "{daemon.dir}/state"\n{ours}\n'
                                 f'[peer.other]\n{theirs}\n[tunnel.t]\npeer = "other"\ncarry = "gre"\ndevice = "cv0"\n'
                                 f'address = ["169.254.10.{us.number}/30"]\nroutes = ["{them.lan4}"]\n')
        daemon.start()
        gateways[us.letter] = daemon
    for daemon in gateways.values():
        daemon.wait_up()
    assert_reaches(net.A.host, net.B.host4)
