"""Traits of nodes: what a scheduler may ask for. Invariant: lawful ones, not too many a node."""

from __future__ import annotations

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors
from ingot.domain import traits as rules
from ingot.services import nodes as service
from ingot.store import nodes


async def replace(deps: Deps, ident: str, traits: tuple[str, ...]) -> None:
    """Give a node exactly these traits. Raises errors.NotFound, Invalid (too many), Locked."""
    await deps.store.run(_replace, ident, traits)


async def add(deps: Deps, ident: str, trait: str) -> None:
    """Give a node one more trait. Raises as ``replace``."""
    await deps.store.run(_add, ident, trait)


async def remove(deps: Deps, ident: str, trait: str) -> None:
    """Take one trait from a node. Raises errors.NotFound (node or trait), Locked."""
    await deps.store.run(_remove, ident, trait)


def _replace(connection: Connection, ident: str, traits: tuple[str, ...]) -> None:
    found = nodes.get(connection, ident)
    service.refuse_locked(found)
    _store(connection, found.uuid, traits)


def _add(connection: Connection, ident: str, trait: str) -> None:
    found = nodes.get(connection, ident)
    service.refuse_locked(found)
    _store(connection, found.uuid, (*found.traits, trait))


def _remove(connection: Connection, ident: str, trait: str) -> None:
    found = nodes.get(connection, ident)
    service.refuse_locked(found)
    if trait not in found.traits:
        raise errors.NotFound(f"Node {found.uuid} doesn't have a trait '{trait}'", hint="List its traits.")
    _store(connection, found.uuid, tuple(other for other in found.traits if other != trait))


def _store(connection: Connection, uuid: str, traits: tuple[str, ...]) -> None:
    wanted = tuple(dict.fromkeys(traits))
    if len(wanted) > rules.MOST:
        raise errors.Invalid(
            f"Could not modify traits for node {uuid} as it would exceed the maximum number of traits per node "
            f"({len(wanted)} vs. {rules.MOST})",
            hint="Take others away first.",
        )
    nodes.set_traits(connection, uuid, wanted)
    nodes.change(connection, uuid)
