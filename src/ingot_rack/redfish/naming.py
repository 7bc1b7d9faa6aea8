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
        response.headers["Location"] = _rename(location + '"', shape)[:-1]
    if isinstance(response, web.Response) and response.text:
        response.text = _rename(response.text, shape)
    return response


def _rename(text: str, shape: Shape) -> str:
    for own, theirs_ in shape.renames:
        for end in ("/", '"'):
            text = text.replace(own + end, theirs_ + end)
    return text
