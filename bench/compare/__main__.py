"""python3 bench/compare: culvert beside plain forwarding and other VPNs, in one run. scripts/bench installs, builds and calls this."""
import argparse
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

import contenders  # noqa: E402 -- needs the path of the lab
import document  # noqa: E402
import machine  # noqa: E402
import measures  # noqa: E402
import picture  # noqa: E402
import results  # noqa: E402
import sites  # noqa: E402
from labkit.process import LabError  # noqa: E402


def choice(known):
    """A parser of "a,b" whose words must be `known`."""
    def parse(text):
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"no '{word}'; there are {','.join(known)}")
        return words
    return parse


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return number


def parser():
    asked = argparse.ArgumentParser(prog="scripts/bench", description="Compares culvert with plain forwarding and other VPNs in one run.")
    asked.add_argument("--only", type=choice(contenders.ALL), default=list(contenders.ALL), metavar="NAME,…",
                       help=f"contenders: {','.join(contenders.ALL)}")
    asked.add_argument("--measures", type=choice(measures.MEASURES), default=list(measures.MEASURES), metavar="NAME,…",
                       help=f"measures: {','.join(measures.MEASURES)}")
    asked.add_argument("--rounds", type=positive, help="rounds, of which the medians are taken (3; with --quick 1)")
    asked.add_argument("--seconds", type=positive, help="seconds of a TCP run (5; with --quick 1)")
    asked.add_argument("--quick", action="store_true", help="a short look: figures are rough")
    asked.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    asked.add_argument("--svg", type=Path, metavar="FILE", help="draw the medians")
    asked.add_argument("--write-docs", action="store_true", help="put the figures into docs/performance.md and draw docs/performance.svg")
    asked.add_argument("--from", type=Path, metavar="FILE", dest="source", help="measure nothing: take what --json wrote")
    asked.add_argument("--check-options", action="store_true", help=argparse.SUPPRESS)  # before anything is installed or built
    return asked


def options():
    settings = parser().parse_args()
    settings.rounds = settings.rounds or (1 if settings.quick else 3)
    settings.udp_seconds, settings.udp_steps, settings.pings = (0.5, 5, 100) if settings.quick else (1.0, 7, 500)
    settings.seconds = settings.seconds or (1 if settings.quick else 5)
    return settings


def say(text):
    print(text, file=sys.stderr, flush=True)


def attempt(name, contender, settings):
    """What one turn found, or what went wrong with it, as a text."""
    try:
        return measures.MEASURES[name].turn(contender, settings)
    except (LabError, OSError, subprocess.TimeoutExpired) as trouble:  # OSError: a gateway has ended, and /proc forgets it
        return str(trouble)


def take(name, contestants, settings):
    """A sample of each contender, or what went wrong with it, by its name."""
    measure, found = measures.MEASURES[name], {contender.name: [] for contender in contestants}
    for _ in range(measure.turns):
        for contender in contestants:
            found[contender.name].append(attempt(name, contender, settings))
    samples = {}
    for who, turns in found.items():
        trouble = next((turn for turn in turns if isinstance(turn, str)), None)
        samples[who] = {"error": trouble} if trouble else measure.join(turns)
        say(f"  {name:8} {who:13} " + (f"failed: {trouble}" if trouble else
            " ".join(f"{key} {value:.3g}" for key, value in samples[who].items() if isinstance(value, float))))
    return samples


def longest_minutes(settings):
    """How long the run may take at most, roughly: most searches for a UDP rate end early."""
    start, tcp, udp = 5, settings.seconds + 1, (settings.udp_steps + 1) * (settings.udp_seconds + 1)
    each = sum(tcp if name.startswith("tcp") else udp if name.startswith("udp") else settings.pings * 0.011 for name in settings.measures)
    return (start + each) * len(settings.only) * settings.rounds / 60


def start_all(stack, names):
    """Those of `names` that came up; one that does not is said and left out of the round."""
    running = []
    for name in names:
        say(f"starting {name}")
        try:
            running.append(contenders.ALL[name](stack))
        except LabError as trouble:
            say(f"{name} does not come up: {trouble}")
    return running


@contextmanager
def undisturbed_end():
    """An ExitStack that a signal, or one more ^C, does not keep from its work."""
    stack = ExitStack()
    try:
        yield stack
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        say("cleaning up")
        stack.close()


class Findings:
    """What the rounds have brought so far, by contender."""

    def __init__(self, settings):
        self.settings = settings
        self.samples = {name: {measure: [] for measure in settings.measures} for name in settings.only}
        self.versions, self.aead, self.absent = {}, {}, []

    def add_round(self, number, stack):
        """All tunnels come up anew, so that no contender keeps what chance gave it: queues, processors, places in memory. Measure by
        measure, the contenders in turn, each round beginning with another."""
        say(f"round {number + 1} of {self.settings.rounds}")
        first = number % len(self.settings.only)
        names = self.settings.only[first:] + self.settings.only[:first]
        running = start_all(stack, names)
        present = {contender.name: {"title": contender.title, "version": contender.version()} for contender in running}
        self.versions |= present
        self.absent += [f"{name} (did not come up)" for name in names if name not in present]
        self.aead |= {"aead": contender.aead() for contender in running if hasattr(contender, "aead")}
        for measure in self.settings.measures:
            for name, sample in take(measure, running, self.settings).items():
                self.samples[name][measure].append(sample)

    def result(self, about):
        """What --json writes."""
        chosen = {key: getattr(self.settings, key) for key in ("rounds", "seconds", "udp_seconds", "udp_steps", "pings", "quick")}
        present = [name for name in self.settings.only if name in self.versions]
        samples = {name: self.samples[name] for name in present}
        return {"machine": about | self.aead, "settings": chosen, "contenders": {name: self.versions[name] for name in present},
                "medians": results.medians(samples), "failures": self.absent + results.failures(samples), "samples": samples}


def compare(settings):
    """The whole run; returns what --json writes."""
    say(f"at most {longest_minutes(settings):.0f} minutes")
    about, findings = machine.describe(), Findings(settings)
    with undisturbed_end() as stack:
        for number in range(settings.rounds):
            up = stack.enter_context(ExitStack())
            findings.add_round(number, up)
            up.close()
    return findings.result(about)


def measured(settings):
    """What a run finds, kept where the options say."""
    if os.geteuid() != 0:
        sys.exit("scripts/bench: needs root for network namespaces: sudo scripts/bench")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in a script's background, where ^C is ignored
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    sites.remove_stale()
    result = compare(settings)
    if settings.json:
        settings.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def main():
    settings = options()
    if settings.check_options:
        return 0
    result = json.loads(settings.source.read_text()) if settings.source else measured(settings)
    print(results.text(result))
    if settings.svg:
        settings.svg.write_text(picture.svg(result))
    if settings.write_docs:
        document.write(result)
    return 1 if result["failures"] else 0


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
