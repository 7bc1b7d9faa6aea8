"""A node as JSON: which columns a microversion shows and how a row becomes a body.

Why apart: lists of thousands of nodes are made here, so what depends only on version and fields is worked out once
and stored JSON text goes into the answer unparsed. May not: query. Invariant: no field newer than the microversion.
"""

from __future__ import annotations

import functools
import socket
from datetime import UTC, datetime
from typing import Any

import msgspec

from ingot.api import versions, wire
from ingot.deps import Deps
from ingot.domain import errors, states
from ingot.store import rows
from ingot.store.schema import nodes

SHORT = ("instance_uuid", "maintenance", "power_state", "provision_state", "uuid", "name")
"""What a list shows unless told otherwise."""
_LINKS = ("ports", "portgroups", "states", "volume")
_AGENT = ("agent_url", "agent_version", "agent_heartbeat_at", "has_agent_token")
_PLACE = "~uuid~"
_NEVER_CHOSEN = frozenset({"created_at", "updated_at", "links", *_LINKS})
_COLUMNS = frozenset(column.name for column in nodes.c)


class View(msgspec.Struct, frozen=True):
    """What to show. ``columns``: to read from the database; ``json``: those that hold JSON text; ``hidden``: read only
    to make other fields of them."""

    names: frozenset[str]
    columns: tuple[str, ...]
    json: tuple[str, ...]
    hidden: tuple[str, ...]
    links: tuple[str, ...]


@functools.cache
def view(version: int, names: tuple[str, ...] | None) -> View:
    """The view of the fields ``names``, or of all that the microversion shows."""
    shown = versions.fields("node", version)
    chosen = shown if names is None else tuple(name for name in names if name in shown)
    stored = tuple(name for name in chosen if name in _COLUMNS)
    needed = dict.fromkeys(("uuid", *stored, *(_AGENT if "driver_internal_info" in chosen else ())))
    return View(
        names=frozenset(chosen),
        columns=tuple(needed),
        json=tuple(name for name in stored if name in rows.JSON_COLUMNS),
        hidden=tuple(name for name in needed if name not in stored),
        links=tuple(name for name in ("links", *_LINKS) if name in chosen),
    )


def chosen(names: tuple[str, ...], version: int) -> View:
    """The view of fields a client asked for. Raises errors.NotAcceptable (too new), errors.Invalid (unknown)."""
    versions.require(version, 8)
    for name in names:
        if name in _NEVER_CHOSEN:
            raise errors.Invalid(f"Field {name} is not a valid field.", hint="It cannot be chosen for nodes.")
    versions.require_fields("node", names, version)
    return view(version, tuple(dict.fromkeys((*names, "links"))))


class Renderer:
    """Makes bodies of rows for one request."""

    def __init__(self, deps: Deps, request: wire.Request, what: View) -> None:
        self._view = what
        self._version = request.version
        self._conductor = conductor_name(deps)
        # JSON text of each list of links, cut where the node's uuid goes.
        self._links = {name: _link_text(request, name).split(_PLACE) for name in what.links}

    def render(self, row: dict[str, Any], traits: list[str] | None = None) -> dict[str, Any]:
        """The body of one node; ``row`` becomes that body."""
        what = self._view
        uuid: str = row["uuid"]
        if "provision_state" in row:
            row["provision_state"] = shown_state(row["provision_state"], self._version)
        with_agent = "driver_internal_info" in row and (row["agent_url"] or row["has_agent_token"])
        internal = _with_agent(row) if with_agent else None
        for name in what.json:
            row[name] = msgspec.Raw(row[name])
        if internal is not None:
            row["driver_internal_info"] = internal
        for name in what.hidden:
            del row[name]
        for name, parts in self._links.items():
            row[name] = msgspec.Raw(uuid.join(parts))
        if "traits" in what.names:
            row["traits"] = traits or []
        if "conductor" in what.names:
            row["conductor"] = self._conductor
        return row


def _link_text(request: wire.Request, name: str) -> str:
    parts = ("nodes", _PLACE) if name == "links" else ("nodes", _PLACE, name)
    own = {"href": request.href("v1", *parts), "rel": "self"}
    return msgspec.json.encode([own, {"href": request.href(*parts), "rel": "bookmark"}]).decode()


def shown_state(state: str, version: int) -> str | None:
    """A provision state as the microversion knows it."""
    if state == states.State.AVAILABLE and version < 2:
        return None
    if state == states.State.INSPECT_WAIT and version < 39:
        return states.State.INSPECTING
    return state


@functools.cache
def _own_name() -> str:
    return socket.gethostname()


def conductor_name(deps: Deps) -> str:
    """The conductor that looks after a node."""
    return deps.settings.hostname or _own_name()


def _with_agent(row: dict[str, Any]) -> dict[str, Any]:
    """What is known of a node's agent beside the stored facts; its token only as asterisks."""
    known: dict[str, Any] = msgspec.json.decode(row["driver_internal_info"])
    if row["agent_url"]:
        at = datetime.fromtimestamp(row["agent_heartbeat_at"] or 0.0, UTC)
        known["agent_url"] = row["agent_url"]
        known["agent_version"] = row["agent_version"]
        known["agent_last_heartbeat"] = at.replace(tzinfo=None).isoformat(timespec="microseconds")
    if row["has_agent_token"]:
        known["agent_secret_token"] = "******"  # noqa: S105 - the mask, not a token
    return known
