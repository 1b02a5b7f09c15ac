"""What every contender of the comparison has."""
from labkit.process import LabError, Process
from labkit.traffic import wait_reaches

import sites

# the suites of all that speak IKEv2
IKE = "aes256gcm16-prfsha384-x25519"
ESP = "aes256gcm16-x25519"


class Contender:
    """`join()` brings the tunnel up and returns the processes of the two gateways, A first. What must be ended goes to `self.stack`."""

    name = title = ""

    def __init__(self, stack):
        self.stack = stack
        self.net = sites.new_network(stack)
        self.folder = sites.new_folder(stack) / self.name
        self.folder.mkdir()
        self.pids = []
        try:
            self.pids = self.join()
            wait_reaches(self.net.A.host, self.net.B.host4)
        except LabError as trouble:
            raise LabError(f"{trouble}\n{self.logs()}") from None

    def both(self):
        """(us, them) of gateway A, then of gateway B."""
        return (self.net.A, self.net.B), (self.net.B, self.net.A)

    def start(self, site, *argv, env=None):
        process = Process(argv, ns=site.gw, log=self.folder / f"{site.letter}.log", env=env)
        self.stack.callback(process.stop, 5)
        return process

    def logs(self):
        """The end of every log of this contender."""
        return "\n".join(f"--- {path.relative_to(self.folder)}\n{path.read_text(errors='replace')[-2000:]}"
                         for path in sorted(self.folder.rglob("*.log")))

    def version(self):
        """The program's version and what of it is used, in a few words."""
        return ""
