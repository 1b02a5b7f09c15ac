"""Thousands of road warriors at one gateway: scripts/clients. Each is an initiator with an outer address, sockets and an IKE endpoint of its
own; they get addresses of a pool, of both families. Says at the end what was not as it should be, and its exit status says so, too."""
import argparse
import ipaddress
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/lab"))
from conftest import Lab  # noqa: E402
from labkit import clients as many  # noqa: E402
from labkit.flood import cpu_seconds  # noqa: E402

POOL4, POOL6 = "10.96.0.0/15", "fd00:96::/112"
WARM_UP = 50     # clients that come and go before the start
SETTLED = 70     # seconds until the gateway has forgotten them, and has given back what its start took
CLOSED = 68      # …until it has forgotten IKE SAs that were deleted: for 60 s it answers what is sent again
GONE = 90        # …until liveness checks have cleared those that vanished, and then some


class Run:
    def __init__(self, lab, options):
        self.lab, self.options, self.troubles = lab, options, []
        self.net = lab.net("AB")
        self.gateway = many.gateway(lab, self.net, options.auth, options.count, POOL4, POOL6, retransmit_timeout="500ms", retransmit_tries=5)
        self.warm_up()
        share, loads = options.count // options.loads, options.loads
        counts = [share + (options.count % loads if i == 0 else 0) for i in range(loads)]
        self.loads = [many.Clients(lab, self.net, self.gateway, options.auth, count, sum(counts[:i])) for i, count in enumerate(counts)]
        time.sleep(SETTLED)
        self.start = sum(many.memory(self.pid))

    def warm_up(self):
        """The first clients and packets bring code and buffers into memory that every gateway in service has there."""
        few = many.Clients(self.lab, self.net, self.gateway, self.options.auth, min(WARM_UP, self.options.count))
        few("call", WARM_UP)
        few("ping", self.net.B.host4, self.net.B.host6)
        few("leave")
        few.stop()

    @property
    def pid(self):
        return self.gateway.process.pid

    def all(self, *words):
        return many.together(self.loads, *words)

    def expect(self, holds, what):
        if not holds:
            self.troubles.append(what)
            print(f"NOT AS IT SHOULD BE: {what}", flush=True)

    def row(self, what, text):
        print(f"{what:34}  {text}", flush=True)

    def memory_row(self, what, compared=True):
        rss, packets = many.memory(self.pid)
        rss += packets
        more = f"{rss / self.start - 1:+.1%} of the start" if compared else f"{(rss - self.start) / self.options.count:.1f} KiB a client"
        self.row(f"memory {what}", f"{rss / 1024:8.1f} MiB, {more}; {packets / 1024:.1f} MiB of it packet buffers")
        return rss

    def timed(self, what, *words, count=None):
        """A command, and what it took of the gateway's CPU."""
        cpu = cpu_seconds(self.pid)
        done = self.all(*words)
        cpu = cpu_seconds(self.pid) - cpu
        rate = f"{count / done['seconds']:7.0f} a second, " if count else ""
        self.row(what, f"{done['seconds']:8.2f} s, {rate}{cpu:.2f} s CPU of the gateway")
        return done

    # ---- what is done with them ----
    def connect(self, what):
        done = self.timed(what, "call", self.options.window // self.options.loads, count=self.options.count)
        self.expect(done["up"] == self.options.count, f"{what}: {done['up']} of {self.options.count} are up")
        return done

    def listed(self):
        begin = time.monotonic()
        users = many.users(self.gateway)
        took = time.monotonic() - begin
        mine = {tuple(one) for one in self.all("addresses")["addresses"]}
        theirs = {tuple(user["addresses"]) for user in users}
        pools = [ipaddress.ip_network(pool) for pool in (POOL4, POOL6)]
        inside = all(ipaddress.ip_address(a) in pools[0] and ipaddress.ip_address(b) in pools[1] for a, b in theirs)
        distinct = {len({one[i] for one in theirs}) for i in (0, 1)}
        self.expect(distinct == {self.options.count} and mine == theirs and inside,
                    f"listed with {distinct} distinct addresses of the pool, of {len(users)} users")
        begin = time.monotonic()
        self.gateway.peer("warriors")
        self.row("listed, distinct, as the clients say", f"{len(users)} users in {took:.2f} s; status in {time.monotonic() - begin:.3f} s")

    def traffic(self):
        done = self.timed("ping of each, both families", "ping", self.net.B.host4, self.net.B.host6)
        self.row("…answered, at the wrong client", f"{done['replies']} of {done['pings']}, {done['misled']}")
        self.expect(done["replies"] == done["pings"] and done["misled"] == 0, "pings were lost or misled")
        before = self.gateway.drops()["selector_mismatch"]
        forged = self.all("forge", self.net.B.host4, self.net.B.host6)
        dropped = self.gateway.drops()["selector_mismatch"] - before
        self.row("…from the next one's address", f"{forged['pings']} sent, {dropped} dropped and counted, {forged['replies'] + forged['misled']} answered")
        self.expect(dropped == forged["pings"] and forged["replies"] + forged["misled"] == 0, "another one's address was taken")

    def hold(self):
        done = self.timed(f"{self.options.hold} s with liveness checks", "hold", self.options.hold)
        self.row("…by clients, answered", f"{done['asked']}, {done['answered']} ({done['repeated']} sent again)")
        self.row("…by the gateway, answered", f"{done['was_asked']}, {done['has_answered']}")
        self.row("…lost", f"{done['went_down']}")
        self.expect(done["up"] == self.options.count and done["went_down"] == 0, f"{done['went_down']} were lost")
        self.expect(done["asked"] - done["answered"] <= 0.01 * self.options.count, "liveness checks were not answered")
        if self.options.hold >= 20:
            self.expect(min(done["asked"], done["was_asked"]) >= self.options.count // 2, "no liveness checks")

    def leave(self):
        done = self.timed("all leave at once", "leave", count=self.options.count)
        self.expect(done["left"] == self.options.count, f"{done['left']} of {self.options.count} were answered")
        self.expect(self.gateway.peer("warriors")["clients"] == 0 and not many.users(self.gateway), "not all leases are back")

    def vanish(self):
        self.all("vanish")
        begin = time.monotonic()
        many.wait_clients(self.gateway, 0, GONE)
        self.row("all vanish; cleared by liveness in", f"{time.monotonic() - begin:8.1f} s")

    def restart(self):
        before = self.all("addresses")["addresses"]
        self.gateway.stop()
        self.gateway.start()
        done = self.timed("back after a restart, all at once", "wait", 90, count=self.options.count)
        self.expect(done["up"] == self.options.count, f"after a restart {done['up']} of {self.options.count} are up")
        same = sum(a == b for a, b in zip(before, self.all("addresses")["addresses"]))
        self.row("…with the same addresses", f"{same}")
        self.expect(same == self.options.count, "other addresses after a restart")

    def run(self):
        self.memory_row("at the start")
        self.connect("all connect")
        self.memory_row("when all are up", compared=False)
        self.listed()
        self.traffic()
        self.memory_row("when all have sent and received", compared=False)
        self.hold()
        self.leave()
        time.sleep(CLOSED)
        after = self.memory_row(f"{CLOSED} s later")
        self.expect(after <= 1.1 * self.start, "memory is not back within 10 % of the start")
        self.connect("the same connect again")
        if self.options.short:
            return self.leave()
        self.vanish()
        time.sleep(CLOSED)
        self.expect(self.memory_row(f"{CLOSED} s later") <= 1.1 * self.start, "memory is not back within 10 % of the start, after they vanished")
        self.connect("the same connect again")
        self.restart()


def main():
    parser = argparse.ArgumentParser(prog="scripts/clients", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="clients")
    parser.add_argument("--hold", type=int, default=60, help="seconds for which they stay, with liveness checks")
    parser.add_argument("--auth", choices=many.AUTHS, default="eap", help="pre-shared key, EAP-MSCHAPv2 or certificates of the clients")
    parser.add_argument("--window", type=int, default=128, help="how many connect at a time")
    parser.add_argument("--loads", type=int, default=2, help="processes that the clients are spread over")
    parser.add_argument("--short", action="store_true", help="without those who vanish, and the restart")
    options = parser.parse_args()
    lab = Lab()
    try:
        print(f"{options.count} clients, --auth {options.auth}, {options.window} at a time; {os.cpu_count()} cores, {many.BIN}\n", flush=True)
        run = Run(lab, options)
        run.run()
    finally:
        lab.end()
        shutil.rmtree(lab.folder)
    sys.exit(1 if run.troubles else 0)


main()
