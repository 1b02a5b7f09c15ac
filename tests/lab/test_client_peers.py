"""Clients and gateways that others wrote: strongSwan 5.9.8 as client of culvert, and as gateway of `culvert connect`. By certificate,
EAP-MSCHAPv2 and EAP-TLS; virtual addresses of both families; addresses that change under way (MOBIKE)."""
import json

import pytest

from labkit.office import EAP_PLUGINS, PASSWORD, USER, Office
from labkit.process import wait_for
from labkit.traffic import assert_reaches, assert_silent, echo, wait_reaches

IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"
AUTH = ["certificate", "mschapv2", "tls"]
SECRET = f'secrets {{ eap-1 {{ id = {USER}\n secret = "{PASSWORD}" }} }}'


@pytest.fixture
def world(lab):
    return Office(lab)


def pem_files(world, name):
    folder = world.pki.dir
    return {"x509ca/ca.pem": world.pki.ca.read_text(), "x509/own.pem": (folder / f"{name}.pem").read_text(),
            "private/own.key": (folder / f"{name}.key").read_text()}


def swan_client(world, auth):
    net = world.net
    login = {"certificate": f"auth = pubkey\n certs = own.pem\n id = {USER}",
             "mschapv2": f"auth = eap-mschapv2\n id = laptop.example\n eap_id = {USER}",
             "tls": f"auth = eap-tls\n certs = own.pem\n id = {USER}"}[auth]
    conf = f"""
connections {{ gw {{
    version = 2
    remote_addrs = {net.B.wan4}
    vips = 0.0.0.0, ::
    proposals = {IKE}
    mobike = yes
    local {{ {login} }}
    remote {{ auth = pubkey
      id = gw.example }}
    children {{ net {{
      remote_ts = {net.B.lan4},{net.B.lan6}
      esp_proposals = {ESP}
      start_action = start
    }} }} }} }}
{SECRET if auth == "mschapv2" else ""}
"""
    return world.lab.strongswan(net.A.gw, conf, files=pem_files(world, USER), plugins=EAP_PLUGINS)


def users(gateway):
    return json.loads(gateway.ctl("status", "--users", "--json").stdout)["users"]


@pytest.mark.parametrize("auth", AUTH)
def test_strongswan_as_client_of_culvert(world, auth):
    net = world.net
    gateway = world.gateway(auth)
    swan = swan_client(world, auth)
    swan.wait_up()
    assert [(user["user"], user["addresses"]) for user in users(gateway)] == [(USER, ["10.99.0.1", "fd00:99::1"])]
    reach = lambda: all(echo(net.A.gw, to, count=2, source=own).received == 2
                        for to, own in ((net.B.host4, "10.99.0.1"), (net.B.host6, "fd00:99::1")))
    assert reach()
    world.readdress("172.16.1.77")
    wait_for(lambda: f"strongSwan sends from its new address\n{swan.log()[-3000:]}", lambda: "172.16.1.77" in swan.sas(), timeout=10)
    wait_for("it is heard there", reach, timeout=10)
    assert swan.num_ike_sas() == 1 and "IKE_SA gw[2]" not in swan.log(), "the same IKE SA"
    swan.ctl("--terminate", "--ike", "gw", check=False)
    wait_for(lambda: f"the client is gone\n{gateway.log()}", lambda: gateway.peer()["clients"] == 0)


def swan_gateway(world, auth):
    net = world.net
    theirs = {"certificate": "auth = pubkey\n id = *@lab.example", "mschapv2": "auth = eap-mschapv2\n id = %any\n eap_id = %any",
              "tls": "auth = eap-tls\n id = %any\n eap_id = %any\n cacerts = ca.pem"}[auth]
    conf = f"""
connections {{ rw {{
    version = 2
    local_addrs = {net.B.wan4}
    remote_addrs = %any
    pools = pool4, pool6
    proposals = {IKE}
    send_certreq = no
    mobike = yes
    local {{ auth = pubkey
      certs = own.pem
      id = gw.example }}
    remote {{ {theirs} }}
    children {{ net {{
      local_ts = {net.B.lan4},{net.B.lan6}
      esp_proposals = {ESP}
    }} }} }} }}
pools {{
  pool4 {{ addrs = 10.98.0.0/24
    dns = {net.B.host4} }}
  pool6 {{ addrs = fd00:98::/112 }}
}}
{SECRET if auth == "mschapv2" else ""}
"""
    return world.lab.strongswan(net.B.gw, conf, files=pem_files(world, "gw.example"), plugins=EAP_PLUGINS)


@pytest.mark.parametrize("auth", AUTH)
def test_culvert_as_client_of_strongswan(world, auth):
    net, laptop = world.net, world.laptop
    swan = swan_gateway(world, auth)
    client = world.client(auth, kill_switch=auth == "certificate")
    addresses = laptop.ip("addr", "show", "dev", "cv-office").stdout
    assert "10.98.0.1/32" in addresses and "fd00:98::1/128" in addresses
    wait_reaches(laptop, net.B.host4, timeout=5)
    assert_reaches(laptop, net.B.host6)
    world.wait_dns()
    spis, child = client.ike_spis(), client.peer()["children"][0]["inbound_spi"]
    world.readdress("172.16.1.77")
    wait_reaches(laptop, net.B.host4, timeout=10)
    assert client.ike_spis() == spis and swan.num_ike_sas() == 1
    client.culvert("--client", "office", "rekey", "office", "--child")
    wait_for("a new child SA", lambda: client.is_up() and client.peer()["children"][0]["inbound_spi"] != child, timeout=5)
    assert_reaches(laptop, net.B.host6)
    client.disconnect()
    assert_silent(laptop, net.B.host4, count=1)
    world.assert_as_before()
