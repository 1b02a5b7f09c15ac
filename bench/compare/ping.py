"""Round trips between the hosts while nothing else passes."""
import re

from labkit.process import LabError

INTERVAL = 0.01  # seconds
TURNS = 10  # of each contender in a round: half a second each, so that what else the machine does meets all alike


def percentile(values, share):
    """The smallest of `values` that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def turn(contender, settings):
    """What one turn finds: the round trips, in microseconds."""
    host, address, num = contender.net.A.host, contender.net.B.host4, settings.pings // TURNS
    host.run("ping", "-n", "-q", "-c", 5, "-i", INTERVAL, address, check=False)  # addresses resolved, caches warm
    answer = host.run("ping", "-n", "-c", num, "-i", INTERVAL, "-W", 1, address, check=False, timeout=num * INTERVAL + 30)
    times = [float(found) * 1e3 for found in re.findall(r"time=([\d.]+) ms", answer.stdout)]
    if len(times) < 0.9 * num:
        raise LabError(f"ping: {len(times)} of {num} answered")
    return times


def join(turns):
    """The sample of a round, out of all its turns."""
    times = [time for turn in turns for time in turn]
    return {"mean_us": sum(times) / len(times), "p50_us": percentile(times, 0.5), "p99_us": percentile(times, 0.99), "pings": len(times)}
