"""Renders iPXE scripts: the deploy ramdisk, the local disk, or "you are not known here".

Why: the script is a pure function of the node's row, so a takeover needs no file. May not: do I/O or know a
node; callers pass plain values. Invariant: no value can add a line or a command to a script.
"""

from __future__ import annotations

from enum import StrEnum

from ingot.netboot import filenames
from ingot.netboot.ramdisk import Ramdisk, normal_mac, word


class Firmware(StrEnum):
    """How the machine boots."""

    BIOS = "bios"
    UEFI = "uefi"


def render_entry(base_url: str) -> str:
    """The constant first script: ask the API by the MAC of the interface that booted, again until it answers."""
    url = f"{word(base_url.rstrip('/'))}/boot/ipxe/${{netX/mac}}"
    return _script(
        ":ask",
        f"chain --autofree {url} ||",
        "echo No boot script from the server for ${netX/mac}, asking again in 5 seconds",
        "sleep 5",
        "goto ask",
    )


def render_other_loader() -> str:
    """The first script for a machine whose card has iPXE built in but that is to boot without: the file for it."""
    return _script(
        "iseq ${platform} efi || goto bios",
        f"iseq ${{buildarch}} arm64 && chain {filenames.ARM64} || chain {filenames.X64} ||",
        "exit 1",
        ":bios",
        f"chain {filenames.BIOS} || exit 1",
    )


def render_ramdisk(ramdisk: Ramdisk, base_url: str) -> str:
    """The script that boots kernel and initrd from the processor's folder below ``base_url``.

    Raises Invalid for unsafe values.
    """
    url = f"{word(base_url)}/${{buildarch}}"
    # "initrd=initrd" is how the EFI stub of the kernel finds the file; BIOS ignores it.
    return _script(
        "imgfree",
        f"kernel {url}/vmlinuz initrd=initrd {' '.join(ramdisk.words())} || goto failed",
        f"initrd --name initrd {url}/initrd || goto failed",
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
        f"echo {normal_mac(mac)} is not a port of any node of {word(api_url)}",
        "echo Enrol the node and create a port with this address, then boot again",
        "sleep 10",
        "exit 1",
    )


def _script(*lines: str) -> str:
    return "\n".join(("#!ipxe", *lines, ""))
