"""TLS on both sides: the context of our own server, and what we trust of others.

Why a room of its own: loading OpenSSL costs an emulated machine most of a second, so nothing here is done before it
is wanted. May not: talk to anybody. Invariant: with a CA of our own, the API is trusted by that CA alone.
"""

from __future__ import annotations

import binascii
import os
from typing import TYPE_CHECKING

from ingot_agent import certificate, errors, log, settings

if TYPE_CHECKING:
    import ssl

_CA_FILE = "etc/ingot/ca.pem"  # where an initrd made for one site has its CA
_own_authorities: list[str] = []


def find_authority(config: settings.Settings, root: str = "/") -> str:
    """The CA (PEM) the API is to be trusted by: of the kernel's parameters, else of the ramdisk; "" when neither has.

    Raises InvalidCommandParams when the parameter is no certificate.
    """
    if config.ca:
        try:
            der = binascii.a2b_base64(config.ca.replace("-", "+").replace("_", "/") + "===")
        except ValueError as error:
            raise errors.InvalidCommandParams(f"The parameter ipa-ca is not base64: {error}. Correct it.") from None
        return f"-----BEGIN CERTIFICATE-----\n{binascii.b2a_base64(der).decode()}-----END CERTIFICATE-----\n"
    try:
        with open(os.path.join(root, _CA_FILE), encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def trust(authority: str) -> None:
    """Add a CA (PEM) for all connections of this process; the API is trusted by such CAs alone."""
    if authority:
        _own_authorities.append(authority)


def client_context(*, insecure: bool, api: bool) -> ssl.SSLContext:
    """What a connection to the API (``api``) or to any other server is made with."""
    import ssl

    if insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    own = "".join(_own_authorities)
    if own and api:
        context = ssl.create_default_context(cadata=own)
    else:
        context = ssl.create_default_context()
        if own:
            context.load_verify_locations(cadata=own)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # on in newer Pythons, and private authorities often fail it
    return context


def server_context(own: certificate.Certificate, config: settings.Settings, run: str) -> ssl.SSLContext:
    """The context of our command server. The key passes through a file in memory, as OpenSSL wants it."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    newest = config.tls_min_version.endswith("1.3")
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if newest else ssl.TLSVersion.TLSv1_2
    if config.tls_cipher_suites:
        try:
            context.set_ciphers(config.tls_cipher_suites.replace(",", ":"))
        except ssl.SSLError as error:
            log.line(f"ipa-tls-cipher-suites names nothing usable, so the usual ones are offered: {error}")
    path = f"{run}/ingot-agent-{os.getpid()}.pem"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, (own.key_pem + own.pem).encode())
        context.load_cert_chain(path)
    finally:
        os.close(descriptor)
        os.unlink(path)
    return context


def explain(error: OSError) -> str:
    """A failed connection in words; a certificate refused for its dates names this machine's clock."""
    code = getattr(error, "verify_code", None)
    if code in (9, 10):  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
        import time

        now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        said = "not valid yet" if code == 9 else "expired"
        return f"its certificate is {said}; this machine's clock says {now} UTC: set it, or renew the certificate"
    return str(error)
