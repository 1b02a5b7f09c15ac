"""The other VPNs, as Debian ships them, each with as little configuration as it needs to join the two LANs."""
import json

from labkit.culvert import PSK
from labkit.process import sh, wait_for
from labkit.strongswan import StrongSwan, swanctl_conf

import machine
from contender import ESP, IKE, Contender


class StrongSwanLibipsec(Contender):
    name, title = "strongswan", "strongSwan kernel-libipsec"

    def join(self):
        ends = [self.charon(us, them) for us, them in self.both()]
        ends[0].ctl("--initiate", "--child", "net")
        for end in ends:
            end.wait_up()
        return [end.process.pid for end in ends]

    def charon(self, us, them):
        conf = swanctl_conf(us.wan4, them.wan4, f"{us.letter.lower()}.example", f"{them.letter.lower()}.example", PSK, us.lan4, them.lan4,
                            IKE, ESP)
        end = StrongSwan(us.gw, self.folder / us.letter, conf)
        self.stack.callback(end.stop)
        return end

    def version(self):
        return f"{machine.package_version('strongswan-charon')}, ESP tunnel mode, UDP 4500"


class WireguardGo(Contender):
    name, title = "wireguard-go", "wireguard-go"

    def join(self):
        private = {site: sh("wg", "genkey").stdout for site in (self.net.A, self.net.B)}
        public = {site: sh("wg", "pubkey", input=key).stdout.strip() for site, key in private.items()}
        return [self.end(us, them, private[us], public[them]) for us, them in self.both()]

    def end(self, us, them, private_key, peer_key):
        # its control socket lies in /run/wireguard: give it, and wg, a /run of its own
        run = self.folder / f"{us.letter}.run"
        run.mkdir()
        daemon = self.start(us, "unshare", "-m", "--propagation", "private", "sh", "-c",
                            f"mount --bind {run} /run && exec wireguard-go -f wg0")
        wait_for(lambda: f"wireguard-go has its socket: {daemon.output()}", (run / "wireguard/wg0.sock").exists)
        key_file = self.folder / f"{us.letter}.private"
        key_file.touch(mode=0o600)
        key_file.write_text(private_key)
        sh("nsenter", "--mount", "--net", "-t", daemon.pid, "wg", "set", "wg0", "private-key", key_file, "listen-port", 51820,
           "peer", peer_key, "endpoint", f"{them.wan4}:51820", "allowed-ips", them.lan4)
        us.gw.ip("link", "set", "wg0", "up")
        us.gw.ip("route", "add", them.lan4, "dev", "wg0")
        return daemon.pid

    def version(self):
        return f"{machine.package_version('wireguard-go')}, ChaCha20-Poly1305"


OPENVPN = """
dev tun0
proto udp4
local {us.wan4}
remote {them.wan4}
port 1194
ifconfig {inside[0]} {inside[1]}
route {net} 255.255.255.0
{role}
cert {dir}/{us.letter}.crt
key {dir}/{us.letter}.key
peer-fingerprint {fingerprint}
cipher AES-256-GCM
data-ciphers AES-256-GCM
disable-dco
verb 3
"""


class OpenVpn(Contender):
    name, title = "openvpn", "OpenVPN"

    def join(self):
        fingerprints = {site: self.make_certificate(site.letter) for site in (self.net.A, self.net.B)}
        insides = ("10.99.0.1", "10.99.0.2")
        daemons = [self.end(*pair, role, inside, fingerprints[pair[1]])
                   for pair, role, inside in zip(self.both(), ("tls-server\ndh none", "tls-client"), (insides, insides[::-1]))]
        for daemon in daemons:
            daemon.wait_output("Initialization Sequence Completed", 20)
        return [daemon.pid for daemon in daemons]

    def make_certificate(self, name):
        """A self-signed certificate NAME.crt with NAME.key; returns its SHA-256 fingerprint."""
        certificate = self.folder / f"{name}.crt"
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
           "-subj", f"/CN={name}", "-keyout", self.folder / f"{name}.key", "-out", certificate)
        return sh("openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256").stdout.strip().split("=")[1]

    def end(self, us, them, role, inside, fingerprint):
        config = self.folder / f"{us.letter}.conf"
        config.write_text(OPENVPN.format(us=us, them=them, role=role, inside=inside, dir=self.folder, fingerprint=fingerprint,
                                         net=them.lan4.split("/")[0]))
        return self.start(us, "openvpn", "--config", config)

    def version(self):
        return f"{machine.package_version('openvpn')}, AES-256-GCM, UDP, tun"


class Nebula(Contender):
    name, title = "nebula", "nebula"

    def join(self):
        self.make_certificate("ca", "ca")
        daemons = []
        for (us, them), ours, theirs in zip(self.both(), ("10.99.0.1", "10.99.0.2"), ("10.99.0.2", "10.99.0.1")):
            self.make_certificate("sign", us.letter, "-ca-crt", self.folder / "ca.crt", "-ca-key", self.folder / "ca.key",
                                  "-ip", f"{ours}/24", "-subnets", us.lan4)
            config = self.folder / f"{us.letter}.yml"
            config.write_text(json.dumps(self.settings(us, them, theirs)))  # JSON is YAML
            daemons.append(self.start(us, "nebula", "-config", config))
        for daemon in daemons:
            daemon.wait_output("Nebula interface is active")
        return [daemon.pid for daemon in daemons]

    def make_certificate(self, command, name, *options):
        """`command` is nebula-cert's: ca or sign. Makes NAME.crt and NAME.key."""
        sh("nebula-cert", command, "-name", name, *options, "-out-crt", self.folder / f"{name}.crt", "-out-key", self.folder / f"{name}.key")

    def settings(self, us, them, theirs):
        open_to_all = [{"port": "any", "proto": "any", "host": "any"}]
        return {
            "pki": {"ca": str(self.folder / "ca.crt"), "cert": str(self.folder / f"{us.letter}.crt"),
                    "key": str(self.folder / f"{us.letter}.key")},
            "static_host_map": {theirs: [f"{them.wan4}:4242"]},
            "lighthouse": {"am_lighthouse": False},
            "listen": {"host": us.wan4, "port": 4242},
            "cipher": "aes",
            "tun": {"dev": "nebula0", "mtu": 1400, "unsafe_routes": [{"route": them.lan4, "via": theirs}]},
            "firewall": {"outbound": open_to_all, "inbound": open_to_all},
        }

    def version(self):
        return f"{machine.package_version('nebula')}, AES-256-GCM, UDP"
