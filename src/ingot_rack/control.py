"""The control socket of a running rack: faults, screenshots, the truth about power.

Why: a test or a demo in another process must see behind the BMCs and break them on demand.
May not: act by itself. Invariant: one JSON object per line in, one out: {"ok": true, "result": ...} or
{"ok": false, "error": "sentence"}. The socket is for the rack's owner only (mode 0600).

Requests: {"do": "status"} | {"do": "faults", "machine": M, "set": {...}}
| {"do": "screenshot", "machine": M, "path": P} | {"do": "power", "machine": M, "action": A}
| {"do": "boot", "machine": M, "device": D, "persistent": B} | {"do": "link", "machine": M, "up": B} | {"do": "stop"}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from ingot_rack import errors

Json = dict[str, object]
Dispatch = Callable[[Json], Awaitable[object]]
_LONGEST = 1 << 24  # bytes of a line: a request may name all machines of a fleet


class Server:
    """Serves `dispatch` on a unix socket."""

    def __init__(self, path: Path, dispatch: Dispatch) -> None:
        self._path = path
        self._dispatch = dispatch
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_LONGEST)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server:
            self._server.close()
            for writer in tuple(self._writers):
                writer.close()
            await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, ValueError):  # the latter is what readline makes of a long line
                while line := await reader.readline():
                    writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                    await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> Json:
        try:
            request: object = json.loads(line)
            if not isinstance(request, dict):
                raise errors.Invalid("A control request is a JSON object", hint="See ingot_rack.control.")
            return {"ok": True, "result": await self._dispatch(cast("Json", request))}
        except errors.RackError as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, OSError) as error:
            return {"ok": False, "error": f"The request failed: {error}. Check its values."}


async def call(path: Path, request: Json, *, seconds: float = 30.0) -> object:
    """Send one request to a rack's control socket; raises RackError with the rack's sentence."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_LONGEST)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionError) as error:
        raise errors.RackError(f"No rack listens at {path}", hint="Start it with up.") from error
    except TimeoutError as error:
        raise errors.RackError(f"The rack did not answer in {seconds:g} s") from error
    if not line:
        raise errors.RackError("The rack hung up", hint="See its log.")
    answer = cast("Json", json.loads(line))
    if not answer.get("ok"):
        message, _, hint = str(answer.get("error")).partition(". ")
        raise errors.RackError(message, hint=hint)
    return answer.get("result")
