"""Every profile that `culvert client export` writes, read by parsers that others wrote: plistlib and xmllint, json, tomllib,
GLib's GKeyFile, OpenSSL's pkcs12, zbar for the QR code. PowerShell is not to be had here: its quoting rules
(about_Quoting_Rules) are a small tokenizer. Needs neither root nor network."""
import base64
import ctypes
import ctypes.util
import json
import os
import pathlib
import plistlib
import re
import subprocess
import tomllib
import uuid

import pytest

CULVERT = pathlib.Path(os.environ["CULVERT_BIN"]) / "culvert"
GATEWAY = "gw.example.net"
FORMATS = ["ios", "macos", "windows", "android", "strongswan", "culvert"]
HOSTILE = [
    "ada@example.net",
    "O'Brien \"the\" boss",
    "$(calc.exe) `whoami` ; rm -rf / #",
    "'); Remove-Item -Recurse C:\\; ('",
    "\u2018\u2019; Start-Process calc; \u201a\u201b",
    "]]><string>x</string>&amp;<!--",
    "line one\nmethod=psk\r\n[vpn]\tend",
    " space before and after ",
    "back\\slash \\n \\",
    "=\"\"\"\nserver = ['evil']",
    "Zoë Ωμέγα 測試 😀",
    "--force",
]


def run(*words, code=0, **more):
    done = subprocess.run([CULVERT, *map(str, words)], capture_output=True, timeout=60, **more)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with a certificate, for users of its own CA."""
    folder = tmp_path_factory.mktemp("gateway")
    run("pki", "ca", "--name", "Example's <CA> & \"Sons\"", "--out", folder)
    run("pki", "gateway", GATEWAY, "--out", folder)
    run("pki", "user", "ada@example.net", "--out", folder)
    config(folder)
    return folder


def config(folder, local='"10.1.0.0/16", "fd01::/48"', gateway_keys="", name="culvert.toml", peer_keys=""):
    file = folder / name
    file.write_text(f"""
[gateway]
id        = "{GATEWAY}"
auth      = {{ certificate = "{GATEWAY}.pem", key = "{GATEWAY}.key" }}
peer_auth = {{ ca = "ca.pem" }}
{gateway_keys}
[peer.people]
address = "any"
id      = "*@example.net"
profile = "native-clients"
{peer_keys}
[tunnel.people]
peer   = "people"
carry  = "ip"
device = "cv0"
local  = [{local}]
remote = ["10.99.0.0/24", "fd99::/64"]
""")
    return file


def export(folder, user, kind, *more, code=0, name="culvert.toml"):
    return run("client", "export", "--for", kind, "--config", folder / name, *more, "--", user, code=code)


def pem_der(file):
    text = pathlib.Path(file).read_text()
    return base64.b64decode(re.search("-----BEGIN CERTIFICATE-----(.*?)-----END", text, re.S)[1])


def stable_uuid(part, user):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"culvert/{part}/{GATEWAY}/{user}"))


def keyfile(text):
    """GLib's own reading of a key file: {group: {key: text}}."""
    glib = ctypes.CDLL(ctypes.util.find_library("glib-2.0") or "libglib-2.0.so.0")
    for name, result in [("g_key_file_new", ctypes.c_void_p), ("g_key_file_get_groups", ctypes.POINTER(ctypes.c_char_p)),
                         ("g_key_file_get_keys", ctypes.POINTER(ctypes.c_char_p)),
                         ("g_key_file_get_string", ctypes.c_char_p)]:
        getattr(glib, name).restype = result
    file = ctypes.c_void_p(glib.g_key_file_new())
    assert glib.g_key_file_load_from_data(file, text, ctypes.c_size_t(len(text)), 0, None)

    def strings(array):
        found = []
        while array[len(found)]:
            found.append(array[len(found)])
        return found

    return {group.decode(): {key.decode(): glib.g_key_file_get_string(file, group, key, None).decode()
                             for key in strings(glib.g_key_file_get_keys(file, group, None, None))}
            for group in strings(glib.g_key_file_get_groups(file, None))}


def powershell_assignments(text):
    """The literals that are assigned at the top of a script: {name: text or list}. Fails on anything that is not one."""
    quotes = "'\u2018\u2019\u201a\u201b"

    def literal(at):
        assert text[at] in quotes, text[at:at + 20]
        value, at = "", at + 1
        while True:
            if text[at] in quotes:
                if at + 1 < len(text) and text[at + 1] in quotes:
                    value, at = value + text[at], at + 2
                    continue
                return value, at + 1
            value, at = value + text[at], at + 1

    found, at = {}, text.index("\n$name")
    while (match := re.compile(r"\s*\$(\w+) = ").match(text, at)):
        at = match.end()
        if text.startswith("@(", at):
            values, at = [], at + 2
            while text[at] != ")":
                if text.startswith(", ", at):
                    at += 2
                value, at = literal(at)
                values.append(value)
            found[match[1]], at = values, at + 1
        elif text.startswith("$true", at) or text.startswith("$false", at):
            found[match[1]], at = text.startswith("$true", at), at + (5 if text.startswith("$true", at) else 6)
        else:
            found[match[1]], at = literal(at)
        assert text[at] == "\n"
    return found, text[at:]


@pytest.mark.parametrize("user", HOSTILE)
@pytest.mark.parametrize("kind", ["ios", "macos"])
def test_a_mobileconfig_is_a_property_list_with_the_user_in_it(gateway, kind, user):
    text = export(gateway, user, kind).stdout
    subprocess.run(["xmllint", "--noout", "--nonet", "-"], input=text, check=True, timeout=20)
    profile = plistlib.loads(text)
    assert (profile["PayloadType"], profile["PayloadVersion"]) == ("Configuration", 1)
    assert profile["PayloadUUID"] == stable_uuid("profile", user)
    vpn, ca = profile["PayloadContent"]
    assert (vpn["PayloadType"], vpn["VPNType"]) == ("com.apple.vpn.managed", "IKEv2")
    ike = vpn["IKEv2"]
    assert (ike["RemoteAddress"], ike["RemoteIdentifier"]) == (GATEWAY, GATEWAY)
    assert (ike["AuthName"], ike["LocalIdentifier"], ike["ExtendedAuthEnabled"]) == (user, user, 1)
    assert "AuthPassword" not in ike
    for part in "IKESecurityAssociationParameters", "ChildSecurityAssociationParameters":
        assert (ike[part]["EncryptionAlgorithm"], ike[part]["DiffieHellmanGroup"]) == ("AES-256-GCM", 20)
    assert ca["PayloadType"] == "com.apple.security.root"
    assert ca["PayloadContent"] == pem_der(gateway / "ca.pem")
    uuids = [one["PayloadUUID"] for one in (profile, vpn, ca)]
    assert len(set(uuids)) == 3


@pytest.mark.parametrize("user", HOSTILE)
def test_the_windows_script_keeps_names_as_data(gateway, user):
    text = export(gateway, user, "windows", "--name", user).stdout
    assert text.startswith(b"\xef\xbb\xbf")  # PowerShell 5 reads ANSI without it
    values, code = powershell_assignments(text.decode("utf-8-sig"))
    assert (values["name"], values["server"], values["user"]) == (user, GATEWAY, user)
    assert (values["method"], values["split"]) == ("Eap", True)
    assert values["routes"] == ["10.1.0.0/16", "fd01::/48"]
    assert [base64.b64decode(one) for one in values["ca"]] == [pem_der(gateway / "ca.pem")]
    plain, _ = powershell_assignments(export(gateway, "ada", "windows").stdout.decode("utf-8-sig"))
    _, plain_code = powershell_assignments(export(gateway, "ada", "windows").stdout.decode("utf-8-sig"))
    assert code == plain_code and plain["user"] == "ada"  # below the literals nothing depends on them
    assert "-DHGroup ECP384" in code and "-CipherTransformConstants GCMAES256" in code


@pytest.mark.parametrize("user", HOSTILE)
def test_the_strongswan_apps_profile_is_json(gateway, user):
    profile = json.loads(export(gateway, user, "android").stdout)
    assert profile["uuid"] == stable_uuid("profile", user)
    assert (profile["type"], profile["name"]) == ("ikev2-eap", GATEWAY)
    assert profile["local"] == {"eap_id": user}
    assert (profile["remote"]["addr"], profile["remote"]["id"]) == (GATEWAY, GATEWAY)
    assert base64.b64decode(profile["remote"]["cert"]) == pem_der(gateway / "ca.pem")
    assert profile["split-tunneling"] == {"subnets": ["10.1.0.0/16", "fd01::/48"]}


@pytest.mark.parametrize("user", HOSTILE)
def test_the_network_manager_keyfile_is_read_by_glib(gateway, user):
    profile = keyfile(export(gateway, user, "strongswan", "--name", user).stdout)
    assert set(profile) == {"connection", "vpn", "ipv4", "ipv6"}
    assert (profile["connection"]["type"], profile["connection"]["id"]) == ("vpn", user)
    assert profile["connection"]["uuid"] == stable_uuid("profile", user)
    vpn = profile["vpn"]
    assert vpn["service-type"] == "org.freedesktop.NetworkManager.strongswan"
    assert (vpn["address"], vpn["method"], vpn["user"], vpn["virtual"]) == (GATEWAY, "eap", user, "yes")
    assert profile["ipv4"] == {"method": "auto", "never-default": "true"}


@pytest.mark.parametrize("user", HOSTILE)
def test_the_culvert_profile_is_toml(gateway, user):
    profile = tomllib.loads(export(gateway, user, "culvert").stdout.decode())
    assert profile["server"] == [GATEWAY]
    assert (profile["auth"]["eap"], profile["auth"]["user"]) == ("mschapv2", user)
    assert profile["kill_switch"] is False and profile["dns"] is True
    assert profile["ca"][0].endswith("-ca.pem")


@pytest.mark.parametrize("user", ["", "bell\x07", b"\xff\xfe", "esc\x1b[2J", "turned\u202e"])
@pytest.mark.parametrize("kind", FORMATS)
def test_what_a_profile_cannot_say_is_refused(gateway, kind, user):
    done = subprocess.run([CULVERT, "client", "export", "--for", kind, "--config", gateway / "culvert.toml", "--", user],
                          capture_output=True, timeout=60)
    assert done.returncode == 1 and done.stdout == b"" and done.stderr.startswith(b"culvert: USER")
    assert b"\x1b" not in done.stderr


def pkcs12(der, passphrase, tmp_path):
    file = tmp_path / "user.p12"
    file.write_bytes(der)
    return subprocess.run(["openssl", "pkcs12", "-in", file, "-passin", f"pass:{passphrase}", "-nodes"],
                          capture_output=True, timeout=20)


@pytest.mark.parametrize("kind", ["ios", "windows", "android"])
def test_a_users_certificate_travels_as_pkcs12_behind_a_passphrase(gateway, tmp_path, kind):
    done = export(gateway, "ada@example.net", kind, "--certificate", gateway / "ada@example.net.pem", "--key",
                  gateway / "ada@example.net.key")
    passphrase = re.search(r": ([A-Z2-7-]{29}) ", done.stderr.decode())[1]
    assert passphrase.encode() not in done.stdout
    if kind == "ios":
        vpn, _, key = plistlib.loads(done.stdout)["PayloadContent"]
        assert key["PayloadType"] == "com.apple.security.pkcs12" and "Password" not in key
        assert vpn["IKEv2"]["PayloadCertificateUUID"] == key["PayloadUUID"]
        assert (vpn["IKEv2"]["CertificateType"], vpn["IKEv2"]["ExtendedAuthEnabled"]) == ("ECDSA256", 0)
        assert vpn["IKEv2"]["ServerCertificateIssuerCommonName"] == "Example's <CA> & \"Sons\""
        assert vpn["IKEv2"]["LocalIdentifier"] == "ada@example.net"
        der = key["PayloadContent"]
    elif kind == "android":
        profile = json.loads(done.stdout)
        assert (profile["type"], profile["local"]["id"]) == ("ikev2-cert", "ada@example.net")
        der = base64.b64decode(profile["local"]["p12"])
    else:
        values, _ = powershell_assignments(done.stdout.decode("utf-8-sig"))
        assert values["method"] == "MachineCertificate"
        der = base64.b64decode(values["pkcs12"])
    opened = pkcs12(der, passphrase, tmp_path)
    assert opened.returncode == 0 and b"PRIVATE KEY" in opened.stdout
    certificate = base64.b64decode(re.search(b"BEGIN CERTIFICATE-----(.*?)-----END", opened.stdout, re.S)[1])
    assert certificate == pem_der(gateway / "ada@example.net.pem")
    assert pkcs12(der, "wrong", tmp_path).returncode != 0


def test_a_gateway_that_would_refuse_the_client_is_named(gateway):
    assert b"will refuse EAP" in export(gateway, "ada", "ios").stderr
    certified = export(gateway, "ada@example.net", "ios", "--certificate", gateway / "ada@example.net.pem", "--key",
                       gateway / "ada@example.net.key")
    assert b"refuse" not in certified.stderr


def eap_config(folder, peer_auth):
    (folder / "users.toml").touch(mode=0o600)
    (folder / "users.toml").write_text('[ada]\npassword = "Ar3etTnp"\n')
    config(folder, gateway_keys='users = "users.toml"\ntcp_port = 443\n', peer_keys=f"peer_auth = {{ {peer_auth} }}", name="eap.toml")


def with_certificate(folder):
    return ["--certificate", folder / "ada@example.net.pem", "--key", folder / "ada@example.net.key"]


@pytest.mark.parametrize("peer_auth, certificate, auth", [
    ('eap = "mschapv2"', False, "mschapv2"), ('eap = ["tls", "mschapv2"], ca = "ca.pem"', False, "mschapv2"),
    ('eap = ["tls", "mschapv2"], ca = "ca.pem"', True, "tls"), ('eap = "tls", ca = "ca.pem"', True, "tls"),
    ('ca = "ca.pem"', True, None)])
def test_a_culvert_profile_logs_in_as_the_peer_takes_it_and_is_read_by_culvert(gateway, tmp_path, peer_auth, certificate, auth):
    eap_config(gateway, peer_auth)
    out = tmp_path / "office.toml"
    done = export(gateway, "ada@example.net", "culvert", *(with_certificate(gateway) if certificate else []), "--out", out, name="eap.toml")
    assert b"refuse" not in done.stderr
    profile = tomllib.loads(out.read_text())
    assert profile["auth"].get("eap") == auth and ("certificate" in profile["auth"]) == certificate
    assert profile["tcp_port"] == 443
    assert b"office.toml" in run("check", "--profile", out, code=1).stderr  # what it names is not there
    own = [(profile["auth"][what], gateway / f"ada@example.net.{end}") for what, end in (("certificate", "pem"), ("key", "key"))] if certificate else \
          [(profile["auth"]["password_file"], gateway / "users.toml")]
    for name, source in own:
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(source.read_bytes().splitlines()[0] if not certificate else source.read_bytes())
    assert run("check", "--profile", out).stdout == f"{out}: ok: cv-office to {GATEWAY}\n".encode()
    assert b"kill_switch" in run("check", out, code=1).stderr  # it is no gateway's configuration


def test_a_login_that_the_peer_does_not_take_is_named(gateway):
    eap_config(gateway, 'eap = "tls", ca = "ca.pem"')
    assert b"--certificate FILE" in export(gateway, "ada", "culvert", code=1, name="eap.toml").stderr
    assert b"has no EAP-MSCHAPv2" in export(gateway, "ada", "culvert", "--auth", "password", name="eap.toml").stderr
    assert b"wants EAP" in export(gateway, "ada@example.net", "culvert", *with_certificate(gateway), "--auth", "certificate", name="eap.toml").stderr
    eap_config(gateway, 'eap = "mschapv2"')
    assert b"has no EAP-TLS" in export(gateway, "ada@example.net", "ios", *with_certificate(gateway), name="eap.toml").stderr


def test_an_export_with_a_key_is_for_its_owner_alone_and_replaces_nothing(gateway, tmp_path):
    out = tmp_path / "ada.mobileconfig"
    words = ["--certificate", gateway / "ada@example.net.pem", "--key", gateway / "ada@example.net.key", "--out", out]
    export(gateway, "ada@example.net", "ios", *words)
    assert out.stat().st_mode & 0o777 == 0o600
    export(gateway, "ada@example.net", "ios", *words, code=1)
    export(gateway, "ada@example.net", "ios", *words, "--force")
    wrong = export(gateway, "ada@example.net", "ios", "--certificate", gateway / "ada@example.net.pem", "--key",
                   gateway / f"{GATEWAY}.key", code=1)
    assert b"not the one of the certificate" in wrong.stderr


def test_the_ca_lies_beside_a_profile_that_points_to_it(gateway, tmp_path):
    out = tmp_path / "ada.toml"
    export(gateway, "ada", "culvert", "--out", out)
    assert pem_der(tmp_path / tomllib.loads(out.read_text())["ca"][0]) == pem_der(gateway / "ca.pem")


def test_a_full_tunnel_is_one_everywhere(gateway):
    config(gateway, local='"0.0.0.0/0", "::/0"', name="full.toml")
    values, _ = powershell_assignments(export(gateway, "ada", "windows", name="full.toml").stdout.decode("utf-8-sig"))
    assert values["split"] is False and values["routes"] == ["2000::/3"]
    assert "split-tunneling" not in json.loads(export(gateway, "ada", "android", name="full.toml").stdout)
    assert "never-default" not in keyfile(export(gateway, "ada", "strongswan", name="full.toml").stdout)["ipv4"]


def test_what_stands_in_the_configuration_can_be_said_otherwise(gateway):
    profile = json.loads(export(gateway, "ada", "android", "--server", "192.0.2.1", "--name", "Büro").stdout)
    assert (profile["remote"]["addr"], profile["remote"]["id"], profile["name"]) == ("192.0.2.1", GATEWAY, "Büro")
    assert b"--server" in export(gateway, "ada", "android", "--server", "no host", code=1).stderr
    assert b"no peer nobody" in export(gateway, "ada", "android", "--peer", "nobody", code=1).stderr
    assert export(gateway, "ada", "palmpilot", code=2).stdout == b""


def test_other_ports_are_told_to_clients_that_can_use_them(gateway):
    config(gateway, gateway_keys="port = 1500\nnat_port = 14500", name="ports.toml")
    assert json.loads(export(gateway, "ada", "android", name="ports.toml").stdout)["remote"]["port"] == 14500
    profile = tomllib.loads(export(gateway, "ada", "culvert", name="ports.toml").stdout.decode())
    assert (profile["port"], profile["nat_port"]) == (1500, 14500)


def pixels(drawn, scale=4):
    """Half blocks as a grey image: (bytes, width, height)."""
    rows = []
    for line in drawn.decode().splitlines():
        rows.append([255 if c in "█▀" else 0 for c in line])
        rows.append([255 if c in "█▄" else 0 for c in line])
    image = b"".join(bytes(v for v in row for _ in range(scale)) * scale for row in rows)
    return image, len(rows[0]) * scale, len(rows) * scale


def test_a_qr_code_reads_as_the_profile(gateway):
    pyzbar = pytest.importorskip("pyzbar.pyzbar")
    for kind in ["culvert", "strongswan", "android"]:
        text = export(gateway, "ada", kind).stdout
        codes = pyzbar.decode(pixels(export(gateway, "ada", kind, "--qr").stdout))
        assert [code.data for code in codes] == [text]


def test_what_no_qr_code_holds_is_said(gateway):
    done = export(gateway, "ada", "ios", "--qr", code=1)
    assert done.stdout == b"" and b"too long for a QR code" in done.stderr


def test_a_gateway_without_a_certificate_has_nothing_to_export(gateway, tmp_path):
    psk = tmp_path / "key.psk"
    psk.write_text("a key of twenty-four byt\n")
    psk.chmod(0o600)
    (tmp_path / "culvert.toml").write_text(
        f'[gateway]\nid = "{GATEWAY}"\n[peer.x]\naddress = "any"\nid = "x"\nauth = {{ psk_file = "key.psk" }}\n'
        '[tunnel.x]\npeer = "x"\ncarry = "ip"\ndevice = "cv0"\nlocal = ["10.1.0.0/16"]\nremote = ["10.2.0.0/16"]\n')
    assert b"pre-shared key" in export(tmp_path, "ada", "ios", code=1).stderr
