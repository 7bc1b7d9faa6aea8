"""The API's listeners: the whole API where the settings say, and the agents' few calls on the provisioning network.

So an API bound to loopback still hears its ramdisks, and the provisioning network reaches nothing but lookup,
heartbeat and inspection. May not: know a route's meaning. Invariant: both serve the same application.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
import uvicorn

from ingot.api import auth, server
from ingot.deps import Deps
from ingot.domain import errors
from ingot.netboot import service as netboot
from ingot.settings import Settings

_log = structlog.get_logger("ingot.api")
_AGENT_PATHS = ("/v1/lookup", "/v1/heartbeat/", "/v1/continue_inspection")
_ROOTS = {"/", "/v1", "/v1/"}
_KEEP_ALIVE = 75


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def listening(deps: Deps) -> AsyncGenerator[None]:
    """Serve the API while the context lasts.

    Raises errors.Conflict when a port is taken, errors.Invalid for settings that are not safe.
    """
    auth.check(deps.settings)
    app = server.build(deps)
    servers = [_server(app, _bind(deps.settings.host, deps.settings.port))]
    agents = _agents_address(deps.settings, str(servers[0][1].getsockname()[0]))
    if agents is not None:
        servers.append(_server(_only_agents(app), _bind(agents, deps.settings.port)))
    tasks = [asyncio.create_task(one.serve(sockets=[sock])) for one, sock in servers]
    _log.info("API ready", url=f"http://{deps.settings.host}:{deps.settings.port}", agents_on=agents)
    try:
        yield
    finally:
        for one, _ in servers:
            one.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)


def _server(app: Any, sock: socket.socket) -> tuple[_Server, socket.socket]:
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=5,
    )
    return _Server(config), sock


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
    address = netboot.host(settings)
    if address is None or bound == address or ipaddress.ip_address(bound).is_unspecified:
        return None
    return address


def _only_agents(app: Any) -> Any:
    """The application, reduced to what a ramdisk may call."""

    async def reduced(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        allowed = path in _ROOTS or path.startswith(_AGENT_PATHS)
        if scope["type"] == "http" and not allowed:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return reduced
