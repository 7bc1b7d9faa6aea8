"""Renders iPXE scripts: the deploy ramdisk, the local disk, or "you are not known here".

Why: the script is a pure function of the node's row, so a takeover needs no file. May not: do I/O or know a
node; callers pass plain values. Invariant: no value can add a line or a command to a script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from ingot.domain import errors

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|\$\{")


class Firmware(StrEnum):
    """How the machine boots."""

    BIOS = "bios"
    UEFI = "uefi"


class Ramdisk(msgspec.Struct, frozen=True):
    """What to boot: URLs of kernel and initrd, the API the agent calls, and more kernel parameters.

    ``inspection_url`` None means the agent is not asked to inspect. ``parameters`` with an empty value are
    written as a bare word; ``extra`` is appended as it is.
    """

    kernel_url: str
    initrd_url: str
    api_url: str
    inspection_url: str | None = None
    parameters: Mapping[str, str] = {}
    extra: str = ""
    consoles: Sequence[str] = ("tty0", "ttyS0,115200n8")


def normal_mac(text: str) -> str:
    """Return a MAC address as lower-case pairs joined by colons; accepts dashes. Raises Invalid."""
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise errors.Invalid(f"{text[:40]!r} is not a MAC address.", hint="Write it as 52:54:00:12:34:56.")
    return mac


def render_entry(base_url: str) -> str:
    """The constant first script: ask the API by the MAC of the interface that booted, again until it answers."""
    url = f"{_word(base_url.rstrip('/'))}/boot/ipxe/${{netX/mac}}"
    return _script(
        ":ask",
        f"chain --autofree {url} ||",
        "echo No boot script from the server for ${netX/mac}, asking again in 5 seconds",
        "sleep 5",
        "goto ask",
    )


def render_ramdisk(mac: str, ramdisk: Ramdisk) -> str:
    """The script that boots the deploy ramdisk on the machine with ``mac``. Raises Invalid for unsafe values."""
    parameters = {"ipa-api-url": ramdisk.api_url, "BOOTIF": normal_mac(mac)}
    if ramdisk.inspection_url:
        parameters["ipa-inspection-callback-url"] = ramdisk.inspection_url
    parameters |= ramdisk.parameters
    words = [_parameter(key, value) for key, value in parameters.items()]
    words += [f"console={_word(console)}" for console in ramdisk.consoles]
    if ramdisk.extra.strip():
        words.append(_text(ramdisk.extra.strip()))
    # "initrd=initrd" is how the EFI stub of the kernel finds the file; BIOS ignores it.
    return _script(
        "imgfree",
        f"kernel {_word(ramdisk.kernel_url)} initrd=initrd {' '.join(words)} || goto failed",
        f"initrd --name initrd {_word(ramdisk.initrd_url)} || goto failed",
        "boot || goto failed",
        ":failed",
        "echo The ramdisk could not be booted, starting over in 10 seconds",
        "sleep 10",
        "reboot",
    )


def render_local_disk(firmware: Firmware) -> str:
    """The script that goes on to the local disk: BIOS boots drive 0x80, UEFI returns to its boot order."""
    match firmware:
        case Firmware.BIOS:
            return _script("sanboot --no-describe --drive 0x80 || exit 1")
        case Firmware.UEFI:
            return _script("exit 0")


def render_unknown(mac: str, api_url: str) -> str:
    """The script for a MAC no port has: say so on the console and let the firmware try its next entry."""
    return _script(
        f"echo {normal_mac(mac)} is not a port of any node of {_word(api_url)}",
        "echo Enrol the node and create a port with this address, then boot again",
        "sleep 10",
        "exit 1",
    )


def _script(*lines: str) -> str:
    return "\n".join(("#!ipxe", *lines, ""))


def _parameter(key: str, value: str) -> str:
    return f"{_word(key)}={_word(value)}" if value else _word(key)


def _word(value: str) -> str:
    if not value or re.search(r"\s", value):
        raise errors.Invalid(f"{value!r} cannot be a boot parameter: it must be one word without spaces.")
    return _text(value)


def _text(value: str) -> str:
    if _UNSAFE.search(value) or "||" in value or "&&" in value or not value.isascii():
        raise errors.Invalid(
            f"{value!r} cannot be in a boot script.",
            hint="Remove line breaks, ${, ||, && and non-ASCII letters.",
        )
    return value
