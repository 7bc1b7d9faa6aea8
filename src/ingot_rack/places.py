"""Where a rack keeps its files.

Why: `down` in a later process must find what `up` left behind, by the rack's name alone.
May not: create anything except a socket folder. Invariant: the same name always gives the same paths.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ingot_rack import errors

SOCKET_PATH_LIMIT = 100  # the kernel allows 107 bytes for a unix socket's path


def cache() -> Path:
    """The product's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ingot"


def rack(name: str) -> Path:
    """The state folder of one rack; refuses names that are not plain words."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isalnum() or name[0] in "-." or len(name) > 40:
        raise errors.Invalid(f"{name!r} is no rack name", hint="Use letters, digits and dashes.")
    return cache() / "racks" / name


def short(name: str, suffix: str) -> str:
    """An interface name of at most 15 characters, the same each time for the same rack."""
    return f"ig{hashlib.sha256(name.encode()).hexdigest()[:6]}{suffix}"


def sockets(folder: Path) -> Path:
    """A folder whose path is short enough for unix sockets: `folder`, or a private one under the temporary files."""
    if len(str(folder)) + 16 < SOCKET_PATH_LIMIT:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    short_folder = Path(tempfile.gettempdir()) / f"ingot-{os.getuid()}-{digest}"
    short_folder.mkdir(mode=0o700, exist_ok=True)
    found = short_folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise errors.RackError(f"{short_folder} belongs to someone else", hint="Remove it or set TMPDIR.")
    return short_folder
