"""What goes wrong with an HTTP server, in words that are the same whatever found it.

May not: do I/O. Invariant: an error names host and port only, never a path or query (an agent's token travels there).
"""

from __future__ import annotations

import os
import ssl

from ingot.domain import errors


def untrusted(peer: str, reason: Exception) -> errors.Untrusted:
    """Its certificate is not one that we trust."""
    why = reason.verify_message if isinstance(reason, ssl.SSLCertVerificationError) else str(reason)
    return errors.Untrusted(f"The TLS certificate of {peer} is not trusted: {why}.")


def no_tls(peer: str, reason: Exception) -> errors.Misbehaved:
    """The two sides have no TLS in common."""
    return errors.Misbehaved(
        f"{peer} and we agree on no TLS: {reason}.", hint="Check its TLS versions, and that it is HTTPS."
    )


def no_such_name(peer: str) -> errors.Unreachable:
    """Its name has no address."""
    return errors.Unreachable(f"The name of {peer} cannot be resolved.", hint="Check the address and the name server.")


def closed_at_once(peer: str) -> errors.Unreachable:
    """It ended the connection before that was of use."""
    return errors.Unreachable(
        f"{peer} closed the connection while it was being opened.",
        hint="With HTTPS: check that it offers the TLS versions and ciphers that are asked for.",
    )


def no_way(peer: str, reason: OSError) -> errors.Unreachable:
    """No connection to it."""
    why = os.strerror(reason.errno) if reason.errno else reason.strerror or reason
    return errors.Unreachable(f"{peer} cannot be reached: {why}.")


def too_late(peer: str, method: str, seconds: float, *, sent: bool) -> errors.TimedOut:
    """No answer in time; ``sent``: the request may have arrived all the same."""
    error = errors.TimedOut(f"{peer} did not answer {method} in {seconds:g} s.")
    error.sent = sent
    return error


def bad_url(peer: str) -> errors.Invalid:
    """What was asked for cannot be sent."""
    return errors.Invalid(f"The URL of {peer} is not valid.", hint="Correct the address.")


def not_http(peer: str, reason: str) -> errors.Misbehaved:
    """It sent something that is no HTTP."""
    return errors.Misbehaved(f"{peer} broke the HTTP protocol: {reason}.")


def too_large(peer: str, what: str, limit: int) -> errors.Misbehaved:
    """It sent more than ``limit`` bytes of ``what``."""
    size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit >> 10} KiB"
    return errors.Misbehaved(f"{peer} sent {what} larger than {size}.")


def disk_full(peer: str) -> errors.IngotError:
    """What it sends has no room here."""
    return errors.IngotError(
        f"No space is left on this conductor's disk for what {peer} sends.", hint="Free space in the data directory."
    )


def cut_off(peer: str) -> errors.Unreachable:
    """Its answer broke off."""
    error = errors.Unreachable(f"{peer} closed the connection before its answer was complete.")
    error.sent = True
    return error
