"""Who holds the one lock under which PostgreSQL is written (docs/decisions/0021), looked at from beside.

A look every 10 ms, which costs the server some percent of a core. Whoever has locked the table's row and waits for no
lock is the holder: the others wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import asyncpg

_EVERY = 0.01
_HOLDER = """
SELECT a.state FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation = 'alembic_version'::regclass AND l.mode = 'RowShareLock' AND l.granted
  AND a.wait_event_type IS DISTINCT FROM 'Lock' LIMIT 1
"""


class Seen:
    """How many looks there were, and in how many of them somebody held the lock; ``silent``: and asked nothing."""

    looks = held = silent = 0

    def share(self) -> float:
        """Of the time for which the lock was held."""
        return self.held / max(1, self.looks)

    def idle(self) -> float:
        """Of the time for which the lock was held, that for which the server waited for its holder."""
        return self.silent / max(1, self.held)


async def settle(database: str) -> None:
    """Let PostgreSQL look at its tables, as it does by itself within a minute: until then it takes them for empty."""
    if database.startswith("postgresql"):
        connection = await asyncpg.connect(database)
        await connection.execute("ANALYZE")
        await connection.close()


@contextlib.asynccontextmanager
async def watched(database: str) -> AsyncGenerator[Seen]:
    """Look while the context lasts. ``database``: a URL; nothing is seen of any but PostgreSQL."""
    seen = Seen()
    if not database.startswith("postgresql"):
        yield seen
        return
    connection = await asyncpg.connect(database)
    looking = asyncio.create_task(_look(connection, seen))
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        connection.terminate()


async def _look(connection: asyncpg.Connection, seen: Seen) -> None:
    statement = await connection.prepare(_HOLDER)
    while True:
        state = await statement.fetchval()
        seen.looks += 1
        seen.held += state is not None
        seen.silent += state == "idle in transaction"
        await asyncio.sleep(_EVERY)
