"""Redfish BMCs on HTTP or HTTPS: one listener serves one BMC or ten thousand.

Why: the accepted connection's own address tells which BMC was meant, so one listener on all addresses is a fleet.
May not: build resources or change machines (one module per resource does that). Invariant: nothing but the service
root, the OData documents and logging in is served without credentials.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Mapping
from typing import cast

from aiohttp import web

from ingot_rack.redfish import (
    accounts,
    bios,
    computer,
    documents,
    eventlog,
    events,
    inside,
    managers,
    media,
    naming,
    secureboot,
    sensing,
    sessions,
    storage,
    tasks,
    tree,
    updates,
)
from ingot_rack.redfish.tree import Front
from ingot_rack.redfish.views import Views, shown
from ingot_rack.redfish.wire import BODY_LIMIT, SHAPE, Json, Refused, answer, no_content, read

log = logging.getLogger(__name__)

_ROOMS = (
    *(accounts, bios, computer, documents, eventlog, events, inside),
    *(managers, media, secureboot, sensing, storage, tasks, updates),
)
_BY_MACHINE = (inside.numbered, eventlog.numbered, events.numbered, storage.numbered, tasks.numbered)
HANG_SECONDS = 120.0
_SESSIONS = f"{tree.ROOT}/SessionService/Sessions"


class Server:
    """All Redfish BMCs of one port. `fronts` maps an IPv4 address to its BMC."""

    def __init__(self, fronts: Mapping[str, Front], port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._fronts = dict(fronts)
        self._sessions = {address: sessions.Sessions(front.bmc) for address, front in fronts.items()}
        self._host = next(iter(fronts)) if len(fronts) == 1 else "0.0.0.0"
        self._port = port
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self.requests = 0

    async def start(self) -> int:
        """Bind and begin to answer; the port in use."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._routes = _routes()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=75)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port, ssl_context=self._tls, backlog=4096)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return int(runner.addresses[0][1])

    def tokens(self) -> list[str]:
        """The tokens of all open sessions."""
        return [token for one in self._sessions.values() for token in one.tokens()]

    def sessions(self) -> list[int]:
        """How many sessions are open on each BMC."""
        return [len(table.numbers()) for table in self._sessions.values()]

    async def close(self) -> None:
        """Stop answering."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        transport = request.transport
        address = str(transport.get_extra_info("sockname")[0]) if transport else ""
        front = self._fronts.get(address)
        if front is None:
            return Refused(404, "ResourceMissingAtURI", request.path).response()
        request[SHAPE] = front.shape
        try:
            await self._suffer(request, front, address)
            response = await self._route(request, front, self._sessions[address])
        except Refused as refusal:
            response = refusal.response()
        faults = front.bmc.faults
        is_order = request.method == "POST" and not request.path.startswith(_SESSIONS)
        if (faults.take("reset_next") or (is_order and faults.take("order_cut_next"))) and request.transport:
            request.transport.abort()
        return naming.theirs(response, front.shape)

    async def _suffer(self, request: web.Request, front: Front, address: str) -> None:
        """Apply the faults asked for."""
        faults = front.bmc.faults
        if front.used(updates.Versions) and time.monotonic() < front.part(updates.Versions).back_at:
            self._sessions[address].drop_all()  # the BMC restarts: no session outlives that
            raise Refused(faults.bmc_restart_status, "ServiceTemporarilyUnavailable", "1")
        if faults.delay:
            await asyncio.sleep(faults.delay)
        if faults.drops():
            await asyncio.sleep(HANG_SECONDS)
            raise Refused(503, "ServiceTemporarilyUnavailable", "1")  # to nobody, and what was lost is not carried out
        if faults.take("unavailable_next") or faults.take("busy_next"):
            raise Refused(503, "ServiceTemporarilyUnavailable", "1")

    async def _route(self, request: web.Request, front: Front, table: sessions.Sessions) -> web.StreamResponse:
        path = naming.ours(request.path.rstrip("/") or "/", front.shape)
        documents.check_version(request, expands=front.shape.expands)
        if path.removesuffix("/Members") == _SESSIONS and request.method == "POST":
            return await _log_in(request, table)
        if request.path not in documents.OPEN:
            table.check(request.headers.get("X-Auth-Token"), request.headers.get("Authorization"))
        if path.startswith(_SESSIONS):
            return _session(request, table, path.removeprefix(_SESSIONS).strip("/"))
        views = self._find(path, front)
        view = views.get("GET" if request.method == "HEAD" else request.method)
        if view is None:
            raise Refused(405, "OperationNotAllowed", allow=_allowed(views))
        response = await view(request, front)
        if "GET" in views:
            response.headers["Allow"] = _allowed(views)
        if "$expand" in request.query and front.shape.expands and isinstance(response, web.Response):
            return await self._expanded(request, front, response)
        return response

    def _find(self, path: str, front: Front) -> Views:
        """What is served at a path; raises Refused 404."""
        views = self._routes.get(path)
        for find in _BY_MACHINE:
            views = views or find(path, front)
        if views is None:
            raise tree.missing(path)
        return views

    async def _expanded(self, request: web.Request, front: Front, response: web.Response) -> web.StreamResponse:
        """A collection with its members in full, as $expand asks for it."""
        body: Json = json.loads(response.text or "{}")
        members = body.get("Members")
        for number, member in enumerate(cast("list[Json]", members) if isinstance(members, list) else []):
            inner = await self._find(str(member["@odata.id"]), front)["GET"](request, front)
            if isinstance(inner, web.Response):
                cast("list[Json]", members)[number] = json.loads(inner.text or "{}")
        return answer(body)


def _allowed(views: Views) -> str:
    """What may be asked for here. Source: DSP0266 section "Response headers"."""
    return ", ".join([*(["HEAD"] if "GET" in views else []), *views])


def _routes() -> dict[str, Views]:
    """The route table: everything served, except sessions and what differs by machine."""
    root = tree.ROOT
    table: dict[str, Views] = {
        f"{root}/SessionService": shown(lambda _: tree.session_service()),
    }
    for room in _ROOMS:
        table |= room.routes()
    return table


async def _log_in(request: web.Request, table: sessions.Sessions) -> web.StreamResponse:
    body = await read(request)
    for name in ("UserName", "Password"):
        if name not in body:
            raise Refused(400, "PropertyMissing", name)
    token, number = table.open(str(body["UserName"]), str(body["Password"]))
    headers = {"X-Auth-Token": token, "Location": f"{_SESSIONS}/{number}"}
    return answer(tree.session(number, str(body["UserName"])), status=201, headers=headers)


def _session(request: web.Request, table: sessions.Sessions, number: str) -> web.StreamResponse:
    if not number and request.method == "GET":
        return answer(tree.collection(_SESSIONS, "Session", [f"{_SESSIONS}/{one}" for one in table.numbers()]))
    user = table.user(number)
    if user is None:
        raise Refused(404, "ResourceMissingAtURI", request.path)
    if request.method == "DELETE":
        table.close(number)
        return no_content()
    return answer(tree.session(number, user))
