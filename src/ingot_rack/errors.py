"""What can go wrong in a virtual rack, each with the cure in its sentence.

Why: a BMC turns these into completion codes and HTTP answers, the command line into one sentence.
May not: import anything of the rack. Invariant: every error says what, why and what to do.
"""

from __future__ import annotations


class RackError(Exception):
    """The virtual rack could not do this."""

    def __init__(self, message: str, *, hint: str = "See the rack's log.") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message.rstrip('.')}. {hint}")


class NotNow(RackError):
    """The machine's present state forbids this (a reset of a machine that is off)."""


class NotSupported(RackError):
    """This kind of hardware has no such part."""


class Invalid(RackError):
    """A value of the rack's description or of a control request is wrong."""
