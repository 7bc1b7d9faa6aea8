"""Find the disk an operating system goes to, also when it shows itself late.

Why: buses of slow disks (USB, SAS) bring them after their driver is loaded, and a choice made before could be another
one. May not: touch a disk. Invariant: a machine whose disks are there already waits for none.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from ingot_agent import disks, drivers, errors, hints, log, machine, settings

_LATE = 30.0  # seconds after the kernel's start in which a disk that is not there yet may still come
_PAUSE = 0.5


def find(node: dict[str, Any], roots: settings.Roots) -> disks.Disk:
    """The node's root disk, software RAID's arrays assembled. Raises DeviceNotFound, InvalidCommandParams."""
    from ingot_agent import raid  # only when a root disk is asked for

    drivers.wait_for_disks()
    wanted, kept = hints.of_node(node)
    end = time.monotonic() + max(0.0, _LATE - machine.uptime(roots))
    told = False
    while True:
        raid.assemble(roots)
        try:
            return hints.choose(disks.find_all(roots), wanted, kept)
        except errors.DeviceNotFound as error:
            if time.monotonic() > end:
                raise
            if not told:
                log.line(f"{error.message} Waiting until the machine is {_LATE:.0f} s old: one may come late")
            told = True
        threading.Event().wait(_PAUSE)
