"""The wire by other eyes: tshark opens what we sent with the keys of --debug-keys, scapy opens ours and builds some that we accept."""
import os
import socket
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

from labkit.capture import Capture
from labkit.inject import read_pcap, send_frames
from labkit.keys import DebugKeys
from labkit.pair import pair
from labkit.process import wait_for
from labkit.traffic import assert_reaches


@pytest.fixture(scope="module")
def net(shared):
    net = shared.net()
    net.cut_datagrams()  # tcpdump sees what would be on the wire, and not two ESP packets in one datagram
    return net


QUIET = {"probe_interval": "0s"}  # what is on the wire is what the test sends
SUITES = [("aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519-noesn"), ("aes128gcm16-prfsha256-ecp256", "aes128gcm16-noesn"),
          ("aes256-sha256-modp2048", "aes256-sha256-noesn")]


@pytest.mark.parametrize("ike,esp", SUITES)
@pytest.mark.parametrize("mode", ["transport", "tunnel"])
def test_tshark_opens_ike_auth_and_esp_and_shows_gre_with_the_key(lab, net, mode, ike, esp):
    with Capture(net.internet, "wanA", lab.folder) as capture:
        a, _ = pair(lab, net, peer={"ike": [ike], "esp": [esp], **QUIET}, tunnel={"mode": mode}, debug=(True, False))
        assert_reaches(net.A.host, net.B.host4, count=5)
        spis = a.ike_spis()
        a.ctl("rekey", "b", "--ike")
        a.wait_new_ike(spis)
        a.ctl("rekey", "b", "--child")
        assert_reaches(net.A.host, net.B.host4, count=5)
    options = DebugKeys(a.keys).tshark_options()
    names = {name for row in capture.tshark(*options, fields=["isakmp.id.data.fqdn"], display="isakmp.exchangetype == 35") for name in row}
    assert {"a.example", "b.example"} <= {part for name in names for part in name.split(",")}
    assert capture.count("isakmp.exchangetype == 36 && isakmp.tf.type", *options) >= 2, "CREATE_CHILD_SA opened"
    inside = "gre.key == 42 && icmp.type == 8 && ip.dst == " + net.B.host4
    assert capture.count(inside, *options) >= 10
    assert capture.count("esp && !gre", *options) == 0, "ESP that did not open"
    assert capture.count("esp.icv_bad == 1 || esp.icv_good == 0", *options) == 0


def esp_of(capture, source):
    """(sequence number, frame) of each ESP packet from `source` in a capture."""
    found = []
    for frame in read_pcap(capture.path):
        packet = Ether(frame)
        if IP in packet and packet[IP].src == source and UDP in packet and packet[UDP].dport == 4500:
            payload = bytes(packet[UDP].payload)
            if len(payload) > 20 and payload[:4] != b"\0\0\0\0":
                found.append((struct.unpack("!I", payload[4:8])[0], packet))
    return found


def association(key, outer, esn):
    """scapy's SA for a key of ours in UDP 4500."""
    algorithm = "AES-GCM" if "GCM" in key.encryption else "AES-CBC"
    auth = {} if algorithm == "AES-GCM" else {"auth_algo": "SHA2-256-128", "auth_key": key.integrity_key}
    return SecurityAssociation(ESP, spi=key.spi, crypt_algo=algorithm, crypt_key=key.key, nat_t_header=UDP(sport=4500, dport=4500),
                               tunnel_header=outer, esn_en=esn, esn=0, **auth)


def deliverable(built, like):
    """scapy leaves UDP.len at 8: rebuild lengths and checksums, and put the frame of `like` around."""
    del built[UDP].len, built[IP].len, built[IP].chksum
    built[UDP].chksum = 0
    return bytes(Ether(src=like.src, dst=like.dst) / built)


@pytest.mark.parametrize("esp,esn", [("aes256gcm16-x25519-noesn", False), ("aes256gcm16-x25519-esn", True), ("aes256-sha256-noesn", False)])
def test_scapy_opens_ours_and_builds_one_that_we_accept(lab, net, esp, esn):
    a, b = pair(lab, net, carry="ip", peer={"esp": [esp], **QUIET}, debug=(True, False))
    with Capture(net.internet, "wanB", lab.folder, expression="udp port 4500") as capture:
        assert_reaches(net.A.host, net.B.host4, count=5)
    key = DebugKeys(a.keys).esp(int(a.peer()["children"][0]["outbound_spi"], 16))
    outer = IP(src=net.A.wan4, dst=net.B.wan4)
    sa = association(key, outer, esn)
    ours = esp_of(capture, net.A.wan4)
    assert len(ours) >= 5
    for _, packet in ours:
        inner = sa.decrypt(IP(bytes(packet[IP])))
        assert inner[IP].src == net.A.host4 and inner[IP].dst == net.B.host4 and inner[ICMP].type == 8

    with net.B.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("", 7777))
        ear.settimeout(3)
        inner = IP(src=net.A.host4, dst=net.B.host4) / UDP(sport=1234, dport=7777) / Raw(b"made by scapy")
        built = sa.encrypt(inner, seq_num=1000)
        send_frames(net.internet, "wanB", [deliverable(built, ours[0][1])])
        assert ear.recv(100) == b"made by scapy"
        send_frames(net.internet, "wanB", [deliverable(built, ours[0][1])])  # the same once more
        wait_for("the replay is counted", lambda: b.drops()["replay"] == 1)


def test_scapy_opens_our_transport_mode_gre(lab, net):
    a, _ = pair(lab, net, peer={"esp": ["aes256gcm16-x25519-noesn"], **QUIET}, tunnel={"mode": "transport"}, debug=(True, False))
    with Capture(net.internet, "wanB", lab.folder, expression="udp port 4500") as capture:
        assert_reaches(net.A.host, net.B.host4, count=5)
    key = DebugKeys(a.keys).esp(int(a.peer()["children"][0]["outbound_spi"], 16))
    sa = association(key, None, False)
    opened = [sa.decrypt(IP(bytes(packet[IP]))) for _, packet in esp_of(capture, net.A.wan4)]
    assert {(inner[GRE].key, inner[GRE].key_present) for inner in opened} == {(42, 1)}
    pings = [inner[GRE] for inner in opened if inner[GRE].proto == 0x0800]  # beside them the kernel's own IPv6 multicast
    assert len(pings) >= 5 and {gre[IP].dst for gre in pings} == {net.B.host4}


class Forger:
    """A peer that holds A's keys and does not keep to the rules: ESP by RFC 4303 and 4106, octet by octet."""

    def __init__(self, lab, net, **options):
        a, self.culvert = pair(lab, net, peer={"esp": ["aes256gcm16-x25519-noesn"], **QUIET}, debug=(True, False), **options)
        with Capture(net.internet, "wanB", lab.folder, expression="udp port 4500") as capture:
            assert_reaches(net.A.host, net.B.host4)
        self.net, self.like = net, esp_of(capture, net.A.wan4)[0][1]
        self.key = DebugKeys(a.keys).esp(int(a.peer()["children"][0]["outbound_spi"], 16))
        self.sequence = 1000

    def send(self, payload, next_header, pad=None):
        """`pad`: the padding octets, by default 1, 2, 3… up to a multiple of 4."""
        self.sequence += 1
        if pad is None:
            pad = bytes(range(1, 1 + (-(len(payload) + 2)) % 4))
        header, iv = struct.pack("!II", self.key.spi, self.sequence), os.urandom(8)
        plain = bytes(payload) + pad + bytes([len(pad) % 256, next_header])
        sealed = AESGCM(self.key.key[:-4]).encrypt(self.key.key[-4:] + iv, plain, header)
        outer = IP(src=self.net.A.wan4, dst=self.net.B.wan4) / UDP(sport=4500, dport=4500, chksum=0) / Raw(header + iv + sealed)
        send_frames(self.net.internet, "wanB", [bytes(Ether(src=self.like.src, dst=self.like.dst) / outer)])

    def expect(self, reason, count=1):
        wait_for(lambda: f"{reason}: {self.culvert.drops()}", lambda: self.culvert.drops()[reason] == count)


def test_authentic_packets_that_break_the_rules_are_dropped_and_counted(lab, net):
    forger = Forger(lab, net, carry="ip")
    good = IP(src=net.A.host4, dst=net.B.host4) / ICMP()
    with Capture(net.B.host, "lan", lab.folder, "inside") as inside:
        forger.send(IP(src="10.99.0.1", dst=net.B.host4) / ICMP(), 4)
        forger.expect("selector_mismatch")                # RFC 4301 §5.2
        forger.send(IP(src=net.A.host4, dst="10.77.0.1") / ICMP(), 4)
        forger.expect("selector_mismatch", 2)
        forger.send(b"", 59)
        forger.expect("dummy")                            # RFC 4303 §2.6
        forger.send(good, 4, pad=b"\x09\x09\x09\x09\x09\x09")
        forger.expect("padding_invalid")                  # RFC 4303 §2.4
        forger.send(good, 47)
        forger.expect("next_header_invalid")
        forger.send(bytes(good)[:12], 4)
        forger.send(bytes(good)[:-1], 4)
        wait_for("both count as malformed or outside", lambda: sum(forger.culvert.drops().values()) >= 7)
        assert inside.count("icmp") == 0
        # the longest padding that fits is legal: 255 octets or the largest below that aligns (RFC 4303 §2.4)
        forger.send(good, 4, pad=bytes(range(1, 256))[:252 + (-(len(good) + 2)) % 4])
        wait_for("the padded one arrives", lambda: inside.count("icmp.type == 8"))
    assert inside.count("icmp.type == 8") == 1
    assert_reaches(net.A.gw, net.B.host4, source=net.A.gw4)


def test_authentic_gre_that_breaks_the_rules_is_dropped_and_counted(lab, net):
    forger = Forger(lab, net, tunnel={"mode": "transport"})
    inner = bytes(IP(src=net.A.host4, dst=net.B.host4) / ICMP())
    with Capture(net.B.host, "lan", lab.folder, "inside") as inside:
        forger.send(b"\x20\x00\x08\x00" + struct.pack("!I", 43) + inner, 47)
        forger.expect("gre_key_unknown")
        forger.send(b"\x00\x00\x08\x00" + inner, 47)
        forger.expect("gre_key_unknown", 2)
        forger.send(b"\x20\x01\x08\x00" + struct.pack("!I", 42) + inner, 47)  # version 1
        forger.send(b"\x60\x00\x08\x00" + struct.pack("!I", 42) + inner, 47)  # routing present
        forger.send(b"\x20\x00", 47)
        forger.expect("gre_malformed", 3)
        forger.send(b"\x20\x00\x65\x58" + struct.pack("!I", 42) + inner, 47)  # Ethernet inside
        forger.expect("gre_protocol")
        forger.send(b"\xa0\x00\x08\x00" + b"\xde\xad\0\0" + struct.pack("!I", 42) + inner, 47)
        forger.expect("gre_checksum")
    assert inside.count("icmp") == 0
    forger.send(b"\x20\x00\x08\x00" + struct.pack("!I", 42) + inner, 47)
    assert_reaches(net.A.host, net.B.host4)
