"""``/ingot/v1/events``: what changes, as server-sent events; and waiting for a node without asking again and again.

May not: decide who sees what (feed.py). Invariant: the id of each event, sent back as Last-Event-ID, goes on behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator

import msgspec

from ingot.api import access, feed, query, spec, wire
from ingot.api.v1 import nodes
from ingot.deps import Deps
from ingot.domain import errors, states
from ingot.store import events as journal
from ingot.store import nodes as store

_HEADERS = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
_RETRY = b"retry: 2000\n\n"
_WORDS = frozenset(journal.KINDS) | {kind.partition(".")[0] for kind in journal.KINDS}
_LONGEST_WAIT = 600
_BUSY = frozenset({states.Kind.TRANSIENT, states.Kind.WAIT})
_SEEN = ("provision_state", "target_provision_state", "power_state")
_WAITED = spec.fields(reached=bool, **dict.fromkeys(_SEEN, str | None))


@spec.tells("What changes from now on, or after Last-Event-ID, as server-sent events", media="text/event-stream")
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/events?kind=node,run.ended&node=..&after=.."""
    asked = query.Query(request, "kind", "node", "after")
    kinds = frozenset(asked.words("kind") or ())
    unknown = kinds - _WORDS
    if unknown:
        text = f"There is no kind of event called {', '.join(sorted(unknown))}"
        raise errors.Invalid(text, hint=f"There are: {', '.join(sorted(_WORDS))}.")
    last = _last(asked.text("after") or request.headers.get("last-event-id"))
    ident = asked.text("node")
    uuid = None if ident is None else await _uuid(deps, request, ident)
    return await _stream(deps, request, feed.Wish(kinds, uuid, last))


@spec.tells("Wait until a node rests, or is in one of some provision states", answer=_WAITED)
async def wait(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /ingot/v1/nodes/{node}/wait?provision_state=active,deploy failed&timeout=60; at once when it is so."""
    asked = query.Query(request, "provision_state", "timeout")
    wanted = _states(asked.words("provision_state"))
    limit = _seconds(asked.text("timeout"))
    found = await deps.store.read(store.get, nodes.node_ident(request))
    items = await _follow(deps, request, feed.Wish(frozenset({"node"}), found.uuid))
    try:
        async with contextlib.aclosing(items), asyncio.timeout(limit):
            reached = await _until(deps, items, found.uuid, wanted)
    except TimeoutError:
        reached = False
    row = await deps.store.read(store.get_row, found.uuid, _SEEN)
    return wire.ok({"reached": reached, **row})


async def _until(deps: Deps, items: AsyncGenerator[feed.Item], uuid: str, wanted: frozenset[str]) -> bool:
    """True once the node is in one of the states; False when the stream ended first."""
    async for item in items:
        if isinstance(item, feed.Notice) and item.word == "cut":
            return False
        if isinstance(item, feed.Notice) and item.word == "beat":
            continue
        # Also once at the beginning: what had happened before is no event.
        row = await deps.store.read(store.get_row, uuid, _SEEN)
        if row["provision_state"] in wanted:
            return True
    return False


async def _stream(deps: Deps, request: wire.Request, wish: feed.Wish) -> wire.Answer:
    return wire.Stream(200, b"", _HEADERS, chunks=_frames(await _follow(deps, request, wish)))


async def _follow(deps: Deps, request: wire.Request, wish: feed.Wish) -> AsyncGenerator[feed.Item]:
    return await deps.bus.call("follow", caller=request.caller, wish=wish)


async def _frames(items: AsyncGenerator[feed.Item]) -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(items):
        yield _RETRY
        async for item in items:
            yield _frame(item)


@functools.lru_cache(maxsize=512)
def _frame(item: feed.Item) -> bytes:
    """One message. A beat is a comment, of which programs hear nothing."""
    if isinstance(item, feed.Notice):
        if item.word == "beat":
            return b": nothing new\n\n"
        text = msgspec.json.encode({"id": item.id, "reason": item.reason or None})
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (item.id, item.word.encode(), text)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (item.id, item.kind.encode(), journal.shown(item))


def _last(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise errors.Invalid(f"Last-Event-ID is no id of an event: {text[:40]}", hint="Send the last one you had.")
    return int(text)


def _states(words: tuple[str, ...] | None) -> frozenset[str]:
    if not words:
        return frozenset(state for state, row in states.TABLE.items() if row.kind not in _BUSY)
    unknown = set(words) - set(states.State)
    if unknown:
        raise errors.Invalid(f"There is no provision state {', '.join(sorted(unknown))}", hint="See /ingot/v1/states.")
    return frozenset(words)


def _seconds(text: str | None) -> float:
    if text is None:
        return 60.0
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _LONGEST_WAIT:
        raise errors.Invalid(f"timeout is no number from 1 to {_LONGEST_WAIT}: {text[:40]}", hint="Give seconds.")
    return float(text)


async def _uuid(deps: Deps, request: wire.Request, ident: str) -> str:
    await access.require(deps, request.caller, "nodes", ident, "baremetal:node:get")
    return (await deps.store.read(store.get, nodes.known_ident(ident, request.version))).uuid
