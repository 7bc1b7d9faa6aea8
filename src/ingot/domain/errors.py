"""The one error tree: every failure ingot names, and what the reader can do about it.

Why: a message without a cure wastes an operator's night. May not: import anything of ingot, do I/O.
Invariant: each class's docstring is its default message, and each error has a ``hint``.

    IngotError
    |-- Refused            the caller must change something; a retry alone cannot help
    |   |-- Invalid            a value is wrong
    |   |-- NotFound           the named thing does not exist
    |   |-- Conflict           the thing exists but its state forbids this
    |   |   `-- Locked             another run holds the node
    |   |-- Unauthorized       who is asking is not proved
    |   |-- Forbidden          proved, but not allowed
    |   |-- QuotaExceeded      allowed, but over a limit
    |   |-- NotAcceptable      the requested API microversion does not have this
    |   |-- TooLarge           the body is over the limit
    |   |-- TooMany            the caller tries too often
    |   `-- NotSupported       this hardware or driver cannot do it
    |-- Unreachable        a peer did not answer; a retry may help
    |   |-- TimedOut           a deadline passed while waiting
    |   `-- StoreDown          the database cannot be written or read just now
    |-- Misbehaved         a peer answered, but with nonsense or a failure
    |   |-- AccessDenied       a peer refused our credentials
    |   `-- Untrusted          a peer's TLS certificate proves nothing to us
    |-- Aborted            an operator asked a run to stop
    |-- LostLease          another conductor owns the run now; this worker must drop it silently
    `-- Bug                ingot itself is wrong
"""

from __future__ import annotations


class IngotError(Exception):
    """Something went wrong."""

    default_hint = "See the log of the conductor for the details."

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        # An empty hint says that there is nothing to add.
        self.hint = self.default_hint if hint is None else hint
        super().__init__(self.message)

    def sentence(self) -> str:
        """The message and the cure as one human text: "<what and why>. <what to do>."."""
        text = self.message.rstrip(".")
        return f"{text}. {self.hint}" if self.hint else f"{text}."


class Refused(IngotError):
    """The request cannot be carried out as it is."""

    default_hint = "Change the request and send it again."


class Invalid(Refused):
    """A value is not valid."""


class NotFound(Refused):
    """There is no such thing."""

    default_hint = "Check the name or UUID."


class Conflict(Refused):
    """The present state does not allow this."""

    default_hint = "Wait until the present work is done, or abort it."


class Locked(Conflict):
    """Another run holds the node."""


class Unauthorized(Refused):
    """The caller did not prove who they are."""

    default_hint = "Send a user name and password (HTTP basic), or a token."


class Forbidden(Refused):
    """The caller may not do this."""

    default_hint = "Ask an administrator for the role."


class QuotaExceeded(Refused):
    """A limit is reached."""

    default_hint = "Free something or raise the limit."


class NotAcceptable(Refused):
    """Request not acceptable."""

    default_hint = "Ask for a newer API microversion."


class TooLarge(Refused):
    """The request body is too large."""

    default_hint = "Send less."


class TooMany(Refused):
    """Too many requests. ``retry_after``: seconds until the next one may be answered."""

    def __init__(self, message: str | None = None, *, hint: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, hint=f"Try again in {retry_after} s." if hint is None else hint)
        self.retry_after = retry_after


class NotSupported(Refused):
    """This hardware or driver cannot do it."""

    default_hint = "Choose another interface on the node."


class Unreachable(IngotError):
    """A peer did not answer. ``bmc``: its name, where it is a BMC: those come back by themselves; ``sent``: it may
    have carried out what was asked, for only its answer is missing."""

    default_hint = "Check address, cabling and firewall."
    bmc = ""
    sent = False


class TimedOut(Unreachable):
    """The deadline passed."""


class StoreDown(Unreachable):
    """The database cannot be used just now."""

    default_hint = "Free space on its disk, or end the program that holds it; work goes on by itself then."


class Misbehaved(IngotError):
    """A peer answered with something that makes no sense."""

    default_hint = "Check the peer's firmware and its own log."


class AccessDenied(Misbehaved):
    """A peer refused the user name or password."""

    default_hint = "Correct the credentials in driver_info."


class Untrusted(Misbehaved):
    """The peer's TLS certificate is not trusted."""

    default_hint = "Give the CA that signed it as verify_ca, or put a trusted certificate on it."


class Aborted(IngotError):
    """An operator aborted the run."""

    default_hint = "Start it again when ready."


class LostLease(IngotError):
    """Another conductor owns this run now."""

    default_hint = "Nothing to do: the new owner goes on."


class Bug(IngotError):
    """ingot met a case its authors did not foresee."""

    default_hint = "Please report it with the log of the conductor."
