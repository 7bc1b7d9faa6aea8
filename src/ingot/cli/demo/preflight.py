"""Is this host able to run the demo? Asked before anything is started, so that a refusal costs a second.

May not: install or change anything. Invariant: each refusal names the command that cures it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ingot.cli.demo import farewell
from ingot.domain import errors

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
_SPACE = 6 * 2**30
_HEADROOM_MB = 700  # QEMU's own memory under emulation, per machine, measured: 0.5 GiB


def check(machines: int, memory_mb: int, folder: Path) -> None:
    """Raise errors.IngotError naming the first thing that is missing."""
    if os.geteuid() != 0:
        raise errors.Refused(
            "The demo makes a network of its own, which needs root", hint=f"Run: sudo {farewell.program_name()} demo"
        )
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        names = " ".join(missing)
        raise errors.NotFound(f"Programs are missing: {names}", hint=f"Run: apt-get install {names}")
    if not Path("/dev/net/tun").exists():
        raise errors.NotFound("/dev/net/tun is missing", hint="Load it: modprobe tun")
    free = available_mb()
    wanted = machines * (memory_mb + _HEADROOM_MB)
    if free is not None and free < wanted:
        text = f"{machines} machines of {memory_mb} MiB need about {wanted} MiB of memory, {free} MiB are free"
        raise errors.Refused(text, hint="Use --no-uefi or --no-bios for one machine, or a smaller --memory.")
    folder.mkdir(parents=True, exist_ok=True)
    space = shutil.disk_usage(folder).free
    if space < _SPACE:
        text = f"{folder} has {space / 2**30:.1f} GiB free, the demo needs {_SPACE / 2**30:.0f}"
        raise errors.Refused(text, hint="Free some, or set XDG_CACHE_HOME to a larger disk.")


def available_mb() -> int | None:
    """Free memory in MiB, None where the kernel does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return None
