"""Identifiers: making and recognising UUIDs, node names and MAC addresses.

Why: one place decides what is well formed. May not: do I/O besides the system's random source.
"""

from __future__ import annotations

import re
import uuid

from ingot.domain import errors

_UUID = re.compile(r"^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$", re.IGNORECASE)
_HOSTNAME = re.compile(
    r"^(?=.{1,255}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$", re.I
)
_UNRESERVED = re.compile(r"^[a-zA-Z0-9._~-]{1,255}$")
_MAC = re.compile(r"^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$", re.IGNORECASE)
RESERVED_NAMES = frozenset({"maintenance", "management", "states", "vendor_passthru", "detail", "validate"})


def new() -> str:
    """A fresh random UUID as lower-case text."""
    return str(uuid.uuid4())


def is_uuid(text: str) -> bool:
    """Whether ``text`` reads as a UUID."""
    return bool(_UUID.fullmatch(text))


def is_name(text: str, *, hostname_only: bool = False) -> bool:
    """Whether ``text`` may name a node; before microversion 1.10 only hostnames could."""
    if is_uuid(text) or text in RESERVED_NAMES:
        return False
    return bool((_HOSTNAME if hostname_only else _UNRESERVED).fullmatch(text))


def is_label(text: str) -> bool:
    """Whether ``text`` consists of unreserved characters, which is all that an allocation's name needs."""
    return bool(_UNRESERVED.fullmatch(text))


def mac(text: str) -> str:
    """A MAC address in lower case with colons. Raises errors.Invalid when it is none."""
    if not _MAC.fullmatch(text):
        raise errors.Invalid(f"Expected a MAC address but received {text}.", hint="Write it as 52:54:00:12:34:56.")
    return text.lower().replace("-", ":")
