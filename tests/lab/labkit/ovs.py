"""Open vSwitch 3.1 with its user-space datapath: an independent GRE end (IP inside, keyed)."""
import os
from pathlib import Path

from .process import Process, sh, wait_for

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class Ovs:
    """Takes over `device` of `ns` (its address moves to a bridge) and ends GRE there: `inner` is its address inside the tunnel,
    `peer_inner` the other end's. `options`: further OVS interface options, e.g. "options:csum=true"."""

    def __init__(self, ns, folder, device, local, prefix_len, gateway, remote, key, inner, peer_inner, options=""):
        self.ns, self.dir = ns, Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.environment = dict(os.environ, OVS_RUNDIR=str(self.dir), OVS_LOGDIR=str(self.dir), OVS_DBDIR=str(self.dir), OVS_SYSCONFDIR=str(self.dir))
        self._start_daemons()
        self._physical(device, local, prefix_len, gateway)
        self._gre(local, remote, key, inner, peer_inner, options)

    def _start_daemons(self):
        d, sock = self.dir, f"unix:{self.dir}/db.sock"
        sh("ovsdb-tool", "create", d / "conf.db", SCHEMA)
        self.db = Process(["ovsdb-server", d / "conf.db", f"--remote=p{sock}", f"--unixctl={d}/ovsdb.ctl", "--no-chdir"], ns=self.ns,
                          log=d / "ovsdb.out", env=self.environment)
        wait_for("ovsdb-server listens", lambda: (d / "db.sock").exists())
        self.vsctl("--no-wait", "init")
        self.switch = Process(["ovs-vswitchd", sock, f"--unixctl={d}/vswitchd.ctl", "--no-chdir", "--disable-system"], ns=self.ns,
                              log=d / "vswitchd.out", env=self.environment)

    def vsctl(self, *argv):
        sh("ovs-vsctl", f"--db=unix:{self.dir}/db.sock", "-t", "20", *argv, ns=self.ns, env=self.environment)

    def _physical(self, device, local, prefix_len, gateway):
        # the kernel must not answer for the underlay address, else GRE bypasses OVS
        self.ns.sysctl("net.ipv6.conf.all.disable_ipv6=1", f"net.ipv4.conf.{device}.arp_ignore=8")
        self.ns.run("ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        self.ns.ip("addr", "flush", "dev", device)
        self.vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", "fail-mode=standalone",
                   "--", "add-port", "br-phy", device)
        self.ns.ip("link", "set", device, "up")
        self.ns.address("br-phy", f"{local}/{prefix_len}")
        self.ns.ip("link", "set", "br-phy", "up")
        self.ns.route("default", gateway)
        # OVS' own neighbour table learns the gateway only from ARP that it sees
        self.ns.run("ping", "-c", "1", "-W", "2", gateway, check=False)

    def _gre(self, local, remote, key, inner, peer_inner, options):
        self.vsctl("add-br", "br-gre", "--", "set", "bridge", "br-gre", "datapath_type=netdev", "--", "add-port", "br-gre", "gre0",
                   "--", "set", "interface", "gre0", "type=gre", f"options:remote_ip={remote}", f"options:local_ip={local}",
                   f"options:key={key}", "options:packet_type=legacy_l3", *options.split())
        self.ns.address("br-gre", f"{inner}/30")
        self.ns.ip("link", "set", "br-gre", "up")
        mac = self.ns.run("cat", "/sys/class/net/br-gre/address").stdout.strip()
        # packets of an L3 GRE port have no Ethernet header: give them one towards the local stack
        self.ns.ip("neigh", "replace", peer_inner, "lladdr", "02:aa:00:00:00:99", "dev", "br-gre")
        control = f"unix:{self.dir}/br-gre.mgmt"
        sh("ovs-ofctl", "del-flows", control, ns=self.ns)
        sh("ovs-ofctl", "add-flow", control, f"in_port=1,actions=mod_dl_src:02:aa:00:00:00:99,mod_dl_dst:{mac},LOCAL", ns=self.ns)
        sh("ovs-ofctl", "add-flow", control, "in_port=LOCAL,ip,actions=output:1", ns=self.ns)

    def stop(self):
        self.switch.stop()
        self.db.stop()
