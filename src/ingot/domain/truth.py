"""Truth values as clients write them: JSON's, or one of a few words.

May not: know where one stands. Source: the words that Ironic takes.
"""

from __future__ import annotations

from ingot.domain import errors

_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})


def find(value: object) -> bool | None:
    """The truth value, or None for what is none."""
    word = str(value).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def read(name: str, value: object) -> bool:
    """The truth value of the argument or field ``name``. Raises errors.Invalid."""
    found = find(value)
    if found is not None:
        return found
    words = ", ".join(f"'{word}'" for word in sorted(_TRUE | _FALSE))
    raise errors.Invalid(f"Invalid {name}: Unrecognized value '{str(value)[:80]}', acceptable values are: {words}")
