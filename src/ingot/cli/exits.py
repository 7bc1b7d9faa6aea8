"""What the program's exit codes mean, so that scripts can tell a refusal from an outage.

May not: print. Invariant: the codes never change; new ones get new numbers.
"""

from __future__ import annotations

from ingot.domain import errors

DONE = 0
FAILED = 1
USAGE = 2
REFUSED = 3
UNREACHABLE = 4
TIMED_OUT = 5


class ApiRefused(errors.Refused):
    """The API refused the request. ``status``: its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.hint = ""  # the API's sentence has its own
        self.status = status


def code(error: errors.IngotError) -> int:
    """The exit code that tells a script what kind of failure this is."""
    match error:
        case ApiRefused():
            return REFUSED
        case errors.Invalid():  # the API's own is ApiRefused: this was read here, from a word, a file or the settings
            return USAGE
        case errors.TimedOut():
            return TIMED_OUT
        case errors.Unreachable():
            return UNREACHABLE
        case _:
            return FAILED
