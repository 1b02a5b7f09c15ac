"""culvert bugreport: what somebody who is to help has to know, and no secret."""
import base64
import os
import stat

from labkit.culvert import BIN
from labkit.pair import tables
from labkit.process import sh

MARKERS = {"psk": "MARKER-psk-that-only-two-gateways-know", "radius": "MARKER-radius-secret-4711", "password": "MARKER-eap-password-77",
           "user": "MARKER-of-a-user-1234", "passphrase": "MARKER-passphrase-of-a-key"}


def forms(secret):
    raw = secret.encode()
    yield from (secret, raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode().rstrip("=")[:-1])
    for shift in (1, 2):  # inside something longer
        yield base64.b64encode(b"x" * shift + raw).decode()[4:-4]


def test_it_tells_what_is_needed_and_no_secret(lab):
    net = lab.net()
    key = lab.path("key") / "gateway.key"
    sh("openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:" + MARKERS["passphrase"], "-out", key)
    os.chmod(key, 0o600)
    secrets = {"b.psk": MARKERS["psk"], "radius.secret": MARKERS["radius"], "eap.password": MARKERS["password"], "key.pass": MARKERS["passphrase"],
               "users.toml": f'[carol]\npassword = "{MARKERS["user"]}"'}
    conf = tables(net.A, net.B, peer={"auth": {"psk_file": "b.psk"}})
    conf["gateway"] |= {"users": "users.toml", "log_level": "debug"}
    conf["radius.office"] = {"servers": ["192.0.2.99"], "secret_file": "radius.secret"}
    conf["peer.c"] = {"address": "203.0.113.3", "id": "c.example", "start": "wait", "auth": {"key": str(key), "passphrase_file": "key.pass"},
                      "peer_auth": {"psk_file": "b.psk"}}
    conf["peer.d"] = {"address": "203.0.113.4", "id": "d.example", "start": "wait", "auth": {"eap": "mschapv2", "user": "carol", "password_file": "eap.password"},
                      "peer_auth": {"psk_file": "b.psk"}}
    for extra in ("peer.d", "peer.c", "radius.office"):
        a = lab.culvert(net.A.gw, conf, start=False, secrets=secrets, debug_keys=True)
        check = sh(BIN / "culvert", "check", a.config, check=False)
        if check.returncode == 0:
            break
        print(extra, check.stderr)
        conf.pop(extra)
    assert {"peer.c", "radius.office"} & set(conf), check.stderr
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", peer={"auth": {"psk_file": "b.psk"}}), secrets={"b.psk": MARKERS["psk"]})
    a.start()
    a.wait_up("b")
    file = lab.path("report") / "report.txt"
    told = sh(BIN / "culvert", "--socket", a.socket, "bugreport", "--config", a.config, file, ns=net.A.gw)
    assert "read it before" in told.stdout
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for section in ("culvert bugreport", "machine", "configuration", "status", "process", "drops", "routes", "log level", "trace", "doctor"):
        assert f"==== {section}\n" in text, section
    assert 'auth.psk_file = "b.psk"' in text and "→ IKE_AUTH request 1" in text and "VmRSS" in text and "kernel: Linux" in text
    for secret in MARKERS.values():
        for form in forms(secret):
            assert form not in text, form
    for line in key.read_text().splitlines()[1:-1]:
        assert line not in text
    keys = [word for word in a.keys.read_text().replace(",", " ").replace('"', " ").split() if len(word.removeprefix("0x")) >= 32]
    assert keys and not any(word.removeprefix("0x").lower() in text.lower() for word in keys)
    again = sh(BIN / "culvert", "--socket", a.socket, "bugreport", "--config", a.config, file, ns=net.A.gw, check=False)
    assert again.returncode == 1 and file.read_text() == text


def test_a_configuration_with_mistakes_and_no_daemon_still_make_a_report(lab):
    net = lab.net("A")
    a = lab.culvert(net.A.gw, {"gateway": {"id": "a.example"}}, start=False)
    a.config.write_text(a.config.read_text() + f'\n[peer.x]\npsk = "{MARKERS["psk"]}"\naddress = 3\n')
    report = sh(BIN / "culvert", "--socket", a.socket, "bugreport", "--config", a.config, ns=net.A.gw)
    assert "peer.x.psk" in report.stdout and MARKERS["psk"] not in report.stdout
    assert "culvertd is not running" in report.stdout
