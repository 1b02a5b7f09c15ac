"""A stock strongSwan 5.9.8: charon with kernel-libipsec (ESP in user space over its TUN device ipsec0)."""
import os
import re
from pathlib import Path

from .process import Process, private_copy, sh, wait_for

CHARON = "/usr/lib/ipsec/charon"
SETTINGS = """
charon {{
  load = random nonce openssl drbg curve25519 hmac kdf sha1 sha2 aes gcm chapoly x509 pubkey pkcs1 pkcs8 pem constraints revocation kernel-libipsec kernel-netlink socket-default vici updown {plugins}
  install_routes = yes
  threads = 16
  retransmit_timeout = 1.0
  retransmit_tries = 4
  {settings}
  plugins {{ vici {{ socket = unix://{dir}/run/charon.vici }} }}
  filelog {{ log {{
    path = {dir}/charon.log
    time_format = %H:%M:%S
    flush_line = yes
    default = 1
    ike = 2
    cfg = 2
  }} }}
}}
swanctl {{ load = random openssl curve25519 pem pkcs1 pkcs8 x509 pubkey }}
"""


class StrongSwan:
    """`swanctl_conf` is the text of swanctl.conf, `settings` more lines for the charon section of strongswan.conf, `files` what stands
    beside swanctl.conf: {"x509/gw.pem": text}, `plugins` more of them. The lab's limits: tunnel mode, ESP in UDP 4500, no ESN (docs/lab.md)."""

    def __init__(self, ns, folder, swanctl_conf, settings="", files=None, plugins=""):
        self.ns, self.dir = ns, Path(folder)
        for name in ("run", "etc/swanctl", "bin"):
            (self.dir / name).mkdir(parents=True, exist_ok=True)
        for name in ("x509 x509ca x509ocsp x509aa x509ac x509crl pubkey private rsa ecdsa bliss pkcs8 pkcs12 conf.d").split():
            (self.dir / "etc/swanctl" / name).mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            (self.dir / "etc/swanctl" / name).write_text(text)
        (self.dir / "etc/strongswan.conf").write_text(SETTINGS.format(dir=self.dir, settings=settings, plugins=plugins))
        self.environment = dict(os.environ, STRONGSWAN_CONF=str(self.dir / "etc/strongswan.conf"),
                                SWANCTL_DIR=str(self.dir / "etc/swanctl"))
        self.charon = private_copy(CHARON, self.dir / "bin")
        self.swanctl = private_copy("swanctl", self.dir / "bin")
        self.process = None
        self.configure(swanctl_conf)
        self.start()

    def configure(self, swanctl_conf):
        (self.dir / "etc/swanctl/swanctl.conf").write_text(swanctl_conf)

    def start(self):
        (self.dir / "run/charon.vici").unlink(missing_ok=True)
        (self.dir / "run/charon.pid").unlink(missing_ok=True)
        # its pid file is compiled in as /run/charon.pid: give it a private /run in a mount namespace of its own
        script = f"mount --bind {self.dir}/run /run && exec {self.charon}"
        self.process = Process(["unshare", "-m", "--propagation", "private", "sh", "-c", script], ns=self.ns,
                               log=self.dir / "charon.out", env=self.environment)
        wait_for(lambda: f"charon answers\n{self.log()}", lambda: self.ctl("--stats", check=False).returncode == 0)
        self.load()

    def load(self):
        self.ctl("--load-all", "--clear")

    def ctl(self, *argv, check=True, timeout=30):
        return sh(self.swanctl, *argv, "--uri", f"unix://{self.dir}/run/charon.vici", env=self.environment, check=check, timeout=timeout)

    def log(self):
        path = self.dir / "charon.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def sas(self):
        return self.ctl("--list-sas").stdout

    def num_ike_sas(self):
        return len(re.findall(r"^\S.*: #\d+, ESTABLISHED", self.sas(), re.M))

    def num_child_sas(self):
        return len(re.findall(r"^  \S.*: #\d+, reqid \d+, INSTALLED", self.sas(), re.M))

    def wait_up(self, timeout=10):
        wait_for(lambda: f"strongSwan has a child SA\n{self.sas()}\n{self.log()[-3000:]}", self.num_child_sas, timeout)

    def kill(self):
        self.process.kill()

    def stop(self):
        if self.process:
            self.process.stop(5)


def swanctl_conf(local, remote, local_id, remote_id, psk, local_ts, remote_ts, ike, esp, start="none", dpd="0s", extra="", child_extra="",
                 mobike="no"):
    """The swanctl.conf of one connection `gw` with one child `net`; remote "%any" waits."""
    return f"""
connections {{
  gw {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = {ike}
    mobike = {mobike}
    dpd_delay = {dpd}
    rekey_time = 4h
    {extra}
    local {{ auth = psk
      id = {local_id} }}
    remote {{ auth = psk
      id = {remote_id} }}
    children {{ net {{
      local_ts = {local_ts}
      remote_ts = {remote_ts}
      esp_proposals = {esp}
      mode = tunnel
      start_action = {start}
      dpd_action = clear
      rekey_time = 1h
      {child_extra}
    }} }}
  }}
}}
secrets {{ ike-1 {{
    id-1 = {local_id}
    id-2 = {remote_id}
    secret = "{psk}" }} }}
"""
