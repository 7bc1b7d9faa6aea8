"""Builds and caches the operating-system images that the demo and the tests deploy.

Why: a deployment is only proved by an operating system that boots; none may be downloaded ready-made.
May not: need a service, a loop device or a mount. Invariant: a cache entry appears by one rename, with its
manifest inside, so a half-built image is never used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from ingot_rack import osimage_debian, osimage_disk, osimage_sources, osimage_tiny

Progress = Callable[[str], None]
ImageError = osimage_disk.DiskError
_KEPT = 2  # images of a variant that the cache keeps
_SPARED = 24 * 3600.0  # seconds after its last use in which an image is not removed


class Variant(StrEnum):
    """Which operating system: a real distribution, or a few megabytes that boot in seconds."""

    DEBIAN = "debian"
    TINY = "tiny"


@dataclasses.dataclass(frozen=True)
class ImageManifest:
    """A built image: ``path`` (qcow2), its ``sha256`` and ``size``, the virtual disk's size, the login user."""

    variant: str
    path: Path
    sha256: str
    size: int
    virtual_size: int
    user: str


def missing_packages() -> list[str]:
    """Return the Debian packages to install before ``build`` can work, sorted; empty when all are there."""
    return osimage_sources.missing_packages()


def ensure(
    variant: Variant = Variant.DEBIAN, progress: Progress | None = None, root: Path | None = None
) -> ImageManifest:
    """Return the cached image of this recipe, building it first if needed. Blocking: call it in a thread.

    ``root`` is the cache directory (default ``${XDG_CACHE_HOME:-~/.cache}/ingot/osimage``). Two processes
    asking at once build once. Raises ImageError with a sentence.
    """
    folder = entry(variant, root)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _load(folder)
        if found is None:
            prefix = f"part-{folder.name}-"
            for leftover in (folder, *folder.parent.glob(f"{prefix}*")):  # of a build that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as part:
                build(Path(part), variant, progress)
                Path(part).rename(folder)
                Path(part).mkdir()  # so that the context manager finds what it wants to remove
            found = _load(folder)
        if folder.exists():
            os.utime(folder)
        _prune(folder)
    if found is None:
        raise ImageError(f"The image just built in {folder} cannot be read back. Check the disk's free space.")
    return found


def entry(variant: Variant, root: Path | None = None) -> Path:
    """The folder of this recipe's image in the cache, whether it is there or not."""
    return (root or _cache_root()) / f"{variant}-{_key(variant)}"


def build(output: Path, variant: Variant = Variant.DEBIAN, progress: Progress | None = None) -> ImageManifest:
    """Build the image into the directory ``output`` (``image.qcow2`` and ``manifest.json``). Blocking.

    Needs root and the packages of ``missing_packages()``; raises ImageError with a sentence.
    """
    tell = progress or _silent
    _check_host()
    distribution = osimage_sources.host_distribution()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix="work-") as scratch:
        raw = Path(scratch) / "disk.raw"
        maker = osimage_debian if variant is Variant.DEBIAN else osimage_tiny
        maker.build_raw(raw, distribution, Path(scratch), tell)
        tell("compressing the image")
        qcow2 = output / "image.qcow2"
        _compress(raw, qcow2)
        virtual_size = raw.stat().st_size
    user = distribution.ident if variant is Variant.DEBIAN else "root"
    with qcow2.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = ImageManifest(str(variant), qcow2, digest, qcow2.stat().st_size, virtual_size, user)
    fields = dataclasses.asdict(manifest) | {"path": qcow2.name}
    (output / "manifest.json").write_text(json.dumps(fields, indent=2) + "\n")
    return manifest


def _compress(raw: Path, qcow2: Path) -> None:
    options = "compression_type=zstd,cluster_size=262144"
    arguments = ["-f", "raw", "-O", "qcow2", "-c", "-W", "-m", "4", "-o", options]
    osimage_disk.run(["qemu-img", "convert", *arguments, str(raw), str(qcow2)])


def _check_host() -> None:
    missing = missing_packages()
    if missing:
        raise ImageError(
            f"Programs to build images are missing. Run: apt-get install --no-install-recommends {' '.join(missing)}"
        )
    if os.geteuid() != 0:
        raise ImageError("Building an operating-system image needs root. Run it with sudo.")


def _cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ingot" / "osimage"


def _key(variant: Variant) -> str:
    maker = osimage_debian if variant is Variant.DEBIAN else osimage_tiny
    host = osimage_sources.host_distribution()
    text = f"{maker.recipe()}|{host.ident}|{host.codename}|{Path(osimage_disk.__file__).read_text()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _load(folder: Path) -> ImageManifest | None:
    try:
        fields = json.loads((folder / "manifest.json").read_text())
        manifest = ImageManifest(**fields | {"path": folder / fields["path"]})
        return manifest if manifest.path.stat().st_size == manifest.size else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _prune(newest: Path) -> None:
    """Remove images of the variant's other recipes that were used longest ago; what is locked or recent stays."""
    variant = newest.name.rpartition("-")[0]
    others = [one for one in newest.parent.glob(f"{variant}-*") if one.is_dir() and one != newest]
    for folder in sorted(others, key=lambda one: one.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        if time.time() - folder.stat().st_mtime < _SPARED:
            continue
        with (folder.parent / f"{folder.name}.lock").open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _silent(_: str) -> None:
    """Tell nobody."""
