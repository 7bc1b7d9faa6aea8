"""Where the packages of an OS image come from: the host's own distribution, its suite and its mirrors.

Why: the host already trusts a mirror and has its keys; a second list of mirrors would go stale.
May not: name a mirror. Invariant: only sources of the host's own distribution are used, no third party's.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ingot_rack import osimage_disk

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "grub-mkimage": "grub-common",
    "qemu-img": "qemu-utils",
    "zstd": "zstd",
}
FOLDERS = {
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
    "/usr/lib/grub/x86_64-efi/kernel.img": "grub-efi-amd64-bin",
}
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Distribution:
    """The host's distribution: ``ident`` is debian or ubuntu; ``sources`` are lines of a sources.list."""

    ident: str
    codename: str
    sources: tuple[str, ...]
    proxy: str

    @property
    def kernel_package(self) -> str:
        """The kernel made for virtual machines."""
        return "linux-image-virtual" if self.ident == "ubuntu" else "linux-image-cloud-amd64"


def missing_packages() -> list[str]:
    """Return the Debian packages that must be installed before an image can be built, sorted."""
    missing = {pkg for prog, pkg in PROGRAMS.items() if shutil.which(prog, path=_SYSTEM_PATH) is None}
    missing |= {package for path, package in FOLDERS.items() if not Path(path).exists()}
    return sorted(missing)


def host_distribution() -> Distribution:
    """Read the host's distribution; raises DiskError when it is neither Debian nor Ubuntu."""
    facts = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    ident = facts.get("ID", "").strip('"')
    codename = facts.get("VERSION_CODENAME", "").strip('"')
    if ident not in ("debian", "ubuntu") or not codename:
        raise osimage_disk.DiskError(
            f"This host runs {ident or 'an unknown system'}; images are built on Debian or Ubuntu only. "
            "Build on such a host and copy the cache directory."
        )
    sources = _sources(ident, codename)
    if not sources:
        raise osimage_disk.DiskError(
            f"apt knows no source of {ident} {codename} on this host. "
            "Check /etc/apt/sources.list.d and run apt-get update."
        )
    return Distribution(ident, codename, sources, _proxy())


def _sources(ident: str, codename: str) -> tuple[str, ...]:
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN) $(SIGNED_BY)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages", "Architecture: amd64"],
        capture_output=True,
        text=True,
        check=False,
    )
    wanted: dict[str, None] = {}
    for line in listed.stdout.splitlines():
        parts = line.split(" ")
        if len(parts) < 5 or not _belongs(parts, ident, codename):
            continue
        signed = "" if parts[4].startswith("$") or not parts[4] else f"[signed-by={parts[4]}] "
        wanted[f"deb {signed}{parts[0]} {parts[1]} {parts[2]}"] = None
    return tuple(wanted)


def _belongs(parts: list[str], ident: str, codename: str) -> bool:
    suites = (codename, f"{codename}-updates", f"{codename}-security")
    origins = (ident.capitalize(), "$(ORIGIN)")  # the latter before the first apt-get update
    return parts[1] in suites and parts[2] in ("main", "universe") and parts[3] in origins


def _proxy() -> str:
    asked = subprocess.run(
        ["apt-config", "shell", "proxy", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip().removeprefix("proxy=").strip("'")
