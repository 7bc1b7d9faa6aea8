"""What travels through a broker: calls, answers, errors and rings as JSON. May not: send. Invariant: an error that left
a conductor is raised at the API as one of the same class, with the same words."""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.domain import errors


class Call(msgspec.Struct, frozen=True):
    """A verb with what it needs; ``within``: seconds the caller waits."""

    verb: str
    within: float
    payload: dict[str, Any]


class Failure(msgspec.Struct, frozen=True):
    """An error of errors.py, by the name of its class."""

    kind: str
    message: str
    hint: str
    bmc: str = ""


class Reply(msgspec.Struct, frozen=True):
    """What a call gave, or how it failed."""

    value: Any = None
    failure: Failure | None = None


class Rings(msgspec.Struct, frozen=True):
    """Rings of one topic."""

    topic: str
    uuids: list[str]


def given(verb: str, value: Any) -> Reply:
    """The reply to a call that went well; what cannot travel as JSON is told as the bug it is."""
    try:
        return Reply(msgspec.to_builtins(value))
    except (TypeError, ValueError, RecursionError):  # what no encoder knows, or holds itself
        return failing(errors.Bug(f"The conductor's answer to {verb} cannot be sent as JSON"))


def failing(error: BaseException) -> Reply:
    """The reply to a call that failed."""
    return Reply(failure=failed(error))


def failed(error: BaseException) -> Failure:
    """An error as it travels; one that nobody foresaw is a bug."""
    if not isinstance(error, errors.IngotError):
        error = errors.Bug(f"The conductor raised an unforeseen {type(error).__name__}")
    return Failure(type(error).__name__, error.message, error.hint, getattr(error, "bmc", ""))


def raised(failure: Failure) -> errors.IngotError:
    """The error that travelled."""
    found = getattr(errors, failure.kind, None)
    kind = found if isinstance(found, type) and issubclass(found, errors.IngotError) else errors.IngotError
    error = kind(failure.message, hint=failure.hint)
    if isinstance(error, errors.Unreachable):
        error.bmc = failure.bmc
    return error
