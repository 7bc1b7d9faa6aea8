"""Checksums of images: which algorithms count, and where the expected value comes from.

Why: an image without a checksum could be anything; an image with an md5 could be anything too, so that counts only
where the operator allows it. May not: touch the network. Invariant: a ``Checksum`` holds a lower-case hex digest of
the right length.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Protocol

import msgspec

from ingot.domain import errors

_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_WEAK = {"md5": 32, "sha1": 40}
_HINT = (
    "Set image_os_hash_algo and image_os_hash_value, or image_checksum to a sha256 or sha512 "
    "(sha256sum FILE prints it) or to the URL of a checksum file."
)


class Hash(Protocol):
    """A running hash, as hashlib makes them."""

    @property
    def name(self) -> str:
        """The algorithm."""
        ...

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the digest so far, in hex."""
        ...


class Checksum(msgspec.Struct, frozen=True):
    """What an image's bytes must hash to: ``algo`` (sha256, sha384, sha512) and the hex ``value``."""

    algo: str
    value: str

    def new(self) -> Hash:
        """Return a fresh hash object of this algorithm."""
        return hashlib.new(self.algo)

    def verify(self, computed: str, what: str) -> None:
        """Raise Invalid unless ``computed`` (hex) is the expected value; ``what`` names the image."""
        if not hmac.compare_digest(computed, self.value):
            raise errors.Invalid(
                f"The checksum of {what} is wrong: expected {self.algo} {self.value}, got {computed}.",
                hint="The image changed, or the checksum belongs to another file: correct it in instance_info.",
            )


def parse(algo: str | None, value: str | None, *, weak: bool = False) -> Checksum:
    """Return the checksum for ``value`` in hex, the algorithm guessed by length if ``algo`` is None.

    ``weak`` lets md5 count. Raises Invalid for a missing, malformed or weak (md5, sha1) checksum.
    """
    if not value or not value.strip():
        raise errors.Invalid("The image has no checksum.", hint=_HINT)
    text = value.strip().lower()
    if not re.fullmatch(r"[0-9a-f]+", text):
        raise errors.Invalid("The image's checksum is not hexadecimal.", hint=_HINT)
    name = (algo or _algo_by_length(text)).lower().replace("-", "")
    lengths = _LENGTHS | ({"md5": _WEAK["md5"]} if weak else {})
    if name not in lengths and name in _WEAK:
        raise errors.Invalid(f"The image's checksum is a {name}, which can be forged.", hint=_HINT)
    if name not in lengths:
        raise errors.Invalid(f"The checksum algorithm {name!r} is not supported.", hint=_HINT)
    if len(text) != lengths[name]:
        raise errors.Invalid(f"The image's {name} must have {lengths[name]} hex digits, not {len(text)}.", hint=_HINT)
    return Checksum(name, text)


def find_in_list(text: str, file_name: str, algo: str | None, *, weak: bool = False) -> Checksum:
    """Return the checksum of ``file_name`` in a checksum file: lines as sha256sum writes them, or as BSD's sha256 does.

    A file with a single bare digest counts for any name. Raises Invalid when the name is not listed.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) == 1 and re.fullmatch(r"[0-9a-fA-F]+", lines[0]):
        return parse(algo, lines[0], weak=weak)
    found = [entry for entry in map(_entry, lines) if entry and entry[2].rsplit("/", 1)[-1] == file_name]
    if not found:
        raise errors.Invalid(
            f"The checksum file does not list {file_name}.",
            hint="Check that it belongs to this image, or give the digest.",
        )
    # A file may list several kinds for one name: the one asked for, else the longest.
    wanted = [one for one in found if algo and one[0] == algo.lower().replace("-", "")] or found
    kind, value, _ = max(wanted, key=lambda one: len(one[1]))
    return parse(kind or algo, value, weak=weak)


def _entry(line: str) -> tuple[str | None, str, str] | None:
    """(algorithm or None, hex digest, file name) of a line in either notation, None for any other line."""
    plain = re.fullmatch(r"([0-9a-fA-F]{32,128})\s+\*?(?:\./)?(.+)", line)
    if plain:
        return None, plain[1], plain[2]
    tagged = re.fullmatch(r"([A-Za-z0-9-]+) ?\((?:\./)?(.+)\) ?= ([0-9a-fA-F]+)", line)
    return (tagged[1].lower().replace("-", ""), tagged[3], tagged[2]) if tagged else None


def is_url(value: str | None) -> bool:
    """Tell whether a checksum is given as the URL of a checksum file."""
    return bool(value) and str(value).strip().lower().startswith(("http://", "https://", "file://"))


def _algo_by_length(text: str) -> str:
    lengths = {length: algo for algo, length in (_LENGTHS | _WEAK).items()}
    if len(text) not in lengths:
        raise errors.Invalid(f"A checksum of {len(text)} hex digits is none ingot knows.", hint=_HINT)
    return lengths[len(text)]
