"""Every transform of the first wave, culvert to culvert: each cipher, PRF and key exchange for IKE, each cipher and key exchange for ESP."""
import re

import pytest

from labkit.culvert import BIN
from labkit.pair import pair, tables
from labkit.process import sh
from labkit.traffic import assert_reaches

AEADS = ["aes128gcm16", "aes256gcm16", "chacha20poly1305"]
CBCS = [f"aes{bits}-{hash}" for bits in (128, 256) for hash in ("sha256", "sha384", "sha512")]
PRFS = ["prfsha256", "prfsha384", "prfsha512"]
EXCHANGES = ["x25519", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096"]


def combinations():
    """Each cipher with another PRF and key exchange, until all have had their turn."""
    for n in range(len(AEADS + CBCS) + 2):
        cipher = (AEADS + CBCS)[n % 9]
        esp = (CBCS + AEADS)[n % 9]
        yield f"{cipher}-{PRFS[n % 3]}-{EXCHANGES[n % 7]}", f"{esp}-{EXCHANGES[(n + 3) % 7]}"
    yield "aes256-sha256-x25519", "aes256gcm16"       # PRF implied by the integrity, no PFS
    yield "aes128-sha512-ecp521", "aes128-sha512"


@pytest.fixture(scope="module")
def net(shared):
    return shared.net()


@pytest.mark.parametrize("ike,esp", combinations())
def test_transforms(lab, net, ike, esp):
    a, b = pair(lab, net, carry="ip", peer={"ike": [ike], "esp": [esp]})
    assert_reaches(net.A.host, net.B.host4)
    child, spis = a.child_spi(), a.ike_spis()
    a.ctl("rekey", "b", "--child")   # with the key exchange of `esp`, if it names one
    a.wait_new_child(child)
    b.ctl("rekey", "a", "--ike")
    a.wait_new_ike(spis)
    assert_reaches(net.A.host, net.B.host4, size=1000)
    assert_reaches(net.B.host, net.A.host4)


def test_every_implementation_of_aes_gcm_that_this_cpu_has_talks_to_openssl_s(lab, net):
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait", gateway={"aead": "openssl"}))
    a = lab.culvert(net.A.gw, tables(net.A, net.B), start=False)
    ran = []
    for name in ("auto", "vaes512", "vaes256", "aesni-avx2", "openssl"):
        a.write(tables(net.A, net.B, gateway={"aead": name}))
        checked = sh(BIN / "culvert", "check", a.config, check=False)
        if checked.returncode != 0:
            assert re.search(rf"gateway\.aead: this CPU cannot run '{name}'; it has .*openssl", checked.stderr), checked
            continue
        a.start()
        a.wait_up()
        ran.append(a.status()["aead"])
        assert name in ("auto", ran[-1])
        for size in (0, 56, 1000, 1300):
            assert_reaches(net.A.host, net.B.host4, size=size)
        a.stop()
    assert b.status()["aead"] == ran[-1] == "openssl" and ran[0] == ran[1], ran


def test_the_first_proposal_that_both_accept_wins(lab, net):
    a, _ = pair(lab, net, options=({"peer": {"ike": ["aes256-sha384-modp3072", "aes128gcm16-prfsha256-ecp256"]}},
                                   {"peer": {"ike": ["chacha20poly1305-prfsha512-x25519", "aes128gcm16-prfsha256-ecp256"]}}))
    assert "AES-GCM-16-128" in a.peer()["suite"] and "ECP256" in a.peer()["suite"].upper().replace("-", "")
    assert_reaches(net.A.host, net.B.host4)


def test_a_key_exchange_guessed_wrong_is_repeated_with_the_right_one(lab, net):
    """INVALID_KE_PAYLOAD: A guesses x25519, B wants ECP-384."""
    a, _ = pair(lab, net, options=({"peer": {"ike": ["aes256gcm16-prfsha384-x25519-ecp384"]}},
                                   {"peer": {"ike": ["aes256gcm16-prfsha384-ecp384"]}}))
    assert "384" in a.peer()["suite"]
    assert_reaches(net.A.host, net.B.host4)
