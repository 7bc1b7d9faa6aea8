"""The views that resources are made of: a method, a request, an answer.

Why: showing, listing and acting look alike for every resource. May not: know one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ingot_rack.redfish.tree import Front, collection
from ingot_rack.redfish.wire import Json, answer, no_content, read

View = Callable[[web.Request, Front], Awaitable[web.StreamResponse]]
Views = dict[str, View]
"""HTTP method -> view."""
Reader = Callable[[Front], Json]


def shown(reader: Reader) -> Views:
    """A resource that can be read."""

    async def view(request: web.Request, front: Front) -> web.StreamResponse:
        response = answer(reader(front))
        if request.headers.get("If-None-Match") == response.headers["ETag"]:
            return web.Response(status=304, headers={"ETag": response.headers["ETag"]})
        return response

    return {"GET": view}


def listed(path: str, kind: str, *members: str) -> Views:
    """A collection that is the same on every machine."""
    return shown(lambda front: collection(path, kind, [f"{path}/{member}" for member in members]))


def action(act: Callable[[Front, Json], Awaitable[None]]) -> Views:
    """An action that is done when it is answered."""

    async def view(request: web.Request, front: Front) -> web.StreamResponse:
        await act(front, await read(request))
        return no_content()

    return {"POST": view}
