"""What a gateway says at /metrics, read by programs that others wrote: Prometheus's promtool and its Python client."""
import shutil
import subprocess

import pytest

from .process import LabError

OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


def need(*programs):
    """A test that is skipped looks like one that passed: it fails where one of them is not installed."""
    for program in programs:
        if not shutil.which(program):
            raise LabError(f"no {program}: scripts/deps test installs it")


def scrape(daemon, where="http://127.0.0.1:9475/metrics", accept="", socket=None):
    """The text; daemon is the Culvert in whose namespace it is asked for."""
    options = ["--unix-socket", socket] if socket else []
    return daemon.ns.run("curl", "-sSf", "--max-time", "10", *options, "-H", f"Accept: {accept}", where).stdout


def promtool(*argv, text=None):
    """What it printed, once it is content."""
    done = subprocess.run(["promtool", *map(str, argv)], input=text, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def families(text):
    """Families by name, by the strict reader of OpenMetrics."""
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def samples(daemon, **options):
    """{(name, frozenset of labels): value} of a scrape now."""
    text = scrape(daemon, accept=OPEN_METRICS, **options)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families(text).values() for s in family.samples}


def value(daemon, name, **labels):
    return samples(daemon)[name, frozenset(labels.items())]
