"""What a flood of IKE_SA_INIT does to a gateway: scripts/flood. Two sites with a tunnel between them, a gateway that also takes peers from
any address, forged requests from the internet. The same generator sends to nobody in every other run, so that its own CPU is in both."""
import argparse
import os
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/lab"))
from conftest import Lab  # noqa: E402
from labkit.flood import Flood, cpu_seconds, memory  # noqa: E402
from labkit.pair import tables  # noqa: E402
from labkit.process import sh  # noqa: E402
from labkit.traffic import begin_unpaced, iperf3  # noqa: E402


class Bench:
    def __init__(self, lab, options):
        self.options, self.net = options, lab.net("ABC")
        self.lab = lab
        begin_unpaced(self.net.A.host, self.net.B.host)
        flooded = tables(self.net.A, self.net.B)
        flooded["peer.c"] = {"address": "any", "id": "c.example"}
        flooded["tunnel.c"] = {"peer": "c", "carry": "gre", "device": "cvC", "key": 7}
        self.b = lab.culvert(self.net.B.gw, tables(self.net.B, self.net.A, start="wait"))
        self.a = lab.culvert(self.net.A.gw, flooded)
        self.a.wait_up("b")
        self.pid = self.a.process.pid
        sh("taskset", "-a", "-p", "-c", options.gateway_cores, self.pid)
        self.memory = [memory(self.pid)]

    def watch_memory(self, done):
        while not done.wait(0.5):
            self.memory.append(memory(self.pid))

    def run(self, blackhole, newcomer=False):
        """One run of the generator with a TCP stream through the tunnel: Gbit/s, CPU seconds of culvertd, and a second more of each side."""
        options, done = self.options, threading.Event()
        watcher = threading.Thread(target=self.watch_memory, args=(done,))
        watcher.start()
        flood = Flood(self.net, self.net.A, options.rate, options.seconds + 1, blackhole=blackhole, cores=options.generator_core)
        cpu, start = cpu_seconds(self.pid), time.monotonic()
        report = iperf3(self.net.A.host, self.net.B.host, self.net.B.host4, "-C", "cubic", "-t", options.seconds, timeout=options.seconds + 30)
        cpu = cpu_seconds(self.pid) - cpu
        gbits = report["end"]["sum_received"]["bits_per_second"] / 1e9
        print(f"{'to nobody' if blackhole else 'flood    '}  {gbits:7.3f} Gbit/s  culvertd {cpu / (time.monotonic() - start):5.2f} cores", flush=True)
        flood.finish()
        done.set()
        watcher.join()
        return gbits, flood.rate

    def newcomer(self):
        """Seconds until a peer from an address that nobody knew is up, in the middle of a flood."""
        flood = Flood(self.net, self.net.A, self.options.rate, 15, cores=self.options.generator_core)
        time.sleep(1)
        start = time.monotonic()
        c = self.lab.culvert(self.net.C.gw, tables(self.net.C, self.net.A, start="always", tunnel={"key": 7}))
        c.wait_up(timeout=15)
        seconds = time.monotonic() - start
        old = self.a.child_spi("b")
        start = time.monotonic()
        self.a.ctl("rekey", "b")
        self.a.wait_new_child(old, "b")
        rekey = time.monotonic() - start
        flood.stop()
        return seconds, rekey


def main():
    parser = argparse.ArgumentParser(prog="scripts/flood", description=__doc__)
    parser.add_argument("--rate", type=int, default=50000, help="IKE_SA_INIT a second")
    parser.add_argument("--seconds", type=int, default=20, help="of each run")
    parser.add_argument("--pairs", type=int, default=3, help="runs with the flood, and as many without")
    parser.add_argument("--gateway-cores", default="0", help="of the gateway under test; one core, so that it is what limits the tunnel")
    parser.add_argument("--other-cores", default="1,2", help="of the other gateway and the hosts")
    parser.add_argument("--generator-core", default="3", help="of the generator, and of the kernel's work with what it sends")
    options = parser.parse_args()
    os.sched_setaffinity(0, {int(core) for core in options.other_cores.split(",")})  # and of all that is started from here
    lab = Lab()
    try:
        bench = Bench(lab, options)
        bench.run(True)  # warms up
        quiet, flooded, rates = [], [], []
        for _ in range(options.pairs):
            quiet.append(bench.run(True)[0])
            gbits, rate = bench.run(False)
            flooded.append(gbits)
            rates.append(rate)
        before = bench.memory[0]
        up, rekey = bench.newcomer()
        drops = {reason: packets for reason, packets in bench.a.drops().items() if packets and reason.startswith(("ike", "control"))}
        print(f"\nflood: {statistics.median(rates):.0f} IKE_SA_INIT a second for {options.pairs * options.seconds} s\n"
              f"tunnel: {statistics.median(quiet):.3f} Gbit/s without, {statistics.median(flooded):.3f} with: "
              f"{statistics.median(f / q for f, q in zip(flooded, quiet)):.1%}\n"
              f"memory of culvertd: {before / 2**20:.1f} MiB before, at most {max(bench.memory) / 2**20:.1f}, {bench.memory[-1] / 2**20:.1f} after\n"
              f"a new peer from an unknown address, its start included: up in {up:.2f} s; a rekey of the tunnel in {rekey:.2f} s\n"
              f"dropped: {drops}")
    finally:
        lab.end()


main()
