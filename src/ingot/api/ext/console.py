"""``/ingot/v1/console/{ticket}``: a console in a page, its WebSocket, and what consoles said in a run.

The ticket in the address, given out by ``/v1/nodes/{node}/states/console``, is the right to enter: it cannot be
guessed and lasts some minutes. May not: open a line. Invariant: only who has the keyboard types.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec

from ingot.api import query, routing, spec, wire
from ingot.api.v1 import nodes
from ingot.consoles.hub import Watcher
from ingot.deps import Deps
from ingot.domain import errors
from ingot.store import nodes as node_store
from ingot.store import runs as run_store

_STATIC = Path(__file__).parent.parent / "static"
_KINDS = {".html": b"text/html", ".css": b"text/css", ".mjs": b"text/javascript", ".LICENSE": b"text/plain"}
# xterm.js sets styles of its own; nothing else may run or be fetched.
_POLICY = b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'"
_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_PATH = ("ingot", "v1", "console")
_NORMAL, _REFUSED = 1000, 4404
_TYPED_AT_ONCE = 64 * 1024
_LOG_BYTES = 1024 * 1024


@spec.tells("A link that opens the console of a node for some minutes", answer=spec.fields(url=str))
async def ticket(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /ingot/v1/nodes/{node}/console: the page's address, whatever the console's type; {"url": ...}."""
    query.Query(request)
    found = await deps.store.read(node_store.get, nodes.node_ident(request))
    told = await deps.bus.call("console_ticket", node_uuid=found.uuid)
    return wire.ok({"url": request.href("ingot", "v1", "console", told)})


@spec.tells("A console as a page; the ticket is the right to enter", media="text/html", also=404)
async def page(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/console/{ticket}; to a ticket that is not valid the same page, whose WebSocket is told why."""
    query.Query(request)
    status = 200
    try:
        watcher: Watcher = await deps.bus.call("console_watch", ticket=request.args["ticket"])
        watcher.leave()
    except errors.NotFound:
        status = 404
    return _file("console.html", (b"cache-control", b"no-store"), status=status)


@spec.tells("What the console's page is made of", media="*/*")
async def static(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/static/{file}: what the page is made of."""
    query.Query(request)
    return _file(request.args["file"], (b"cache-control", b"max-age=3600"))


@spec.tells("What the console said in a run", media="text/plain")
async def log(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/runs/{run}/console: what the console said in that run, "idle": between runs."""
    query.Query(request)
    found = await deps.store.read(node_store.get, nodes.node_ident(request))
    run = request.args["run"]
    if run != "idle":
        await deps.store.read(run_store.get_of_node, found.uuid, run)
    text: str = await deps.bus.call("console_tail", node_uuid=found.uuid, run=run, size=_LOG_BYTES)
    return wire.Answer(200, text.encode(), ((b"content-type", b"text/plain; charset=utf-8"), *_HEADERS))


async def socket(deps: Deps, raw_path: bytes, receive: wire.Receive, send: wire.Send) -> None:
    """Serve a WebSocket at /ingot/v1/console/{ticket}/socket: bytes both ways, JSON texts beside them.

    A refusal comes after the handshake: a browser hides from its page what is said instead of one.

    Texts to us: {"take": force?}, {"break": true}. Texts from us: {"writes", "watchers", "problem"}.
    """
    await receive()  # the wish to connect
    try:
        segments = routing.split(raw_path) or ()
    except wire.Unreadable:
        segments = ()
    if segments[:3] != _PATH or len(segments) != 5 or segments[4] != "socket":
        await send({"type": "websocket.close", "code": _REFUSED, "reason": "There is no WebSocket here."})
        return
    await send({"type": "websocket.accept"})
    try:
        watcher: Watcher = await deps.bus.call("console_watch", ticket=segments[3])
    except errors.IngotError as error:
        await send({"type": "websocket.close", "code": _REFUSED, "reason": error.message[:120]})
        return
    speaking = asyncio.create_task(_speak(watcher, send))
    try:
        await _listen(watcher, receive, send)
    finally:
        watcher.leave()
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


async def _speak(watcher: Watcher, send: wire.Send) -> None:
    while (piece := await watcher.read()) is not None:
        await send({"type": "websocket.send", "bytes": piece})
    await send({"type": "websocket.close", "code": _NORMAL, "reason": (watcher.ended or "")[:120]})


async def _listen(watcher: Watcher, receive: wire.Receive, send: wire.Send) -> None:
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        problem = None
        try:
            await _obey(watcher, message)
        except errors.IngotError as error:
            problem = error.sentence()
        if problem is not None or message.get("text") is not None:
            told = {"writes": watcher.writes, "watchers": watcher.company, "problem": problem}
            with contextlib.suppress(RuntimeError):  # the connection closed meanwhile
                await send({"type": "websocket.send", "text": msgspec.json.encode(told).decode()})


async def _obey(watcher: Watcher, message: Any) -> None:
    typed: bytes | None = message.get("bytes")
    if typed is not None:
        await watcher.write(typed[:_TYPED_AT_ONCE])
        return
    try:
        wish = msgspec.json.decode(message.get("text") or "{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.Invalid("The text is not JSON", hint='Send {"take": true} or {"break": true}.') from error
    if isinstance(wish, dict):
        if "take" in wish:
            watcher.take(force=wish["take"] is True)
        if wish.get("break") is True:  # pyright: ignore[reportUnknownMemberType] # any JSON object
            await watcher.send_break()


def _file(name: str, *headers: tuple[bytes, bytes], status: int = 200) -> wire.Answer:
    path = _STATIC / name
    if path.parent != _STATIC or path.suffix not in _KINDS or not path.is_file():
        raise errors.NotFound(f"There is no file {name}.")
    return wire.Answer(status, path.read_bytes(), ((b"content-type", _KINDS[path.suffix]), *_HEADERS, *headers))
