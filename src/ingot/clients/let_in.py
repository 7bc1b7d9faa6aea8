"""Whom a BMC let in last, and when: by this a locked account is told from a wrong password.

BMCs refuse a locked account in the words that they have for a wrong user or password, so their answer alone does not
tell. May not: do I/O. Invariant: neither a password nor a key is ever shown.
"""

from __future__ import annotations

from ingot.domain import errors


class LetIn:
    """The newest login that one BMC took. Kept in memory: a new process knows of none."""

    def __init__(self) -> None:
        self._last: tuple[object, float] | None = None

    def note(self, who: object, now: float) -> None:
        """It let ``who`` in (compared by ``==``: user, password and whatever else a login depends on) at ``now``."""
        self._last = (who, now)

    def still(self, now: float) -> None:
        """Whoever was let in last was served again at ``now`` (seconds of the loop)."""
        if self._last is not None:
            self._last = (self._last[0], now)

    def ago(self, who: object, now: float) -> float | None:
        """Seconds since it last let in this very ``who``; None where the newest login was another, or none was."""
        return now - self._last[1] if self._last is not None and self._last[0] == who else None


def locked_out(refused: str, seconds: float, done: str, then: str = "") -> errors.AccessDenied:
    """The error for a BMC that refuses whom it let in with the same password ``seconds`` ago.

    ``refused``: its refusal up to the user's name; ``done``: what else somebody may have done to the account;
    ``then``: what to do if it is refused after the lock's time, too.
    """
    return errors.AccessDenied(
        f"{refused}, whom it let in {seconds:.0f} s ago: it has locked the account, or somebody has {done}.",
        hint="Wait until the lock ends, some minutes after the last wrong password, and look for who sends them"
        + (f". {then}" if then else "."),
    )
