"""The API's listeners: the whole API where the settings say, and the agents' few calls on the provisioning network.

So an API bound to loopback still hears its ramdisks, and the provisioning network reaches nothing but lookup,
heartbeat and inspection. May not: know a route's meaning. Invariant: both serve the same application.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import resource
import socket
import ssl
import urllib.parse
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any

import structlog
from uvicorn.config import Config
from uvicorn.server import Server

from ingot.api import auth, dispatch, origin, patience, server
from ingot.deps import Deps
from ingot.domain import errors
from ingot.netboot import dhcp, hostnet
from ingot.settings import Settings
from ingot.telemetry import process
from ingot.tls import wanted

if TYPE_CHECKING:
    from ingot.tls import server as tls

_log = structlog.get_logger("ingot.api")
_AGENT_PATHS = ("/v1/lookup", "/v1/heartbeat/", "/v1/continue_inspection")
_ROOTS = {"/", "/v1", "/v1/"}
_KEEP_ALIVE = 75
_TICK = 1.0
_ANY = {"0.0.0.0", "::"}


class _Server(Server):
    """uvicorn without signal handlers, the process has its own, and woken once a second instead of ten times."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._ended = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        """Until ``end``; its tick writes the date that answers carry anew."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._ended.wait()

    def end(self) -> None:
        """Let it stop serving."""
        self.should_exit = True
        self._ended.set()


@contextlib.asynccontextmanager
async def listening(deps: Deps, ended: Callable[[asyncio.Task[None]], None]) -> AsyncGenerator[None]:
    """Serve the API while the context lasts; ``ended`` hears of a part of it that ends before that.

    Raises errors.Conflict when a port is taken, errors.Invalid for settings that are not safe.
    """
    auth.check(deps.settings)
    with contextlib.ExitStack() as sockets:
        app = server.build(deps)
        servers, identity = await _prepare(deps, app, sockets)
        tasks = [asyncio.create_task(one.serve(sockets=[sock])) for one, sock in servers]
        fresh = [] if identity is None else [asyncio.create_task(identity.keep_fresh())]
        for task in (*tasks, *fresh):
            task.add_done_callback(ended)
        try:
            with process.LOOP.running():
                yield
        finally:
            for task in (*tasks, *fresh):
                task.remove_done_callback(ended)
            app.end()
            for one, _ in servers:
                one.end()
            for task in fresh:
                task.cancel()
            await asyncio.gather(*tasks, *fresh, return_exceptions=True)
            await app.gate.close()


async def _prepare(
    deps: Deps, app: dispatch.App, sockets: contextlib.ExitStack
) -> tuple[list[tuple[_Server, socket.socket]], tls.Identity | None]:
    """The servers with their bound sockets, and what they show to callers of those that speak TLS."""
    settings = deps.settings
    main = sockets.enter_context(_bind(settings.host, settings.port))
    agents = _agents_address(settings, str(main.getsockname()[0]))
    places: list[tuple[Any, str, socket.socket]] = [(app, settings.host, main)]
    if agents is not None:
        places.append((_only_agents(app), agents, sockets.enter_context(_bind(agents, settings.port))))
    secured = any(wanted.is_wanted(settings, address) for _, address, _ in places)
    identity = await _identity(settings) if secured else None
    most = most_connections(len(places))
    servers = [
        (_server(one, identity.context if identity and wanted.is_wanted(settings, address) else None, most), sock)
        for one, address, sock in places
    ]
    url = f"{wanted.scheme(settings, settings.host)}://{dhcp.url_host(settings.host)}:{settings.port}"
    _log.info("API ready", url=url, agents_on=agents)
    return servers, identity


async def _identity(settings: Settings) -> tls.Identity:
    from ingot.tls import server as tls

    return await asyncio.to_thread(tls.Identity, settings, _names(settings))


def _names(settings: Settings) -> list[str]:
    """What this host is called by its clients."""
    public = urllib.parse.urlsplit(settings.public_url or "").hostname
    named = [socket.gethostname(), "localhost", public, *settings.tls_names]
    addresses = [settings.host, dhcp.host(settings), *hostnet.addresses(), "127.0.0.1", "::1"]
    return [name for name in dict.fromkeys([*named, *addresses]) if name and name not in _ANY]


def _server(app: Any, context: ssl.SSLContext | None, most: int) -> _Server:
    config = Config(
        app,
        ssl_context_factory=None if context is None else _giving(context),
        loop="none",
        http=patience.PatientProtocol,
        ws=_websocket,  # pyright: ignore[reportArgumentType] # called to make a protocol, as a class would be
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # origin.py reads them, where a setting says so
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=5,
        limit_concurrency=most,
    )
    return _Server(config)


def most_connections(listeners: int) -> int:
    """How many connections each of so many listeners has before it answers 503.

    Each its own, so that a crowd of one keeps nobody from the other; together they leave a quarter of the files that
    this process may open to BMCs and the database.
    """
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4 // listeners)


def _websocket(**given: Any) -> asyncio.Protocol:
    """What speaks WebSocket on a connection; imported when the first one comes."""
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

    return WSProtocol(**given)


def _giving(context: ssl.SSLContext) -> Callable[[Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    return lambda _config, _default: context


def _bind(host: str, port: int) -> socket.socket:
    where = f"{host} port {port}"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except PermissionError as error:
        raise errors.Forbidden(f"The API may not listen on {where}", hint="Choose a port above 1023.") from error
    except socket.gaierror as error:
        raise errors.Invalid(f"The API cannot listen on {where}: no such address", hint="Set host anew.") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            text = f"The API cannot listen on {where}: no interface of this host has that address"
            raise errors.Invalid(text, hint="Compare with ip addr.") from error
        raise errors.Conflict(
            f"The API cannot listen on {where}: {os.strerror(error.errno or 0)}",
            hint="Another program has the port: end it, or choose another with --port.",
        ) from error


def _agents_address(settings: Settings, bound: str) -> str | None:
    """Where agents call, if the API itself, which listens on the address ``bound``, does not listen there."""
    address = dhcp.host(settings)
    if address is None or bound == address or ipaddress.ip_address(bound).is_unspecified:
        return None
    return address


def _only_agents(app: Any) -> Any:
    """The application, reduced to what a ramdisk may call."""

    async def reduced(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        allowed = path in _ROOTS or path.startswith(_AGENT_PATHS)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] == "http" and not allowed:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        # Agents call directly: whoever speaks of a proxy here would lie about their address.
        headers = [pair for pair in scope["headers"] if pair[0] not in origin.HEADERS]
        await app({**scope, "headers": headers}, receive, send)

    return reduced
