"""The kernel command line of the deploy ramdisk, as checked words that each boot loader quotes in its own way.

Why: one ramdisk is booted by four loaders, and all must say the same to it. May not: do I/O.
Invariant: no value can add a word, a line or a loader's command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ingot.domain import errors

FILES = ("vmlinuz", "initrd")
APPENDED = "kernel_append_params"
"""In a boot plan's parameters: no parameter, but what its node has in the place of the setting ``kernel_params``."""
_DEFAULT = "%default%"
_TRUST = {
    *("ipa-api-url", "ipa-inspection-callback-url", "ipa-agent-token", "ipa-ca", "ipa-ca-file", "ipa-insecure"),
    *("ipa-advertise-host", "ipa-advertise-port", "ipa-advertise-protocol", "ingot-agent-tls", "ingot-time", "BOOTIF"),
}
"""Whom the agent of a ramdisk, ours or Ironic's, calls and believes, where it is called, by which card it is known."""
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|\$\{|\|\||&&|(?<![^ ]);(?![^ ])|(?<![^ ])#")
"""Line breaks, and what iPXE expands, ends a command at (``;`` as a word) or takes for a comment (src/core/exec.c)."""


class Ramdisk(msgspec.Struct, frozen=True):
    """What the ramdisk is told: the API its agent calls, and more kernel parameters.

    ``parameters`` with an empty value are written as a bare word; ``extra`` is appended as it is. ``mac`` names the
    card the machine boots from; None: all cards ask for an address.
    """

    api_url: str
    parameters: Mapping[str, str] = {}
    extra: str = ""
    mac: str | None = None

    def words(self) -> list[str]:
        """The command line, word by word. Raises Invalid for unsafe values."""
        words = [_parameter("ipa-api-url", self.api_url)]
        if self.mac is not None:
            words.append(f"BOOTIF={normal_mac(self.mac)}")
        words += [_parameter(key, value) for key, value in self.parameters.items()]
        return words + checked(self.extra).split()


def appended(given: str | None, usual: str) -> str:
    """The words that end the command line: ``usual``, or a node's own, in which ``%default%`` stands for those.

    As Ironic has it (admin guide, boot interfaces). Raises Invalid for what a boot script cannot hold.
    """
    return usual if given is None else checked(given.replace(_DEFAULT, usual))


def refuse_trust(given: str) -> None:
    """Raise Invalid for words of a node's user that would have the agent call or believe somebody else.

    The last of two equal names counts for an agent, and its quotes are no part of a name.
    """
    names = {one.partition("=")[0] for one in given.replace('"', "").split()}
    if found := sorted(names & _TRUST):
        raise errors.Invalid(
            f"{APPENDED} of instance_info cannot hold {', '.join(found)}: whom the ramdisk calls and believes is not "
            "the instance's to say.",
            hint="Leave it out, or have who manages the node put it into driver_info.",
        )


def normal_mac(text: str) -> str:
    """Return a MAC address as lower-case pairs joined by colons; accepts dashes. Raises Invalid."""
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise errors.Invalid(f"{text[:40]!r} is not a MAC address.", hint="Write it as 52:54:00:12:34:56.")
    return mac


def word(value: str) -> str:
    """``value`` if it is one safe word. Raises Invalid."""
    if not value or re.search(r"\s", value):
        raise errors.Invalid(f"{value!r} cannot be a boot parameter: it must be one word without spaces.")
    return checked(value)


def checked(value: str) -> str:
    """``value`` if a boot script may hold it. Raises Invalid."""
    if _UNSAFE.search(value) or not value.isascii():
        raise errors.Invalid(
            f"{value!r} cannot be in a boot script.",
            hint="Remove line breaks, ${, ||, &&, a ; by itself, words that begin with # and non-ASCII letters.",
        )
    return value


def _parameter(key: str, value: str) -> str:
    return f"{word(key)}={word(value)}" if value else word(key)
