"""JSON and plain values made into Structs, in whatever thread.

Why: msgspec learns what a Struct's fields are when one is first made of a value, and shows other threads what it knows
before it has all of it: two that begin at once end the process (a segmentation fault, seen twice in 230 starts of a
busy service). Whoever comes first learns here, and the others wait.
May not: know any type. Invariant: no other module decodes or converts into a type by itself.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

_learnt: set[Any] = set()
_learning = threading.Lock()


@overload
def decode(data: bytes | str, kind: type[T]) -> T: ...
@overload
def decode(data: bytes | str, kind: Any) -> Any: ...
def decode(data: bytes | str, kind: Any) -> Any:
    """``data``, a JSON text, as a value of ``kind``. Raises msgspec.ValidationError, msgspec.DecodeError."""
    return msgspec.json.decode(data, type=_learn(kind))


@overload
def convert(value: Any, kind: type[T], *, strict: bool = True) -> T: ...
@overload
def convert(value: Any, kind: Any, *, strict: bool = True) -> Any: ...
def convert(value: Any, kind: Any, *, strict: bool = True) -> Any:
    """A value of dicts, lists and words as one of ``kind``; not ``strict``: words may be numbers. Raises
    msgspec.ValidationError."""
    return msgspec.convert(value, _learn(kind), strict=strict)


def _learn(kind: Any) -> Any:
    if kind not in _learnt:
        with _learning:
            msgspec.json.Decoder(kind)  # it has all of the kind, and of the kinds within, when it is made
            _learnt.add(kind)
    return kind
