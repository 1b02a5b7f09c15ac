"""Round trips between the hosts while nothing else passes."""
import re

from labkit.process import LabError

INTERVAL = 0.01  # seconds


def percentile(values, share):
    """The smallest of `values` that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def measure(contender, settings):
    host, address = contender.net.A.host, contender.net.B.host4
    host.run("ping", "-n", "-q", "-c", 10, "-i", INTERVAL, address, check=False)  # addresses resolved, caches warm
    answer = host.run("ping", "-n", "-c", settings.pings, "-i", INTERVAL, "-W", 1, address, check=False, timeout=settings.pings * INTERVAL + 30)
    times = [float(found) * 1e3 for found in re.findall(r"time=([\d.]+) ms", answer.stdout)]
    if len(times) < 0.9 * settings.pings:
        raise LabError(f"ping: {len(times)} of {settings.pings} answered")
    return {"mean_us": sum(times) / len(times), "p50_us": percentile(times, 0.5), "p99_us": percentile(times, 0.99), "pings": len(times)}
