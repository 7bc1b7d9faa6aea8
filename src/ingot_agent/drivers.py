"""The drivers the first call does not need: loaded once it is made; who needs the devices waits for their drivers.

May not: know a driver (ramdisk/drivers.sh does). Invariant: without that file, as on a foreign ramdisk, nothing waits.
"""

from __future__ import annotations

import os
import threading

from ingot_agent import log, settings

_PATIENCE = 120.0  # seconds; controllers of many disks take half a minute and more
_PATIENCE_TO_TELL = 40.0  # where somebody waits for the answer
_PATIENCE_WITH_BMC = 10.0  # seconds more; one that does not answer its driver takes so long, and has no address to tell
_disks, _loaded = threading.Event(), threading.Event()
_disks.set()
_loaded.set()


def load_rest(roots: settings.Roots) -> None:
    """Have the rest loaded, in processes of its own; returns at once."""
    program = f"{roots.top}/etc/drivers.sh"
    if not os.access(program, os.X_OK):
        return
    _disks.clear()
    _loaded.clear()

    def load() -> None:
        for part, done in (("disks", _disks), ("bmc", _loaded)):
            try:
                os.waitpid(os.posix_spawn(program, [program, part], {}), 0)
            except OSError as error:
                log.line(f"drivers ({part}) could not be loaded: {error.strerror}")
            done.set()

    threading.Thread(target=load, name="drivers", daemon=True).start()


def wait_for_disks(patience: float = _PATIENCE) -> None:
    """Wait until all drivers of disks are loaded; too long is a line in the log."""
    if not _disks.wait(patience):
        log.line(f"drivers of disks are still being loaded after {patience:.0f} s; a disk may be left out")


def wait() -> None:
    """Wait until all drivers are loaded; too long is a line in the log."""
    wait_for_disks(_PATIENCE_TO_TELL)
    if not _loaded.wait(_PATIENCE_WITH_BMC):
        log.line("the BMC's driver is still being loaded; its address may be left out")
