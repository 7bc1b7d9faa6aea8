"""The drivers the first call does not need: loaded once it is made; who needs the devices waits for their drivers.

May not: know a driver (ramdisk/drivers.sh does). Invariant: without that file, as on a foreign ramdisk, nothing waits.
"""

from __future__ import annotations

import os
import threading
import time

from ingot_agent import errors, log, settings

_PATIENCE = 120.0  # seconds; controllers of many disks take half a minute and more
_PATIENCE_TO_TELL = 40.0  # where somebody waits for the answer
_PATIENCE_WITH_BMC = 10.0  # seconds more; one that does not answer its driver takes so long, and has no address to tell
_disks, _loaded, _broken = threading.Event(), threading.Event(), threading.Event()
_disks.set()
_loaded.set()
_disks_at: dict[settings.Roots, float] = {}


def load_rest(roots: settings.Roots) -> None:
    """Have the rest loaded, in processes of its own; returns at once."""
    program = f"{roots.top}/etc/drivers.sh"
    if not os.access(program, os.X_OK):
        return
    _disks.clear()
    _loaded.clear()
    _broken.clear()

    def load() -> None:
        for part, done in (("disks", _disks), ("bmc", _loaded)):
            try:
                ended = os.waitpid(os.posix_spawn(program, [program, part], {}), 0)[1]
                trouble = f"{program} ended with {os.waitstatus_to_exitcode(ended)}" if ended else ""
            except OSError as error:
                trouble = str(error.strerror)
            if trouble:
                log.line(f"drivers ({part}) could not be loaded: {trouble}")
                if done is _disks:
                    _broken.set()
            if done is _disks:
                _disks_at[roots] = time.monotonic()
            done.set()

    threading.Thread(target=load, name="drivers", daemon=True).start()


def wait_for_disks(patience: float = _PATIENCE) -> None:
    """Wait until all drivers of disks are loaded; too long is a line in the log."""
    if not _disks.wait(patience):
        log.line(f"drivers of disks are still being loaded after {patience:.0f} s; a disk may be left out")


def disks_at(roots: settings.Roots) -> float:
    """When (monotonic seconds) the drivers of disks were loaded; 0.0: before the agent, or not yet."""
    return _disks_at.get(roots, 0.0)


def require_disks(patience: float = _PATIENCE) -> None:
    """The same for what has to work on every disk. Raises BlockDeviceEraseError where one may be left out."""
    if not _disks.wait(patience) or _broken.is_set():
        why = "could not be loaded" if _broken.is_set() else f"are still being loaded after {patience:g} s"
        raise errors.BlockDeviceEraseError(
            f"The drivers of disks {why}, so that a disk could be left out. See the ramdisk's log for the device that "
            "does not answer, mend or remove it, and clean again."
        )


def trouble() -> str | None:
    """Why what is found now may lack a disk; None where it lacks none."""
    if _broken.is_set():
        return "the drivers of disks could not be loaded, so a disk may be left out"
    return None if _disks.is_set() else "drivers of disks are still being loaded, so a disk may be left out"


def wait() -> None:
    """Wait until all drivers are loaded; too long is a line in the log."""
    wait_for_disks(_PATIENCE_TO_TELL)
    if not _loaded.wait(_PATIENCE_WITH_BMC):
        log.line("the BMC's driver is still being loaded; its address may be left out")
