"""The API's listening socket and its HTTP server. May not: know a route. Invariant: a taken port is told as such."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn

from ingot.api import server
from ingot.domain import errors
from ingot.services.deps import Deps
from ingot.settings import Settings

_GRACE = 5
"""Seconds that requests in flight may still take once the end was asked for."""
_HEAD = 64 * 1024


class _Server(uvicorn.Server):
    """uvicorn, but signals stay with the composition root."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises errors.Conflict (port taken), errors.Invalid (no such address)."""
    where = f"{settings.host} port {settings.port}"
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except PermissionError as error:
        raise errors.Forbidden(f"The API may not listen on {where}", hint="Choose a port above 1023.") from error
    except socket.gaierror as error:
        raise errors.Invalid(f"The API cannot listen on {where}: no such address", hint="Set host anew.") from error
    except OSError as error:
        raise errors.Conflict(
            f"The API cannot listen on {where}: {error.strerror}",
            hint="Another program has the port: end it, or choose another with --port.",
        ) from error


async def serve(deps: Deps) -> None:
    """Serve the API until cancelled; requests in flight are finished. Raises errors.Conflict, errors.Invalid."""
    app = server.build(deps)
    listener = bind(deps.settings)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        h11_max_incomplete_event_size=_HEAD,
    )
    running = _Server(config)
    task = asyncio.ensure_future(running.serve(sockets=[listener]))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        running.should_exit = True
        await task
        raise
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def listening(deps):
    task = asyncio.ensure_future(serve(deps))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
