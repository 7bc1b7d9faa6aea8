"""Databases for tests, on servers that are started when the first test asks for one of their kind.

Making the tables takes MariaDB most of a second, so ``empty`` makes them once and empties them for each next test.
"""

from __future__ import annotations

import contextlib

from sqlalchemy import Connection

from ingot.store import server, upgrade
from ingot.store.schema import events, metadata
from servers.mariadb import MariaDB
from servers.postgresql import PostgreSQL
from servers.server import Server

_SERVERS: dict[str, type[Server]] = {"postgresql": PostgreSQL, "mariadb": MariaDB}
KINDS = tuple(_SERVERS)


class Databases:
    """One server of each kind, and what was made on it. ``durable``: they flush to disk, as in earnest."""

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._servers: dict[str, Server] = {}
        self._made = 0
        self._empty: dict[str, str] = {}

    def server(self, kind: str) -> Server:
        """The server of that kind, which runs."""
        if kind not in self._servers:
            with contextlib.ExitStack() as until_it_answers:
                made = _SERVERS[kind](durable=self._durable)
                until_it_answers.callback(made.remove)
                made.start()
                until_it_answers.pop_all()
            self._servers[kind] = made
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
            server.run_once(self._empty[kind], _delete_all, 30)
        return self._empty[kind]

    def remove(self) -> None:
        """End the servers and remove their files."""
        for one in self._servers.values():
            one.remove()


def _delete_all(connection: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(table.delete())
    connection.execute(events.delete())  # what deleting nodes has told
