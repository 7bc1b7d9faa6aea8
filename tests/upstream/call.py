"""One call of the differential test as data, and short ways to write many.

May not: send anything. Invariant: a call names the objects it makes (uuid, name), so both sides have the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

LATEST = "1.115"


@dataclass(frozen=True)
class Call:
    """``body``: JSON, or bytes sent as they are; None sends none. ``version``: None sends no version header.

    ``until``: a node; the next call waits until nothing works on it any more. ``crash``: the status the API reference
    promises where upstream answers 500, which ingot does not copy.
    """

    method: str
    path: str
    body: Any = None
    version: str | None = LATEST
    headers: dict[str, str] = field(default_factory=dict[str, str])
    until: str = ""
    crash: int = 0

    def at(self, *versions: str | int | None) -> list[Call]:
        """The same call at several microversions; a number N means 1.N, None no header."""
        return [replace(self, version=f"1.{one}" if isinstance(one, int) else one) for one in versions]

    def around(self, *numbers: int) -> list[Call]:
        """One below and at each of these microversions, and at the latest."""
        found = {number for first in numbers for number in (first - 1, first) if number >= 1}
        return self.at(*sorted(found | {115}))

    def payload(self) -> bytes | None:
        """The bytes of the body."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.payload()!r:.300}"
        more = f" {self.headers}" if self.headers else ""
        return f"{self.method} {self.path} [{self.version or 'no version'}]{more}{body}"


def get(path: str, **more: Any) -> Call:
    """A GET."""
    return Call("GET", path, **more)


def gets(base: str, *ends: str, **more: Any) -> list[Call]:
    """GETs of ``base`` with each of these endings."""
    return [Call("GET", base + end, **more) for end in ends]


def post(path: str, body: Any = None, **more: Any) -> Call:
    """A POST."""
    return Call("POST", path, body, **more)


def posts(path: str, *bodies: Any, **more: Any) -> list[Call]:
    """POSTs of each of these bodies."""
    return [Call("POST", path, body, **more) for body in bodies]


def put(path: str, body: Any = None, **more: Any) -> Call:
    """A PUT."""
    return Call("PUT", path, body, **more)


def puts(path: str, *bodies: Any, **more: Any) -> list[Call]:
    """PUTs of each of these bodies."""
    return [Call("PUT", path, body, **more) for body in bodies]


def delete(path: str, **more: Any) -> Call:
    """A DELETE."""
    return Call("DELETE", path, **more)


def patch(path: str, *operations: Any, **more: Any) -> Call:
    """A PATCH with these operations."""
    return Call("PATCH", path, list(operations), **more)


def patches(path: str, *operations: Any, **more: Any) -> list[Call]:
    """PATCHes of one operation each."""
    return [Call("PATCH", path, [operation], **more) for operation in operations]


def add(path: str, value: Any) -> dict[str, Any]:
    """A patch operation."""
    return {"op": "add", "path": path, "value": value}


def swap(path: str, value: Any) -> dict[str, Any]:
    """A patch operation."""
    return {"op": "replace", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    """A patch operation."""
    return {"op": "remove", "path": path}


def by(who: str, *calls: Call | Iterable[Call]) -> list[Call]:
    """The calls with the token of this caller (identity.EVERYONE)."""
    return [replace(call, headers={**call.headers, "X-Auth-Token": who}) for call in flat(*calls)]


def uuid(kind: int, number: int) -> str:
    """A uuid that is the same on both sides; ``kind`` keeps resources apart."""
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def flat(*parts: Call | Iterable[Call]) -> list[Call]:
    """Calls and lists of calls as one list."""
    found: list[Call] = []
    for part in parts:
        found.extend([part] if isinstance(part, Call) else part)
    return found
