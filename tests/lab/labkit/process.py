"""Child processes that never outlive the test run."""
import atexit
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running: list["Process"] = []


class LabError(Exception):
    """The lab itself failed, or something did not happen in time."""


def sh(*argv, ns=None, check=True, timeout=60, input=None, env=None):
    """Runs a command to its end, inside a namespace when `ns` is given; returns the CompletedProcess with text output."""
    argv = [str(a) for a in argv]
    if ns is not None:
        argv = ["ip", "netns", "exec", str(ns), *argv]
    done = subprocess.run(argv, text=True, capture_output=True, timeout=timeout, input=input, env=env, check=False)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(what, condition, timeout=30.0, interval=0.05):
    """Polls until `condition()` is true and returns its value; LabError names `what` when it does not come in `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise LabError(f"not within {timeout:g} s: {text}")
        time.sleep(interval)


def _pass_on(descriptors):
    """In a child: `descriptors` = {its number: ours}, all of which stay open over exec."""
    high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, 1000) for number, fd in descriptors.items()}
    for number, fd in high.items():
        os.dup2(fd, number)
        os.close(fd)


class Process:
    """A program in the background. Its output goes to a file; it dies with this process, even when that is killed. `fds` are
    descriptors that it gets beside the usual three: {its number: ours}."""

    def __init__(self, argv, ns=None, log=None, env=None, cwd=None, fds=None):
        self.argv = [str(a) for a in argv]
        full = ["ip", "netns", "exec", str(ns), *self.argv] if ns is not None else self.argv
        self.log = Path(log) if log else Path(tempfile.mkstemp(prefix=f"culvert-lab-{os.getpid()}-", suffix=".log")[1])
        self._own_log = log is None
        self._log_start = self.log.stat().st_size if self.log.exists() else 0

        def prepare():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            _pass_on(fds or {})

        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd,
                                          close_fds=not fds, preexec_fn=prepare)
        self.pid = self.popen.pid
        _running.append(self)

    def output(self):
        with open(self.log, "rb") as f:
            f.seek(self._log_start)
            return f.read().decode(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def wait_output(self, text, timeout=30.0):
        def seen():
            if text in self.output():
                return True
            if not self.alive():
                raise LabError(f"{self.argv[0]} ended with {self.popen.returncode}:\n{self.output()}")
            return False
        wait_for(f"{text!r} from {self.argv[0]}", seen, timeout)

    def wait(self, timeout=30.0):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"{' '.join(self.argv)} did not end in {timeout:g} s:\n{self.output()}") from None

    def kill(self):
        self._end(signal.SIGKILL, 5)

    def stop(self, timeout=10.0):
        """SIGTERM, then SIGKILL; returns the exit status."""
        self._end(signal.SIGTERM, timeout)
        return self.popen.returncode

    def _end(self, sig, timeout):
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        if self in _running:
            _running.remove(self)
        if self._own_log and self.log.exists():
            self._kept = self.output()
            self.output = lambda: self._kept
            os.unlink(self.log)


def end_all():
    for process in list(_running):
        process.stop(3)


atexit.register(end_all)


def private_copy(program, folder):
    """Debian's AppArmor profiles bind charon, swanctl and tcpdump to fixed paths by the program's path; a copy is free of them."""
    source = shutil.which(str(program)) or str(program)
    target = Path(folder) / Path(source).name
    if not target.exists():
        shutil.copy2(source, target)
    return target
