"""python3 bench/compare: culvert beside plain forwarding and other VPNs, in one run. scripts/bench installs, builds and calls this."""
import argparse
import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

import contenders  # noqa: E402 -- needs the path of the lab
import machine  # noqa: E402
import measures  # noqa: E402
import results  # noqa: E402
from labkit.net import remove_stale  # noqa: E402
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


def options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Compares culvert with plain forwarding and other VPNs in one run.")
    parser.add_argument("--only", type=choice(contenders.ALL), default=list(contenders.ALL), metavar="NAME,…",
                        help=f"contenders: {','.join(contenders.ALL)}")
    parser.add_argument("--measures", type=choice(measures.MEASURES), default=list(measures.MEASURES), metavar="NAME,…",
                        help=f"measures: {','.join(measures.MEASURES)}")
    parser.add_argument("--rounds", type=int, help="rounds, of which the medians are taken (3; with --quick 1)")
    parser.add_argument("--seconds", type=int, help="seconds of a TCP run (5; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="a short look: figures are rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    chosen = parser.parse_args()
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 3)
    chosen.seconds = chosen.seconds or (1 if chosen.quick else 5)
    return chosen


def say(text):
    print(text, file=sys.stderr, flush=True)


def take(measure, contender, settings):
    """One sample, or what went wrong with it."""
    try:
        sample = measures.MEASURES[measure](contender, settings)
        say(f"  {measure:8} {contender.name:13} " + " ".join(f"{key} {value:.3g}" for key, value in sample.items() if isinstance(value, float)))
        return sample
    except LabError as trouble:
        say(f"  {measure:8} {contender.name:13} failed: {trouble}")
        return {"error": str(trouble)}


def run_rounds(running, settings):
    """Round by round, measure by measure, one contender after the other, each round beginning with another."""
    samples = {contender.name: {measure: [] for measure in settings.measures} for contender in running}
    for number in range(settings.rounds):
        say(f"round {number + 1} of {settings.rounds}")
        first = number % len(running)
        for measure in settings.measures:
            for contender in running[first:] + running[:first]:
                samples[contender.name][measure].append(take(measure, contender, settings))
    return samples


def start_all(stack, names):
    running = []
    for name in names:
        say(f"starting {name}")
        running.append(contenders.ALL[name](stack))
    return running


def compare(settings):
    """The whole run; returns what --json writes."""
    about = machine.describe()
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGINT, signal.SIG_DFL)
        running = start_all(stack, settings.only)
        versions = {contender.name: {"title": contender.title, "version": contender.version()} for contender in running}
        about |= {"aead": contender.aead() for contender in running if hasattr(contender, "aead")}
        samples = run_rounds(running, settings)
        say("cleaning up")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    chosen = {"rounds": settings.rounds, "seconds": settings.seconds, "quick": settings.quick}
    return {"machine": about, "settings": chosen, "contenders": versions, "medians": results.medians(samples), "samples": samples}


def main():
    settings = options()
    if os.geteuid() != 0:
        sys.exit("scripts/bench: needs root for network namespaces: sudo scripts/bench")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    remove_stale()
    result = compare(settings)
    print(results.text(result))
    if settings.json:
        settings.json.write_text(json.dumps(result, indent=1) + "\n")
    failed = [sample for taken in result["samples"].values() for found in taken.values() for sample in found if "error" in sample]
    return 1 if failed else 0


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
