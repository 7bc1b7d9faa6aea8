"""The agent's one place that catches everything.

Why: a ramdisk has nobody to restart a broken thread; a bug in a command must become a failed command, one in a
request an answer, one in the transfer thread the writer's error, one in a disk's thread that disk's failure.
May not: decide what the failure means. Invariant: whatever the call does, the caller gets its value or its error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def outcome(call: Callable[[], Value]) -> tuple[Value | None, Exception | None]:
    """Give the call's value, or the error it raised."""
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - the one documented place, see the module's first lines
        return None, error
