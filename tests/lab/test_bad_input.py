"""Bad peers and bad packets: a line for the operator, a counter, and no effect on the other tunnel.

A has two peers: b, whose tunnel must never notice anything, and c, where the trouble comes from."""
import os
import re
import time

import pytest

from labkit.capture import Capture
from labkit.culvert import BIN
from labkit.inject import read_pcap, send_frames, send_raw, send_udp, shortened, without_udp_checksum
from labkit.pair import pair, tables
from labkit.process import sh, wait_for
from labkit.traffic import Echo, assert_reaches, losses, tcp_both_ways

IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"


@pytest.fixture(scope="module")
def net(shared):
    net = shared.net("ABC")
    net.cut_datagrams()  # what is captured is one ESP packet a frame
    return net


@pytest.fixture
def good(lab, net):
    """A with peers b (up, and pinged through the whole test) and c (waits); yields A's culvert."""
    b = lab.culvert(net.B.gw, tables(net.B, net.A, start="wait"))
    # "auto": so that A listens for raw ESP too
    towards_c = tables(net.A, net.C, start="wait", peer={"ike": [IKE], "esp": [ESP], "encapsulation": "auto"},
                       tunnel={"address": ["169.254.11.1/24"]})
    a = lab.culvert(net.A.gw, {**tables(net.A, net.B), **{name: table for name, table in towards_c.items() if name != "gateway"}})
    a.wait_up("b")
    b.wait_up()
    child = a.child_spi("b")
    pings = Echo(net.A.host, net.B.host4, count=0, interval=0.01)
    yield a
    wait_for("some more pings", lambda: pings.sent > 50)
    pings.finish()
    assert pings.received == pings.sent, f"the other tunnel suffered: {pings!r}\n{losses((net.A.gw, a), (net.B.gw, b))}"
    assert a.child_spi("b") == child and a.is_up("b")


def bad_peer(lab, net, a, peer=None, gateway=None, secrets=None):
    """C as the initiator towards A, with something wrong; returns its culvert."""
    time.sleep(0.5)
    conf = tables(net.C, net.A, peer={"ike": [IKE], **(peer or {})}, gateway=gateway, tunnel={"address": ["169.254.11.3/24"]})
    return lab.culvert(net.C.gw, conf, secrets=secrets)


def is_down(culvert, name=None):
    return culvert.peer(name)["children"][0]["state"] == "down"


def test_wrong_psk(lab, net, good):
    c = bad_peer(lab, net, good, secrets={"lab.psk": "not the right one"})
    good.wait_log(r"c\.example.*pre-shared key.*psk_file")
    c.wait_log(r"peer a\b.*(AUTHENTICATION_FAILED|authentication)")
    assert is_down(c) and is_down(good, "c")
    assert c.peer()["reason"]
    assert "not the right one" not in c.log() + good.log()


def test_wrong_identity(lab, net, good):
    c = bad_peer(lab, net, good, gateway={"id": "mallory.example"})
    good.wait_log(r"mallory\.example")
    c.wait_log(r"peer a\b.*(AUTHENTICATION_FAILED|authentication)")
    assert is_down(c) and is_down(good, "c")


def test_the_peer_is_not_who_we_expect(lab, net, good):
    c = bad_peer(lab, net, good, peer={"id": "somebody.else.example"})
    good.wait_log(r"c\.example.*somebody\.else\.example")
    c.wait_log(r"peer a\b.*AUTHENTICATION_FAILED")
    assert is_down(c)
    assert is_down(good, "c")


def test_no_common_ike_proposal_says_what_each_side_wants(lab, net, good):
    c = bad_peer(lab, net, good, peer={"ike": ["aes256gcm16-prfsha384-modp2048"]})
    good.wait_log(r"peer c\b.*key exchange.*modp.?2048.*x25519")
    c.wait_log(r"peer a\b.*NO_PROPOSAL_CHOSEN")
    assert is_down(c)


def test_no_common_esp_proposal_leaves_the_ike_sa_up(lab, net, good):
    c = bad_peer(lab, net, good, peer={"esp": ["aes128-sha256-noesn"]})
    good.wait_log(r"peer c\b.*AES")
    c.wait_log(r"NO_PROPOSAL_CHOSEN")
    assert is_down(c) and c.peer()["children"][0]["reason"]


def test_no_common_selectors(lab, net, good):
    conf = tables(net.C, net.A, carry="ip", peer={"ike": [IKE]}, tunnel={"local": ["10.77.0.0/16"], "remote": ["10.78.0.0/16"]})
    c = lab.culvert(net.C.gw, conf)
    good.wait_log(r"peer c\b.*(10\.77|selector)")
    c.wait_log(r"TS_UNACCEPTABLE")
    assert is_down(c)


def test_a_stranger_from_an_unknown_address(lab, net, good):
    """Nobody configured the address from which this one comes."""
    stranger = net.C.host
    conf = tables(net.C, net.A)
    lab.culvert(stranger, conf)
    net.internet.route(net.C.lan4, net.C.wan4)
    good.wait_log(re.escape(net.C.host4))


def test_random_datagrams_on_both_ports_cost_at_most_10_lines_a_second(lab, net, good):
    """As fast as culvertd counts them: a socket that overflows is the kernel's, and would take the other tunnel's packets, too."""
    lines, start = len(good.log().splitlines()), time.monotonic()
    before = sum(good.drops().values())
    sent = 0
    while time.monotonic() < start + 4:
        for port in (500, 4500):
            send_udp(net.C.gw, net.A.wan4, port, [os.urandom(1 + n % 1200) for n in range(200)])
            sent += 200
        wait_for(lambda: f"{sent} datagrams counted, not {sum(good.drops().values()) - before}",
                 lambda: sum(good.drops().values()) - before >= sent, interval=0.001)
    seconds = time.monotonic() - start
    written = len(good.log().splitlines()) - lines
    assert written <= 10 * seconds + 12, f"{written} lines in {seconds:.1f} s"
    assert sent >= 2000
    drops = good.drops()
    assert drops["ike_malformed"] > 0 and drops["unknown_spi"] > 0
    assert_reaches(net.A.host, net.B.host4)


def test_ike_lookalikes(lab, net, good):
    """Well-formed headers with nonsense behind them: wrong lengths, versions, exchanges, unknown SAs, truncations."""
    def header(spi_i=b"\1" * 8, spi_r=b"\0" * 8, first=33, version=0x20, exchange=34, flags=8, message=0, length=None, body=b""):
        length = 28 + len(body) if length is None else length
        return spi_i + spi_r + bytes([first, version, exchange, flags]) + message.to_bytes(4, "big") + length.to_bytes(4, "big") + body
    payloads = [header(), header(length=0), header(length=2**32 - 1), header(version=0x30), header(version=0x10), header(exchange=99),
                header(spi_r=b"\2" * 8, exchange=35, first=46, body=os.urandom(200)), header(first=0), header(body=b"\0\0\0\0"),
                header(body=b"\0\0\xff\xff" + b"a" * 100), header(body=b"\x21\0\0\4" * 100), header(flags=0x28), header(first=46, body=b"\0\0\0\4"),
                header(spi_i=b"\0" * 8)]
    for payload in payloads:
        cuts = [payload[:n] for n in range(1, len(payload))]
        send_udp(net.C.gw, net.A.wan4, 500, [payload, *cuts])
        send_udp(net.C.gw, net.A.wan4, 4500, [b"\0\0\0\0" + payload])
    assert good.drops()["ike_malformed"] > 100
    assert_reaches(net.A.host, net.B.host4)


def test_unknown_spi(lab, net, good):
    before = good.drops()["unknown_spi"]
    esp = b"\x12\x34\x56\x78" + b"\0\0\0\1" + os.urandom(64)
    send_udp(net.C.gw, net.A.wan4, 4500, [esp] * 50)
    send_raw(net.C.gw, net.A.wan4, 50, [esp] * 50)
    wait_for("100 packets of an unknown SPI", lambda: good.drops()["unknown_spi"] - before >= 100)
    good.wait_log(r"12345678")


def test_a_configuration_with_mistakes_is_refused_whole_with_every_mistake(lab, net):
    """Where it stands, what it is, and the way out; nothing is started."""
    conf = tables(net.C, net.A, peer={"strat": "always", "liveness": "soon"}, tunnel={"peer": "nobody"})
    c = lab.culvert(net.C.gw, conf, start=False)
    (c.dir / "lab.psk").chmod(0o644)
    c.start(wait=False)
    assert c.process.wait(10) == 1
    c.process = None
    said = c.log()
    assert re.search(rf"{c.config}:\d+:\d+: peer\.a\.strat: .*start", said), said
    for key in ("peer.a.liveness", "peer.a.auth", "tunnel.a.peer"):
        assert re.search(rf"{c.config}:\d+:\d+: {key}", said), (key, said)
    for checker in (["culvertd", "--check"], ["culvert", "check"]):
        assert sh(BIN / checker[0], checker[1], c.config, check=False).returncode == 1
    assert "cvA" not in net.C.gw.devices()


def test_a_configuration_that_is_hardly_meant_is_used_and_every_start_says_what_is_odd(lab, net):
    c = lab.culvert(net.C.gw, tables(net.C, net.A), secrets={"lab.psk": "short one"})
    doubt = rf"^{c.config}:\d+:\d+: peer\.a\.auth\.psk_file: a key of 9 bytes .*\(warning\)$"
    assert re.search(doubt, c.log(), re.M), c.log()
    for checker in (["culvertd", "--check"], ["culvert", "check"]):
        done = sh(BIN / checker[0], checker[1], c.config)
        assert re.search(doubt, done.stderr, re.M) and "ok" in done.stdout, done


def captured_esp(lab, net, source, count):
    """ESP of `source`'s pings, as frames that arrive at B (not IKE: that has the non-ESP marker)."""
    with Capture(net.internet, "wanB", lab.folder, expression=f"udp port 4500 and src host {net.A.wan4} and greater 100") as capture:
        assert_reaches(source, net.B.host4, count=count)
    return [frame for frame in read_pcap(capture.path) if frame[42:46] != b"\0\0\0\0"]


def test_replayed_packets_are_dropped_and_counted(lab, net):
    _, b = pair(lab, net)
    frames = captured_esp(lab, net, net.A.host, 20)
    assert len(frames) >= 20
    with Capture(net.B.host, "lan", lab.folder, "inside") as inside:
        send_frames(net.internet, "wanB", [without_udp_checksum(f) for f in frames])
        wait_for("replays", lambda: b.drops()["replay"] >= len(frames))
    assert inside.count("icmp") == 0
    assert_reaches(net.A.host, net.B.host4)


def test_packets_left_of_the_window_are_too_old(lab, net):
    _, b = pair(lab, net, peer={"esp": ["aes256gcm16-x25519-noesn"]}, tunnel={"replay_window": 64})
    frames = captured_esp(lab, net, net.A.host, 5)
    assert_reaches(net.A.host, net.B.host4, count=150, interval=0.002)
    send_frames(net.internet, "wanB", [without_udp_checksum(f) for f in frames])
    wait_for("old ones", lambda: b.drops()["replay_too_old"] >= len(frames))


def with_sequence(frame, number):
    return frame[:46] + number.to_bytes(4, "big") + frame[50:]


def test_truncated_and_damaged_esp_is_dropped_and_counted(lab, net):
    _, b = pair(lab, net)
    frame = captured_esp(lab, net, net.A.host, 1)[0]
    length = len(frame) - 42
    cut = [shortened(with_sequence(frame, 1000 + n), n) for n in range(1, length - 1)]
    damaged = []
    for at in (42 + 8, 42 + 20, len(frame) - 1):  # IV, ciphertext, ICV
        copy = bytearray(without_udp_checksum(with_sequence(frame, 2000 + at)))
        copy[at] ^= 0x40
        damaged.append(bytes(copy))
    with Capture(net.B.host, "lan", lab.folder, "inside") as inside:
        before = b.drops()
        send_frames(net.internet, "wanB", cut + damaged, pause=0.0005)
        wait_for("all of them counted", lambda: sum(b.drops().values()) - sum(before.values()) >= len(cut) + len(damaged))
    drops = b.drops()
    assert inside.count("icmp") == 0
    # AES-GCM wants whole 4-byte words (RFC 4303 §2.4): the other cuts are malformed before anything is decrypted
    assert drops["icv_failed"] >= len(damaged) + 15 and drops["outer_malformed"] >= length // 2
    # nothing about the SA changed: numbers 1000… are not taken for seen
    assert_reaches(net.A.host, net.B.host4)
    tcp_both_ways(net.A.host, net.B.host, net.B.host4, "3M")
    assert b.drops()["replay"] == before["replay"]
