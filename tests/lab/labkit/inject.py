"""Frames and datagrams put on the wire by hand."""
import socket
import struct
import time

from .traffic import internet_checksum

ETH_P_ALL = 3


def read_pcap(path):
    """The frames of a pcap file (Ethernet, microseconds, this machine's byte order: what tcpdump has just written)."""
    data = open(path, "rb").read()
    frames, at = [], 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def without_udp_checksum(frame):
    """veth leaves checksums to hardware that is not there; zero means none (IPv4 only)."""
    frame = bytearray(frame)
    if frame[12:14] == b"\x08\x00" and frame[23] == 17:
        at = 14 + 4 * (frame[14] & 15)
        frame[at + 6:at + 8] = b"\0\0"
    return bytes(frame)


def shortened(frame, cut):
    """The same IPv4 UDP datagram with `cut` bytes less payload: its headers agree with the new length."""
    frame = bytearray(without_udp_checksum(frame))
    header = 4 * (frame[14] & 15)
    total = struct.unpack_from("!H", frame, 16)[0] - cut
    struct.pack_into("!H", frame, 16, total)
    struct.pack_into("!H", frame, 14 + header + 4, total - header)
    struct.pack_into("!H", frame, 24, 0)
    struct.pack_into("!H", frame, 24, internet_checksum(bytes(frame[14:14 + header])))
    return bytes(frame[:14 + total])


def send_frames(ns, device, frames, pause=0.0):
    with ns.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as s:
        s.bind((device, ETH_P_ALL))
        for frame in frames:
            s.send(frame)
            time.sleep(pause)


def send_udp(ns, address, port, payloads, source_port=0):
    """Datagrams from `ns` to address:port. A refusal by the kernel (a full queue, an ICMP error of the last one) is no matter here."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ns.socket(family, socket.SOCK_DGRAM) as s:
        s.bind(("", source_port))
        for payload in payloads:
            try:
                s.sendto(payload, (address, port))
            except OSError:
                pass


def send_raw(ns, address, protocol, payloads):
    """Payloads of an IP protocol, e.g. 50."""
    with ns.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as s:
        for payload in payloads:
            s.sendto(payload, (address, 0))


def multicast(sender, sender_device, receiver, receiver_device, group, port=5555, payload=b"hello group"):
    """One datagram to `group` out of the sender's device; what the receiver hears on its device, or None within 3 s."""
    v6 = ":" in group
    family = socket.AF_INET6 if v6 else socket.AF_INET
    index = [int(ns.run("cat", f"/sys/class/net/{device}/ifindex").stdout)
             for ns, device in ((sender, sender_device), (receiver, receiver_device))]
    with receiver.socket(family, socket.SOCK_DGRAM) as hear, sender.socket(family, socket.SOCK_DGRAM) as say:
        hear.bind(("", port))
        hear.settimeout(3)
        raw_group = socket.inet_pton(family, group)
        if v6:
            hear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, raw_group + struct.pack("@I", index[1]))
            say.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index[0])
        else:
            hear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, raw_group + struct.pack("@4si", b"\0" * 4, index[1]))
            say.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@4s4si", b"\0" * 4, b"\0" * 4, index[0]))
        say.sendto(payload, (group, port))
        try:
            return hear.recv(2048)
        except TimeoutError:
            return None
