"""Lays out the TFTP root: iPXE for BIOS and UEFI from the distribution's package, and its first script.

Why: firmware asks for a file by name before anything of ours runs. May not: change after start, or depend on
a node. Invariant: the same root serves every machine, so no boot needs a file written.
"""

from __future__ import annotations

from pathlib import Path

from ingot.domain import errors
from ingot.netboot import ipxe

BIOS_LOADER = "undionly.kpxe"
UEFI_LOADER = "snponly.efi"
ENTRY_SCRIPT = "boot.ipxe"
_PLACES = (Path("/usr/lib/ipxe"), Path("/usr/share/ipxe"), Path("/usr/lib/ipxe/qemu"))
_FALLBACKS = {UEFI_LOADER: ("ipxe.efi",), BIOS_LOADER: ("undionly.kkpxe",)}


def find_loaders(places: tuple[Path, ...] = _PLACES) -> dict[str, Path]:
    """Return the iPXE program for each loader name.

    Raises NotSupported naming the package when one is absent.
    """
    found: dict[str, Path] = {}
    for name in (BIOS_LOADER, UEFI_LOADER):
        candidates = [place / file for file in (name, *_FALLBACKS[name]) for place in places]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            looked = ", ".join(map(str, places))
            raise errors.NotSupported(
                f"The iPXE program {name} is not installed (looked in {looked}).",
                hint="Run: apt-get install --no-install-recommends ipxe",
            )
        found[name] = path
    return found


def lay_out(root: Path, base_url: str, places: tuple[Path, ...] = _PLACES) -> None:
    """Fill the TFTP ``root``; machines then ask ``base_url``/boot/ipxe/<mac> for their script.

    Raises NotSupported when iPXE is not installed.
    """
    loaders = find_loaders(places)
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    for name, source in loaders.items():
        _replace(root / name, source.read_bytes())
    _replace(root / ENTRY_SCRIPT, ipxe.render_entry(base_url).encode())


SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _replace(path: Path, data: bytes) -> None:
    """Write atomically: a machine may be reading the file right now."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.chmod(0o644)
    part.replace(path)
