"""``file://`` images: only from the folders the operator named, links resolved.

May not: follow a link out of those folders. Invariant: the folder is judged on the file that is open, not on a name
that somebody may have given to another file since.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from ingot.domain import errors
from ingot.images import checksums, download, sparse, urls

_BLOCK = 1024 * 1024


def open_allowed(url: str, roots: tuple[Path, ...]) -> io.BufferedReader:
    """Open the file behind a ``file://`` URL if it lies below one of ``roots``, links resolved.

    Raises Forbidden, NotFound or Invalid.
    """
    parts = urls.split(url)
    if parts.netloc not in ("", "localhost"):
        raise errors.Invalid(
            f"The image URL names the host {parts.netloc.rpartition('@')[2]}.",
            hint="Write file:///path (three slashes).",
        )
    path = Path(unquote(parts.path))
    if not _is_below(path.resolve(), roots):  # before it is opened: opening some files has effects
        raise _forbidden(path, roots)
    missing = errors.NotFound(f"There is no image file {path} on the conductor.", hint="Check the path.")
    if not path.is_file():
        raise missing
    try:
        file = path.open("rb")
    except OSError as error:
        raise missing from error
    if not _is_below(Path(f"/proc/self/fd/{file.fileno()}").readlink(), roots):
        file.close()
        raise _forbidden(path, roots)
    return file


def copy(
    source: io.BufferedReader,
    target: Path,
    checksum: checksums.Checksum,
    space: int,
    tell: Callable[[int, int], None],
) -> int:
    """Copy to ``target``, leaving out zeros, and return the size. Raises Invalid (checksum) and TooLarge. Blocking."""
    digest, done, total, name = checksum.new(), 0, os.fstat(source.fileno()).st_size, Path(source.name).name
    with source, target.open("wb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            sparse.write(file.fileno(), done, block)
            done += len(block)
            if os.fstat(file.fileno()).st_blocks * 512 > space:
                raise download.out_of_space(f"The image {name}", space)
            tell(done, total)
        file.truncate(done)
    checksum.verify(digest.hexdigest(), name)
    return done


def _is_below(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(root.resolve()) for root in roots)


def _forbidden(path: Path, roots: tuple[Path, ...]) -> errors.Forbidden:
    allowed = ", ".join(map(str, roots)) or "none"
    return errors.Forbidden(
        f"The file {path} is outside the directories images may come from ({allowed}).",
        hint="Put the image into an allowed directory, or add its directory to the setting image_dirs.",
    )
