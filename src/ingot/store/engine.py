"""The database, whichever it is: units of work that are plain functions, run one after another by whoever writes.

On every database one writer at a time changes rows, in this process and all others, so a unit may read, decide and
write without looking over its shoulder (docs/decisions/0021). May not: know any table. Invariant: ``run`` returns
only after the unit is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, TypeVarTuple

from sqlalchemy import Connection

from ingot.domain import errors
from ingot.store import place
from ingot.store.units import Unit, Work

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Engine(Protocol):
    """What a kind of database has to offer."""

    def put(self, unit: Unit) -> None:
        """Queue a unit; its future is told when it is on disk."""
        ...

    def read(self, work: Work) -> Awaitable[Any]:
        """Run on one consistent snapshot."""
        ...

    def peek(self, unit: Callable[..., Any], args: tuple[Any, ...]) -> Awaitable[Any]:
        """Run a single statement; ``args`` are what the unit is given beside a connection."""
        ...

    def waiting(self) -> int:
        """Units that are queued."""
        ...

    def close(self) -> None:
        """Finish what is queued (with a server: if that takes no more than 3 s), then close every connection."""
        ...


class Store:
    """All access to one database. Open with ``Store(where)``, end with ``close()``.

    ``where``: the path of an SQLite file, or the URL of a server's database. ``patience``: seconds to wait for
    another process that holds the database. A unit that comes while others wait may wait twice that, which has to be
    less than a client's patience.
    """

    def __init__(self, where: place.Place, patience: float = 15.0) -> None:
        self.where = where
        self._engine = _open_engine(where, patience)
        self._closed = False

    async def run(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``unit(connection, ...)`` as one durable unit of work and return its result.

        Whatever the unit raises is raised here, and nothing of it stays in the database. Raises errors.StoreDown
        when the database cannot be written (disk full, held by another process, server gone).
        """
        return await self._put(None, lambda connection: unit(connection, *args, **kwargs))

    async def run_of(
        self, node: str | None, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``run`` for a unit that reads and changes nothing of other nodes than the one with this uuid.

        Its own are the node's row, runs, journals, history, ports. It may ask whether a name or a MAC address is free:
        the tables refuse a second one, and then all are run one by one. Servers run such units of different nodes side
        by side, so that they share messages. ``node``: None for a unit that looks further.
        """
        return await self._put(node, lambda connection: unit(connection, *args, **kwargs))

    async def read(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit that only reads, on one consistent snapshot, beside the writer."""
        self._check_open()
        return await self._engine.read(lambda connection: unit(connection, *args, **kwargs))

    async def peek(self, unit: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Run a unit of one statement, best a look-up (``store/lookups.py``), the quickest way there is."""
        self._check_open()
        return await self._engine.peek(unit, args)

    def waiting(self) -> int:
        """Units that wait to be written."""
        return self._engine.waiting()

    def close(self) -> None:
        """Finish what is queued (with a server: if that takes no more than 3 s), then close every connection."""
        if not self._closed:
            self._closed = True
            self._engine.close()

    def _put(self, node: str | None, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        self._check_open()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._engine.put(Unit(work, future, node))
        return future

    def _check_open(self) -> None:
        if self._closed:
            raise errors.Bug(f"The database {place.shown(self.where)} was used after it was closed")


def _open_engine(where: place.Place, patience: float) -> _Engine:
    if isinstance(where, Path):
        from ingot.store.sqlite import SqliteEngine

        return SqliteEngine(where, patience)
    from ingot.store.server import ServerEngine

    return ServerEngine(where, patience)
