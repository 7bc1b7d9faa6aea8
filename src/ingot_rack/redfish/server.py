"""Redfish BMCs on HTTP or HTTPS: one listener serves one BMC or ten thousand.

Why: the accepted connection's own address tells which BMC was meant, so one listener on all addresses is a fleet.
May not: build resources or change machines (`tree`, `actions`). Invariant: nothing but the service root, the OData
documents and logging in is served without credentials.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from ingot_rack.redfish import actions, sessions, tree
from ingot_rack.redfish.tree import Front
from ingot_rack.redfish.wire import BODY_LIMIT, Json, Refused, answer, check_match, no_content, read

log = logging.getLogger(__name__)

HANG_SECONDS = 120.0
View = Callable[[web.Request, Front], Awaitable[web.StreamResponse]]
Reader = Callable[[Front], Json]
_OPEN = {"/redfish", "/redfish/v1", "/redfish/v1/", "/redfish/v1/odata"}
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
        try:
            await self._suffer(request, front)
            return await self._route(request, front, self._sessions[address])
        except Refused as refusal:
            return refusal.response()

    async def _suffer(self, request: web.Request, front: Front) -> None:
        """Apply the faults asked for."""
        faults = front.bmc.faults
        if faults.delay:
            await asyncio.sleep(faults.delay)
        if faults.drops():
            await asyncio.sleep(HANG_SECONDS)
        if faults.take("reset_next") and request.transport:
            request.transport.abort()
        if faults.take("unavailable_next") or faults.take("busy_next"):
            raise Refused(503, "ServiceTemporarilyUnavailable", "1")

    async def _route(self, request: web.Request, front: Front, table: sessions.Sessions) -> web.StreamResponse:
        path = request.path.rstrip("/") or "/"
        if path == _SESSIONS and request.method == "POST":
            return await _log_in(request, table)
        if request.path not in _OPEN:
            table.check(request.headers.get("X-Auth-Token"), request.headers.get("Authorization"))
        if path.startswith(_SESSIONS):
            return _session(request, table, path.removeprefix(_SESSIONS).strip("/"))
        views = self._routes.get(path) or _numbered(path, front)
        if views is None:
            raise Refused(404, "ResourceMissingAtURI", path)
        view = views.get("GET" if request.method == "HEAD" else request.method)
        if view is None:
            raise Refused(405, "OperationNotAllowed")
        return await view(request, front)


def _shown(reader: Reader) -> dict[str, View]:
    async def view(request: web.Request, front: Front) -> web.StreamResponse:
        body = reader(front)
        response = answer(body)
        if request.headers.get("If-None-Match") == response.headers["ETag"]:
            return web.Response(status=304, headers={"ETag": response.headers["ETag"]})
        return response

    return {"GET": view}


def _listed(path: str, kind: str, *members: str) -> dict[str, View]:
    return _shown(lambda front: tree.collection(path, kind, [f"{path}/{member}" for member in members]))


def _done(act: Callable[[Front, Json], Awaitable[None]]) -> dict[str, View]:
    async def view(request: web.Request, front: Front) -> web.StreamResponse:
        await act(front, await read(request))
        return no_content()

    return {"POST": view}


async def _patch_system(request: web.Request, front: Front) -> web.StreamResponse:
    check_match(request, tree.system(front))
    await actions.set_boot(front, await read(request))
    return answer(tree.system(front))


async def _eject(front: Front, body: Json) -> None:
    del body
    await actions.eject(front)


def _interfaces(front: Front) -> Json:
    path = f"{tree.SYSTEM}/EthernetInterfaces"
    count = len(front.bmc.hardware.facts.macs)
    return tree.collection(path, "EthernetInterface", [f"{path}/{number + 1}" for number in range(count)])


def _routes() -> dict[str, dict[str, View]]:
    """The route table: everything served, except sessions and numbered network cards."""
    system, manager, root = tree.SYSTEM, tree.MANAGER, tree.ROOT
    table: dict[str, dict[str, View]] = {
        "/redfish": _shown(lambda _: {"v1": "/redfish/v1/"}),
        root: _shown(tree.root),
        f"{root}/odata": _shown(lambda _: {"@odata.context": "/redfish/v1/$metadata", "value": []}),
        f"{root}/SessionService": _shown(lambda _: tree.session_service()),
        f"{root}/Systems": _listed(f"{root}/Systems", "ComputerSystem", "1"),
        f"{root}/Managers": _listed(f"{root}/Managers", "Manager", "1"),
        f"{root}/Chassis": _listed(f"{root}/Chassis", "Chassis", "1"),
        system: {**_shown(tree.system), "PATCH": _patch_system},
        f"{system}/Actions/ComputerSystem.Reset": _done(actions.reset),
        f"{system}/Processors": _listed(f"{system}/Processors", "Processor", "1"),
        f"{system}/Processors/1": _shown(tree.processor),
        f"{system}/Memory": _listed(f"{system}/Memory", "Memory", "1"),
        f"{system}/Memory/1": _shown(tree.memory),
        f"{system}/SimpleStorage": _listed(f"{system}/SimpleStorage", "SimpleStorage", "1"),
        f"{system}/SimpleStorage/1": _shown(tree.storage),
        f"{system}/EthernetInterfaces": _shown(_interfaces),
        manager: _shown(tree.manager),
        tree.CHASSIS: _shown(tree.chassis),
    }
    for parent in (system, manager):
        table |= _media_routes(parent)
    return table


def _media_routes(parent: str) -> dict[str, dict[str, View]]:
    drive = f"{parent}/VirtualMedia/Cd"
    return {
        f"{parent}/VirtualMedia": _listed(f"{parent}/VirtualMedia", "VirtualMedia", "Cd"),
        drive: _shown(lambda front: tree.media(front, parent)),
        f"{drive}/Actions/VirtualMedia.InsertMedia": _done(actions.insert),
        f"{drive}/Actions/VirtualMedia.EjectMedia": _done(_eject),
    }


def _numbered(path: str, front: Front) -> dict[str, View] | None:
    number = path.removeprefix(f"{tree.SYSTEM}/EthernetInterfaces/")
    if number.isdigit() and 0 < int(number) <= len(front.bmc.hardware.facts.macs):
        return _shown(lambda one: tree.interface(one, int(number) - 1))
    return None


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
