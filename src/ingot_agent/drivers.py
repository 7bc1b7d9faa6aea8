"""The drivers the first call does not need: loaded once it is made; the inventory and what erases wait for them.

May not: know a driver (ramdisk/drivers.sh does). Invariant: without that file, as on a foreign ramdisk, nothing waits.
"""

from __future__ import annotations

import os
import threading

from ingot_agent import log, settings

_PATIENCE = 20.0  # seconds; a BMC that does not answer its driver takes ten
_loaded = threading.Event()
_loaded.set()


def load_rest(roots: settings.Roots) -> None:
    """Have the rest loaded, in a process of its own; returns at once."""
    program = f"{roots.top}/etc/drivers.sh"
    try:
        child = os.posix_spawn(program, [program, "rest"], {})
    except OSError:
        return
    _loaded.clear()

    def end() -> None:
        os.waitpid(child, 0)
        _loaded.set()

    threading.Thread(target=end, name="drivers", daemon=True).start()


def wait() -> None:
    """Wait until all are loaded; too long is a line in the log."""
    if not _loaded.wait(_PATIENCE):
        log.line(f"drivers are still being loaded after {_PATIENCE:.0f} s; a disk or the BMC's address may be left out")
