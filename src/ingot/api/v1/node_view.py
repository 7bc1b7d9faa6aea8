"""A node as JSON: which fields a microversion shows, and the document by which the database writes them.

Why apart: lists of thousands of nodes are made here, so all that depends only on version, fields and links is worked
out once. May not: query. Invariant: no field newer than the microversion.
"""

from __future__ import annotations

import functools

import msgspec

from ingot.api import versions, wire
from ingot.deps import Deps
from ingot.domain import errors, hashring, states
from ingot.store import documents, node_filters, nodes, speech

SHORT = ("instance_uuid", "maintenance", "power_state", "provision_state", "uuid", "name")
"""What a list shows unless told otherwise."""
_LINKS = ("links", "ports", "portgroups", "states", "volume")
_PLACE = "~uuid~"
_UUID = speech.each(lambda _: "nodes.uuid")
_NEVER_CHOSEN = frozenset({"created_at", "updated_at", *_LINKS})
_KEPT = 256
"""Views worked out at a time: clients may ask for any choice of fields."""


@functools.lru_cache(_KEPT)
def view(version: int, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Those of ``names`` that the microversion shows, or all that it shows."""
    shown = versions.fields("node", version)
    return shown if names is None else tuple(dict.fromkeys(name for name in names if name in shown))


def chosen(names: tuple[str, ...], version: int) -> tuple[str, ...]:
    """The fields a client asked for. Raises errors.NotAcceptable (too new), errors.Invalid (unknown)."""
    versions.require(version, 8)
    for name in names:
        if name in _NEVER_CHOSEN:
            raise errors.Invalid(f"Field {name} is not a valid field.", hint="It cannot be chosen for nodes.")
    versions.require_fields("node", names, version)
    return view(version, (*names, "links"))


async def document(deps: Deps, request: wire.Request, names: tuple[str, ...]) -> documents.Document:
    """How this request shows the fields ``names`` of a node."""
    ring = await deps.members.ring() if "conductor" in names else hashring.Ring()
    return _document(names, request.version, request.base, _conductor(ring, deps.hostname))


@functools.lru_cache(_KEPT)
def _document(names: tuple[str, ...], version: int, base: str, conductor: speech.Sql) -> documents.Document:
    form, values = nodes.members(names, {"provision_state": _state(version), "conductor": conductor})
    for name in names:
        if name in _LINKS:
            text = documents.literal(_links(base, name)).split(_PLACE)
            form.append(f'"{name}":{"%s".join(text)}')
            values += [_UUID] * (len(text) - 1)
    return documents.Document(form="{" + ",".join(form) + "}", values=tuple(values))


def _links(base: str, name: str) -> list[dict[str, str]]:
    path = f"nodes/{_PLACE}" if name == "links" else f"nodes/{_PLACE}/{name}"
    return [{"href": f"{base}/v1/{path}", "rel": "self"}, {"href": f"{base}/{path}", "rel": "bookmark"}]


def _state(version: int) -> speech.Sql:
    """SQL of a provision state as the microversion knows it."""
    renamed = {state: shown for state in states.State if (shown := shown_state(state, version)) != state}
    cases = "".join(f" WHEN '{state}' THEN '{documents.literal(shown)}'" for state, shown in renamed.items())

    def said(words: speech.Speech) -> str:
        plain = words.quote("nodes.provision_state")
        return f"CASE nodes.provision_state{cases} ELSE {plain} END" if cases else plain

    return speech.each(said)


def shown_state(state: str, version: int) -> str | None:
    """A provision state as the microversion knows it."""
    if state == states.State.AVAILABLE and version < 2:
        return None
    if state == states.State.INSPECT_WAIT and version < 39:
        return states.State.INSPECTING
    return state


def looked_after(ring: hashring.Ring, own: str, hostname: str | None) -> node_filters.LookedAfter | None:
    """The nodes of one conductor; None for one that is not alive."""
    group = next((group for group, names in ring.groups if hostname in names), None)
    if hostname is None or group is None:
        return node_filters.LookedAfter() if hostname == own and not ring.groups else None
    return node_filters.LookedAfter(group, ring.slots(group, hostname))


@functools.lru_cache(_KEPT)
def _conductor(ring: hashring.Ring, own: str) -> speech.Sql:
    """SQL of the JSON name of the conductor that looks after a node; before any has joined, that of this host."""
    cases: list[str] = []
    for group, names in ring.groups:
        for name in names:
            slots = ring.slots(group, name)
            within = "" if slots is None else f" AND substr(nodes.uuid, 35) IN ({', '.join(map(_sql, slots))})"
            cases.append(f"WHEN lower(nodes.conductor_group) = {_sql(group)}{within} THEN {_quoted(name)}")
    return speech.each(lambda _: f"CASE {' '.join(cases)} ELSE 'null' END" if cases else _quoted(own))


def _quoted(name: str) -> str:
    return _sql(msgspec.json.encode(name).decode())


def _sql(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
