"""The network of the comparison: hostA - gwA - router - gwB - hostB, one for each contender, all alike.

LANs have MTU 1400 and the WAN 1500, so that what a host sends fits into every contender's packet. The router knows no LAN: what is not
in a tunnel gets nowhere, but with plain forwarding.
"""
import os
import shutil
import tempfile
from pathlib import Path

from labkit import net as network
from labkit.traffic import begin_unpaced

LAN_MTU = 1400
LAN_A, LAN_B = "10.1.0.0/24", "10.2.0.0/24"


def remove_stale():
    """What runs that were killed have left: their namespaces and folders carry their process ids."""
    network.remove_stale()
    for folder in Path(tempfile.gettempdir()).glob("culvert-lab-*"):
        if not Path("/proc", folder.name.split("-")[2]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def new_network(stack):
    """The namespaces of one contender; `stack` (an ExitStack) removes them."""
    net = network.Net()
    stack.callback(net.remove)
    begin_unpaced(net.A.host, net.B.host)
    for site in (net.A, net.B):
        for end in (site.host, site.gw):
            end.ip("link", "set", "lan", "mtu", LAN_MTU)
    return net


def new_folder(stack):
    """A folder for configurations and logs; `stack` removes it, or the next run where this one is killed."""
    folder = Path(tempfile.mkdtemp(prefix=f"culvert-lab-{os.getpid()}-"))
    folder.chmod(0o711)  # gateways become nobody
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder
