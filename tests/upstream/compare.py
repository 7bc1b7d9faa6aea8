"""What differs between two answers to the same call, after what cannot be equal was made equal.

May not: know a resource. Invariant: a difference is a path and two values, the shortest that say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from upstream.call import Call
from upstream.sides import Answer

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_FIXED = re.compile(r"0000[0-9a-f]{4}-0000-4000-8000-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(\+00:00)?")
_ANY_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PUNCTUATION = re.compile(r"""['"`\\]""")
_EQUAL: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"Schema error( for \w+)?:"), "Schema error:"),
    (re.compile(r"([xX])\1{19,}(\.\.\.)?"), r"\1\1"),
    (re.compile(r"(can be updated|alid interfaces are|llowed values are|llowed boot modes are):? .*"), r"\1"),
    (re.compile(r"(is not one of|in one of allowed) [\[(][^\])]*[\])]"), r"\1"),
    (re.compile(r"(Could\w+ apply patch .*?path: [^,}]*), value: .*?(\}\]?\. Reason)"), r"\1\2"),
    (re.compile(r"(node|portgroup) (\d+|\(uuid\))"), r"\1 (id)"),
    (re.compile(r"(\. Please contact the service administrator|\n\nFailed validating).*", re.DOTALL), ""),
    (re.compile(r"(?<=Unexpected arguments: )[\w, ]+"), lambda found: ", ".join(sorted(found[0].split(", ")))),
)
_UNJUDGED = frozenset({"date", "server", "connection", "content-length", "transfer-encoding", "keep-alive"})
_PRESENT = frozenset({"openstack-request-id", "x-openstack-request-id"})
_TEXTS = frozenset({"faultstring", "description"})
_REASON = "(text)"
_MISSING = "(missing)"


class Said(str):
    """A sentence for people. Ours may say more than theirs, but has to say theirs."""

    __slots__ = ()


@dataclass(frozen=True)
class Found:
    """One difference: ``what`` is a path into the answer, such as ``status`` or ``body.nodes[0].name``."""

    call: Call
    what: str
    upstream: Any
    ingot: Any
    statuses: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"{self.what}: upstream {shorten(self.upstream)}, ingot {shorten(self.ingot)}"


def compare(call: Call, theirs: Answer, ours: Answer) -> list[Found]:
    """All differences of one call."""
    statuses = (theirs.status, ours.status)
    expected = call.crash if call.crash and theirs.status >= 500 else theirs.status
    if call.crash:
        pairs = [("crash", theirs.status >= 500, True), ("status", expected, ours.status)]
        return [Found(call, *one, statuses) for one in pairs if one[1] != one[2]]
    found: list[tuple[str, Any, Any]] = []
    diff("status", theirs.status, ours.status, found)
    diff("header", _headers(theirs), _headers(ours), found)
    diff("body", _body(theirs), _body(ours), found)
    return [Found(call, *one, statuses) for one in found]


def _headers(answer: Answer) -> dict[str, str]:
    found = {name: value for name, value in answer.headers.items() if name not in _UNJUDGED}
    return {name: "(present)" if name in _PRESENT else _plain(value) for name, value in found.items()}


def _body(answer: Answer) -> Any:
    if not answer.raw:
        return None
    try:
        parsed = json.loads(answer.raw)
    except ValueError:
        return answer.raw.decode(errors="replace")
    if isinstance(parsed, dict) and isinstance(parsed.get("error_message"), str):
        try:
            inner = json.loads(parsed["error_message"])
            return {"error_message": {key: Said(inner[key]) if key in _TEXTS else inner[key] for key in inner}}
        except ValueError:
            return parsed
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), dict):
        return {"error": {key: Said(value) if key == "message" else value for key, value in parsed["error"].items()}}
    if isinstance(parsed, dict) and parsed.keys() == {"faultcode", "faultstring"}:
        return {**parsed, "faultstring": Said(parsed["faultstring"])}
    return _normal(parsed)


def _said(text: str) -> str:
    """A sentence without what no program reads: quotes, letter case, the last full stop, whose body a schema is of.

    Long runs of x are what the calls fill fields with; what there is may be listed in any order; a node may be named by
    its number; the value of a patch's operation, which could be a password, is left out.
    """
    plain = _PUNCTUATION.sub("", _ANY_UUID.sub("(uuid)", text))
    for pattern, instead in _EQUAL:
        plain = pattern.sub(instead, plain)
    return " ".join(plain.lower().split()).rstrip(".")


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _REASON if key == "reason" and below else _normal(_ordered(key, below)) for key, below in value.items()
        }
    if isinstance(value, list):
        return [_normal(below) for below in value]
    return _plain(value) if isinstance(value, str) else value


def _ordered(key: str, value: Any) -> Any:
    """Upstream lists a driver's interfaces in any order."""
    return sorted(value) if key.startswith("enabled_") else value


def _plain(text: str) -> str:
    """The text without what each side makes for itself: times and uuids."""
    return _UUID.sub(lambda one: one[0] if _FIXED.match(one[0]) else "(uuid)", _TIME.sub("(time)", text))


def diff(path: str, left: Any, right: Any, found: list[tuple[str, Any, Any]]) -> None:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}, key=str):
            diff(f"{path}.{key}", left.get(key, _MISSING), right.get(key, _MISSING), found)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            diff(f"{path}[{index}]", one, other, found)
    elif isinstance(left, Said) and isinstance(right, Said):
        if _said(left) not in _said(right):
            found.append((path, left, right))
    elif type(left) is not type(right) or left != right:
        found.append((path, left, right))


def shorten(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 300 else f"{text[:297]}..."
