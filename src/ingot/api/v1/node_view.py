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

SHORT = ("uuid", "instance_uuid", "maintenance", "power_state", "provision_state", "name")
"""What a list shows unless told otherwise."""
_LINKS = ("ports", "portgroups", "states", "volume")
_AGENT = ("agent_url", "agent_version", "agent_heartbeat_at", "has_agent_token")
_NEVER_CHOSEN = frozenset({"created_at", "updated_at"})
_COLUMNS = frozenset(column.name for column in nodes.c)


class View(msgspec.Struct, frozen=True):
    """What to show. ``columns``: to read from the database; ``plain``, ``json``: to copy, parsed and unparsed."""

    names: frozenset[str]
    columns: tuple[str, ...]
    plain: tuple[str, ...]
    json: tuple[str, ...]
    flags: tuple[str, ...]
    links: tuple[str, ...]


@functools.cache
def view(version: int, names: tuple[str, ...] | None) -> View:
    """The view of the fields ``names``, or of all that the microversion shows."""
    shown = versions.fields("node", version)
    chosen = shown if names is None else tuple(name for name in names if name in shown)
    stored = tuple(name for name in chosen if name in _COLUMNS)
    needed = dict.fromkeys(("uuid", *stored, *(_AGENT if "driver_internal_info" in chosen else ())))
    flags = rows.booleans(nodes)
    return View(
        names=frozenset(chosen),
        columns=tuple(needed),
        plain=tuple(name for name in stored if name not in rows.JSON_COLUMNS and name not in flags),
        json=tuple(name for name in stored if name in rows.JSON_COLUMNS),
        flags=tuple(name for name in stored if name in flags),
        links=tuple(name for name in _LINKS if name in chosen),
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
        self._self = request.href("v1", "nodes")
        self._bookmark = request.href("nodes")
        self._version = request.version
        self._conductor = conductor_name(deps)

    def render(self, row: dict[str, Any], traits: list[str] | None = None) -> dict[str, Any]:
        """The body of one node."""
        what = self._view
        body: dict[str, Any] = {name: row[name] for name in what.plain}
        for name in what.json:
            body[name] = msgspec.Raw(row[name].encode())
        for name in what.flags:
            body[name] = None if row[name] is None else bool(row[name])
        if "provision_state" in body:
            body["provision_state"] = shown_state(body["provision_state"], self._version)
        if "driver_internal_info" in body and (row["agent_url"] or row["has_agent_token"]):
            body["driver_internal_info"] = _with_agent(row)
        self._add_links(body, row["uuid"])
        if "traits" in what.names:
            body["traits"] = traits or []
        if "conductor" in what.names:
            body["conductor"] = self._conductor
        return body

    def _add_links(self, body: dict[str, Any], uuid: str) -> None:
        own, bookmark = f"{self._self}/{uuid}", f"{self._bookmark}/{uuid}"
        if "links" in self._view.names:
            body["links"] = [{"href": own, "rel": "self"}, {"href": bookmark, "rel": "bookmark"}]
        for name in self._view.links:
            body[name] = [
                {"href": f"{own}/{name}", "rel": "self"},
                {"href": f"{bookmark}/{name}", "rel": "bookmark"},
            ]


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
