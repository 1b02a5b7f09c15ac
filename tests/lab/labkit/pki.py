"""Certification authorities for the lab: one made by `culvert pki`, others by strongSwan's `pki`."""
from pathlib import Path

from .culvert import BIN
from .process import sh


class CulvertPki:
    """A folder that `culvert pki` fills. Methods give the file of the certificate; its key stands beside it as .key."""

    def __init__(self, folder, name="culvert lab", *options):
        self.dir = Path(folder)
        self.run("ca", "--name", name, *options)
        self.ca = self.dir / "ca.pem"

    def run(self, command, *argv):
        return sh(BIN / "culvert", "pki", command, *argv, "--out", self.dir).stdout

    def gateway(self, *names, kind="p256"):
        self.run("gateway", *names, "--type", kind)
        return self.dir / f"{names[0]}.pem"

    def user(self, email, kind="p256"):
        self.run("user", email, "--type", kind)
        return self.dir / f"{email}.pem"


KINDS = {"rsa2048": ("rsa", 2048), "rsa3072": ("rsa", 3072), "p256": ("ecdsa", 256), "p384": ("ecdsa", 384), "p521": ("ecdsa", 521),
         "ed25519": ("ed25519", None)}


class StrongSwanPki:
    """strongSwan's own `pki`: what it issues is its text, not ours. `issuer`: the CA above it; otherwise it is a root."""

    def __init__(self, folder, name="strongSwan lab", kind="p256", *options, issuer=None):
        self.dir = Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.ca, self.ca_key, self.ca_dn = self.dir / "ca.pem", self.dir / "ca.key", f"CN={name}"
        self.key(self.ca_key, kind)
        above = ["--issue", "--cacert", issuer.ca, "--cakey", issuer.ca_key] if issuer else ["--self"]
        self.pki(self.ca, *above, "--ca", "--in", self.ca_key, "--type", self.type(kind), "--dn", self.ca_dn, "--lifetime", "3650",
                 *options)
        self.serial = 0x1000

    def pki(self, target, command, *argv):
        done = sh("pki", command, *argv, "--outform", "pem")
        Path(target).write_text(done.stdout)

    @staticmethod
    def type(kind):
        return "priv" if kind == "ed25519" else KINDS[kind][0]

    def key(self, target, kind):
        algorithm, bits = KINDS[kind]
        Path(target).touch(mode=0o600)
        self.pki(target, "--gen", "--type", algorithm, *(["--size", str(bits)] if bits else []))

    def issue(self, name, *sans, kind="p256", options=("--lifetime", "90")):
        """A certificate for CN=`name` with these names, and its key."""
        certificate, key = self.dir / f"{name}.pem", self.dir / f"{name}.key"
        self.key(key, kind)
        self.serial += 1
        alternative = [part for san in (sans or [name]) for part in ("--san", san)]
        self.pki(certificate, "--issue", "--in", key, "--type", self.type(kind), "--cacert", self.ca, "--cakey", self.ca_key, "--dn",
                 f"O=strongSwan, CN={name}", "--serial", f"{self.serial:x}", *alternative, *options)
        return certificate

    def crl(self, target, *revoked, options=("--lifetime", "7")):
        certificates = [part for certificate in revoked for part in ("--cert", certificate)]
        if Path(target).exists():
            certificates += ["--lastcrl", target]
        done = sh("pki", "--signcrl", "--cacert", self.ca, "--cakey", self.ca_key, *certificates, *options, "--outform", "pem")
        Path(target).write_text(done.stdout)
        return Path(target)

    def index(self, target, **revoked_by_serial):
        """The certificates as `openssl ocsp -index` wants to know them: {"1001": True} is revoked."""
        lines = []
        for serial, revoked in revoked_by_serial.items():
            state = ["R", "491231000000Z", "260101000000Z"] if revoked else ["V", "491231000000Z", ""]
            lines.append("\t".join([*state, serial.upper(), "unknown", f"/CN={serial}"]))
        Path(target).write_text("\n".join(lines) + "\n")
        return Path(target)
