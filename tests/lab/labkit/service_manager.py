"""What systemd does for a service of Type=notify with a descriptor store, as far as culvertd can tell: sd_notify(3), sd_listen_fds(3).
It keeps what it is sent by FDSTORE=1, and passes all of it to the next start."""
import array
import os
import select
import socket
import threading
import time
from pathlib import Path

from labkit.process import wait_for

MAX_DESCRIPTORS = 253  # in one message: SCM_MAX_FD of the kernel


class ServiceManager:
    def __init__(self, folder, watchdog=None):
        self.path = Path(folder) / "notify.sock"
        self.watchdog = watchdog
        self.messages = []  # (monotonic time, {key: value})
        self.store = {}     # name -> descriptor
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        os.chmod(self.path, 0o777)  # as systemd's own
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            if select.select([self._socket], [], [], 0.1)[0]:
                self._take(*self._socket.recvmsg(65536, socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)))

    def _take(self, text, ancillary, _flags, _address):
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[:len(content) - len(content) % descriptors.itemsize])
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # a copy goes to the service, nothing else
        said = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
        self.messages.append((time.monotonic(), said))
        if said.get("FDSTORE") == "1":
            assert len(descriptors) == 1 and ":" not in said["FDNAME"] and len(said["FDNAME"]) <= 255, said
            self._forget(said["FDNAME"])
            self.store[said["FDNAME"]] = descriptors[0]
            return
        if said.get("FDSTOREREMOVE") == "1":
            self._forget(said["FDNAME"])
        for descriptor in descriptors:  # BARRIER=1: closing it is the answer
            os.close(descriptor)

    def _forget(self, name):
        if name in self.store:
            os.close(self.store.pop(name))

    def wrap(self, argv):
        """The command line, environment and descriptors ({number: descriptor}) of a start under this manager."""
        store = dict(sorted(self.store.items()))
        env = {**os.environ, "NOTIFY_SOCKET": str(self.path), "LISTEN_FDS": str(len(store)), "LISTEN_FDNAMES": ":".join(store)}
        if self.watchdog:
            env["WATCHDOG_USEC"] = str(int(self.watchdog * 1e6))
        script = 'export LISTEN_PID=$$; [ -z "$WATCHDOG_USEC" ] || export WATCHDOG_PID=$$; exec "$@"'
        return ["sh", "-c", script, "sh", *argv], env, {3 + i: fd for i, fd in enumerate(store.values())}

    def said(self, key, since=0.0):
        """All values of `key` since a moment, in order."""
        return [said[key] for at, said in list(self.messages) if key in said and at >= since]

    def wait_said(self, key, value, since=0.0, timeout=10):
        wait_for(lambda: f"{key}={value}; the service manager heard {self.messages[-20:]}", lambda: value in self.said(key, since), timeout,
                 interval=0.01)

    def close(self):
        """As systemd when the service is stopped for good: what was kept is closed."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
        for name in list(self.store):
            self._forget(name)
        self.path.unlink(missing_ok=True)
