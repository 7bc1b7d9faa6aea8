"""Renders the configurations of the loaders that are not iPXE: SYSLINUX (PXELINUX, ISOLINUX) and GRUB.

Why: kernel and initrd lie beside the configuration under fixed names, so only the command line differs.
May not: do I/O. Invariant: no value can add a line or a command.
"""

from __future__ import annotations

from ingot.domain import errors
from ingot.netboot import processors
from ingot.netboot.ramdisk import Ramdisk


def render_syslinux(ramdisk: Ramdisk) -> str:
    """For PXELINUX and ISOLINUX: no prompt, one entry, the serial line as they find it."""
    lines = ("DEFAULT ramdisk", "PROMPT 0", "LABEL ramdisk", "KERNEL /vmlinuz")
    return "\n".join((*lines, f"APPEND initrd=/initrd {' '.join(ramdisk.words())}", ""))


def render_grub(ramdisk: Ramdisk) -> str:
    """For GRUB: boot at once; a kernel that is refused (Secure Boot) is told and tried again by a restart.

    GRUB for ARM64 takes kernel and initrd from the folder of that name.
    """
    words = " ".join(map(_quoted, ramdisk.words()))
    lines = (
        f"if [ $grub_cpu = {processors.ARM64} ]; then set where=/{processors.ARM64}; fi",
        f"if linux $where/vmlinuz {words}; then",
        "  if initrd $where/initrd; then boot; fi",
        "fi",
        "echo The ramdisk could not be booted, starting over in 10 seconds",
        "sleep 10",
        "reboot",
    )
    return "\n".join((*lines, ""))


def check(text: str) -> None:
    """Raise Invalid for what GRUB would change: it quotes itself what it hands to the kernel."""
    if any(letter in text for letter in "'\"\\"):
        raise errors.Invalid(f"{text!r} cannot be handed to a kernel by GRUB.", hint="Remove quotes and backslashes.")


def _quoted(word: str) -> str:
    """One word of a GRUB script. Raises Invalid."""
    check(word)
    return f"'{word}'"
