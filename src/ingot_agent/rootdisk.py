"""Find the machine's disks, and the one an operating system goes to, also when they show themselves late.

Why: buses of slow disks (USB, SAS) bring them after their driver is loaded; a choice made before could be another one,
and software RAID would do without them. May not: write to a disk. Invariant: a machine whose disks are there already
waits for none.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from ingot_agent import disks, drivers, errors, hints, keeping, log, machine, settings

if TYPE_CHECKING:
    from ingot_agent import raid

_LATE = 30.0  # seconds after the kernel's start in which a disk that is not there yet may still come
_LATE_AFTER_DRIVERS = 15.0  # and after its driver, which a machine that gets its address late loads late
_PAUSE = 0.5


def all_disks(roots: settings.Roots, tried: set[raid.Parts] | None = None) -> list[disks.Disk]:
    """The machine's disks, software RAID's arrays assembled: those that lack members once none is likely to come.

    ``tried``: arrays that did not start, for who asks again and again: with the same members they are left alone.
    """
    from ingot_agent import raid  # only when disks are asked for

    drivers.wait_for_disks()
    end = _end(roots)
    told: list[str] = []
    tried = set() if tried is None else tried
    while waiting := raid.assemble(roots, degraded=time.monotonic() >= end, tried=tried):
        if told != waiting:
            left = end - time.monotonic()
            log.line(f"{', '.join(waiting)} lacks members. Waiting {left:.0f} s: one may come late")
        told = waiting
        threading.Event().wait(_PAUSE)
    return disks.find_all(roots)


def find(node: dict[str, Any], roots: settings.Roots) -> disks.Disk:
    """The node's root disk. Raises DeviceNotFound, InvalidCommandParams."""
    wanted = hints.of_node(node)[0]
    end, told = 0.0, ""
    tried: set[raid.Parts] = set()
    while True:
        found = all_disks(roots, tried)
        end = end or _end(roots)
        kept = keeping.of_node(node, found, roots)
        try:
            return hints.choose(found, wanted, {disk.name for disk in kept.disks} | kept.stuck.keys())
        except errors.DeviceNotFound as error:
            if time.monotonic() > end:
                raise
            if told != error.message:  # it names the disks that are there by now
                log.line(f"{error.message} Waiting {end - time.monotonic():.0f} s: one may come late")
            told = error.message
        threading.Event().wait(_PAUSE)


def _end(roots: settings.Roots) -> float:
    """When (monotonic seconds) no disk is likely to come any more."""
    began = time.monotonic() - machine.uptime(roots)
    return max(began + _LATE, drivers.disks_at(roots) + _LATE_AFTER_DRIVERS)
