"""Mount what is on a disk for as long as something is done to it.

May not: choose a disk. Invariant: whatever happens, nothing stays mounted.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from ingot_agent import errors, filesystems, programs


@contextmanager
def mounted(node: str, folder: str, found: filesystems.Found) -> Generator[str, None, None]:
    """The file system ``found`` on the device ``node``, below ``folder``. Raises ImageWriteError."""
    os.makedirs(folder, exist_ok=True)
    with mount(["-t", found.kind, node, folder]):
        yield folder


@contextmanager
def mount(words: list[str]) -> Generator[None, None, None]:
    """What ``mount`` takes, the folder last. Raises ImageWriteError."""
    done = programs.run(["mount", *words])
    if not done.succeeded:
        said = done.output.decode("utf-8", "replace").strip()
        raise errors.ImageWriteError(f"mount {' '.join(words)} failed: {said}. Check the image's file system.")
    try:
        yield
    finally:
        if not programs.run(["umount", words[-1]]).succeeded:
            programs.run(["umount", "-l", words[-1]])
