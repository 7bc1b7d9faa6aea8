"""The TFTP root: what firmware loads first, by the same names for every machine, and iPXE's first script.

Why: DHCP never changes for a boot, so a name must do for every machine. A machine that boots without iPXE gets a
folder of its own in here (``pxe.py``), which dnsmasq prefers. May not: know a node.
Invariant: what is in the root itself serves every machine, so it is written once, at the start.
"""

from __future__ import annotations

from pathlib import Path

from ingot.netboot import filenames, ipxe, loaders
from ingot.netboot.loaders import Program

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def lay_out(root: Path, base_url: str, host_root: Path = Path("/")) -> None:
    """Fill the TFTP ``root``; machines then ask ``base_url``/boot/ipxe/<mac> for their script.

    Raises NotSupported when iPXE is not installed. ARM64 has a file only where the host has a program for it.
    """
    programs = {filenames.BIOS: loaders.get(Program.IPXE_BIOS, host_root)}
    programs[filenames.X64] = loaders.get(Program.IPXE_X64, host_root)
    arm64 = loaders.find(Program.IPXE_ARM64, host_root)
    if arm64 is not None:
        programs[filenames.ARM64] = arm64
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    for name, source in programs.items():
        replace(root / name, source.read_bytes())
    replace(root / filenames.IPXE_SCRIPT, ipxe.render_entry(base_url).encode())


def replace(path: Path, data: bytes) -> None:
    """Write atomically: a machine may be reading the file right now."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.chmod(0o644)
    part.replace(path)
