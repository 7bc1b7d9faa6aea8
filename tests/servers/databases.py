"""Databases for tests, on servers that are started when the first test asks for one of their kind.

Making the tables takes MariaDB most of a second, so ``empty`` makes them once and empties them for each next test.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, text

from ingot.store import dialects, place, upgrade
from ingot.store.schema import metadata
from servers.mariadb import MariaDB
from servers.postgresql import PostgreSQL
from servers.server import Server

_SERVERS: dict[str, type[Server]] = {"postgresql": PostgreSQL, "mariadb": MariaDB}
KINDS = tuple(_SERVERS)


class Databases:
    """One server of each kind, and what was made on it."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._made = 0
        self._empty: dict[str, str] = {}

    def server(self, kind: str) -> Server:
        """The server of that kind, which runs."""
        if kind not in self._servers:
            self._servers[kind] = _SERVERS[kind]()
            self._servers[kind].start()
        return self._servers[kind]

    def new(self, kind: str) -> str:
        """The URL of a database without tables."""
        self._made += 1
        return self.server(kind).create(f"test{self._made}")

    def empty(self, kind: str) -> str:
        """The URL of a database at the newest version without any row; the same one each time."""
        if kind not in self._empty:
            self._empty[kind] = self.new(kind)
            upgrade.upgrade(self._empty[kind])
        else:
            asyncio.run(_clear(self._empty[kind]))
        return self._empty[kind]

    def remove(self) -> None:
        """End the servers and remove their files."""
        for server in self._servers.values():
            server.remove()


async def _clear(where: str) -> None:
    engine = dialects.make_engine(place.url_of(where), 30)
    async with engine.connect() as connection:
        await connection.run_sync(_delete_all)
    await engine.dispose()


def _delete_all(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())
    connection.execute(text("DELETE FROM events"))
