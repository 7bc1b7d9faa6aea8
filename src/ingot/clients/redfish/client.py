"""The pool of Redfish services: logging in, sending, trying again.

Why: sessions are few per BMC and TLS handshakes dear, so both are kept and shared by all callers.
May not: know resources beyond the service root and the session service.
Invariant: one request at a time per BMC, because many BMCs corrupt parallel ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import cast

import msgspec

from ingot.clients.http.client import Call, HttpClient, Reply, Streamed
from ingot.clients.redfish import complaints
from ingot.clients.redfish.resources import Resource, items, link, part, path_in, text
from ingot.clients.redfish.service import Service
from ingot.clients.redfish.sessions import Sessions
from ingot.clients.redfish.target import Target
from ingot.domain import errors

IDLE = 1200.0  # longer than power sync leaves a BMC alone that has failed
CLOSE_DEADLINE = 8.0
MOST_MEMBERS = 2000  # of a collection: a blade enclosure's systems, a full storage shelf, and far from endless
_EXPAND = "$expand=.($levels=1)"  # DSP0266 section "The $expand query parameter": the members, not the links


class RedfishPool:
    """All Redfish services reached from this event loop. ``sessions``: what a killed process has left open on them.

    One that nobody has asked for ``idle`` seconds is logged out of and forgotten.
    """

    def __init__(self, sessions: Sessions | None = None, *, idle: float = IDLE) -> None:
        self._http = HttpClient()
        self._sessions = sessions or Sessions()
        self._services: dict[str, Service] = {}
        self._idle = idle
        self._keeper: asyncio.Task[None] | None = None

    async def get(self, target: Target, path: str) -> Resource:
        """The resource at ``path`` (absolute on the service).

        Raises ``errors.Unreachable``, ``errors.TimedOut``, ``errors.AccessDenied``, ``errors.NotFound``,
        ``errors.NotSupported``, ``errors.Misbehaved``.
        """
        resource, _ = await self.get_with_etag(target, path)
        return resource

    async def get_with_etag(self, target: Target, path: str) -> tuple[Resource, str | None]:
        """The resource and its ETag, None when the service gives none."""
        reply = await self.send(target, "GET", path)
        resource = _resource(reply, f"GET {path}")
        etag = reply.headers.get("ETag") or resource.get("@odata.etag")
        return resource, etag if isinstance(etag, str) else None

    async def post(self, target: Target, path: str, body: Resource) -> Reply:
        """Post ``body``; gives the whole answer, as a 202 names its task in a header. Raises like ``get``."""
        return await self.send(target, "POST", path, body)

    async def patch(
        self, target: Target, path: str, body: Resource, etag: str | None = None, *, accept: tuple[int, ...] = ()
    ) -> Reply:
        """Patch a resource, under ``If-Match`` when ``etag`` is given; statuses in ``accept`` do not raise.

        A refused weak ETag is tried as a strong one and then left out: services differ in which of the three
        they accept for the very ETag they gave. Raises like ``get``.
        """
        if etag is not None:
            strong = etag.removeprefix("W/")
            for match in (etag,) if strong == etag else (etag, strong):
                reply = await self.send(target, "PATCH", path, body, etag=match, accept=(412, *accept))
                if reply.status != 412:
                    return reply
        return await self.send(target, "PATCH", path, body, accept=accept)

    async def delete(self, target: Target, path: str) -> Reply:
        """Delete a resource. Raises like ``get``."""
        return await self.send(target, "DELETE", path)

    async def send(
        self,
        target: Target,
        method: str,
        path: str,
        body: Resource | None = None,
        *,
        etag: str | None = None,
        accept: tuple[int, ...] = (),
    ) -> Reply:
        """Send one request; a status of 400 or more raises unless it is in ``accept``."""
        content = None if body is None else msgspec.json.encode(body)
        reply = await self._service(target).request(target, method, path, content, etag)
        if reply.status >= 400 and reply.status not in accept:
            raise complaints.failure(reply, f"{method} {path}")
        return reply

    async def survey(self, target: Target, path: str | None) -> list[tuple[str, Resource]]:
        """As ``collect``, and empty too where the service links to what it cannot show: sushy-tools' Storage is a 500.

        For overviews (sensors, lamps, inventories), which one broken corner must not cost.
        """
        with contextlib.suppress(errors.Misbehaved, errors.NotFound, errors.NotSupported):
            return await self.collect(target, path)
        return []

    async def upload(self, target: Target, path: str, body: Streamed, kind: str) -> Reply:
        """Post a large body of content type ``kind``; statuses do not raise. Raises what broken connections raise."""
        return await self._service(target).upload(target, path, body, kind)

    async def download(self, url: str, file: Path, timeout: float) -> None:
        """Fetch ``url`` from wherever it is into ``file``: an image on its way to a BMC."""
        await self._http.download(Call("GET", url, f"The server of {file.name}", timeout=timeout), file)

    async def system_path(self, target: Target) -> str:
        """Path of the target's ComputerSystem. Raises ``errors.Invalid`` when there are several."""
        known = self._service(target).systems
        path = known.get(target)
        if path is None:
            path = known[target] = await self._find_system(target)
        return path

    def forget_system(self, target: Target) -> bool:
        """Look for the system anew next time; whether there was one to forget."""
        return self._service(target).systems.pop(target, None) is not None

    async def collect(self, target: Target, path: str | None) -> list[tuple[str, Resource]]:
        """(path, resource) of every member of the collection at ``path``; empty where there is none."""
        if path is None:
            return []
        found: list[tuple[str, Resource]] = []
        for item in await self.list_members(target, f"{path}?{_EXPAND}" if await self._can_expand(target) else path):
            member = path_in(item)
            if member is not None:  # a member of one key is a link, any other is the resource itself
                found.append((member, item if len(item) > 1 else await self.get(target, member)))
        return found

    async def list_members(self, target: Target, path: str) -> list[Resource]:
        """The members, or links to them, of the collection at ``path``, from all its pages; ``MOST_MEMBERS`` at most.

        Source: DSP0266 section "Resource collections", Members@odata.nextLink.
        """
        found: list[Resource] = []
        following: str | None = path
        while following is not None and len(found) < MOST_MEMBERS:
            page = await self.get(target, following)
            some = items(page, "Members")
            found += some
            following = text(page, "Members@odata.nextLink") if some else None  # an empty page may lead to itself
        return found[:MOST_MEMBERS]

    async def close(self) -> None:
        """Log out everywhere and close the connections; the pool cannot be used afterwards."""
        if self._keeper is not None:
            self._keeper.cancel()
        with contextlib.suppress(TimeoutError):  # what is not done by then, the next process takes over
            async with asyncio.timeout(CLOSE_DEADLINE):
                await asyncio.gather(*(service.close() for service in self._services.values()))
        for service in self._services.values():
            service.hang_up()
        self._services.clear()
        self._sessions.close()
        await self._http.close()

    async def _keep(self, tick: float) -> None:
        """Leave the services that nobody asks any more."""
        while True:
            await asyncio.sleep(tick)
            latest = asyncio.get_running_loop().time() - self._idle
            unused = [origin for origin, one in self._services.items() if one.idle and one.used < latest]
            await asyncio.gather(*(self._services[origin].close() for origin in unused))
            for origin in unused:
                if self._services[origin].idle and self._services[origin].used < latest:
                    del self._services[origin]

    async def _can_expand(self, target: Target) -> bool:
        """Whether collections may be asked for with their members inside, as the service root tells."""
        service = self._service(target)
        if service.expands is None:
            root = await self.get(target, target.root)
            query = part(root, "ProtocolFeaturesSupported", "ExpandQuery")
            service.expands = query.get("NoLinks") is True or query.get("ExpandAll") is True
        return service.expands

    def _service(self, target: Target) -> Service:
        service = self._services.get(target.origin)
        if service is None:
            service = self._services[target.origin] = Service(self._http, self._sessions)
            if self._keeper is None:
                self._keeper = asyncio.create_task(self._keep(self._idle / 4))
        return service

    async def _find_system(self, target: Target) -> str:
        if target.system_id and target.system_id.startswith("/"):
            return target.system_id.rstrip("/")
        root = await self.get(target, target.root)
        systems = link(root, "Systems")
        if systems is None:
            raise errors.NotSupported(f"{target.name} has no Systems collection.")
        if target.system_id:
            return f"{systems.rstrip('/')}/{target.system_id}"
        found = [path for one in await self.list_members(target, systems) if (path := path_in(one))]
        if len(found) != 1:
            raise errors.Invalid(
                f"{target.name} has {len(found)} systems ({', '.join(found[:8])}).",
                hint="Set redfish_system_id to one of them.",
            )
        return found[0]


def _resource(reply: Reply, what: str) -> Resource:
    body = reply.json()
    if not isinstance(body, dict):
        raise errors.Misbehaved(f"{reply.peer} answered {what} with no JSON object.")
    return cast("Resource", body)
