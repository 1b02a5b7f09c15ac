"""Fixtures of the lab. Everything that a test starts is ended when the test ends, also when it fails."""
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from labkit import net as network
from labkit.culvert import BIN, Culvert
from labkit.ovs import Ovs
from labkit.strongswan import StrongSwan
from labkit.wire import Wire

NOT_ROOT = 77  # ctest's SKIP_RETURN_CODE


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        print("skipped: not root")
        pytest.exit("skipped: not root", returncode=NOT_ROOT)
    if os.environ.get("CULVERT_LAB_SELF_TEST") != "1" and not (BIN / "culvertd").exists():
        pytest.exit(f"no culvertd in {BIN}: set CULVERT_BIN to the build's bin folder", returncode=1)
    network.remove_stale()
    for folder in Path(tempfile.gettempdir()).glob("culvert-lab-*"):  # of runs that were killed
        if not Path("/proc", folder.name.split("-")[2]).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.unlink(missing_ok=True)


class Lab:
    """What one test, or one module, may start."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"culvert-lab-{os.getpid()}-"))
        os.chmod(self.folder, 0o711)  # gateways become nobody
        self._ends = []
        self._serial = 0

    def path(self, name):
        self._serial += 1
        folder = self.folder / f"{self._serial}-{name}"
        folder.mkdir()
        return folder

    def net(self, sites="AB", nat=""):
        net = network.Net(sites, nat)
        self._ends.append(net.remove)
        return net

    def at_end(self, function):
        self._ends.append(function)

    def wire(self, net, site, **options):
        wire = Wire(net, site, **options)
        self._ends.append(wire.stop)
        return wire

    def culvert(self, ns, tables, start=True, **options):
        daemon = Culvert(ns, self.path(f"culvert-{ns}"), tables, **options)
        self._ends.append(daemon.stop)
        if start:
            daemon.start()
        return daemon

    def strongswan(self, ns, conf, **options):
        daemon = StrongSwan(ns, self.path(f"strongswan-{ns}"), conf, **options)
        self._ends.append(daemon.stop)
        return daemon

    def ovs(self, ns, *argv, **options):
        daemon = Ovs(ns, self.path(f"ovs-{ns}"), *argv, **options)
        self._ends.append(daemon.stop)
        return daemon

    def logs(self):
        for path in sorted(self.folder.rglob("*")):
            if path.name in ("culvertd.log", "charon.log", "charon.out", "culvert.toml", "swanctl.conf", "vswitchd.out"):
                yield path.relative_to(self.folder), path.read_text(errors="replace")[-8000:]

    def end(self):
        """Ends everything, the youngest first; returns what went wrong with that."""
        troubles = []
        for end in reversed(self._ends):
            try:
                end()
            except Exception as trouble:
                troubles.append(str(trouble))
        return troubles


def _lab(request):
    lab = Lab()
    failed_before = request.session.testsfailed
    yield lab
    troubles = lab.end()
    if troubles or request.session.testsfailed > failed_before:
        for name, text in lab.logs():
            print(f"----- {name}\n{text}")
    shutil.rmtree(lab.folder)
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def lab(request):
    """For one test."""
    yield from _lab(request)


@pytest.fixture(scope="module")
def shared(request):
    """For all tests of one file: what is expensive to set up."""
    yield from _lab(request)
