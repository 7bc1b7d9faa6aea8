"""ingot's own certificate authority: one key and certificate per data directory, and what they sign for this host.

Why: clients and ramdisks must be able to tell ingot from whoever else answers at its address, without anybody buying
a certificate. May not: listen, or send a key anywhere. Invariants: each file appears whole or not at all, whenever
the process is killed and however many start at once; keys have mode 0600.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ingot.domain import errors
from ingot.store import seal

FOLDER = "tls"
CA_FILE = "ca.pem"
_KEY_FILE = "ca.key"
_SERVER_FILE = "server.pem"
_BRIDGE_FILE = "bridge.pem"
_CA_NAME = "ingot CA"
_CA_LIFETIME = datetime.timedelta(days=3650)
_LIFETIME = datetime.timedelta(days=397)
"""Of a server certificate; some clients refuse one that is valid for longer."""
RENEW_BEFORE = datetime.timedelta(days=30)
_CLOCKS = datetime.timedelta(days=2)
"""How far behind a client's clock may be."""


class Authority:
    """The authority in ``folder``, made on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def ca_file(self) -> Path:
        """Where clients' copy of the certificate is to be taken from; it is no secret."""
        return self._folder / CA_FILE

    @property
    def server_file(self) -> Path:
        """This host's key and certificate in one PEM file."""
        return self._folder / _SERVER_FILE

    def certificate(self) -> x509.Certificate:
        """The authority's certificate. Raises errors.Invalid for a file that holds none."""
        self._make()
        return read(self.ca_file)

    def parameter(self) -> str:
        """The certificate as a kernel parameter: DER in URL-safe base64 without padding."""
        der = self.certificate().public_bytes(serialization.Encoding.DER)
        return base64.urlsafe_b64encode(der).decode().rstrip("=")

    def issue(self, names: Iterable[str], now: datetime.datetime | None = None) -> bool:
        """Bring ``server_file`` up to date: for these host names and addresses, good for a month and more.

        Whether it was made anew. Raises errors.Invalid when a file of the authority cannot be read.
        """
        now = now or datetime.datetime.now(datetime.UTC)
        wanted = {_san(name) for name in names}
        if self.server_file.exists() and _serves(read(self.server_file), self.certificate(), wanted, now):
            return False
        issuer = self.certificate()
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder("ingot", issuer.subject, key.public_key(), now, now + _LIFETIME)
        ends = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        signed = (
            ends.add_extension(usage, critical=False)
            .add_extension(x509.SubjectAlternativeName(sorted(wanted, key=repr)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found), critical=False)
            .sign(self._key(), hashes.SHA256())
        )
        seal.replace_file(self.server_file, _pem(key) + b"".join(map(_as_pem, (signed, *self._bridges()))))
        return True

    def rotate(self, *, at_once: bool = False) -> None:
        """Replace key and certificate, and sign this host's certificate anew.

        The old key signs the new one first (``bridge.pem``, which servers show), so that who trusts the old certificate
        goes on doing so until that ends; not with ``at_once``. A kill leaves the old or the new authority.
        """
        old_key, old = self._key(), self.certificate()
        key = ec.generate_private_key(ec.SECP256R1())
        bridges = b"" if at_once else _bridge(key, old_key, old) + b"".join(map(_as_pem, self._bridges()[:1]))
        seal.replace_file(self._folder / _BRIDGE_FILE, bridges)
        seal.replace_file(self._folder / _KEY_FILE, _pem(key))
        seal.replace_file(self.ca_file, _as_pem(_own(key)), mode=0o644)
        if self.server_file.exists():
            self.issue(_names(read(self.server_file)))

    def _bridges(self) -> list[x509.Certificate]:
        """The certificates of this authority by those before it, newest first; those of no use are left out."""
        file = self._folder / _BRIDGE_FILE
        text = file.read_bytes() if file.exists() else b""
        found = x509.load_pem_x509_certificates(text) if text else []
        return found if found and found[0].public_key() == self.certificate().public_key() else []

    def _make(self) -> None:
        """The key first, then a certificate of it: a kill between the two is mended by the next look."""
        if self.ca_file.exists() and not self._is_new():
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        seal.create_file(self._folder / _KEY_FILE, _pem(ec.generate_private_key(ec.SECP256R1())))
        seal.replace_file(self.ca_file, _as_pem(_own(self._key())), mode=0o644)

    def _is_new(self) -> bool:
        """Whether the key is of another authority than the certificate; a key kept elsewhere is not missed."""
        try:
            return self._key().public_key() != read(self.ca_file).public_key()
        except errors.Invalid:
            return False

    def _key(self) -> ec.EllipticCurvePrivateKey:
        path = self._folder / _KEY_FILE
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise errors.Invalid(f"The key file {path} cannot be read", hint="Restore it from your backup.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise errors.Invalid(f"The key in {path} is of another kind", hint="Restore it from your backup.")
        return key


def read(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file. Raises errors.Invalid."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise errors.Invalid(f"The file {path} holds no certificate", hint="Restore or name another one.") from error


def _own(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """An authority's certificate by itself."""
    now = datetime.datetime.now(datetime.UTC)
    builder = _builder(_CA_NAME, _subject(_CA_NAME), key.public_key(), now, now + _CA_LIFETIME)
    return _signing(builder).sign(key, hashes.SHA256())


def _bridge(key: ec.EllipticCurvePrivateKey, old_key: ec.EllipticCurvePrivateKey, old: x509.Certificate) -> bytes:
    """The new authority's certificate by the old one, as long as that lasts.

    Both have one name, so it does not count against the old one's path length (RFC 5280 section 4.2.1.9).
    """
    end = old.not_valid_after_utc + _CLOCKS
    builder = _builder(_CA_NAME, old.subject, key.public_key(), datetime.datetime.now(datetime.UTC), end)
    identity = x509.AuthorityKeyIdentifier.from_issuer_public_key(old_key.public_key())
    return _as_pem(_signing(builder).add_extension(identity, critical=False).sign(old_key, hashes.SHA256()))


def _signing(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """What makes a certificate an authority's, of servers alone."""
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    ) | dict.fromkeys(("encipher_only", "decipher_only", "digital_signature"), False)
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
        x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _as_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _names(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses a certificate is for."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(end - _CLOCKS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _serves(
    present: x509.Certificate, issuer: x509.Certificate, wanted: set[x509.GeneralName], now: datetime.datetime
) -> bool:
    names = set(present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    long_enough = present.not_valid_after_utc - now > RENEW_BEFORE
    try:
        present.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return long_enough and wanted <= names


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
