"""Power values and the pure rule that reconciles what hardware says with what is stored.

Why: the sync job, the flows and the API must agree on it. May not: do I/O. Invariant: ``reconcile`` is total.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Power(StrEnum):
    """What a machine's power can be (None elsewhere means not known)."""

    ON = "power on"
    OFF = "power off"


class Target(StrEnum):
    """What can be asked of a machine's power; wire words of ``PUT states/power``."""

    ON = "power on"
    OFF = "power off"
    REBOOT = "rebooting"
    SOFT_OFF = "soft power off"
    SOFT_REBOOT = "soft rebooting"

    def result(self) -> Power:
        """The state the machine is in once the target is reached."""
        return Power.OFF if self in {Target.OFF, Target.SOFT_OFF} else Power.ON

    def orders(self) -> tuple[Target, ...]:
        """The orders that lead there: a reboot is off and on, since a reset does nothing on a dead machine."""
        match self:
            case Target.REBOOT:
                return (Target.OFF, Target.ON)
            case Target.SOFT_REBOOT:
                return (Target.SOFT_OFF, Target.ON)
            case Target.ON | Target.OFF | Target.SOFT_OFF:
                return (self,)


class Verdict(msgspec.Struct, frozen=True):
    """What a sync does with one node: the state to store and a sentence for the history, None if unremarkable."""

    power_state: Power | None
    note: str | None


def reconcile(stored: str | None, seen: Power) -> Verdict | None:
    """Compare the stored with the seen power state; None when nothing changes.

    ingot follows the hardware: someone pressed the button, so the record changes and the history says so.
    """
    if stored == seen:
        return None
    note = None if stored is None else f'Power changed outside ingot from "{stored}" to "{seen}".'
    return Verdict(seen, note)
