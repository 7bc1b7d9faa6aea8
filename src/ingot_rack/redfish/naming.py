"""Paths as a maker names them: translated where requests come in and answers go out.

Why: resources are written once, for one set of paths. Invariant: a shape without renames costs nothing.
"""

from __future__ import annotations

from aiohttp import web

from ingot_rack.redfish.shapes import Shape


def ours(path: str, shape: Shape) -> str:
    """A path of the maker in our own words; one in our words, where the maker has others, leads nowhere."""
    for own, theirs_ in shape.renames:
        whole = f"{path}/"
        if f"{theirs_}/" in whole:
            path = whole.replace(f"{theirs_}/", f"{own}/", 1).rstrip("/")
        elif f"{own}/" in whole:
            return "/"
    return path


def theirs(response: web.StreamResponse, shape: Shape) -> web.StreamResponse:
    """An answer with every path in the maker's words."""
    if not shape.renames:
        return response
    location = response.headers.get("Location")
    if location:
        response.headers["Location"] = _rename(location + '"', shape.renames)[:-1]
    if isinstance(response, web.Response) and response.text:
        response.text = _rename(response.text, shape.renames)
    return response


def body(text: str, shape: Shape) -> str:
    """A request's body with every path in our own words."""
    return _rename(text, tuple((theirs_, own) for own, theirs_ in shape.renames))


def _rename(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        for end in ("/", '"'):
            text = text.replace(old + end, new + end)
    return text
