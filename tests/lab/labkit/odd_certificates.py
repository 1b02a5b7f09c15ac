"""A CA whose certificates hold, but for one thing each: what neither `culvert pki` nor strongSwan's `pki` would make. Made by Debian's
python3-cryptography."""
import datetime
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

DAY = datetime.timedelta(days=1)
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
          "encipher_only", "decipher_only")


def usage(*granted):
    return x509.KeyUsage(**{name: name in granted for name in USAGES})


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class OddCa:
    """`issue(name, oddity)` gives the file of a certificate for the domain name `name`; its key stands beside it as .key, and what stands
    between it and `ca`, if anything, as .between."""

    def __init__(self, folder):
        self.dir = Path(folder)
        self.dir.mkdir(parents=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.now = datetime.datetime.utcnow()
        self.serial = 1
        self.certificate = self.sign("odd CA", self.key.public_key(), is_ca=True)
        self.ca = self.write("ca.pem", self.certificate)
        self.short_key = ec.generate_private_key(ec.SECP256R1())   # may have no CA below it
        self.short = self.sign("short CA", self.short_key.public_key(), is_ca=True, path_length=0)

    def write(self, name, *objects):
        (self.dir / name).write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in objects))
        return self.dir / name

    def sign(self, name, key, is_ca=False, path_length=None, by=None, by_key=None, use=None, eku=None, critical=False, starts=-DAY, ends=90 * DAY,
             hash_with=None):
        """by, by_key: the issuer; this CA when they are left out, and itself when it does not exist yet."""
        self.serial += 1
        issuer = by.subject if by else named("odd CA")
        use = use or (usage("key_cert_sign", "crl_sign") if is_ca else usage("digital_signature"))
        builder = (x509.CertificateBuilder().subject_name(named(name)).issuer_name(issuer).public_key(key).serial_number(self.serial)
                   .not_valid_before(self.now + starts).not_valid_after(self.now + ends)
                   .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
                   .add_extension(use, critical=True))
        if not is_ca:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage([eku]), critical=False)
        if critical:
            unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
            builder = builder.add_extension(unknown, critical=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")   # that SHA-1 is a bad idea
            return builder.sign(by_key or self.key, hash_with or hashes.SHA256())

    def issue(self, name, oddity):
        key = {"rsa-1024": lambda: rsa.generate_private_key(65537, 1024), "exponent": lambda: rsa.generate_private_key(3, 2048)}.get(
            oddity, lambda: ec.generate_private_key(ec.SECP256R1()))()
        options = {"no-signing": {"use": usage("key_agreement")}, "critical": {"critical": True}, "sha1": {"hash_with": hashes.SHA1()},
                   "early": {"starts": DAY}, "tls-server": {"eku": ExtendedKeyUsageOID.SERVER_AUTH},
                   "code-signing": {"eku": ExtendedKeyUsageOID.CODE_SIGNING}}.get(oddity, {})
        between = self.between(name, oddity)
        if between:
            options = {"by": between[0], "by_key": between[1]}
        return self.write_pair(name, key, self.sign(name, key.public_key(), **options))

    def dated(self, name, starts, ends):
        """Nothing is odd but when it is valid, in days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self.write_pair(name, key, self.sign(name, key.public_key(), starts=starts * DAY, ends=ends * DAY))

    def write_pair(self, name, key, certificate):
        path = self.write(f"{name}.pem", certificate)
        path.with_suffix(".key").touch(mode=0o600)
        path.with_suffix(".key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                               serialization.NoEncryption()))
        return path

    def between(self, name, oddity):
        """The issuer of `name` and its key, when that is not this CA."""
        if oddity not in ("no-ca", "no-cert-sign", "path-length"):
            return None
        key = ec.generate_private_key(ec.SECP256R1())
        options = {"no-ca": {"is_ca": False, "use": usage("digital_signature", "key_cert_sign")},
                   "no-cert-sign": {"is_ca": True, "use": usage("digital_signature", "crl_sign")},
                   "path-length": {"is_ca": True, "by": self.short, "by_key": self.short_key}}[oddity]
        issuer = self.sign(f"issuer of {name}", key.public_key(), **options)
        self.write(f"{name}.between", issuer, *([self.short] if oddity == "path-length" else []))
        return issuer, key

    def old_crl(self):
        """An empty list that should have been replaced an hour ago."""
        hour = datetime.timedelta(hours=1)
        crl = (x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject).last_update(self.now - 24 * hour)
               .next_update(self.now - hour).sign(self.key, hashes.SHA256()))
        return self.write("old.crl", crl)
