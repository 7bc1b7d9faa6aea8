"""Finding the route of a path: a tree of path segments, literal words before placeholders.

May not: know any route. Invariant: a segment is decoded once, so ``%2F`` never separates.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable

import msgspec

from ingot.api import wire
from ingot.deps import Deps

Handler = Callable[[Deps, wire.Request], Awaitable[wire.Answer]]

MIB = 1024 * 1024
OWN = frozenset({"ingot", "metrics"})
"""First words of paths that are not Ironic's and have no microversions."""


class Route(msgspec.Struct, frozen=True):
    """One line of the route table. ``since``: first microversion; ``public``: open without authentication;
    ``limit``: bytes a body may have; ``late``: what is answered below ``since`` (404, or 405 or 406 where Ironic does),
    ``by_path``: in the form of a path that is not there, below this microversion;
    ``limited``: the agents' call whose rate limit it has; ``asks``: what the rule is about stands in the body or the
    query, so the handler asks for permission itself (access.require); ``slow``: it may wait for minutes,
    so it is given up when the client hangs up.
    """

    method: str
    path: str
    handler: Handler
    since: int
    rule: str
    public: bool = False
    limit: int = MIB
    late: int = 404
    by_path: int = 0
    limited: str = ""
    asks: bool = False
    slow: bool = False


class _Place(msgspec.Struct):
    words: dict[str, _Place] = {}
    any: _Place | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = {}


class Router:
    """All routes as a tree."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._root = _Place()
        for route in routes:
            place = self._root
            names: list[str] = []
            for word in route.path.strip("/").split("/") if route.path != "/" else ():
                if word.startswith("{"):
                    names.append(word.strip("{}"))
                    place.any = place.any or _Place()
                    place = place.any
                else:
                    place = place.words.setdefault(word, _Place())
            place.routes[route.method] = (route, tuple(names))

    def find(self, segments: tuple[str, ...]) -> tuple[dict[str, tuple[Route, tuple[str, ...]]], list[str]]:
        """The routes of a path by method, each with its placeholders' names, and the placeholders' values."""
        place: _Place | None = self._root
        values: list[str] = []
        for segment in segments:
            below = place.words.get(segment)
            if below is None:
                values.append(segment)
                below = place.any
            if below is None:
                return {}, []
            place = below
        return place.routes, values

    def knows(self, first: str) -> bool:
        """Whether ``first`` begins a path of version 1."""
        return first in self._root.words["v1"].words


def split(raw_path: bytes) -> tuple[str, ...] | None:
    """The decoded segments of a path; a trailing slash does not count. None when it cannot be a path of ours."""
    try:
        text = raw_path.decode("ascii")
        parts = text.strip("/").split("/") if text.strip("/") else []
        segments = tuple(urllib.parse.unquote(part, errors="strict") for part in parts)
    except UnicodeDecodeError as error:
        raise wire.Unreadable("The path is not valid UTF-8.") from error
    return None if "" in segments else segments


def without_suffix(segments: tuple[str, ...]) -> tuple[str, ...]:
    """The path without the suffix .json of its last segment."""
    if not segments or not segments[-1].endswith(".json"):
        return segments
    stem = segments[-1].removesuffix(".json")
    return (*segments[:-1], stem) if stem else segments[:-1]


def versioned(segments: tuple[str, ...]) -> tuple[str, ...]:
    """The path with ``v1`` in front, which clients may leave out."""
    if not segments or segments[0] in {"v1", *OWN}:
        return segments
    return ("v1", *segments)
