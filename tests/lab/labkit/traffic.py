"""Traffic between namespaces, and what of it arrived."""
import itertools
import json
import re
import time

from .process import LabError, Process, wait_for

_ports = itertools.count(5201)


class PingResult:
    """What ping printed: `sent` and `received` counts and the whole text."""

    def __init__(self, text):
        self.text = text
        match = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        self.sent, self.received = (int(match[1]), int(match[2])) if match else (0, 0)

    def __repr__(self):
        return f"<ping {self.received} of {self.sent}>\n{self.text}"


def ping(ns, address, count=3, interval=0.02, size=None, do="dont", wait=1, source=None, extra=()):
    """`size` bytes of ICMP payload; do="do" sets DF."""
    argv = ["ping", "-n", "-c", count, "-i", interval, "-W", wait, "-M", do]
    argv += ["-s", size] if size is not None else []
    argv += ["-I", source] if source else []
    return PingResult(ns.run(*argv, *extra, address, check=False, timeout=count * max(interval, wait) + 20).stdout)


def assert_reaches(ns, address, **options):
    """A few pings, all of which must come back."""
    result = ping(ns, address, **options)
    assert result.sent > 0 and result.received == result.sent, f"{ns} -> {address}: {result!r}"
    return result


def assert_silent(ns, address, count=2):
    """No ping may come back."""
    result = ping(ns, address, count=count, wait=0.5)
    assert result.received == 0, f"{ns} -> {address} should not get through: {result!r}"


def start_ping(ns, address, interval=0.01):
    """Endless ping in the background; finish_ping gives its result."""
    return Process(["ping", "-n", "-i", interval, "-W", "1", address], ns=ns)


def finish_ping(process):
    process.popen.send_signal(2)
    process.wait(10)
    return PingResult(process.output())


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


class UdpRun:
    """One iperf3 UDP run; `lost` counts what did not reach the receiving host."""

    def __init__(self, client, server, address, megabits, seconds, size=1000):
        before = udp_receive_errors(server)
        report = iperf3(client, server, address, "-u", "-b", f"{megabits:.0f}M", "-t", seconds, "-l", size, "-w", "2M", timeout=seconds + 60)
        total = report["end"]["sum"]
        self.sent = total["packets"]
        self.reported_lost = total["lost_packets"]
        self.full_socket = udp_receive_errors(server) - before
        self.lost = self.reported_lost - self.full_socket

    def __repr__(self):
        return f"<{self.sent} sent, {self.reported_lost} lost by iperf3's count, {self.full_socket} of them in the receiver's socket>"


def wait_reaches(ns, address, timeout=20):
    """Until a ping comes back; returns the seconds it took."""
    start = time.monotonic()
    wait_for(f"{ns} reaches {address}", lambda: ping(ns, address, count=1, wait=0.3).received, timeout)
    return time.monotonic() - start
