"""Floods of IKE from the internet onto a site's gateway: by the thousand from forged addresses (flood.cpp), and from addresses that answer."""
import os
import re
import select
import socket
import struct
import threading
from pathlib import Path

from .culvert import BIN
from .process import Process

FLOOD = BIN.parent / "tests/lab/lab_flood"
NOBODY = "02:00:00:00:00:99"  # no device has this address: what is sent there costs all but the gateway's work


class Flood:
    """Runs until `seconds` are over; finish() waits for that and sets `sent` and `rate`. `kind`: words of flood.cpp. `blackhole`: the same
    frames for nobody. `cores`: of taskset."""

    def __init__(self, net, site, rate, seconds, port=500, kind=(), blackhole=False, cores=None):
        # answers to addresses that nobody has end here, without a word
        net.internet.ip("route", "replace", "blackhole", "100.64.0.0/10")
        mac = NOBODY if blackhole else site.gw.run("cat", "/sys/class/net/wan/address").stdout.strip()
        pinned = ["taskset", "-c", cores] if cores else []
        self.process = Process([*pinned, FLOOD, f"wan{site.letter}", mac, site.wan4, port, rate, seconds, *kind],
                               ns=net.internet)
        self.process.wait_output("ready")
        self.seconds = seconds

    def finish(self):
        self.process.wait(self.seconds + 20)
        sent, seconds = re.search(r"sent (\d+) seconds ([\d.]+)", self.process.output()).groups()
        self.sent, self.rate = int(sent), int(sent) / float(seconds)
        self.process.stop()
        return self

    def stop(self):
        self.process.stop()


class HalfOpenFlood(threading.Thread):
    """From every address of 100.64.7.0/24, which answer: sends what a COOKIE asks for, and an IKE_AUTH that cannot be opened for each
    IKE SA that it gets half open. `asked`, `cookies`, `half_open` count. As often as it can, until finish()."""

    def __init__(self, net, site):
        super().__init__(daemon=True)
        self.asked, self.cookies, self.half_open, self.stopping = 0, 0, 0, False
        net.internet.ip("route", "replace", "local", "100.64.7.0/24", "dev", "lo")
        self.to, self.sockets = (site.wan4, 500), []
        for host in range(1, 255):
            one = net.internet.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind((f"100.64.7.{host}", 500))
            one.setblocking(False)
            self.sockets.append(one)
        self.start()

    @staticmethod
    def message(spi_i, spi_r, exchange, message_id, payloads):
        """RFC 7296 §3.1, §3.2; payloads: (type, body)."""
        body = b"".join(struct.pack("!BBH", next_type, 0, len(content) + 4) + content
                        for (_, content), (next_type, _) in zip(payloads, [*payloads[1:], (0, b"")]))
        return struct.pack("!8s8sBBBBII", spi_i, spi_r, payloads[0][0], 0x20, exchange, 8, message_id, 28 + len(body)) + body

    def request(self, spi, cookie=b""):
        proposal = bytes.fromhex("00000024 01010003 0300000c 01000014 800e0100 03000008 02000006 00000008 0400001f")
        # from its SPI, so that it need not be remembered: the nonce must be the same when the cookie comes
        payloads = [(33, proposal), (34, b"\0\x1f\0\0" + bytes(range(9, 41))), (40, spi * 4)]
        return self.message(spi, bytes(8), 34, 0, ([(41, b"\0\0\x40\x06" + cookie)] if cookie else []) + payloads)

    def run(self):
        while not self.stopping:
            for one in self.sockets:
                self.send(one, self.request(os.urandom(8)))
                self.asked += 1
            for one in select.select(self.sockets, [], [], 0.02)[0]:
                self.answer(one, one.recv(2000))
        for one in self.sockets:
            one.close()

    def send(self, one, datagram):
        try:
            one.sendto(datagram, self.to)
        except BlockingIOError:
            pass

    def answer(self, one, datagram):
        spi_i, spi_r = datagram[:8], datagram[8:16]
        if datagram[18] != 34 or not datagram[19] & 0x20:
            return
        if spi_r == bytes(8):
            if datagram[16] == 41 and datagram[34:36] == b"\x40\x06":   # COOKIE, 16390
                self.cookies += 1
                self.send(one, self.request(spi_i, datagram[36:]))
        else:
            self.half_open += 1
            self.send(one, self.message(spi_i, spi_r, 35, 1, [(46, os.urandom(200))]))   # SK

    def finish(self):
        self.stopping = True
        self.join(10)
        return self


def memory(pid):
    """Bytes that a process has in memory."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024


def cpu_seconds(pid, thread=None):
    """CPU time so far of a process, or of its threads whose name has `thread` in it."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "stat").read_text()
        name, fields = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if thread is None or thread in name:
            total += (int(fields[11]) + int(fields[12])) / 100
    return total
