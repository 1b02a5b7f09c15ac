"""Traffic between namespaces, and what of it arrived."""
import itertools
import json
import re
import select
import socket
import struct
import threading
import time

from .process import LabError, Process, wait_for

MOST_JOINED = 64  # datagrams that culvertd gives the kernel in one piece, at most (tunnel/socket_batch.cpp)
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 23, 0, 2  # linux/in.h, linux/in6.h
_ports = itertools.count(5201)
_identifiers = itertools.count(int(time.time()))


def internet_checksum(data):
    data = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class PingResult:
    """What ping printed: `sent` and `received` counts and the whole text."""

    def __init__(self, text):
        self.text = text
        match = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        self.sent, self.received = (int(match[1]), int(match[2])) if match else (0, 0)

    def __repr__(self):
        return f"<ping {self.received} of {self.sent}>\n{self.text}"


def ping(ns, address, count=2, size=56, do="dont"):
    """ping(8), for what it says of ICMP errors. `size` bytes of ICMP payload; do="do" sets DF."""
    return PingResult(ns.run("ping", "-n", "-c", count, "-i", 0.05, "-W", 1, "-M", do, "-s", size, address, check=False).stdout)


class Echo(threading.Thread):
    """ICMP echo requests at an interval, and the replies to them. Where ping(8) gives a slow last reply up after two round trips, this one
    waits `wait` seconds for it, so that what is counted as lost is lost. `count` 0: until finish()."""

    def __init__(self, ns, address, count=3, interval=0.02, size=56, dont_fragment=False, source=None, pattern=0x41, wait=5.0):
        super().__init__(daemon=True)
        self.count, self.interval, self.wait = count, interval, wait
        self.v6 = ":" in address
        self.payload = bytes([pattern]) * size
        self.identifier = next(_identifiers) & 0xFFFF
        self.socket = ns.socket(*((socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) if self.v6
                                  else (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)))
        discover = IP_PMTUDISC_DO if dont_fragment else IP_PMTUDISC_DONT
        self.socket.setsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if self.v6 else (socket.IPPROTO_IP, IP_MTU_DISCOVER)), discover)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((address, 0))
        self.sent, self.missing, self.errors, self.stopping = 0, set(), 0, False
        self.start()

    def request(self, number):
        header = struct.pack("!BBHHH", 128 if self.v6 else 8, 0, 0, self.identifier, number & 0xFFFF)
        if not self.v6:  # the kernel fills in ICMPv6's
            header = header[:2] + struct.pack("!H", internet_checksum(header + self.payload)) + header[4:]
        return header + self.payload

    def run(self):
        next_send = time.monotonic()
        last_sent = next_send
        while True:
            now = time.monotonic()
            more = not self.stopping and (self.count == 0 or self.sent < self.count)
            if more and now >= next_send:
                self.send()
                next_send, last_sent = now + self.interval, now
                continue
            if not more and (not self.missing or now > last_sent + self.wait):
                break
            readable = select.select([self.socket], [], [], max(0.0, next_send - now) if more else 0.1)[0]
            if readable:
                self.receive()
        self.socket.close()

    def send(self):
        self.sent += 1
        self.missing.add(self.sent)
        try:
            self.socket.send(self.request(self.sent))
        except OSError:  # no route, too big: not sent, so it will be missing
            self.errors += 1

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except OSError:  # an ICMP error that came back
            self.errors += 1
            return
        if not self.v6:
            data = data[4 * (data[0] & 15):]
        kind, _, _, identifier, number = struct.unpack_from("!BBHHH", data)
        if kind == (129 if self.v6 else 0) and identifier == self.identifier and data[8:] == self.payload:
            self.missing = {n for n in self.missing if n & 0xFFFF != number}

    def finish(self):
        """Ends it; waits for what is under way."""
        self.stopping = True
        self.join(self.wait + 5)
        return self

    @property
    def received(self):
        return self.sent - len(self.missing)

    def __repr__(self):
        return f"<{self.received} of {self.sent} answered, missing {sorted(self.missing)[:20]}, {self.errors} errors>"


def echo(ns, address, **options):
    """`count` (3) echo requests; the finished Echo."""
    run = Echo(ns, address, **options)
    run.join()
    return run


def assert_reaches(ns, address, **options):
    """A few echo requests, all of which must be answered."""
    run = echo(ns, address, **options)
    assert run.sent > 0 and run.received == run.sent, f"{ns} -> {address}: {run!r}"
    return run


def assert_silent(ns, address, count=2):
    """No echo request may be answered."""
    run = echo(ns, address, count=count, wait=0.5)
    assert run.received == 0, f"{ns} -> {address} should not get through: {run!r}"


def iperf3(client, server, address, *options, timeout=120):
    """One iperf3 run from `client` to a one-off server in `server`; returns its JSON. Options as on iperf3's command line."""
    port = next(_ports)
    listener = Process(["iperf3", "-s", "-1", "-p", port, "--forceflush"], ns=server)
    try:
        listener.wait_output("Server listening")
        done = client.run("iperf3", "-c", address, "-p", port, "-J", *options, check=False, timeout=timeout)
        try:
            report = json.loads(done.stdout)
        except ValueError:
            raise LabError(f"iperf3: {done.stdout}{done.stderr}") from None
        if "error" in report:
            raise LabError(f"iperf3 {client} -> {address} {options}: {report['error']}")
        return report
    finally:
        listener.stop()


def tcp_both_ways(client, server, address, amount="4M"):
    """`amount` bytes by TCP in each direction; returns Mbit/s (there, back)."""
    rates = []
    for options in ([], ["-R"]):
        report = iperf3(client, server, address, "-n", amount, *options)
        received = report["end"]["sum_received"]
        assert received["bytes"] > 0, report
        rates.append(received["bits_per_second"] / 1e6)
    return rates


def udp_receive_errors(ns):
    """Datagrams that reached the host and found a full socket buffer: the receiver's fault, not the path's."""
    lines = [line.split() for line in ns.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Udp:")]
    return int(lines[1][lines[0].index("RcvbufErrors")])


def device_drops(ns):
    """{device: (in, out)}: packets that the kernel dropped at a device, most often because its queue was full."""
    rows = re.findall(r"^\s*(\w+):(?:\s+\d+){3}\s+(\d+)(?:\s+\d+){7}\s+(\d+)", ns.run("cat", "/proc/net/dev").stdout, re.M)
    return {name: (int(received), int(sent)) for name, received, sent in rows}


def begin_unpaced(*hosts):
    """TCP of these hosts is not paced. Where the machine's own choice is BBR, a socket begins as BBR's and stays paced when iperf3 makes it
    cubic's. Reno paces nothing, and every namespace may have it."""
    for host in hosts:
        host.sysctl("net.ipv4.tcp_congestion_control=reno")


def full_queues(*gateways):
    """At most so many packets have found a full queue between two gateways' kernels and culvertd so far: of a tunnel's device, of a socket.
    A socket counts what one system call sent as one."""
    devices = (out for ns in gateways for name, (_, out) in device_drops(ns).items() if name.startswith("cv"))
    return sum(devices) + MOST_JOINED * sum(udp_receive_errors(ns) for ns in gateways)


def losses(*pairs):
    """Where packets can have gone astray at gateways, as text: (namespace, culvert), …; culvert's own reasons, full sockets, full queues."""
    found = []
    for ns, culvert in pairs:
        reasons = {reason: packets for reason, packets in culvert.drops().items() if packets}
        devices = {name: drops for name, drops in device_drops(ns).items() if any(drops)}
        found.append(f"{ns}: drops {reasons}, full sockets {udp_receive_errors(ns)}, devices' drops (in, out) {devices}")
    return "\n".join(found)


class UdpRun:
    """One iperf3 UDP run; `lost` counts what did not reach the receiving host."""

    def __init__(self, client, server, address, megabits, seconds, size=1000):
        assert megabits >= 1, "iperf3 takes 0 for no limit"
        before = udp_receive_errors(server)
        report = iperf3(client, server, address, "-u", "-b", f"{megabits:.0f}M", "-t", seconds, "-l", size, "-w", "2M", timeout=seconds + 60)
        total = report["end"]["sum"]
        self.sent = total["packets"]
        self.reported_lost = total["lost_packets"]
        self.full_socket = udp_receive_errors(server) - before
        self.lost = self.reported_lost - self.full_socket

    def __repr__(self):
        return f"<{self.sent} sent, {self.reported_lost} lost by iperf3's count, {self.full_socket} of them in the receiver's socket>"


def assert_udp_passes(net, megabits, seconds=1, size=1000):
    """`megabits` a second of UDP, `size` bytes each, from host A reach host B, but for what finds a queue of the kernel full because the
    machine is at something else."""
    before = full_queues(net.A.gw, net.B.gw)
    run = UdpRun(net.A.host, net.B.host, net.B.host4, megabits, seconds, size)
    assert run.lost <= full_queues(net.A.gw, net.B.gw) - before and run.reported_lost < run.sent / 2, run


def wait_reaches(ns, address, timeout=30):
    """Until a ping comes back; returns the seconds it took."""
    start = time.monotonic()
    wait_for(f"{ns} reaches {address}", lambda: echo(ns, address, count=1, wait=0.3).received, timeout)
    return time.monotonic() - start
