"""What the figures were taken on. No names of hosts or people."""
import os
import platform
import time
from pathlib import Path

from labkit.process import sh

CRYPTO_FLAGS = ("aes", "pclmulqdq", "avx2", "avx512f", "vaes", "vpclmulqdq", "gfni")


def cpu_field(name):
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def busy_cores(seconds=1.0):
    """Cores that something else keeps busy, on average over `seconds`."""
    def idle_ticks():
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return int(fields[4]) + int(fields[5])  # idle, iowait: proc(5)
    before, start = idle_ticks(), time.monotonic()
    time.sleep(seconds)
    idle = (idle_ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)
    return round(max(0.0, os.cpu_count() - idle), 2)


def package_version(package):
    return sh("dpkg-query", "-W", "-f", "${Version}", package, check=False).stdout or "unknown"


def describe():
    flags = cpu_field("flags").split()
    return {
        "cores": os.cpu_count(),
        "cpu": cpu_field("model name") or platform.machine(),
        "cpu_flags": [flag for flag in CRYPTO_FLAGS if flag in flags],
        "kernel": platform.release().split("-")[0],
        "busy_cores_before": busy_cores(),
    }
