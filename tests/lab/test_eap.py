"""Logins by EAP: strongSwan 5.9.8 as client of culvert and the reverse, culvert with culvert, and a real FreeRADIUS behind the gateway.

culvert is the gateway on A, the clients are on B; where culvert is the client it is on A and strongSwan the gateway on B."""
import re

import pytest

from labkit.freeradius import SECRET, FreeRadius
from labkit.pki import StrongSwanPki
from labkit.process import wait_for
from labkit.traffic import assert_reaches

IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"
PLUGINS = "eap-identity eap-mschapv2 eap-tls md4 des md5"
PASSWORD = "Ar3etTnp"
USERS = f'[carol]\npassword = "{PASSWORD}"\ngroup = "staff"\n'


class World:
    def __init__(self, lab):
        self.lab, self.net = lab, lab.net("AB")
        self.pki = StrongSwanPki(lab.path("pki"))
        self.gateway = self.pki.issue("gw.example")
        self.carol = self.pki.issue("carol.example", "carol@example.net", "carol.example")
        self.server = self.pki.issue("radius.example")
        self.files = {"x509ca/ca.pem": self.pki.ca.read_text(), "x509/carol.pem": self.carol.read_text(),
                      "private/carol.key": self.carol.with_suffix(".key").read_text(), "x509/gw.pem": self.gateway.read_text(),
                      "private/gw.key": self.gateway.with_suffix(".key").read_text()}

    # ---- culvert as gateway ----
    def gateway_tables(self, peer_auth, gateway=None, **more):
        return {"gateway": {"id": "gw.example", "auth": self.key(self.gateway), **(gateway or {})},
                "peer.users": {"address": "any", "start": "wait", "ike": [IKE], "auth": self.key(self.gateway), "peer_auth": peer_auth},
                "tunnel.users": {"peer": "users", "carry": "ip", "device": "cv0", "local": [self.net.A.lan4],
                                 "remote": [self.net.B.lan4], "mtu": 1400}, **more}

    @staticmethod
    def key(certificate):
        return {"certificate": certificate, "key": certificate.with_suffix(".key")}

    def culvert_gateway(self, peer_auth, gateway=None, users=USERS, **more):
        return self.lab.culvert(self.net.A.gw, self.gateway_tables(peer_auth, gateway, **more),
                                secrets={"users.toml": users, "radius.secret": SECRET})

    # ---- strongSwan as client ----
    def swan(self, auth, secrets="", remote="auth = pubkey\n id = gw.example", settings=""):
        conf = f"""connections {{ gw {{
            version = 2
            local_addrs = {self.net.B.wan4}
            remote_addrs = {self.net.A.wan4}
            proposals = {IKE}
            mobike = no
            local {{ {auth} }}
            remote {{ {remote} }}
            children {{ net {{
              local_ts = {self.net.B.lan4}
              remote_ts = {self.net.A.lan4}
              esp_proposals = {ESP} }} }}
          }} }}
          secrets {{ {secrets} }}"""
        return self.lab.strongswan(self.net.B.gw, conf, files=self.files, plugins=PLUGINS, settings=settings)


def secret(password, user="carol"):
    return f'eap-1 {{ id = {user}\n secret = "{password}" }}'


MSCHAPV2 = "auth = eap-mschapv2\n id = laptop.example\n eap_id = carol"
TLS = "auth = eap-tls\n id = carol@example.net\n certs = carol.pem"


@pytest.fixture
def world(lab):
    return World(lab)


def call(swan, succeeds=True):
    done = swan.ctl("--initiate", "--child", "net", check=False)
    assert (done.returncode == 0) == succeeds, f"{done.stdout}\n{swan.log()[-4000:]}"


def test_strongswan_logs_in_by_mschapv2(world):
    culvert = world.culvert_gateway({"eap": "mschapv2"}, {"users": "users.toml"})
    swan = world.swan(MSCHAPV2, secret(PASSWORD))
    call(swan)
    culvert.wait_up("users", 5)
    assert culvert.peer("users")["remote_auth"] == "EAP-MSCHAPv2, user carol"
    assert_reaches(world.net.A.host, world.net.B.host4)
    swan.ctl("--terminate", "--ike", "gw", check=False)
    # Another password, then one that is not on time any more: read again without a restart.
    swan.configure((swan.dir / "etc/swanctl/swanctl.conf").read_text().replace(PASSWORD, "guess"))
    swan.load()
    call(swan, succeeds=False)
    culvert.wait_log("wrong password, or no such user: carol", 5)
    culvert.secret("users.toml", '[carol]\npassword = "guess"\n')
    culvert.wait_log(r"users\.toml: 1 users", 10)
    call(swan)
    culvert.wait_up("users", 5)


def test_strongswan_logs_in_by_tls_after_it_has_refused_mschapv2(world):
    culvert = world.culvert_gateway({"eap": ["mschapv2", "tls"], "ca": [world.pki.ca]}, {"users": "users.toml"})
    swan = world.swan(TLS)
    call(swan)
    culvert.wait_up("users", 5)
    assert culvert.peer("users")["remote_auth"].startswith("EAP-TLS, user carol@example.net")
    assert_reaches(world.net.A.host, world.net.B.host4)


def test_strongswan_logs_in_by_tls_alone(world):
    """RFC 5998: strongSwan asks for it when it wants no proof of the gateway but by EAP-TLS. By TLS 1.2, its default."""
    culvert = world.culvert_gateway({"eap": "tls", "ca": [world.pki.ca], "eap_only": True})
    swan = world.swan(TLS + "\n eap_id = carol@example.net", remote="auth = eap-tls\n id = gw.example")
    call(swan)
    culvert.wait_up("users", 5)


@pytest.mark.parametrize("method", ["mschapv2", "tls"])
def test_culvert_logs_in_at_strongswan(world, method):
    conf = f"""connections {{ users {{
        version = 2
        local_addrs = {world.net.B.wan4}
        proposals = {IKE}
        mobike = no
        send_certreq = no
        local {{ auth = pubkey
          certs = gw.pem
          id = gw.example }}
        remote {{ auth = eap-{method}
          id = %any
          eap_id = %any
          {"cacerts = ca.pem" if method == "tls" else ""} }}
        children {{ net {{
          local_ts = {world.net.B.lan4}
          remote_ts = {world.net.A.lan4}
          esp_proposals = {ESP} }} }}
      }} }}
      secrets {{ {secret(PASSWORD)} }}"""
    swan = world.lab.strongswan(world.net.B.gw, conf, files=world.files, plugins=PLUGINS)
    login = {"mschapv2": {"eap": "mschapv2", "user": "carol", "password_file": "password"},
             "tls": {"eap": "tls", "user": "carol@example.net", **world.key(world.carol)}}[method]
    local_id = {"mschapv2": "laptop.example", "tls": "carol@example.net"}[method]
    culvert = world.lab.culvert(world.net.A.gw, {
        "gateway": {"id": local_id},
        "peer.gw": {"address": [world.net.B.wan4], "id": "gw.example", "ike": [IKE], "auth": login, "peer_auth": {"ca": [world.pki.ca]}},
        "tunnel.gw": {"peer": "gw", "carry": "ip", "device": "cv0", "local": [world.net.A.lan4], "remote": [world.net.B.lan4],
                      "mtu": 1400}}, secrets={"password": PASSWORD})
    culvert.wait_up("gw", 10)
    assert_reaches(world.net.A.host, world.net.B.host4)
    assert culvert.peer("gw")["local_auth"].startswith("EAP-")
    assert swan.num_ike_sas() == 1


def radius(world, method, tls="1.2"):
    users = (f'carol Cleartext-Password := "{PASSWORD}"\n\tFilter-Id = "staff", Framed-IP-Address = 10.9.0.7\n\n'
             'DEFAULT\n\tFilter-Id = "others"\n')
    server = FreeRadius(world.net.A.host, world.lab.path("radius"), world.net.A.gw4, users, world.server, world.pki.ca, method, tls)
    world.lab._ends.append(server.stop)
    return server


def radius_table(world):
    return {"radius.office": {"servers": [world.net.A.host4], "accounting": [world.net.A.host4], "secret_file": "radius.secret",
                              "timeout": "500ms", "tries": 2, "dead_time": "2s"}}


@pytest.mark.parametrize("method", ["mschapv2", "tls"])
def test_freeradius_behind_culvert(world, method):
    server = radius(world, method)
    culvert = world.culvert_gateway({"eap": "radius"}, **radius_table(world))
    swan = world.swan(MSCHAPV2, secret(PASSWORD)) if method == "mschapv2" else world.swan(TLS + "\n aaa_id = radius.example")
    call(swan)
    culvert.wait_up("users", 5)
    user = "carol" if method == "mschapv2" else "carol@example.net"
    assert culvert.peer("users")["remote_auth"] == f"EAP by RADIUS, user {user}"
    assert_reaches(world.net.A.host, world.net.B.host4)
    swan.ctl("--terminate", "--ike", "gw", check=False)
    wait_for(lambda: f"both reports are there\n{server.accounting()}\n{culvert.log()[-2000:]}",
             lambda: re.search(r"Acct-Status-Type = Stop", server.accounting()), 10)
    assert f'User-Name = "{user}"' in server.accounting() and "Acct-Session-Time" in server.accounting()
    # It is gone, and comes back.
    server.stop()
    call(swan, succeeds=False)
    culvert.wait_log("no RADIUS server answers", 10)
    assert "does not answer" in culvert.log()
    server.start()
    call(swan)
    culvert.wait_up("users", 5)
    culvert.wait_log("answers again", 5)


@pytest.mark.parametrize("method", ["mschapv2", "tls"])
def test_culvert_logs_in_at_culvert_with_freeradius_behind_it(world, method):
    """EAP-TLS by TLS 1.3 (RFC 9190), between culvert's client and FreeRADIUS."""
    server = radius(world, method, tls="1.3")
    gateway = world.culvert_gateway({"eap": "radius"}, **radius_table(world))
    login = {"mschapv2": {"eap": "mschapv2", "user": "carol", "password_file": "password"},
             "tls": {"eap": "tls", "user": "carol@example.net", "ca": [world.pki.ca], **world.key(world.carol)}}[method]
    client = world.lab.culvert(world.net.B.gw, {
        "gateway": {"id": "laptop.example"},
        "peer.gw": {"address": [world.net.A.wan4], "id": "gw.example", "ike": [IKE], "auth": login, "peer_auth": {"ca": [world.pki.ca]}},
        "tunnel.gw": {"peer": "gw", "carry": "ip", "device": "cv0", "local": [world.net.B.lan4], "remote": [world.net.A.lan4],
                      "mtu": 1400}}, secrets={"password": PASSWORD})
    client.wait_up("gw", 10)
    gateway.wait_up("users", 5)
    assert_reaches(world.net.B.host, world.net.A.host4)
    assert method == "mschapv2" or "TLS 1.3" in server.log()
