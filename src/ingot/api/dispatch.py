"""The ASGI application: one request through authentication, version, route, policy and body to its handler.

May not: know a route or a resource. Invariant: every answer carries a request id, and the version headers wherever
Ironic sends them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable

from ingot.api import access, auth, cors, limits, origin, refusals, routing, streams, versions, wire
from ingot.deps import Deps
from ingot.domain import errors
from ingot.telemetry import counts

_RANGE = (
    (b"x-openstack-ironic-api-minimum-version", f"1.{versions.MIN}".encode()),
    (b"x-openstack-ironic-api-maximum-version", f"1.{versions.MAX}".encode()),
)
_USED = tuple((b"x-openstack-ironic-api-version", f"1.{number}".encode()) for number in range(versions.MAX + 1))
_CLOSE = (b"connection", b"close")
_IDENTITY = (b"openstack-request-id", b"x-openstack-request-id")
_LAST_WITH_SUFFIX = 90
"""Up to here the suffix .json of a path says nothing, to those who name their microversion in Ironic's own header."""
_NOT_JSON = refusals.refusal(406, "This client does not accept application/json, and there is nothing else.")


Socket = Callable[[Deps, bytes, wire.Receive, wire.Send], Awaitable[None]]
"""What answers WebSockets, given the path as it came."""


class App:
    """The ASGI callable. ``end`` is to be called when the service stops: answers without an end are ended."""

    def __init__(self, deps: Deps, routes: tuple[routing.Route, ...], socket: Socket, end: Callable[[], None]) -> None:
        self.deps = deps
        self.end = end
        self._socket = socket
        self.router = routing.Router(routes)
        self.limits = limits.Limits(deps.settings.agent_rate, deps.clock)
        self.gate = auth.Gate(deps, self.limits)
        self.origins = origin.Origins(deps.settings)

    async def __call__(self, scope: wire.Scope, receive: wire.Receive, send: wire.Send) -> None:
        """Answer one connection event of the ASGI server."""
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "lifespan":
                await _live(receive, send)
            case _:
                await self._socket(self.deps, scope["raw_path"], receive, send)

    async def _serve(self, scope: wire.Scope, receive: wire.Receive, send: wire.Send) -> None:
        began = time.perf_counter()
        request_id = f"req-{uuid.uuid4()}"
        call = _Call(self, scope, receive, request_id)
        try:
            answer = await refusals.guard(call.answer(), request_id)
        except wire.Gone:
            return
        if scope["method"] == "OPTIONS" and answer.status != 200:
            answer, identity = wire.Answer(200, early=True), b""
        else:
            identity = request_id.encode()
        headers = [
            *answer.headers,
            *(() if answer.early else call.version_headers),
            (b"content-length", str(len(answer.body)).encode()),
            *((name, identity) for name in _IDENTITY if identity),
            *cors.headers(self.deps.settings.cors_origins, scope["method"], scope["headers"]),
        ]
        if call.body is None and _has_body(scope):
            headers.append(_CLOSE)
        counts.REQUESTS.observe(time.perf_counter() - began, *call.route, str(answer.status))
        if isinstance(answer, wire.Stream):
            await streams.pour(answer, headers, receive, send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


class _Call:
    """One request on its way. ``version_headers`` and ``body`` say how far it came."""

    def __init__(self, app: App, scope: wire.Scope, receive: wire.Receive, request_id: str) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._request_id = request_id
        client = scope.get("client")
        self._client = str(client[0]) if client else ""
        self.version_headers: tuple[tuple[bytes, bytes], ...] = ()
        self.body: bytes | None = None
        self.route = ("", "unknown")

    async def answer(self) -> wire.Answer:
        scope = self._scope
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._client = self._app.origins.client(self._client, headers)
        plain = routing.split(scope["raw_path"])
        segments = routing.versioned(plain or ())
        version = self._choose_version(headers, segments)
        if isinstance(version, wire.Answer):
            if not self._is_public(segments):
                await self._app.gate.caller(headers, self._client)
            return version
        named = versions.HEADER in headers and version <= _LAST_WITH_SUFFIX
        short = routing.versioned(routing.without_suffix(plain or ())) if named else segments
        if plain is None or not self._is_known(short):
            await self._app.gate.caller(headers, self._client)
            return refusals.refusal(404)
        return await self._cut(headers, segments, short, version)

    def _is_known(self, segments: tuple[str, ...]) -> bool:
        if len(segments) > 1 and segments[0] == "v1":
            return self._app.router.knows(segments[1])
        return True

    def _is_public(self, segments: tuple[str, ...]) -> bool:
        return any(route.public for route, _ in self._app.router.find(segments)[0].values())

    def _choose_version(self, headers: dict[str, str], segments: tuple[str, ...]) -> int | wire.Answer:
        if segments and segments[0] in routing.OWN:
            return versions.MAX
        try:
            version = versions.negotiate(headers)
        except versions.Unknown as error:
            return refusals.fault(406, error.message) if not segments else refusals.refusal(406, error.message)
        except errors.NotAcceptable as error:
            self.version_headers = _RANGE
            return refusals.fault(406, error.message) if not segments else refusals.refusal(406, error.message, *_RANGE)
        self.version_headers = (*_RANGE, _USED[version])
        return version

    async def _cut(
        self, headers: dict[str, str], segments: tuple[str, ...], short: tuple[str, ...], version: int
    ) -> wire.Answer:
        """The path ``short``, without the suffix .json; where that names nothing, the suffix was part of a name."""
        try:
            return await self._route(headers, short, version)
        except errors.NotFound:
            if short == segments or segments[-1] not in self._app.router.find(segments)[1]:
                raise
            return await self._route(headers, segments, version)

    async def _route(self, headers: dict[str, str], segments: tuple[str, ...], version: int) -> wire.Answer:
        method: str = self._scope["method"]
        routes, values = self._app.router.find(segments)
        route, names = routes.get(method, (None, ()))
        if route is None:
            await self._app.gate.caller(headers, self._client)
            return _no_route(routes)
        self.route = (method, route.path)
        caller = auth.NOBODY if route.public else await self._app.gate.caller(headers, self._client)
        if refused := _refused(route, version, headers):
            return refused
        if not route.asks:
            ident = values[0] if values else None
            await access.admit(self._app.deps, caller, route.rule, route.path, ident)
        if route.limited:
            asked = "/".join(values) or self._scope["query_string"].decode("latin-1")
            self._app.limits.admit_agent(route.limited, self._client, asked)
        if self.body is None:
            self.body = await wire.read_body(self._receive, headers, route.limit)
        deps = self._app.deps
        request = wire.Request(
            method=method,
            base=self._app.origins.base(self._scope["scheme"], headers),
            query=wire.parse_query(self._scope["query_string"]),
            body=self.body,
            version=version,
            caller=caller,
            headers=headers,
            request_id=self._request_id,
            args=dict(zip(names, values, strict=True)),
            path="/".join(segments),
            client=self._client,
        )
        work = route.handler(deps, request)
        return await (streams.while_connected(work, self._receive) if route.slow else work)


def _no_route(routes: dict[str, tuple[routing.Route, tuple[str, ...]]]) -> wire.Answer:
    if not routes:
        return refusals.refusal(404)
    return refusals.refusal(405, "", (b"allow", ", ".join(sorted(routes)).encode()))


def _refused(route: routing.Route, version: int, headers: dict[str, str]) -> wire.Answer | None:
    if route.path.startswith("/v1") and not wire.accepts_json(headers.get("accept", "")):
        return _NOT_JSON
    return _too_early(route, version) if version < route.since else None


def _too_early(route: routing.Route, version: int) -> wire.Answer:
    if route.late == 406:
        return refusals.fault(
            406, f"Request not acceptable. The minimal required API version should be 1.{route.since}."
        )
    text = f"The API version does not allow this. It begins with 1.{route.since}."
    return refusals.refusal(route.late, text) if version < route.by_path else refusals.fault(route.late, text)


def _has_body(scope: wire.Scope) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} and value != b"0" for name, value in scope["headers"])


async def _live(receive: wire.Receive, send: wire.Send) -> None:
    while True:
        message = await receive()
        match message["type"]:
            case "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            case _:
                await send({"type": "lifespan.shutdown.complete"})
                return
