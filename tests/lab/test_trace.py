"""culvert trace: what was said in IKE, in words, and never a secret."""
import base64
import re

import pytest

from labkit.culvert import PSK
from labkit.pair import pair, tables
from labkit.process import wait_for
from labkit.schemas import conform


def trace(daemon, *argv):
    return conform("trace", daemon.ctl("trace", "--json", *argv).stdout)["trace"]


def said(entries):
    return [(e["kind"], e["exchange"], e["response"], e["message_id"]) for e in entries if e["kind"] != "note"]


@pytest.fixture(scope="module")
def gateways(shared):
    net = shared.net()
    a, b = pair(shared, net, debug=(True, True))
    return net, a, b


def test_a_handshake_is_told_on_both_sides(gateways):
    net, a, b = gateways
    begin = [("sent", "IKE_SA_INIT", False, 0), ("received", "IKE_SA_INIT", True, 0), ("sent", "IKE_AUTH", False, 1), ("received", "IKE_AUTH", True, 1)]
    other = [("received" if kind == "sent" else "sent", *rest) for kind, *rest in begin]
    at_a, at_b = trace(a, "b"), trace(b, "a")
    assert said(at_a)[:4] == begin and said(at_b)[:4] == other
    init, answer, auth, _ = [e for e in at_a if e["kind"] != "note"][:4]
    assert init["remote"] == f"{net.B.wan4}:500" and "KE(" in init["text"] and init["bytes"] > 200
    assert init["spi_i"] == answer["spi_i"] and answer["spi_r"]
    assert "IDi(a.example)" in auth["text"] and "AUTH(shared key)" in auth["text"] and "TSi(" in auth["text"]
    human = a.ctl("trace", "b").stdout
    assert "peer b" in human and "→ IKE_AUTH request 1" in human and "← IKE_AUTH response 1" in human


def test_no_secret_is_told(gateways):
    net, a, b = gateways
    a.ctl("rekey", "b")
    wait_for("a rekey is told", lambda: any(e["exchange"] == "CREATE_CHILD_SA" and e["response"] for e in trace(a)))
    for gateway in (a, b):
        text = gateway.ctl("trace", "--json").stdout + gateway.ctl("trace").stdout
        for form in (PSK, PSK.encode().hex(), base64.b64encode(PSK.encode()).decode()):
            assert form not in text
        keys = re.findall(r"\b(?:0x)?([0-9a-fA-F]{32,})\b", gateway.keys.read_text())
        assert len(keys) >= 4
        for key in keys:
            assert key.lower() not in text.lower()


def test_a_wrong_key_and_a_wrong_proposal_are_told(gateways):
    net, a, b = gateways
    b.secret("lab.psk", "another key than before, which A does not have")
    b.ctl("reload")
    a.ctl("down", "b"), a.ctl("up", "b")
    wait_for("A is refused", lambda: any("N(AUTHENTICATION_FAILED)" in e["text"] for e in trace(a, "b")))
    assert any(e["kind"] == "note" and "key" in e["text"] for e in trace(b, "a")), trace(b, "a")
    b.secret("lab.psk", PSK)
    b.write(tables(net.B, net.A, start="wait", peer={"ike": ["aes256gcm16-prfsha512-ecp521"]}))
    b.ctl("reload")
    a.write(tables(net.A, net.B, peer={"ike": ["aes128gcm16-prfsha256-x25519"]}))
    a.ctl("reload")
    a.ctl("down", "b"), a.ctl("up", "b")
    wait_for("A hears of the proposals", lambda: any("N(NO_PROPOSAL_CHOSEN)" in e["text"] for e in trace(a, "b")))
    theirs = trace(b, "a")
    refused = [e for e in theirs if "N(NO_PROPOSAL_CHOSEN)" in e["text"]]
    assert refused and refused[-1]["kind"] == "sent"
    assert any(e["kind"] == "received" and e["exchange"] == "IKE_SA_INIT" and "SA(" in e["text"] for e in theirs)


def test_silence_and_strangers_are_told(lab):
    net = lab.net()
    a = lab.culvert(net.A.gw, tables(net.A, net.B))
    wait_for("A has sent it again", lambda: any(e["tries"] > 1 for e in trace(a, "b")))
    assert any("no answer" in e["text"] or e["tries"] > 1 for e in trace(a, "b"))
    # C is nobody whom B knows: A is
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", address=["203.0.113.77"]))
    wait_for("B tells of the stranger", lambda: any(net.A.wan4 in e["text"] for e in trace(b)))
    entries = trace(b)
    assert any(e["kind"] == "sent" and "NO_PROPOSAL_CHOSEN" in e["text"] and e["remote"].startswith(net.A.wan4) for e in entries), entries
    assert trace(b, "a") == []
    nobody = b.ctl("trace", "c", check=False)
    assert nobody.returncode == 1 and "the peers are: a" in nobody.stderr
