"""A stock FreeRADIUS 3 with a configuration of its own: EAP-MSCHAPv2 and EAP-TLS, users of a file, accounting into a file."""
import shutil
from pathlib import Path

from .process import Process, private_copy, wait_for

SECRET = "a secret of the lab's RADIUS servers"
RADIUSD = """
prefix = /usr
libdir = /usr/lib/freeradius
name = freeradius
logdir = {dir}
run_dir = {dir}
db_dir = {dir}
radacctdir = {dir}
max_request_time = 30
cleanup_delay = 5
max_requests = 1024
hostname_lookups = no
log {{
  destination = stdout
  auth = yes
}}
security {{
  max_attributes = 200
  reject_delay = 0
  status_server = no
}}
thread pool {{
  start_servers = 2
  max_servers = 4
  min_spare_servers = 1
  max_spare_servers = 3
  max_requests_per_server = 0
}}
client lab {{
  ipaddr = {client}
  secret = "{secret}"
  require_message_authenticator = yes
}}
modules {{
  always reject {{
    rcode = reject
  }}
  always ok {{
    rcode = ok
  }}
  mschap {{
    use_mppe = yes
  }}
  files {{
    usersfile = {dir}/users
  }}
  detail {{
    filename = {dir}/detail
  }}
  eap {{
    default_eap_type = {method}
    timer_expire = 60
    ignore_unknown_eap_types = no
    max_sessions = 1024
    mschapv2 {{
      send_error = yes
    }}
    tls-config lab {{
      private_key_file = {key}
      certificate_file = {certificate}
      ca_file = {ca}
      tls_min_version = "1.2"
      tls_max_version = "{tls}"
      ecdh_curve = ""
      fragment_size = 1000
      include_length = yes
    }}
    tls {{
      tls = lab
    }}
  }}
}}
server lab {{
  listen {{
    type = auth
    ipaddr = *
    port = 1812
  }}
  listen {{
    type = acct
    ipaddr = *
    port = 1813
  }}
  authorize {{
    files
    eap {{
      ok = return
    }}
  }}
  authenticate {{
    Auth-Type MS-CHAP {{
      mschap
    }}
    eap
  }}
  accounting {{
    detail
  }}
}}
"""


class FreeRadius:
    """`users` is the text of its file of users; `certificate` has its key beside it as .key."""

    def __init__(self, ns, folder, client, users, certificate, ca, method="mschapv2", tls="1.2"):
        self.ns, self.dir = ns, Path(folder)
        (self.dir / "users").write_text(users)
        shutil.copy("/usr/share/freeradius/dictionary", self.dir / "dictionary")
        text = (self.dir / "dictionary").read_text().replace("$INCLUDE dictionary", "$INCLUDE /usr/share/freeradius/dictionary")
        (self.dir / "dictionary").write_text(text)
        certificate = Path(certificate)
        (self.dir / "radiusd.conf").write_text(RADIUSD.format(dir=self.dir, client=client, secret=SECRET, method=method, tls=tls,
                                                              certificate=certificate, key=certificate.with_suffix(".key"), ca=ca))
        self.program = private_copy("freeradius", self.dir)
        self.process = None
        self.start()

    def start(self):
        self.process = Process([self.program, "-d", self.dir, "-D", self.dir, "-n", "radiusd", "-f", "-X"], ns=self.ns,
                               log=self.dir / "radiusd.log")
        wait_for(lambda: f"FreeRADIUS is ready\n{self.log()[-3000:]}", lambda: "Ready to process requests" in self.log())

    def log(self):
        path = self.dir / "radiusd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def accounting(self):
        path = self.dir / "detail"
        return path.read_text() if path.exists() else ""

    def stop(self):
        if self.process:
            self.process.stop(5)
            self.process = None
